import { array, BpfMap, hash, type MapSpec } from '../src/bpf/index.ts';
import { struct, u32, u64 } from '../src/layout/index.ts';
import { native } from '../src/sys/native.ts';
import { SYS } from '../src/sys/numbers.ts';
import { type Bench, compare, interleave, type Row } from './row.ts';

const ENTRIES = 1_000_000;
const Rule = struct('Rule', { hits: u64, expires: u64 });
const spec = hash('rules', u32, Rule, ENTRIES);

export const bench: Bench = {
  summary: 'map entries per second, one system call a batch beside one an entry; what a system call costs',
  *run(): Generator<Row> {
    yield* entryRows();
    yield* callRows();
  },
};

function* entryRows(): Generator<Row> {
  using map = BpfMap.create(spec);
  const entries = Array.from({ length: ENTRIES }, (_, i) => [i, { hits: BigInt(i), expires: 0n }] as const);
  const keys = new Uint8Array(ENTRIES * 4);
  const values = new Uint8Array(ENTRIES * 16);
  new Uint32Array(keys.buffer).forEach((_, i, all) => {
    all[i] = i;
  });
  const write = interleave(5, {
    batch: () => perSecond(() => void map.setMany(entries)),
    packed: () => perSecond(() => map.setPacked(keys, values, ENTRIES)),
    single: () =>
      perSecond(() => {
        for (const [key, value] of entries) map.set(key, value);
      }),
  });
  const unit = 'entries/s';
  yield compare('write', unit, write.batch, write.single, 'one call an entry');
  yield compare('write packed', unit, write.packed, write.single, 'one call an entry');
  const read = interleave(5, {
    batch: () => perSecond(() => consume(map.entries())),
    single: () =>
      perSecond(() => {
        for (const [key] of entries) map.get(key);
      }),
  });
  yield compare('read', unit, read.batch, read.single, 'one call an entry');
  const remove = interleave(3, {
    batch: () => {
      map.setMany(entries);
      return perSecond(() => void map.deleteMany(entries.map(([key]) => key)));
    },
    single: () => {
      map.setMany(entries);
      return perSecond(() => {
        for (const [key] of entries) map.delete(key);
      });
    },
  });
  yield compare('delete', unit, remove.batch, remove.single, 'one call an entry');
}

function* callRows(): Generator<Row> {
  const calls = 2_000_000;
  using map = BpfMap.create(array('one', u64, 1) as MapSpec<'array', number, bigint>);
  const timed = interleave(7, {
    nothing: () =>
      nanoseconds(calls, () => {
        for (let i = 0; i < calls; i++) native.nothing();
      }),
    // The cheapest system call there is: close of a descriptor that is none.
    syscall: () =>
      nanoseconds(calls, () => {
        for (let i = 0; i < calls; i++) native.syscall(SYS.close, -1);
      }),
    get: () =>
      nanoseconds(calls / 4, () => {
        for (let i = 0; i < calls / 4; i++) map.get(0);
      }),
  });
  yield compare('raw system call', 'ns', timed.syscall, timed.nothing, 'empty Node-API call');
  yield compare('get of one entry', 'ns', timed.get, timed.syscall, 'raw system call');
}

function perSecond(task: () => void): number {
  const start = performance.now();
  task();
  return (ENTRIES / (performance.now() - start)) * 1000;
}

function nanoseconds(count: number, task: () => void): number {
  const start = performance.now();
  task();
  return ((performance.now() - start) * 1e6) / count;
}

function consume(entries: Iterable<unknown>): void {
  for (const _ of entries);
}
