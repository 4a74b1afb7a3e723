import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { CodecError } from '../../src/error.ts';
import { readElf, writeObject } from '../../src/object/index.ts';
import { counterSpec } from '../../src/programs/counter.ts';
import type { FuzzTarget } from '../fuzz-target.ts';
import { Random } from '../packet/random.ts';
import { probeObject } from './probe.ts';

/** Objects to damage, and where in each words with a meaning stand. */
const corpus: { readonly bytes: Uint8Array; readonly places: readonly number[] }[] = [];
const EXTREMES = [0, 1, 7, 8, 0xff, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
/** Nothing may take longer, however it is damaged, in ms; a hundred times what the largest takes whole. */
const LONGEST = 2000;

export const target: FuzzTarget = {
  summary: 'readers of ELF, BTF and .BTF.ext give an object or a CodecError, in bounded time',
  prepare() {
    const folder = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/bpf/`;
    const files = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.o')) : [];
    const objects: Uint8Array[] = files.map((file) => Uint8Array.from(readFileSync(folder + file)));
    objects.push(writeObject(counterSpec({ frags: true })));
    for (const bytes of objects) corpus.push({ bytes, places: meaningful(bytes) });
  },
  try(seed) {
    const random = new Random(seed);
    const bytes = random.oneIn(50) ? random.someBytes(4096) : damaged(random);
    const start = performance.now();
    let kind = 'read';
    try {
      probeObject(bytes);
    } catch (error) {
      kind = 'refused';
      if (!(error instanceof CodecError) || !(error.offset >= 0)) {
        const what =
          error instanceof Error ? (error.stack?.split('\n', 2).join(' ') ?? error.message) : String(error);
        return { kind: 'wrong', failure: { what, explain: () => `${what}\nobject ${base64(bytes)}` } };
      }
    }
    const took = performance.now() - start;
    if (took < LONGEST) return { kind };
    const what = 'takes too long';
    return { kind: 'slow', failure: { what, explain: () => `${took} ms\nobject ${base64(bytes)}` } };
  },
};

function damaged(random: Random): Uint8Array {
  const { bytes: whole, places } = random.pick(corpus);
  if (random.oneIn(20)) return whole.subarray(0, random.below(whole.length));
  const bytes = whole.slice();
  const view = new DataView(bytes.buffer);
  for (let edits = 1 + random.below(6); edits > 0; edits--) {
    const place = random.pick(places);
    const edit = random.below(4);
    if (edit === 0) bytes[place + random.below(4)] = random.below(256);
    else if (edit === 1) view.setUint32(place, random.below(300), true);
    else if (edit === 2) view.setUint32(place, view.getUint32(random.pick(places), true), true);
    else view.setUint32(place, random.pick(EXTREMES), true);
  }
  return bytes;
}

/** Words of the file header, section headers, symbols, relocations and BTF. */
export function meaningful(bytes: Uint8Array): number[] {
  const places: number[] = [];
  const run = (start: number, end: number): void => {
    for (let at = start; at + 4 <= Math.min(end, bytes.length); at += 4) places.push(at);
  };
  run(16, 64);
  run(Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(40, true)), bytes.length);
  for (const { name, type, offset, bytes: content } of readElf(bytes).sections) {
    if ([2, 9].includes(type) || name.startsWith('.BTF') || name === 'maps')
      run(offset, offset + content.length);
  }
  return places;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
