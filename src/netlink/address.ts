import { formatIp, type IpVersion, parseIp, parsePrefix } from '../address/index.ts';
import { ArgumentError, CodecError } from '../error.ts';
import { encode } from '../layout/index.ts';
import {
  type Attribute,
  type Attributes,
  bytesAttribute,
  numberOption,
  stringAttribute,
  u32Attribute,
} from './attribute.ts';
import type { AttributeNames } from './fault.ts';
import { MESSAGE_HEADER_BYTES, type Message } from './message.ts';
import { AF, decodeBody, flagNames, ifaddrmsg, nameIn, numberIn } from './rtnetlink.ts';

/** An IP address of an interface. */
export interface InterfaceAddress {
  /** The interface's index. */
  readonly index: number;
  readonly version: IpVersion;
  /** As in `192.0.2.1` or `2001:db8::1`. */
  readonly address: string;
  /** In bits; with a peer, how long the peer's network is. */
  readonly prefixLength: number;
  /** The address at the other end of a point-to-point link. */
  readonly peer: string | undefined;
  readonly broadcast: string | undefined;
  /** IPv4 only: the interface's name, perhaps with a suffix. */
  readonly label: string | undefined;
  readonly scope: Scope;
  readonly flags: readonly AddressFlag[];
  /** In seconds from the listing; Infinity for an address that stays. */
  readonly validLifetime: number;
  readonly preferredLifetime: number;
  /** Of the route to its network. */
  readonly metric: number | undefined;
}

/** How an address is put on an interface. */
export interface AddressOptions {
  /** The address at the other end; the prefix length is then its network's. */
  readonly peer?: string;
  /** IPv4 only. */
  readonly broadcast?: string;
  /** IPv4 only: up to 15 bytes that begin with the interface's name. */
  readonly label?: string;
  /** IPv4 only; IPv6 takes it from the address. Default is `host` for 127.0.0.0/8, else `global`. */
  readonly scope?: Scope;
  /** In seconds. Default is Infinity. */
  readonly validLifetime?: number;
  /** In seconds, no longer than `validLifetime`. Default is the same. */
  readonly preferredLifetime?: number;
  /** IPv6 only: use it at once, without duplicate address detection. Default is false. */
  readonly noDad?: boolean;
  /** Without the route to the address's own network. Default is false. */
  readonly noPrefixRoute?: boolean;
  /** Of the route to its network. */
  readonly metric?: number;
}

/** `enum rt_scope_t` (linux/rtnetlink.h), with the names that iproute2 shows. */
const SCOPES = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;

/** How far an address or a route's destination is. */
export type Scope = keyof typeof SCOPES | `scope-${number}`;

/** `IFA_F_` bits (linux/if_addr.h); the lowest is `IFA_F_TEMPORARY` for IPv6. */
export const ADDRESS_FLAGS = {
  secondary: 0x01,
  nodad: 0x02,
  optimistic: 0x04,
  dadfailed: 0x08,
  homeaddress: 0x10,
  deprecated: 0x20,
  tentative: 0x40,
  permanent: 0x80,
  mngtmpaddr: 0x100,
  noprefixroute: 0x200,
  autojoin: 0x400,
  'stable-privacy': 0x800,
} as const;

export type AddressFlag = keyof typeof ADDRESS_FLAGS | 'temporary';

const IFA = {
  ADDRESS: 1,
  LOCAL: 2,
  LABEL: 3,
  BROADCAST: 4,
  ANYCAST: 5,
  CACHEINFO: 6,
  MULTICAST: 7,
  FLAGS: 8,
  RT_PRIORITY: 9,
  TARGET_NETNSID: 10,
  PROTO: 11,
} as const;

export const ADDRESS_ATTRIBUTE_NAMES: AttributeNames = { prefix: 'IFA_', types: IFA };

const FOREVER = 0xffff_ffff;

/**
 * The address that a NEWADDR or DELADDR message describes.
 *
 * @throws CodecError when it is cut off or misformed.
 */
export function decodeAddress(message: Message): InterfaceAddress {
  const { header, attributes } = decodeBody(ifaddrmsg, message);
  const version = versionOf(header.family);
  // IFA_ADDRESS is the prefix's address: on a point-to-point link the peer's, and IFA_LOCAL is one's own.
  const prefix = ipAttribute(attributes, IFA.ADDRESS, version);
  const local = ipAttribute(attributes, IFA.LOCAL, version) ?? prefix;
  if (local === undefined) {
    throw new CodecError('rtnetlink', MESSAGE_HEADER_BYTES, 'the address message has no address');
  }
  const flags: AddressFlag[] = flagNames(attributes.u32(IFA.FLAGS) ?? header.flags, ADDRESS_FLAGS);
  if (version === 6 && flags[0] === 'secondary') flags[0] = 'temporary';
  const times = attributes.struct(IFA.CACHEINFO, 8);
  return {
    index: header.index,
    version,
    address: local,
    prefixLength: header.prefixLength,
    peer: prefix === local ? undefined : prefix,
    broadcast: ipAttribute(attributes, IFA.BROADCAST, version),
    label: attributes.string(IFA.LABEL),
    scope: nameIn(SCOPES, header.scope, 'scope'),
    flags,
    preferredLifetime: seconds(times?.getUint32(0, true)),
    validLifetime: seconds(times?.getUint32(4, true)),
    metric: attributes.u32(IFA.RT_PRIORITY),
  };
}

/** `struct ifaddrmsg` and attributes for an address as in `192.0.2.1/24`; without a length it is the full one. */
export function encodeAddress(
  index: number,
  prefix: string,
  options: AddressOptions = {},
): { readonly header: Uint8Array; readonly attributes: Attribute[] } {
  const { version, bytes, length } = parsePrefix(prefix, 'keep');
  const only4 = (name: string, value: unknown): void => {
    if (version === 6 && value !== undefined) throw new ArgumentError(`'${name}' is for IPv4 addresses only`);
  };
  only4('broadcast', options.broadcast);
  only4('label', options.label);
  const attributes = [bytesAttribute(IFA.LOCAL, bytes)];
  const peer = options.peer === undefined ? bytes : sameVersion(options.peer, version, 'peer');
  attributes.push(bytesAttribute(IFA.ADDRESS, peer));
  if (options.broadcast !== undefined) {
    attributes.push(bytesAttribute(IFA.BROADCAST, sameVersion(options.broadcast, version, 'broadcast')));
  }
  if (options.label !== undefined) attributes.push(stringAttribute(IFA.LABEL, options.label));
  const flags =
    (options.noDad === true ? ADDRESS_FLAGS.nodad : 0) |
    (options.noPrefixRoute === true ? ADDRESS_FLAGS.noprefixroute : 0);
  if (flags !== 0) attributes.push(u32Attribute(IFA.FLAGS, flags));
  attributes.push(...numberOption('metric', 32, IFA.RT_PRIORITY, options.metric));
  const lifetimes = encodeLifetimes(options);
  if (lifetimes !== undefined) attributes.push(bytesAttribute(IFA.CACHEINFO, lifetimes));
  const loopback = version === 4 && bytes[0] === 127;
  const header = encode(ifaddrmsg, {
    family: familyOf(version),
    prefixLength: length,
    flags: flags & 0xff,
    scope: scopeNumber(options.scope ?? (loopback ? 'host' : 'global')),
    index,
  });
  return { header, attributes };
}

export function familyOf(version: IpVersion | undefined): number {
  return version === undefined ? AF.UNSPEC : version === 4 ? AF.INET : AF.INET6;
}

/** Whether a message's first byte says IPv4 or IPv6: dumps of all families may have others among them. */
export function isIpFamily(family: number | undefined): boolean {
  return family === AF.INET || family === AF.INET6;
}

/** @throws CodecError for a family that is neither IPv4 nor IPv6. */
export function versionOf(family: number): IpVersion {
  if (family === AF.INET) return 4;
  if (family === AF.INET6) return 6;
  throw new CodecError(
    'rtnetlink',
    MESSAGE_HEADER_BYTES,
    `address family ${family} is neither IPv4 nor IPv6`,
  );
}

/** @throws CodecError when the payload is no address of that version. */
export function ipAttribute(attributes: Attributes, type: number, version: IpVersion): string | undefined {
  const bytes = attributes.bytes(type);
  if (bytes === undefined) return undefined;
  const wanted = version === 4 ? 4 : 16;
  if (bytes.length !== wanted) {
    const problem = `attribute ${type} has ${bytes.length} bytes, an IPv${version} address has ${wanted}`;
    throw new CodecError('rtnetlink', MESSAGE_HEADER_BYTES, problem);
  }
  return formatIp(bytes);
}

/** The bytes of an address that must be of the given version. */
export function sameVersion(text: string, version: IpVersion, what: string): Uint8Array {
  const address = parseIp(text);
  if (address.version !== version) {
    throw new ArgumentError(`the ${what} '${text}' is IPv${address.version}, the rest is IPv${version}`);
  }
  return address.bytes;
}

export function scopeNumber(scope: Scope): number {
  return numberIn('scope', SCOPES, scope);
}

export function scopeName(scope: number): Scope {
  return nameIn(SCOPES, scope, 'scope');
}

/** `struct ifa_cacheinfo`: preferred, valid, and two times that the kernel fills in. */
function encodeLifetimes(options: AddressOptions): Uint8Array | undefined {
  if (options.validLifetime === undefined && options.preferredLifetime === undefined) return undefined;
  const valid = lifetime(options.validLifetime ?? Number.POSITIVE_INFINITY);
  const preferred = options.preferredLifetime === undefined ? valid : lifetime(options.preferredLifetime);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, preferred, true);
  view.setUint32(4, valid, true);
  return bytes;
}

function lifetime(value: number): number {
  if (value === Number.POSITIVE_INFINITY) return FOREVER;
  if (!Number.isInteger(value) || value < 0 || value >= FOREVER) {
    throw new ArgumentError(`${value} is not a lifetime in whole seconds, nor Infinity`);
  }
  return value;
}

function seconds(value: number | undefined): number {
  return value === undefined || value === FOREVER ? Number.POSITIVE_INFINITY : value;
}
