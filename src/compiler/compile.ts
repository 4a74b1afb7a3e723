import type { Instruction, SourceLine } from '../asm/index.ts';
import type { MapSpec, ProgramNeed, ProgramSpec } from '../spec/index.ts';
import { allocate } from './back/allocate.ts';
import { emit } from './back/emit.ts';
import { select } from './back/select.ts';
import { CompileError, Fault, TooLong } from './error.ts';
import { lower } from './front/lower.ts';
import { type ParsedFunction, Sources } from './front/parse.ts';
import { checkExactness, checkLength } from './middle/check.ts';
import { analyseFlow } from './middle/flow.ts';
import { freeLoops } from './middle/free.ts';
import { boundLoops, foldBranches, optimise, tidy } from './middle/optimise.ts';
import { Ranges } from './middle/ranges.ts';
import type { AnyXdpProgram, Env, PlainVerdict, XdpProgram } from './program.ts';

/** Where a function's text was written, so that messages show its own file and lines. */
export interface Location {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** The whole line as it is in the file. */
  readonly text: string;
}

export interface CompileOptions {
  /**
   * What the kernel may be asked for beyond what every verifier has, by the names of `probe` of `barewire/bpf`. Long loops
   * need `may-goto`; the program then says so (`needs`), and `load` refuses it where the kernel lacks it. Default is all.
   */
  readonly features?: readonly ProgramNeed[];
  /**
   * Finds where a place of a function's text was written: line from 1 and column from 0 within the text. Without
   * it, or where it knows nothing, messages count within the function.
   */
  readonly locate?: (
    program: AnyXdpProgram,
    text: string,
    line: number,
    column: number,
  ) => Location | undefined;
}

/** The maps of an env, by their names there. */
export type EnvMaps<E> = {
  readonly [K in keyof E as E[K] extends MapSpec ? K : never]: Extract<E[K], MapSpec>;
};

const VERDICT: Readonly<Record<PlainVerdict, number>> = { aborted: 0, drop: 1, pass: 2, tx: 3 };

/**
 * Compiles a program to eBPF. Pure: nothing is loaded, no file is read.
 *
 * A program whose loops a verifier may not follow to their end comes in two forms where that is possible: one whose loops
 * the kernel bounds, and the other as its `fallback`.
 *
 * @throws CompileError where the function is not part of the language or cannot be proved right.
 */
export function compile<E extends Env>(
  program: XdpProgram<E>,
  options: CompileOptions = {},
): ProgramSpec<EnvMaps<E>> {
  const { features = ['may-goto'] } = options;
  let plain: Built | undefined;
  let long: Fault | undefined;
  try {
    plain = build(program, options, 'followed');
    if (!plain.tangled) return specOf(program, plain);
  } catch (fault) {
    if (!(fault instanceof TooLong)) throw fault instanceof Fault ? explain(program, options, fault) : fault;
    long = fault;
  }
  if (features.includes('may-goto')) {
    try {
      const free = build(program, options, 'free');
      const fallback = plain === undefined ? {} : { fallback: plain.instructions };
      return { ...specOf(program, free), needs: ['may-goto'], ...fallback };
    } catch (fault) {
      if (!(fault instanceof Fault)) throw fault;
      if (plain === undefined) throw explain(program, options, fault);
    }
  }
  if (plain === undefined) throw explain(program, options, long!);
  return specOf(program, plain);
}

interface Built {
  readonly instructions: Instruction[];
  readonly maps: Readonly<Record<string, MapSpec>>;
  /** A verifier that follows each iteration may give up on it. */
  readonly tangled: boolean;
}

/** Whether verifiers follow each iteration of a loop, or the kernel bounds the loops. */
type Mode = 'followed' | 'free';

/** What the stack holds, and what `may_goto` keeps there. */
const STACK: Readonly<Record<Mode, number>> = { followed: 512, free: 496 };

function build(program: AnyXdpProgram, options: CompileOptions, mode: Mode): Built {
  const { name, env, fn } = program;
  const { onShort, frags, unroll } = program.options;
  const sources = new Sources();
  const where = new Lines(program, sources, options);
  try {
    const { graph, maps } = lower(name, env, fn as (...args: never[]) => unknown, sources, {
      onShort: VERDICT[onShort],
      frags,
      unroll,
    });
    analyseFlow(graph);
    tidy(graph);
    let ranges = new Ranges(graph);
    checkExactness(graph, ranges, mode === 'followed');
    if (foldBranches(graph, ranges)) {
      tidy(graph);
      ranges = new Ranges(graph);
    }
    optimise(graph, ranges);
    const tangled = mode === 'free' ? freeLoops(graph) : boundLoops(graph);
    if (mode === 'followed') checkLength(graph);
    const machine = select(graph, ranges);
    const { program: allocated, stack } = allocate(machine);
    if (stack > STACK[mode]) {
      throw new Fault(
        0,
        `the function needs ${stack} bytes of stack, and a program has ${STACK[mode]}`,
        'Use smaller keys and values, or keep large ones in a per-CPU array of one entry.',
      );
    }
    return { instructions: emit(allocated, (at) => where.of(at)), maps, tangled };
  } catch (error) {
    if (error instanceof Fault) error.explain ??= () => where.explain(error);
    throw error;
  }
}

function explain(program: AnyXdpProgram, options: CompileOptions, fault: Fault): CompileError {
  return fault.explain?.() ?? new Lines(program, new Sources(), options).explain(fault);
}

function specOf<E extends Env>(program: XdpProgram<E>, built: Built): ProgramSpec<EnvMaps<E>> {
  const { name } = program;
  const { frags, attachType, license } = program.options;
  return {
    name,
    type: 'xdp',
    attachType,
    frags,
    license,
    instructions: built.instructions,
    maps: built.maps as EnvMaps<E>,
    functions: [{ name, slot: 0, parameters: 1 }],
  };
}

/** Places of a compilation as lines of source. */
class Lines {
  readonly #program: AnyXdpProgram;
  readonly #sources: Sources;
  readonly #options: CompileOptions;
  readonly #memo = new Map<number, SourceLine>();
  readonly #starts = new Map<string, number[]>();

  constructor(program: AnyXdpProgram, sources: Sources, options: CompileOptions) {
    this.#program = program;
    this.#sources = sources;
    this.#options = options;
  }

  of(at: number): SourceLine {
    const known = this.#memo.get(at);
    if (known !== undefined) return known;
    const { file, line, column, text } = this.#place(at);
    const source: SourceLine = { file, line, column, text: text.trim() };
    this.#memo.set(at, source);
    return source;
  }

  explain(fault: Fault): CompileError {
    const place = this.#place(fault.position);
    const indent = place.text.length - place.text.trimStart().length;
    const source: SourceLine = { ...place, text: place.text.trim() };
    const caret = Math.max(0, place.column - 1 - indent);
    return new CompileError(this.#program.name, source, caret, fault.message, fault.instead);
  }

  /** Where each line of a text begins. */
  #startsOf(text: string): readonly number[] {
    let starts = this.#starts.get(text);
    if (starts === undefined) {
      starts = [0];
      for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) starts.push(i + 1);
      this.#starts.set(text, starts);
    }
    return starts;
  }

  #place(at: number): Location {
    const fn: ParsedFunction = this.#sources.of(Math.max(0, at));
    const position = Math.max(0, at - fn.base);
    const starts = this.#startsOf(fn.text);
    let line = 1;
    for (let high = starts.length; line < high; ) {
      const middle = (line + high + 1) >> 1;
      if (starts[middle - 1]! <= position) line = middle;
      else high = middle - 1;
    }
    const column = position - starts[line - 1]!;
    const located = this.#options.locate?.(this.#program, fn.text, line, column);
    if (located !== undefined) return located;
    const text = fn.text.slice(starts[line - 1], starts[line]).trimEnd();
    return { file: fn.name, line, column: column + 1, text };
  }
}
