import { ArgumentError } from '../error.ts';
import { nearest } from '../nearest.ts';
import { Errno } from '../sys/errno.ts';
import type { Fd } from '../sys/fd.ts';
import { type Attribute, type Attributes, nestedAttribute, u32Attribute } from './attribute.ts';
import { decodeBitset, encodeBitset } from './ethtool-bitset.ts';
import { type DriverInfo, readDriverInfo, readDriverStats } from './ethtool-ioctl.ts';
import {
  CHANNELS,
  type ChannelCounts,
  type Channels,
  COALESCE,
  type Coalesce,
  channelAttributes,
  coalesceAttributes,
  decodeChannels,
  decodeCoalesce,
  decodeRings,
  LINKINFO,
  LINKMODES,
  LINKSTATE,
  type LinkSettings,
  PORTS,
  RINGS,
  type RingOptions,
  type RingSizes,
  type Rings,
  ringAttributes,
  SPEED_UNKNOWN,
} from './ethtool-settings.ts';
import type { AttributeNames } from './fault.ts';
import type { GenericNetlink } from './generic.ts';
import type { LinkRef } from './link-spec.ts';
import type { Links } from './links.ts';
import { nameIn } from './rtnetlink.ts';

/** An offload of an interface, as in `rx-gro`. */
export interface Feature {
  readonly name: string;
  /** Whether it is on. */
  readonly active: boolean;
  /** Whether it was asked for; it is off all the same while something else forbids it. */
  readonly requested: boolean;
  /** Whether the driver lets it be switched. */
  readonly changeable: boolean;
}

/** What came of a change of features. */
export interface FeatureChanges {
  /** Everything that is different now, features that depend on the ones named among them. */
  readonly changed: Readonly<Record<string, boolean>>;
  /** Names that did not become what was asked. */
  readonly refused: readonly string[];
}

/** `ETHTOOL_MSG_` numbers (linux/ethtool_netlink.h). */
const MSG = {
  STRSET_GET: 1,
  LINKINFO_GET: 2,
  LINKMODES_GET: 4,
  LINKSTATE_GET: 6,
  FEATURES_GET: 11,
  FEATURES_SET: 12,
  RINGS_GET: 15,
  RINGS_SET: 16,
  CHANNELS_GET: 17,
  CHANNELS_SET: 18,
  COALESCE_GET: 19,
  COALESCE_SET: 20,
} as const;

/** The first attribute of every message. */
const HEADER = 1;
const HEADER_ATTRIBUTES = { DEV_INDEX: 1, DEV_NAME: 2, FLAGS: 3 } as const;
const COMPACT_BITSETS = 1;

const FEATURES = { HW: 2, WANTED: 3, ACTIVE: 4, NOCHANGE: 5 } as const;

const STRSET = { STRINGSETS: 2 } as const;
const STRINGSETS = { STRINGSET: 1 } as const;
const STRINGSET = { ID: 1, STRINGS: 3 } as const;
const STRINGS = { STRING: 1 } as const;
const STRING = { INDEX: 1, VALUE: 2 } as const;

/** `ETH_SS_` numbers of the string sets that are the same for all interfaces. */
const SETS = { features: 4, linkModes: 9 } as const;

const PLAIN_NAMES = attributeNames('', {});
const CHANNEL_NAMES = attributeNames('CHANNELS_', CHANNELS);
const RING_NAMES = attributeNames('RINGS_', RINGS);
const COALESCE_NAMES = attributeNames('COALESCE_', COALESCE);
const FEATURE_NAMES = attributeNames('FEATURES_', FEATURES);

function attributeNames(prefix: string, types: Readonly<Record<string, number>>): AttributeNames {
  return {
    prefix: `ETHTOOL_A_${prefix}`,
    types: { HEADER, ...types },
    nested: { [HEADER]: { prefix: 'ETHTOOL_A_HEADER_', types: HEADER_ATTRIBUTES } },
  };
}

const FAMILY_MISSING = 'It takes Linux 5.6 or later, built with CONFIG_ETHTOOL_NETLINK.';

/** Queues, rings, offloads and the like: what `ethtool` shows and changes. */
export class Ethtool {
  readonly #generic: GenericNetlink;
  readonly #links: Links;
  readonly #socket: Fd;
  readonly #strings = new Map<number, readonly string[]>();

  /** @param socket Any socket in the namespace, for the old way. */
  constructor(generic: GenericNetlink, links: Links, socket: Fd) {
    this.#generic = generic;
    this.#links = links;
    this.#socket = socket;
  }

  /** How many queues there are, and could be. */
  channels(link: LinkRef): Channels {
    return decodeChannels(this.#get(MSG.CHANNELS_GET, link, 'channels'));
  }

  /** @throws NetlinkError with the driver's reason, as when XDP needs more of them. */
  setChannels(link: LinkRef, counts: Partial<ChannelCounts>): void {
    this.#set(MSG.CHANNELS_SET, link, 'channels', channelAttributes(counts), CHANNEL_NAMES);
  }

  rings(link: LinkRef): Rings {
    return decodeRings(this.#get(MSG.RINGS_GET, link, 'rings'));
  }

  setRings(link: LinkRef, rings: RingSizes & RingOptions): void {
    this.#set(MSG.RINGS_SET, link, 'rings', ringAttributes(rings), RING_NAMES);
  }

  coalesce(link: LinkRef): Coalesce {
    return decodeCoalesce(this.#get(MSG.COALESCE_GET, link, 'interrupt coalescing'));
  }

  setCoalesce(link: LinkRef, coalesce: Coalesce): void {
    this.#set(MSG.COALESCE_SET, link, 'interrupt coalescing', coalesceAttributes(coalesce), COALESCE_NAMES);
  }

  /** All offloads that this kernel knows, in its order. */
  features(link: LinkRef): Feature[] {
    const attributes = this.#get(MSG.FEATURES_GET, link, 'features');
    const names = this.#stringSet(SETS.features);
    const on = (type: number): Set<string> => {
      const bitset = attributes.nested(type);
      const bits = bitset === undefined ? [] : decodeBitset(bitset, names);
      return new Set(bits.filter((bit) => bit.value).map((bit) => bit.name));
    };
    const active = on(FEATURES.ACTIVE);
    const wanted = on(FEATURES.WANTED);
    const changeable = on(FEATURES.HW);
    const fixed = on(FEATURES.NOCHANGE);
    return names
      .filter((name) => name !== '')
      .map((name) => ({
        name,
        active: active.has(name),
        requested: wanted.has(name),
        changeable: changeable.has(name) && !fixed.has(name),
      }));
  }

  /**
   * Switches offloads on or off.
   *
   * @param features By the kernel's names, as in `{ 'tx-checksum-ip-generic': false }`.
   * @throws ArgumentError for a name that this kernel does not know.
   */
  setFeatures(link: LinkRef, features: Readonly<Record<string, boolean>>): FeatureChanges {
    const names = this.#stringSet(SETS.features);
    for (const name of Object.keys(features)) {
      if (name === '' || !names.includes(name)) throw unknownFeature(name, names);
    }
    const wanted = encodeBitset(FEATURES.WANTED, features);
    const [reply] = this.#send(MSG.FEATURES_SET, link, 'change the features', [wanted], FEATURE_NAMES);
    const bits = (type: number): { name: string; value: boolean }[] => {
      const bitset = reply?.nested(type);
      return bitset === undefined ? [] : decodeBitset(bitset, names);
    };
    return {
      changed: Object.fromEntries(bits(FEATURES.ACTIVE).map((bit) => [bit.name, bit.value])),
      refused: bits(FEATURES.WANTED).map((bit) => bit.name),
    };
  }

  /** Speed, duplex, port and link modes. */
  settings(link: LinkRef): LinkSettings {
    const modes = this.#get(MSG.LINKMODES_GET, link, 'link modes');
    const info = this.#get(MSG.LINKINFO_GET, link, 'port');
    const state = this.#get(MSG.LINKSTATE_GET, link, 'link state').u8(LINKSTATE.LINK);
    const ours = modes.nested(LINKMODES.OURS);
    // The mask is what is supported, the values are what is advertised.
    const bits = ours === undefined ? [] : decodeBitset(ours, this.#stringSet(SETS.linkModes));
    const speed = modes.u32(LINKMODES.SPEED);
    const autonegotiation = modes.u8(LINKMODES.AUTONEG);
    return {
      speed: speed === SPEED_UNKNOWN ? undefined : speed,
      duplex: ([`half`, 'full'] as const)[modes.u8(LINKMODES.DUPLEX) ?? 2],
      autonegotiation: autonegotiation === undefined ? undefined : autonegotiation !== 0,
      port: nameIn(PORTS, info.u8(LINKINFO.PORT) ?? PORTS.other, 'port'),
      detected: state === undefined ? undefined : state !== 0,
      supported: bits.map((bit) => bit.name),
      advertised: bits.filter((bit) => bit.value).map((bit) => bit.name),
    };
  }

  driver(link: LinkRef): DriverInfo {
    return readDriverInfo(this.#socket, this.#links.get(link).name);
  }

  /** The driver's own counters, by its names and in its order; empty when it has none. */
  statistics(link: LinkRef): Map<string, bigint> {
    return readDriverStats(this.#socket, this.#links.get(link).name);
  }

  #get(message: number, link: LinkRef, what: string): Attributes {
    return this.#send(message, link, `read the ${what}`, [], PLAIN_NAMES)[0]!;
  }

  #set(
    message: number,
    link: LinkRef,
    what: string,
    attributes: readonly Attribute[],
    names: AttributeNames,
  ): void {
    this.#send(message, link, `change the ${what}`, attributes, names);
  }

  #send(
    command: number,
    link: LinkRef,
    doing: string,
    attributes: readonly Attribute[],
    names: AttributeNames,
  ): Attributes[] {
    const family = this.#generic.family('ethtool', FAMILY_MISSING);
    return this.#links.withIndex(link, (index) =>
      this.#generic.request(family, {
        command,
        attributes: [requestHeader(index), ...attributes],
        doing: `${doing} of '${link}'`,
        names,
        hint: (errno) =>
          errno === Errno.EOPNOTSUPP ? `The driver of '${link}' has no such setting.` : undefined,
      }),
    );
  }

  #stringSet(id: number): readonly string[] {
    let strings = this.#strings.get(id);
    if (strings === undefined) {
      const family = this.#generic.family('ethtool', FAMILY_MISSING);
      const set = nestedAttribute(STRINGSETS.STRINGSET, [u32Attribute(STRINGSET.ID, id)]);
      const [reply] = this.#generic.request(family, {
        command: MSG.STRSET_GET,
        attributes: [nestedAttribute(HEADER, []), nestedAttribute(STRSET.STRINGSETS, [set])],
        doing: `read the names of ethtool's string set ${id}`,
      });
      strings = decodeStringSet(reply!, id);
      this.#strings.set(id, strings);
    }
    return strings;
  }
}

/**
 * The strings of one set in the answer to STRSET_GET, each at its index.
 *
 * @throws CodecError when the answer is misformed.
 */
export function decodeStringSet(reply: Attributes, id: number): string[] {
  const strings: string[] = [];
  for (const set of reply.nested(STRSET.STRINGSETS)?.children(STRINGSETS.STRINGSET) ?? []) {
    if (set.u32(STRINGSET.ID) !== id) continue;
    const list = set.nested(STRINGSET.STRINGS)?.children(STRINGS.STRING) ?? [];
    for (const string of list) {
      const index = string.u32(STRING.INDEX);
      // The kernel counts them through; a gap would be nobody's string.
      if (index === strings.length) strings.push(string.string(STRING.VALUE) ?? '');
    }
  }
  return strings;
}

function requestHeader(index: number): Attribute {
  return nestedAttribute(HEADER, [
    u32Attribute(HEADER_ATTRIBUTES.DEV_INDEX, index),
    u32Attribute(HEADER_ATTRIBUTES.FLAGS, COMPACT_BITSETS),
  ]);
}

function unknownFeature(name: string, names: readonly string[]): ArgumentError {
  const near = nearest(name, names);
  return new ArgumentError(`this kernel knows no feature '${name}'`, {
    hint:
      near.length > 0
        ? `Did you mean ${near.map((other) => `'${other}'`).join(' or ')}?`
        : "Use the kernel's names, as in tx-checksum-ip-generic; features() lists them.",
  });
}
