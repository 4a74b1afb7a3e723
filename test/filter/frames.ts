import { parseIPv4, parseIPv6 } from '../../src/address/index.ts';

export interface FrameParts {
  readonly source?: string;
  readonly destination?: string;
  /** EtherTypes of tags, the outer one first. */
  readonly tags?: readonly number[];
  readonly protocol?: number;
  /** Bytes behind the IP header (and its extension headers). */
  readonly payload?: Uint8Array;
  /** IPv4: words of options. */
  readonly options?: number;
  /** IPv4: the fragment field; IPv6: extension headers, each its type and its bytes without the next header's type. */
  readonly fragment?: number;
  readonly extensions?: readonly (readonly [type: number, bytes: readonly number[]])[];
  readonly hopLimit?: number;
}

/** An Ethernet frame with an IPv4 or IPv6 packet, by the form of its source. */
export function frame(parts: FrameParts = {}): Uint8Array {
  const { source = '192.0.2.1', tags = [] } = parts;
  const v6 = source.includes(':');
  const packet = v6 ? ipv6(parts) : ipv4(parts);
  const types = [...tags, v6 ? 0x86dd : 0x0800].flatMap((type, i) => [
    ...(i === 0 ? [] : [0, 7]),
    type >> 8,
    type & 255,
  ]);
  return Uint8Array.of(2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, ...types, ...packet);
}

function ipv4(parts: FrameParts): Uint8Array {
  const {
    source = '192.0.2.1',
    destination = '198.51.100.9',
    options = 0,
    fragment = 0,
    protocol = 17,
  } = parts;
  const payload = parts.payload ?? ports(1024, 53);
  const header = 20 + options * 4;
  const bytes = new Uint8Array(header + payload.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x40 | (header / 4);
  view.setUint16(2, bytes.length);
  view.setUint16(6, fragment);
  bytes[8] = 64;
  bytes[9] = protocol;
  bytes.set(parseIPv4(source), 12);
  bytes.set(parseIPv4(destination), 16);
  bytes.fill(1, 20, header);
  bytes.set(payload, header);
  return bytes;
}

function ipv6(parts: FrameParts): Uint8Array {
  const {
    source = '2001:db8::1',
    destination = '2001:db8:ffff::9',
    extensions = [],
    protocol = 17,
    hopLimit = 64,
  } = parts;
  const payload = parts.payload ?? ports(1024, 53);
  const headers = extensions.flatMap(([, bytes], i) => [extensions[i + 1]?.[0] ?? protocol, ...bytes]);
  const bytes = new Uint8Array(40 + headers.length + payload.length);
  bytes[0] = 0x60;
  new DataView(bytes.buffer).setUint16(4, headers.length + payload.length);
  bytes[6] = extensions[0]?.[0] ?? protocol;
  bytes[7] = hopLimit;
  bytes.set(parseIPv6(source), 8);
  bytes.set(parseIPv6(destination), 24);
  bytes.set(headers, 40);
  bytes.set(payload, 40 + headers.length);
  return bytes;
}

/** The beginning of UDP, TCP and their like, eight bytes in all. */
export function ports(from: number, to: number): Uint8Array {
  return Uint8Array.of(from >> 8, from & 255, to >> 8, to & 255, 0, 8, 0, 0);
}

/** A TCP header with these flags. */
export function tcp(from: number, to: number, flags: number): Uint8Array {
  const bytes = new Uint8Array(20);
  bytes.set(ports(from, to));
  bytes[12] = 0x50;
  bytes[13] = flags;
  return bytes;
}

/** Every beginning of a frame that still has an Ethernet header, the frame itself among them. */
export function beginnings(whole: Uint8Array): Uint8Array[] {
  return Array.from({ length: whole.length - 13 }, (_, i) => whole.slice(0, 14 + i));
}
