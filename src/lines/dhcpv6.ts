import { formatIPv6, parseIPv6 } from '../address/index.ts';
import { CodecError } from '../error.ts';

/** DHCPv6 message types (RFC 8415, section 7.3) of a client that wants a delegated prefix. */
export const Dhcpv6Type = {
  solicit: 1,
  advertise: 2,
  request: 3,
  renew: 5,
  rebind: 6,
  reply: 7,
} as const;

export type Dhcpv6MessageType = (typeof Dhcpv6Type)[keyof typeof Dhcpv6Type];

/** Option codes (RFC 8415, section 21; 23 is of RFC 3646). */
const OPTION = {
  clientId: 1,
  serverId: 2,
  request: 6,
  elapsed: 8,
  status: 13,
  rapidCommit: 14,
  dns: 23,
  iaPd: 25,
  iaPrefix: 26,
} as const;

/** A prefix that is delegated to us. */
export interface DelegatedPrefix {
  /** As in `2001:db8:100::/56`. */
  readonly prefix: string;
  /** In seconds; 0xffffffff is for ever. */
  readonly preferredLifetime: number;
  /** In seconds; 0xffffffff is for ever. */
  readonly validLifetime: number;
}

/** What a server says that matters to a requesting router. */
export interface Dhcpv6Answer {
  readonly type: number;
  readonly transaction: number;
  readonly clientId: Uint8Array | undefined;
  readonly serverId: Uint8Array | undefined;
  readonly rapidCommit: boolean;
  /** The first status that is none of success; undefined when all is well. */
  readonly status: { readonly code: number; readonly message: string } | undefined;
  readonly dns: readonly string[];
  /** Of the identity association that was asked for; undefined when it is missing. */
  readonly delegation:
    | {
        /** In seconds; 0 leaves the choice to us. */
        readonly t1: number;
        readonly t2: number;
        readonly prefixes: readonly DelegatedPrefix[];
      }
    | undefined;
}

export interface Dhcpv6Question {
  readonly type: Dhcpv6MessageType;
  /** 24 bits. */
  readonly transaction: number;
  readonly clientId: Uint8Array;
  readonly serverId?: Uint8Array | undefined;
  /** The identity association, 32 bits. */
  readonly iaid: number;
  /** Since the first message, in ms. */
  readonly elapsed: number;
  /** What was offered or is to be renewed. */
  readonly prefixes?: readonly string[];
}

/** The bytes of a UDP datagram to port 547. */
export function encodeDhcpv6(question: Dhcpv6Question): Uint8Array {
  const { type, transaction, clientId, serverId, iaid, elapsed, prefixes = [] } = question;
  const parts: Uint8Array[] = [
    Uint8Array.of(type, transaction >>> 16, (transaction >>> 8) & 0xff, transaction & 0xff),
    option(OPTION.clientId, clientId),
  ];
  if (serverId !== undefined) parts.push(option(OPTION.serverId, serverId));
  const hundredths = Math.min(0xffff, Math.floor(elapsed / 10));
  parts.push(option(OPTION.elapsed, be16(hundredths)));
  parts.push(option(OPTION.request, be16(OPTION.dns)));
  if (type === Dhcpv6Type.solicit) parts.push(option(OPTION.rapidCommit, new Uint8Array(0)));
  const asked = prefixes.map((prefix) => option(OPTION.iaPrefix, prefixOption(prefix)));
  // T1 and T2 are the server's to choose.
  parts.push(option(OPTION.iaPd, join([be32(iaid), be32(0), be32(0), ...asked])));
  return join(parts);
}

/** @throws CodecError when an option runs past its end. */
export function decodeDhcpv6(bytes: Uint8Array, iaid: number): Dhcpv6Answer {
  if (bytes.length < 4) throw new CodecError('dhcpv6', 0, `${bytes.length} bytes instead of at least 4`);
  let clientId: Uint8Array | undefined;
  let serverId: Uint8Array | undefined;
  let rapidCommit = false;
  let status: Dhcpv6Answer['status'];
  let dns: string[] = [];
  let delegation: Dhcpv6Answer['delegation'];
  for (const { code, data } of options(bytes, 4)) {
    if (code === OPTION.clientId) clientId = data.slice();
    else if (code === OPTION.serverId) serverId = data.slice();
    else if (code === OPTION.rapidCommit) rapidCommit = true;
    else if (code === OPTION.status) status ??= statusOf(data);
    else if (code === OPTION.dns) dns = addressesOf(data);
    else if (code === OPTION.iaPd && data.length >= 12 && u32(data, 0) === iaid) {
      const prefixes: DelegatedPrefix[] = [];
      for (const inner of options(data, 12)) {
        if (inner.code === OPTION.status) status ??= statusOf(inner.data);
        else if (inner.code === OPTION.iaPrefix && inner.data.length >= 25)
          prefixes.push(prefixOf(inner.data));
      }
      delegation = { t1: u32(data, 4), t2: u32(data, 8), prefixes };
    }
  }
  const transaction = (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!;
  return { type: bytes[0]!, transaction, clientId, serverId, rapidCommit, status, dns, delegation };
}

function* options(bytes: Uint8Array, from: number): Generator<{ code: number; data: Uint8Array }> {
  let at = from;
  while (at < bytes.length) {
    if (at + 4 > bytes.length) throw new CodecError('dhcpv6', at, 'half an option');
    const code = (bytes[at]! << 8) | bytes[at + 1]!;
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    if (at + 4 + length > bytes.length)
      throw new CodecError('dhcpv6', at, `option ${code} runs past its end`);
    yield { code, data: bytes.subarray(at + 4, at + 4 + length) };
    at += 4 + length;
  }
}

function statusOf(data: Uint8Array): Dhcpv6Answer['status'] {
  if (data.length < 2) return undefined;
  const code = (data[0]! << 8) | data[1]!;
  return code === 0 ? undefined : { code, message: new TextDecoder().decode(data.subarray(2)) };
}

function addressesOf(data: Uint8Array): string[] {
  const found: string[] = [];
  for (let at = 0; at + 16 <= data.length; at += 16) found.push(formatIPv6(data.subarray(at, at + 16)));
  return found;
}

function prefixOf(data: Uint8Array): DelegatedPrefix {
  const length = Math.min(128, data[8]!);
  const address = data.slice(9, 25);
  for (let bit = length; bit < 128; bit++) address[bit >> 3]! &= ~(0x80 >> (bit & 7));
  return {
    prefix: `${formatIPv6(address)}/${length}`,
    preferredLifetime: u32(data, 0),
    validLifetime: u32(data, 4),
  };
}

function prefixOption(prefix: string): Uint8Array {
  const [address = '', length = ''] = prefix.split('/');
  return join([be32(0), be32(0), Uint8Array.of(Number(length)), parseIPv6(address)]);
}

function option(code: number, data: Uint8Array): Uint8Array {
  return join([be16(code), be16(data.length), data]);
}

function u32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function be16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}

function be32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
