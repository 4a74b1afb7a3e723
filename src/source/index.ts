/** Where functions were written: the one part of compiling that reads files. */
export { compile } from './compile.ts';
export { locateSource } from './locate.ts';
