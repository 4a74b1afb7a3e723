import type { FuzzTarget } from '../fuzz-target.ts';
import { KINDS } from './corpus.ts';
import { DECODERS, damagedLayers, outcome } from './decoders.ts';
import { Random } from './random.ts';

export const target: FuzzTarget = {
  summary:
    'decoders of packets give a result or a CodecError, and read nothing outside the bytes they are given',
  try(seed) {
    const random = new Random(seed);
    const inputs = random.oneIn(4) ? [random.someBytes(300)] : damagedLayers(random, random.pick(KINDS));
    for (const data of inputs) {
      for (const [name, decoder] of DECODERS) {
        try {
          outcome(decoder, data);
        } catch (error) {
          const what = `${name}: ${error instanceof Error ? error.message.split('\n', 1)[0] : error}`;
          const explain = (): string => `${what}\nbytes ${Buffer.from(data).toString('hex')}`;
          return { kind: 'wrong', failure: { what: name, explain } };
        }
      }
    }
    return { kind: 'sound' };
  },
};
