/** XDP programs written as one TypeScript function. @module barewire/xdp */
export * from '../compiler/index.ts';
export { compile } from './compile.ts';
