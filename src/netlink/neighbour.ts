import { formatHardwareAddress, type IpVersion, parseIp, parseMac } from '../address/index.ts';
import { CodecError } from '../error.ts';
import { encode } from '../layout/index.ts';
import { familyOf, ipAttribute, versionOf } from './address.ts';
import { type Attribute, bytesAttribute, u32Attribute } from './attribute.ts';
import type { AttributeNames } from './fault.ts';
import { MESSAGE_HEADER_BYTES, type Message } from './message.ts';
import { decodeBody, flagNames, ndmsg, numberIn } from './rtnetlink.ts';

/** What is known of an IP address on a link: an ARP or neighbour discovery entry. */
export interface Neighbour {
  /** Index of the interface. */
  readonly index: number;
  readonly version: IpVersion;
  readonly address: string;
  /** Absent while it is not known. */
  readonly hardwareAddress: string | undefined;
  readonly state: NeighbourState;
  readonly flags: readonly NeighbourFlag[];
  /** How often it was asked for. */
  readonly probes: number | undefined;
}

export interface NeighbourOptions {
  /** Default is `permanent`: it stays until it is deleted. */
  readonly state?: NeighbourState;
  /** IPv6: it routes. Default is false. */
  readonly router?: boolean;
  /** The kernel keeps it reachable by itself (Linux 5.16). Default is false. */
  readonly managed?: boolean;
  /** The kernel asks for the hardware address now, as if it had a packet to send there. Default is false. */
  readonly use?: boolean;
}

/** `NUD_` bits (linux/neighbour.h), of which one is set, or none. */
const STATES = {
  none: 0,
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
} as const;

export type NeighbourState = keyof typeof STATES;

/** `NTF_` bits. */
const FLAGS = {
  use: 0x01,
  self: 0x02,
  master: 0x04,
  proxy: 0x08,
  'extern-learn': 0x10,
  offload: 0x20,
  sticky: 0x40,
  router: 0x80,
} as const;

/** `NTF_EXT_` bits. */
const EXTENDED_FLAGS = { managed: 0x01 } as const;

export type NeighbourFlag = keyof typeof FLAGS | keyof typeof EXTENDED_FLAGS;

export const NDA = {
  DST: 1,
  LLADDR: 2,
  CACHEINFO: 3,
  PROBES: 4,
  IFINDEX: 8,
  MASTER: 9,
  FLAGS_EXT: 15,
} as const;

export const NEIGHBOUR_ATTRIBUTE_NAMES: AttributeNames = { prefix: 'NDA_', types: NDA };

/**
 * The entry that a NEWNEIGH or DELNEIGH message describes.
 *
 * @throws CodecError when it is cut off or misformed, or is neither IPv4 nor IPv6.
 */
export function decodeNeighbour(message: Message): Neighbour {
  const { header, attributes } = decodeBody(ndmsg, message);
  const version = versionOf(header.family);
  const address = ipAttribute(attributes, NDA.DST, version);
  if (address === undefined) {
    throw new CodecError('rtnetlink', MESSAGE_HEADER_BYTES, 'the neighbour has no address');
  }
  const hardware = attributes.bytes(NDA.LLADDR);
  const extended = attributes.u32(NDA.FLAGS_EXT) ?? 0;
  return {
    index: header.index,
    version,
    address,
    hardwareAddress: hardware && formatHardwareAddress(hardware),
    state: flagNames(header.state, STATES)[0] ?? 'none',
    flags: [...flagNames(header.flags, FLAGS), ...flagNames(extended, EXTENDED_FLAGS)],
    probes: attributes.u32(NDA.PROBES),
  };
}

export function encodeNeighbour(
  index: number,
  address: string,
  hardwareAddress: string | undefined,
  options: NeighbourOptions,
): { readonly header: Uint8Array; readonly attributes: Attribute[] } {
  const { version, bytes } = parseIp(address);
  const state = numberIn('neighbour state', STATES, options.state ?? 'permanent');
  const attributes = [bytesAttribute(NDA.DST, bytes)];
  if (hardwareAddress !== undefined) attributes.push(bytesAttribute(NDA.LLADDR, parseMac(hardwareAddress)));
  if (options.managed === true) attributes.push(u32Attribute(NDA.FLAGS_EXT, EXTENDED_FLAGS.managed));
  const flags = (options.router === true ? FLAGS.router : 0) | (options.use === true ? FLAGS.use : 0);
  const header = encode(ndmsg, { family: familyOf(version), pad1: 0, pad2: 0, index, state, flags, type: 0 });
  return { header, attributes };
}
