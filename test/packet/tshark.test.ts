import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { CodecError } from '../../src/error.ts';
import { buildPacket, type PacketLayer, PacketLayers, PcapngWriter } from '../../src/packet/index.ts';
import { generate, generatePacket, KINDS, type PacketKind, padded } from './corpus.ts';
import { dissect, FIELDS, type Fields } from './dissect.ts';
import { Random } from './random.ts';
import { tsharkFields } from './tshark.ts';

const PACKETS = 1000 * KINDS.length;

/** Of damaged packets: the fixed parts of headers. What follows from a damaged length is read differently. */
const FIXED_FIELDS = FIELDS.filter(
  (field) =>
    /^(eth|arp|ip|ipv6|ah|icmp|icmpv6|udp|tcp|pppoe)\./.test(field) &&
    !/checksum\.status|\.opt\.|rec_rt|routing|option|\.nd\./.test(field),
);

const folder = mkdtempSync(join(tmpdir(), 'bw-tshark-'));
after(() => rmSync(folder, { recursive: true }));

interface Sample {
  readonly kind: PacketKind;
  readonly bytes: Uint8Array;
  /** What it was built from, if it was not damaged since. */
  readonly layers?: readonly PacketLayer[];
}

describe('views against tshark', () => {
  it(`reads ${PACKETS} generated packets as tshark does, field by field`, () => {
    const random = new Random(1);
    const samples = sampleOf((kind) => {
      const layers = generate(random, kind);
      return { kind, layers, bytes: padded(random, buildPacket(layers)) };
    });
    const theirs = dissectedByTshark('generated', samples, FIELDS);
    const seen = new Set<string>();
    for (const [i, { kind, bytes, layers }] of samples.entries()) {
      const ours = dissect(bytes);
      for (const field of FIELDS) {
        const their = theirs[i]!.get(field);
        assert.deepEqual(ours.get(field), their, `packet ${i + 1} (${kind}): ${field}`);
        if (their !== undefined) seen.add(field);
      }
      for (const field of computedChecksums(kind, layers ?? [])) {
        assert.ok(!theirs[i]!.get(field)?.includes('0'), `packet ${i + 1} (${kind}): ${field} is bad`);
      }
    }
    // A field that never occurs is not compared at all.
    assert.deepEqual(
      FIELDS.filter((field) => !seen.has(field)),
      [],
    );
  });

  it(`reads no header of ${PACKETS} damaged packets otherwise than tshark does`, () => {
    const random = new Random(2);
    const samples = sampleOf((kind) => ({ kind, bytes: damage(random, generatePacket(random, kind)) }));
    const theirs = dissectedByTshark('damaged', samples, FIXED_FIELDS);
    let compared = 0;
    for (const [i, { kind, bytes }] of samples.entries()) {
      const ours = dissectedIfWhole(bytes);
      for (const field of FIXED_FIELDS) {
        const our = ours.get(field) ?? [];
        const their = theirs[i]!.get(field) ?? [];
        // One side may follow a tunnel or a quoted packet that the other takes for payload.
        const both = Math.min(our.length, their.length);
        assert.deepEqual(our.slice(0, both), their.slice(0, both), `packet ${i + 1} (${kind}): ${field}`);
        compared += both;
      }
    }
    assert.ok(compared > 200_000, `only ${compared} values were compared`);
  });
});

function sampleOf(make: (kind: PacketKind) => Sample): Sample[] {
  return Array.from({ length: PACKETS }, (_, i) => make(KINDS[i % KINDS.length]!));
}

/** The fields that tell whether checksums which we computed are right: where none was given instead. */
function computedChecksums(kind: PacketKind, layers: readonly PacketLayer[]): (typeof FIELDS)[number][] {
  if (layers.some((layer) => 'checksum' in layer)) return [];
  // The packet that an ICMP error quotes has its own, which is random.
  if (kind === 'icmp' || kind === 'icmpv6') return ['icmp.checksum.status', 'icmpv6.checksum.status'];
  return FIELDS.filter((field) => field.endsWith('checksum.status'));
}

/** One to three bytes behind the Ethernet header changed, and now and then the end cut off. */
function damage(random: Random, packet: Uint8Array): Uint8Array {
  for (let i = random.between(1, 3); i > 0; i--) {
    packet[random.between(14, Math.min(packet.length, 90) - 1)] = random.u8();
  }
  return random.oneIn(4) ? packet.subarray(0, random.between(14, packet.length)) : packet;
}

/** Nothing of a packet whose walk met a problem: tshark shows what it can of a header that is cut short. */
function dissectedIfWhole(bytes: Uint8Array): Fields {
  if (new PacketLayers().decode(bytes).problem !== undefined) return new Map();
  try {
    return dissect(bytes);
  } catch (error) {
    if (error instanceof CodecError) return new Map();
    throw error;
  }
}

function dissectedByTshark(name: string, samples: readonly Sample[], fields: readonly string[]): Fields[] {
  const writer = new PcapngWriter();
  writer.addInterface();
  for (const [i, { bytes }] of samples.entries()) writer.packet(bytes, 0, bytes.length, BigInt(i));
  const file = join(folder, `${name}.pcapng`);
  writeFileSync(file, writer.take());
  const dissected = tsharkFields(file, fields);
  assert.equal(dissected.length, samples.length);
  return dissected;
}
