import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { PcapngWriter } from '../../src/packet/index.ts';
import { generatePacket, KINDS } from './corpus.ts';
import { dissect, FIELDS } from './dissect.ts';
import { Random } from './random.ts';
import { tsharkFields } from './tshark.ts';

const PACKETS = 1000 * KINDS.length;

const folder = mkdtempSync(join(tmpdir(), 'bw-tshark-'));
after(() => rmSync(folder, { recursive: true }));

describe('views against tshark', () => {
  it(`reads ${PACKETS} generated packets as tshark does, field by field`, () => {
    const random = new Random(1);
    const packets = Array.from({ length: PACKETS }, (_, i) => {
      const kind = KINDS[i % KINDS.length]!;
      return { kind, bytes: generatePacket(random, kind) };
    });
    const writer = new PcapngWriter();
    writer.addInterface();
    for (const [i, { bytes }] of packets.entries()) writer.packet(bytes, 0, bytes.length, BigInt(i));
    const file = join(folder, 'corpus.pcapng');
    writeFileSync(file, writer.take());

    const theirs = tsharkFields(file, FIELDS);
    assert.equal(theirs.length, packets.length);
    const seen = new Map<string, number>();
    for (const [i, { kind, bytes }] of packets.entries()) {
      const ours = dissect(bytes);
      for (const field of FIELDS) {
        const their = theirs[i]!.get(field);
        assert.deepEqual(ours.get(field), their, `packet ${i + 1} (${kind}): ${field}`);
        if (their !== undefined) seen.set(field, (seen.get(field) ?? 0) + their.length);
      }
    }
    // A field that never occurs is not compared at all.
    assert.deepEqual(
      FIELDS.filter((field) => !seen.has(field)),
      [],
    );
  });
});
