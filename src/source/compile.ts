import {
  type CompileOptions,
  compile as compileText,
  type Env,
  type EnvMaps,
  type XdpProgram,
} from '../compiler/index.ts';
import type { ProgramSpec } from '../spec/index.ts';
import { locateSource } from './locate.ts';

/**
 * Compiles a program to eBPF. Nothing is loaded; files are read only to say where a line was written.
 *
 * Messages, the verifier's complaints and `bpftool prog dump xlated linum` show the lines of the TypeScript file where
 * there is a source map, otherwise those of the JavaScript.
 *
 * @throws CompileError where the function is not part of the language or cannot be proved right.
 */
export function compile<E extends Env>(
  program: XdpProgram<E>,
  options: CompileOptions = {},
): ProgramSpec<EnvMaps<E>> {
  return compileText(program, { locate: locateSource, ...options });
}
