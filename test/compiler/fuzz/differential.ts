import { cpus } from 'node:os';
import {
  type BpfMap,
  type Loaded,
  load,
  type RingBuffer,
  type TestRun,
  VerifierError,
} from '../../../src/bpf/index.ts';
import {
  CompileError,
  compile,
  type MapSpec,
  type Run,
  type RunMap,
  run,
  runMaps,
} from '../../../src/compiler/index.ts';
import { codecOf } from '../../../src/layout/index.ts';
import type { ProgramSpec } from '../../../src/spec/index.ts';
import { call, possibleCpus } from '../../../src/sys/index.ts';
import type { CorpusCase } from '../../kernels/corpus.ts';
import { portable } from '../agree.ts';
import { literal } from './environment.ts';
import { type Case, caseProgram, caseText } from './program.ts';

/** What became of one case. */
export type Outcome =
  | {
      readonly kind: 'equal';
      readonly verdicts: readonly string[];
      readonly slots: number;
      /** Whether verifiers take it that know no loops which the kernel bounds. */
      readonly portable: boolean;
    }
  /** The compiler refused it, with a reason. */
  | { readonly kind: 'refused'; readonly reason: string }
  | Failure;

export interface Failure {
  readonly kind: 'differs' | 'not loaded' | 'compiler broke' | 'unexplained refusal' | 'Node threw';
  /** What tells this failure from others of its kind; shrinking keeps to it. */
  readonly what: string;
  readonly details: string;
}

const VERDICTS = ['aborted', 'drop', 'pass', 'tx', 'redirect'];

/** The CPU the kernel's side runs on, so that per-CPU values have one place. */
let ownCpu = 0;

/** Keeps this thread on one CPU: the given one of those there are. */
export function stayOnCpu(number: number): void {
  ownCpu = number % cpus().length;
  const mask = new Uint8Array(128);
  mask[ownCpu >> 3] = 1 << (ownCpu & 7);
  call('sched_setaffinity', 0, mask.length, mask);
}

/** Runs one case in Node and in the kernel, and compares verdicts, bytes and maps. */
export function differential(given: Case): Outcome {
  let spec: ProgramSpec;
  let program: ReturnType<typeof caseProgram>;
  try {
    program = caseProgram(given);
  } catch (error) {
    return { kind: 'refused', reason: `not made: ${(error as Error).message}` };
  }
  try {
    spec = compile(program) as unknown as ProgramSpec;
  } catch (error) {
    if (!(error instanceof CompileError)) {
      const { message, stack } = error as Error;
      return { kind: 'compiler broke', what: message.replace(/\d+/g, 'N'), details: stack ?? message };
    }
    if (error.reason === '' || error.instead === '' || error.at.line < 1) {
      return { kind: 'unexplained refusal', what: error.reason, details: error.message };
    }
    return { kind: 'refused', reason: error.reason };
  }
  const outcome = inKernel(given, program, spec);
  if (outcome.kind !== 'equal' || spec.needs === undefined) return outcome;
  if (spec.fallback === undefined) return { ...outcome, portable: false };
  const older = inKernel(given, program, portable(spec));
  if (older.kind !== 'not loaded') return older;
  return TANGLED.test(older.what) ? { ...outcome, portable: false } : older;
}

/** What verifiers say of loops that they would have to follow in too many ways to judge. */
export const TANGLED: RegExp = /too large|too complex/;

function inKernel(given: Case, program: ReturnType<typeof caseProgram>, spec: ProgramSpec): Outcome {
  let loaded: Loaded;
  try {
    loaded = load(spec);
  } catch (error) {
    const log = error instanceof VerifierError ? error.log.split('\n').slice(-40).join('\n') : '';
    const what =
      error instanceof VerifierError ? complaint(error.log) : (error as Error).message.replace(/\d+/g, 'N');
    return { kind: 'not loaded', what, details: `${(error as Error).message}\n${log}` };
  }
  try {
    return compare(given, program, spec, loaded);
  } finally {
    loaded.close();
  }
}

/** A test run gives what `adjustMeta` put before the packet, too. */
function withoutMetadata(ran: TestRun, length: number): TestRun {
  const metadata = ran.data.length - length;
  const plausible = metadata > 0 && metadata <= 252 && metadata % 4 === 0;
  return plausible ? { ...ran, data: ran.data.subarray(metadata) } : ran;
}

/** The verifier's complaint without its numbers. */
function complaint(log: string): string {
  // The two that may stand behind an instruction on its own line.
  const tangled = /BPF program is too large|The sequence of \d+ jumps is too complex/.exec(log);
  if (tangled !== null) return tangled[0].replace(/\d+/g, 'N');
  const lines = log.trimEnd().split('\n');
  const last =
    lines.findLast((line) => !/^(processed|verification time|stack depth|\d+:|from |;)/.test(line)) ?? '';
  return last.replace(/-?\d+/g, 'N');
}

function compare(
  given: Case,
  program: ReturnType<typeof caseProgram>,
  spec: ProgramSpec,
  loaded: Loaded,
): Outcome {
  const maps = runMaps(program) as unknown as Record<string, RunMap>;
  const kernelMaps = loaded.maps as Readonly<Record<string, BpfMap | RingBuffer>>;
  const possible = possibleCpus();
  const named = Object.entries(program.env).filter(([, value]) => isMap(value)) as [string, MapSpec][];
  for (const { map, entries } of given.fills) {
    const name = named.find(([, m]) => m.name === map)?.[0];
    if (name === undefined) continue;
    for (const [key, value] of entries) {
      maps[name]!.set(key, value);
      const target = kernelMaps[map] as BpfMap | undefined;
      const perCpu = target?.spec.type.startsWith('percpu') === true;
      target?.set(key, perCpu ? Array.from({ length: possible }, () => value) : value);
    }
  }
  const verdicts: string[] = [];
  const events = new Map<MapSpec, string[]>(named.map(([, map]) => [map, []]));
  for (const [i, packet] of given.packets.entries()) {
    let result: Run<Record<string, unknown>>['packets'][number] | undefined;
    try {
      result = run(program, [packet], { maps, cpu: ownCpu }).packets[0]!;
    } catch (error) {
      const { name, message, stack } = error as Error;
      return {
        kind: 'Node threw',
        what: `${name}: ${message.replace(/\d+/g, 'N')}`,
        details: stack ?? message,
      };
    }
    const kernel = withoutMetadata(loaded.program.testRun({ data: packet, room: 8192 }), result.data.length);
    // In Node, a reader keeps up with what each packet brings.
    for (const [, map] of named)
      if (map.type === 'ringbuf') read(map, kernelMaps[map.name], events.get(map)!);
    const verdict = VERDICTS[kernel.returned] ?? `${kernel.returned}`;
    verdicts.push(verdict);
    if (verdict !== result.verdict) {
      const details = `packet ${i} (${packet.length} bytes): ${result.verdict} in Node, ${verdict} in the kernel`;
      return { kind: 'differs', what: 'verdict', details };
    }
    if (Buffer.compare(kernel.data, result.data) !== 0) {
      const at = kernel.data.findIndex((byte, n) => byte !== result.data[n]);
      const details = [
        `packet ${i} (${packet.length} bytes): the bytes differ from offset ${at < 0 ? kernel.data.length : at} on`,
        `  before: ${hex(packet)}`,
        `  Node:   ${hex(result.data)}`,
        `  kernel: ${hex(kernel.data)}`,
      ];
      return { kind: 'differs', what: 'bytes', details: details.join('\n') };
    }
  }
  for (const [name, map] of named) {
    const live = kernelMaps[map.name];
    if (live === undefined) continue;
    const [ours, theirs] = [contentsInNode(map, maps[name]!), contentsInKernel(map, live, events.get(map)!)];
    if (ours !== theirs) {
      const details = `map ${name} in Node:   ${ours}\nmap ${name} in kernel: ${theirs}`;
      return { kind: 'differs', what: `map ${map.type}`, details };
    }
  }
  return { kind: 'equal', verdicts, slots: spec.instructions.length, portable: true };
}

function isMap(value: unknown): value is MapSpec {
  return typeof value === 'object' && value !== null && 'maxEntries' in value;
}

function read(map: MapSpec, live: BpfMap | RingBuffer | undefined, events: string[]): void {
  (live as RingBuffer | undefined)?.drain((view, offset) => {
    events.push(literal(codecOf(map.value).read(view, offset)));
  });
}

/** A map's contents as text, in the order of the keys. */
function contentsInNode(map: MapSpec, live: RunMap): string {
  if (map.type === 'ringbuf') return live.events.map((event) => literal(event)).join(', ');
  return sorted([...live.entries()].map(([k, v]) => `${key(map, k)}: ${value(map, v)}`));
}

function contentsInKernel(map: MapSpec, live: BpfMap | RingBuffer, events: readonly string[]): string {
  if (map.type === 'ringbuf') return events.join(', ');
  if (map.type === 'devmap' || map.type === 'prog_array') return '';
  const perCpu = map.type.startsWith('percpu');
  return sorted(
    [...(live as BpfMap).entries()].map(
      ([k, v]) => `${key(map, k)}: ${value(map, perCpu ? (v as unknown[])[ownCpu] : v)}`,
    ),
  );
}

function key(map: MapSpec, of: unknown): string {
  return bytesOf(map.key, of);
}

/** Values are compared by their bytes, padding included. */
function value(map: MapSpec, of: unknown): string {
  return bytesOf(map.value, of);
}

function bytesOf(layout: MapSpec['key'], of: unknown): string {
  const bytes = new Uint8Array(layout.size);
  codecOf(layout).write(new DataView(bytes.buffer), 0, of);
  return hex(bytes);
}

function sorted(lines: readonly string[]): string {
  return lines.toSorted().join(', ');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** The case for other kernels to try. */
export function corpusCase(given: Case): Omit<CorpusCase, 'group'> {
  const spec = compile(caseProgram(given)) as unknown as ProgramSpec;
  const fills = given.fills.filter(({ map }) => map in spec.maps);
  return {
    spec,
    fill: Object.fromEntries(fills.map(({ map, entries }) => [map, entries])),
    packets: given.packets,
  };
}

/** A case and its failure, as a person needs them. */
export function explain(given: Case, outcome: Outcome): string {
  const { env, fn } = caseText(given);
  const fills = given.fills
    .filter((f) => f.entries.length > 0)
    .map((f) => `// ${f.map} holds ${literal(f.entries)}`);
  const packets = given.packets.map((packet) => `// packet: ${hex(packet)}`);
  const failure =
    'details' in outcome ? `${outcome.kind}: ${outcome.what}\n${outcome.details}` : outcome.kind;
  const options = `{ onShort: '${given.onShort}', unroll: ${given.unroll} }`;
  return [`program('fuzzed', ${env.slice(1, -1)}, ${fn}, ${options});`, ...fills, ...packets, failure].join(
    '\n',
  );
}
