import { formatIPv4, formatIPv6, tryParseIp } from '../address/index.ts';
import { CodecError } from '../error.ts';
import type { Destination } from './destination.ts';

/** SOCKS protocol version 5 (RFC 1928) with user name and password (RFC 1929): its messages as bytes. Pure. */

export const SOCKS_VERSION = 5;

/** Authentication methods, RFC 1928 section 3. */
export const NO_AUTHENTICATION = 0x00;
export const USER_PASSWORD = 0x02;
export const NO_ACCEPTABLE_METHOD = 0xff;

export type SocksCommand = 'connect' | 'bind' | 'udp-associate';

export interface SocksRequest {
  readonly command: SocksCommand;
  readonly destination: Destination;
}

/** A message and how many bytes it took; `undefined` while more bytes are needed. */
export type Parsed<T> = { readonly value: T; readonly length: number } | undefined;

/**
 * The client's greeting: the methods it can do.
 *
 * @throws CodecError when it is no greeting of version 5.
 */
export function parseGreeting(bytes: Uint8Array): Parsed<readonly number[]> {
  expectByte(bytes, 0, SOCKS_VERSION, 'version');
  const count = bytes[1];
  if (count === undefined) return undefined;
  if (count === 0) throw new CodecError('socks', 1, 'the greeting offers no method');
  if (bytes.length < 2 + count) return undefined;
  return { value: [...bytes.subarray(2, 2 + count)], length: 2 + count };
}

export interface SocksCredentials {
  readonly user: string;
  readonly password: string;
}

/**
 * User name and password, RFC 1929 section 2.
 *
 * @throws CodecError when it is no such message.
 */
export function parseCredentials(bytes: Uint8Array): Parsed<SocksCredentials> {
  expectByte(bytes, 0, 1, 'version of the authentication');
  const userLength = bytes[1];
  if (userLength === undefined) return undefined;
  const passwordAt = 2 + userLength;
  const passwordLength = bytes[passwordAt];
  if (passwordLength === undefined) return undefined;
  const length = passwordAt + 1 + passwordLength;
  if (bytes.length < length) return undefined;
  return {
    value: {
      user: text(bytes.subarray(2, passwordAt)),
      password: text(bytes.subarray(passwordAt + 1, length)),
    },
    length,
  };
}

/**
 * A request, RFC 1928 section 4.
 *
 * @throws CodecError when it is none; its `problem` tells an unknown command or address type.
 */
export function parseRequest(bytes: Uint8Array): Parsed<SocksRequest> {
  expectByte(bytes, 0, SOCKS_VERSION, 'version');
  const code = bytes[1];
  if (code === undefined) return undefined;
  const command = COMMANDS[code];
  if (command === undefined) throw new CodecError('socks', 1, `there is no command ${code}`);
  expectByte(bytes, 2, 0, 'reserved byte');
  const address = parseAddress(bytes, 3);
  if (address === undefined) return undefined;
  return { value: { command, destination: address.value }, length: address.length };
}

/** A reply, RFC 1928 section 6; `bound` is the address that the proxy speaks from or listens at. */
export function replyMessage(reply: number, bound?: Destination): Uint8Array {
  return concat(Uint8Array.of(SOCKS_VERSION, reply, 0), addressBytes(bound ?? UNKNOWN));
}

/** What a UDP datagram between client and relay holds, RFC 1928 section 7. */
export interface SocksDatagram {
  readonly destination: Destination;
  /** Where the payload begins, in bytes. */
  readonly offset: number;
}

/**
 * The header of a datagram from the client.
 *
 * @throws CodecError for what is none, and for fragments: RFC 1928 lets a relay drop those, and everyone does.
 */
export function parseDatagram(bytes: Uint8Array): SocksDatagram {
  expectByte(bytes, 0, 0, 'reserved byte');
  expectByte(bytes, 1, 0, 'reserved byte');
  expectByte(bytes, 2, 0, 'fragment number');
  const address = parseAddress(bytes, 3);
  if (address === undefined) throw new CodecError('socks', bytes.length, 'the datagram ends in its header');
  return { destination: address.value, offset: address.length };
}

/** The header in front of a datagram to the client. */
export function datagramHeader(source: Destination): Uint8Array {
  return concat(Uint8Array.of(0, 0, 0), addressBytes(source));
}

const COMMANDS: readonly (SocksCommand | undefined)[] = [undefined, 'connect', 'bind', 'udp-associate'];
const IPV4 = 1;
const NAME = 3;
const IPV6 = 4;
const UNKNOWN: Destination = { host: '0.0.0.0', port: 0 };

/** ATYP, address and port from `at`; its `length` counts from the message's start. */
function parseAddress(bytes: Uint8Array, at: number): Parsed<Destination> {
  const type = bytes[at];
  if (type === undefined) return undefined;
  if (type !== IPV4 && type !== IPV6 && type !== NAME) {
    throw new CodecError('socks', at, `there is no address type ${type}`);
  }
  const start = at + (type === NAME ? 2 : 1);
  const size = type === IPV4 ? 4 : type === IPV6 ? 16 : bytes[at + 1];
  if (size === undefined || bytes.length < start + size + 2) return undefined;
  if (size === 0) throw new CodecError('socks', at + 1, 'the host name is empty');
  const end = start + size;
  const host =
    type === IPV4
      ? formatIPv4(bytes, start)
      : type === IPV6
        ? formatIPv6(bytes, start)
        : text(bytes.subarray(start, end));
  return { value: { host, port: (bytes[end]! << 8) | bytes[end + 1]! }, length: end + 2 };
}

function addressBytes({ host, port }: Destination): Uint8Array {
  const address = tryParseIp(host);
  const portBytes = Uint8Array.of(port >> 8, port & 0xff);
  if (address !== undefined) {
    return concat(Uint8Array.of(address.version === 4 ? IPV4 : IPV6), address.bytes, portBytes);
  }
  const name = new TextEncoder().encode(host).subarray(0, 255);
  return concat(Uint8Array.of(NAME, name.length), name, portBytes);
}

function expectByte(bytes: Uint8Array, at: number, value: number, name: string): void {
  const found = bytes[at];
  if (found !== undefined && found !== value) {
    throw new CodecError('socks', at, `the ${name} is ${found}, not ${value}`);
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
