/** XDP programs written as one TypeScript function. @module barewire/xdp */
export {
  be16,
  be32,
  be64,
  bytes,
  i8,
  i16,
  i32,
  i64,
  type Layout,
  struct,
  u8,
  u16,
  u32,
  u64,
} from '../layout/index.ts';
export {
  array,
  cpuMap,
  devMap,
  devMapHash,
  hash,
  lpmTrie,
  lruHash,
  lruPerCpuHash,
  type MapSpec,
  type ProgramSpec,
  perCpuArray,
  perCpuHash,
  programArray,
  ringBuffer,
  xskMap,
} from '../spec/index.ts';
export { type CompileOptions, compile, type EnvMaps, type Location } from './compile.ts';
export { CompileError } from './error.ts';
export {
  type AnyXdpProgram,
  type Env,
  type PlainVerdict,
  type ProgramOptions,
  program,
  type XdpFunction,
  type XdpProgram,
} from './program.ts';
export { RunMap } from './run/map.ts';
export { type Run, type RunMaps, type RunOptions, type RunResult, run, runMaps } from './run/run.ts';
export type * from './view.ts';
