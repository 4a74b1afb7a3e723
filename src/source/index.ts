/** Where functions were written: the one part of compiling that reads files. */
export { locateSource } from './locate.ts';
