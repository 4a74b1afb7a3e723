/** Object files: programs as clang and libbpf exchange them. @module barewire/object */
export { writeObject } from './write.ts';
