import type { EthernetLink } from './ethernet.ts';
import { halfAt, Ip, putHalf, putWord, wordAt } from './ip.ts';
import { HEADROOM } from './ip-header.ts';

const ETHER_TYPE = 0x0806;
const LENGTH = 28;
const BROADCAST: Uint8Array = new Uint8Array(6).fill(0xff);
const NOBODY: Uint8Array = new Uint8Array(6);

/** An ARP message for IPv4 over Ethernet (RFC 826). */
export interface ArpMessage {
  readonly request: boolean;
  readonly sender: Ip;
  readonly senderMac: Uint8Array;
  readonly target: Ip;
}

/** Undefined when it is malformed, or for other protocols. */
export function readArp(bytes: Uint8Array, at: number, length: number): ArpMessage | undefined {
  if (length < LENGTH || wordAt(bytes, at) !== 0x0001_0800 || halfAt(bytes, at + 4) !== 0x0604)
    return undefined;
  const operation = halfAt(bytes, at + 6);
  if (operation !== 1 && operation !== 2) return undefined;
  const senderMac = Uint8Array.from(bytes.subarray(at + 8, at + 14));
  // A group is nobody's address.
  if (senderMac[0]! & 1) return undefined;
  return {
    request: operation === 1,
    sender: Ip.v4(wordAt(bytes, at + 14)),
    senderMac,
    target: Ip.v4(wordAt(bytes, at + 24)),
  };
}

/** @param mac Of the target; without one, everybody is asked. */
export function sendArp(
  link: EthernetLink,
  what: 'request' | 'reply',
  sender: Ip,
  target: Ip,
  mac: Uint8Array | undefined,
): void {
  const out = link.scratch;
  putWord(out, HEADROOM, 0x0001_0800);
  putWord(out, HEADROOM + 4, what === 'request' ? 0x0604_0001 : 0x0604_0002);
  out.set(link.address, HEADROOM + 8);
  sender.put(out, HEADROOM + 14);
  out.set(what === 'request' ? NOBODY : mac!, HEADROOM + 18);
  target.put(out, HEADROOM + 24);
  putHalf(out, HEADROOM + 28, 0);
  link.sendFrame(mac ?? BROADCAST, ETHER_TYPE, out, HEADROOM, LENGTH);
}
