/**
 * Compiled programs to be tried on other kernels: made where the compiler's tests run, answered there, and answered
 * again, equally, wherever they are carried.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { type BpfMap, load, type RingBuffer } from '../../src/bpf/index.ts';
import { codecOf, type Layout } from '../../src/layout/index.ts';
import {
  isPerCpu,
  type MapSpec,
  type ProgramSpec,
  parseProgram,
  serializeProgram,
} from '../../src/spec/index.ts';
import { call, possibleCpus } from '../../src/sys/index.ts';

/** A program and what it is tried on. */
export interface CorpusCase {
  /** The test that it comes from, as in `language`. */
  readonly group: string;
  readonly spec: ProgramSpec;
  /** Entries that maps begin with, by the map's name in the spec; per-CPU maps get a value for all CPUs. */
  readonly fill: Readonly<Record<string, readonly (readonly [unknown, unknown])[]>>;
  /** In this order. */
  readonly packets: readonly Uint8Array[];
}

/** What a kernel made of a case. */
export interface Answer {
  /** What the program returned for each packet, and the packet afterwards. */
  readonly packets: readonly { readonly returned: number; readonly data: Uint8Array }[];
  /** The contents of the maps afterwards, as text; per-CPU values are those of CPU 0. */
  readonly maps: Readonly<Record<string, string>>;
}

/** How the kernel took the program. */
export interface Tried {
  readonly answer: Answer;
  /** Instructions that the verifier walked. */
  readonly steps: number;
}

const recorded: object[] = [];

/**
 * Keeps a case for other kernels where `BAREWIRE_CORPUS` names a folder for them; does nothing otherwise.
 *
 * What one process records goes to one file when it ends.
 *
 * @param make Called only where the case is wanted.
 */
export function record(make: () => Omit<CorpusCase, 'group'>): void {
  const folder = process.env.BAREWIRE_CORPUS;
  if (folder === undefined) return;
  const group = basename(process.argv[1] ?? '').replace(/(\.test)?\.\w+$/, '');
  if (recorded.length === 0) {
    process.once('exit', () => {
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, `${group}-${process.pid}.corpus`), serialize(recorded));
    });
  }
  const { spec, fill, packets } = make();
  recorded.push({
    group,
    program: serializeProgram(spec),
    fill,
    // A packet may be a part of a large buffer, or be changed later.
    packets: packets.map((packet) => packet.slice()),
  });
}

/** The cases of a folder, in an order that stays. */
export function readCorpus(folder: string): CorpusCase[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.corpus'))
    .sort()
    .flatMap((name) => deserialize(readFileSync(join(folder, name))) as (CorpusCase & { program: string })[])
    .map(({ program, ...rest }) => ({ ...rest, spec: parseProgram(program) }));
}

/**
 * Loads a case's program into this kernel and runs it on the packets.
 *
 * @throws VerifierError when the kernel refuses it.
 */
export function tryCase({ spec, fill, packets }: CorpusCase): Tried {
  stayOnFirstCpu();
  using loaded = load(spec);
  const maps = loaded.maps as Readonly<Record<string, BpfMap | RingBuffer>>;
  for (const [name, entries] of Object.entries(fill)) {
    const map = maps[name] as BpfMap;
    for (const [key, value] of entries) map.set(key, onEveryCpu(map.spec, value));
  }
  const ran = packets.map((data) => {
    const run = loaded.program.testRun({ data, room: data.length + 4096 });
    return { returned: run.returned, data: run.data.slice() };
  });
  const contents = Object.entries(maps)
    .map(([name, map]) => [name, contentsOf(spec.maps[name]!, map)] as const)
    .filter(([, text]) => text !== undefined);
  const steps = loaded.program.info().verifiedInstructions;
  return { answer: { packets: ran, maps: Object.fromEntries(contents) as Record<string, string> }, steps };
}

/** What differs between two answers to one case, in one line; undefined where nothing does. */
export function difference(given: CorpusCase, expected: Answer, actual: Answer): string | undefined {
  for (const [i, packet] of given.packets.entries()) {
    const [wanted, got] = [expected.packets[i]!, actual.packets[i]!];
    const what = `packet ${i} (${hex(packet)})`;
    if (got.returned !== wanted.returned) return `${what}: returned ${got.returned}, not ${wanted.returned}`;
    if (hex(got.data) !== hex(wanted.data))
      return `${what}: became ${hex(got.data)}, not ${hex(wanted.data)}`;
  }
  for (const [name, wanted] of Object.entries(expected.maps)) {
    const got = actual.maps[name];
    if (got !== wanted) return `map ${name}: holds ${got}, not ${wanted}`;
  }
  return undefined;
}

/** Keeps this thread on one CPU, so that per-CPU values have one place. */
function stayOnFirstCpu(): void {
  const mask = new Uint8Array(128);
  mask[0] = 1;
  call('sched_setaffinity', 0, mask.length, mask);
}

function onEveryCpu(spec: MapSpec, value: unknown): unknown {
  return isPerCpu(spec.type) ? Array.from({ length: possibleCpus() }, () => value) : value;
}

/** Entries as bytes, padding included, in the order of the keys; undefined for maps of kernel objects. */
function contentsOf(spec: MapSpec, map: BpfMap | RingBuffer): string | undefined {
  switch (spec.type) {
    case 'ringbuf': {
      const events: string[] = [];
      (map as RingBuffer).drain((view, offset, length) => {
        events.push(hex(new Uint8Array(view.buffer, view.byteOffset + offset, length)));
      });
      return events.join(' ');
    }
    case 'hash':
    case 'array':
    case 'lru_hash':
    case 'lpm_trie':
    case 'percpu_hash':
    case 'percpu_array':
    case 'lru_percpu_hash':
      return [...(map as BpfMap).entries()]
        .map(([key, value]) => {
          const one = isPerCpu(spec.type) ? (value as unknown[])[0] : value;
          return `${bytesOf(spec.key, key)}:${bytesOf(spec.value, one)}`;
        })
        .sort()
        .join(' ');
    default:
      return undefined;
  }
}

function bytesOf(layout: Layout, value: unknown): string {
  const bytes = new Uint8Array(layout.size);
  codecOf(layout).write(new DataView(bytes.buffer), 0, value);
  return hex(bytes);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
