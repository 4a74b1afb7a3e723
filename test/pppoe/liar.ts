import { buildPacket, PppProtocol } from '../../src/packet/index.ts';
import type { Random } from '../packet/random.ts';
import { control, discovery, look, type Seen } from './looking-glass.ts';
import type { VirtualWire } from './virtual-wire.ts';

const OPTIONS = [1, 2, 3, 4, 5, 7, 8, 17, 19, 129, 130, 131, 132, 200] as const;
const PROTOCOLS = [
  PppProtocol.lcp,
  PppProtocol.ipcp,
  PppProtocol.ipv6cp,
  PppProtocol.pap,
  PppProtocol.chap,
  PppProtocol.eap,
  PppProtocol.ccp,
] as const;
const CODES = [0x07, 0x09, 0x19, 0x65, 0xa7] as const;

/**
 * Answers in others' names: whoever sends a frame may hear something from its peer that the peer never said, right in
 * addresses, session and form, often in the identifier too, and wrong in what it says.
 *
 * @param share of the frames that are answered so, from 0 to 1.
 */
export function lie(wire: VirtualWire, random: Random, share: number): void {
  wire.tap = (bytes, from) => {
    // Lies are not answered with lies, or there would be no end of them.
    if (from === undefined || random.below(10_000) >= share * 10_000) return;
    const seen = look(bytes);
    if (seen === undefined) return;
    const ends = { source: seen.destination, destination: seen.source };
    wire.send(undefined, seen.session ? falsePacket(seen, ends, random) : falseDiscovery(seen, ends, random));
  };
}

type Ends = Parameters<typeof control>[0];

function falsePacket(seen: Seen, ends: Ends, random: Random): Uint8Array {
  const protocol = random.oneIn(3) ? random.pick(PROTOCOLS) : seen.protocol;
  const identifier = random.oneIn(3) ? random.u8() : seen.identifier;
  const code = random.oneIn(8) ? random.u8() : random.between(1, 11);
  if (random.oneIn(6)) return control(ends, seen.sessionId, protocol, code, identifier, seen.data);
  if (random.oneIn(6)) {
    return buildPacket([
      { layer: 'eth', ...ends },
      { layer: 'pppoe', code: 0, sessionId: seen.sessionId },
      { layer: 'ppp', protocol: random.u16() },
      random.someBytes(40),
    ]);
  }
  const options = random.list(0, 5, () => {
    const data = random.pick([
      random.bytes(2),
      random.bytes(3),
      random.bytes(4),
      random.bytes(8),
      random.someBytes(20),
    ]);
    return [random.pick(OPTIONS), 2 + data.length, ...data];
  });
  return control(ends, seen.sessionId, protocol, code, identifier, options.flat());
}

function falseDiscovery(seen: Seen, ends: Ends, random: Random): Uint8Array {
  const tags = random.oneIn(3)
    ? seen.tags
    : [
        ...seen.tags,
        {
          type: random.pick([0x0102, 0x0104, 0x0110, 0x0120, 0x0201, 0x0202, 0x0203]),
          data: random.someBytes(30),
        },
      ];
  return discovery(ends, random.pick(CODES), random.bit() ? 0 : random.u16(), tags);
}
