/** Object files: programs as clang and libbpf exchange them. @module barewire/object */
export { type ElfObject, readElf } from './elf-reader.ts';
export { readObject } from './read.ts';
export { type ProgramKind, programKind } from './section-name.ts';
export * from './spec.ts';
export { writeObject } from './write.ts';
