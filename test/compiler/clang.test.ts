import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clangMissing, clangPrograms, clangSpec } from '../../bench/clang.ts';
import { DEFAULTS, type Subject, subjects } from '../../bench/compiler-subjects.ts';
import { type BpfMap, type Loaded, load } from '../../src/bpf/index.ts';
import { compile, type ProgramSpec } from '../../src/compiler/index.ts';
import { randomPacket } from './fuzz/packets.ts';
import { Random } from './fuzz/random.ts';

describe('the library beside the same programs in C', () => {
  const missing = clangMissing();
  assert.equal(missing, undefined, missing);
  const clang = clangPrograms();

  for (const subject of subjects(DEFAULTS)) {
    it(`${subject.name}: clang -O2 gives the same verdicts, bytes and maps`, () => {
      const instructions = clang.get(subject.name);
      assert.ok(instructions !== undefined, 'there is a counterpart in C');
      const spec = compile(subject.program as never) as unknown as ProgramSpec;
      using ours = load(spec);
      using theirs = load(clangSpec(subject.name, instructions, spec.maps));
      for (const [name, entries] of Object.entries(subject.fill)) {
        for (const [key, value] of entries) {
          mapOf(ours, name).set(key, value);
          mapOf(theirs, spec.maps[name]!.name).set(key, value);
        }
      }
      const verdicts = new Set<string>();
      for (const packet of packetsFor(subject)) {
        const [a, b] = [ours, theirs].map(({ program }) => program.testRun({ data: packet }));
        const shown = `${packet.length} bytes: ${Buffer.from(packet).toString('hex')}`;
        assert.equal(a!.action, b!.action, shown);
        assert.deepEqual(a!.data, b!.data, shown);
        verdicts.add(`${a!.action} ${Buffer.compare(a!.data, packet)}`);
      }
      // Programs that only count let everything pass unchanged.
      const counts = ['count_frames', 'ipv6_walk', 'ethertype'].includes(subject.name);
      assert.ok(counts || verdicts.size > 1, `frames go different ways: ${[...verdicts].join(', ')}`);
      for (const [name, map] of Object.entries(spec.maps)) {
        if (map.type !== 'xskmap')
          assert.deepEqual(contents(ours, name), contents(theirs, map.name), map.name);
      }
    });
  }
});

/** The subject's own frames cut short everywhere and changed anywhere, and whatever else comes by. */
function packetsFor(subject: Subject): Uint8Array[] {
  const random = new Random(3);
  const packets: Uint8Array[] = Array.from({ length: 300 }, () => randomPacket(random));
  for (const frame of Object.values(subject.frames)) {
    packets.push(frame);
    for (let length = 14; length < Math.min(frame.length, 120); length++)
      packets.push(frame.slice(0, length));
    for (let i = 0; i < 300; i++) {
      const changed = frame.slice();
      for (let n = random.int(1, 3); n > 0; n--) {
        changed[random.int(12, Math.min(frame.length, 90) - 1)] = random.pick([
          0,
          1,
          2,
          17,
          43,
          44,
          60,
          255,
          random.int(0, 255),
        ]);
      }
      packets.push(changed);
    }
  }
  return packets;
}

function mapOf(loaded: Loaded, name: string): BpfMap {
  return (loaded.maps as Readonly<Record<string, BpfMap>>)[name]!;
}

/** Entries by key; per-CPU values added up, for a test run may land on any CPU. */
function contents(loaded: Loaded, name: string): Map<string, unknown> {
  const text = (value: unknown): string =>
    JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}` : v));
  const perCpu = mapOf(loaded, name).spec.type === 'percpu_array';
  return new Map(
    [...mapOf(loaded, name).entries()].map(([key, value]) => [
      text(key),
      perCpu ? (value as unknown[]).map(numbersOf).reduce(add) : text(value),
    ]),
  );
}

/** The numbers in a counter, whatever its shape. */
function numbersOf(value: unknown): bigint[] {
  return typeof value === 'bigint' ? [value] : (Object.values(value as object) as bigint[]);
}

function add(a: readonly bigint[], b: readonly bigint[]): bigint[] {
  return a.map((n, i) => n + (b[i] ?? 0n));
}
