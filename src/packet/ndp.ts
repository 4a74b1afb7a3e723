import { formatIPv6 } from '../address/index.ts';
import { CodecError } from '../error.ts';
import { type Ipv6Address, putIpv6 } from './address.ts';
import { Icmpv6Type } from './headers.ts';
import { Icmpv6View, sealIcmpv6 } from './icmpv6.ts';
import { decodeNdpOptions, emitNdpOptions, type NdpOption, ndpOptionsLength } from './ndp-options.ts';
import { inside, refusal, requireField, requireRoom } from './view.ts';
import { putU16, putU32, u16At, u32At } from './wire.ts';

/** Bytes of a neighbour discovery message before its options (RFC 4861, section 4), by ICMPv6 type. */
const FIXED: Readonly<Record<number, number>> = {
  [Icmpv6Type.routerSolicitation]: 8,
  [Icmpv6Type.routerAdvertisement]: 16,
  [Icmpv6Type.neighborSolicitation]: 24,
  [Icmpv6Type.neighborAdvertisement]: 24,
  [Icmpv6Type.redirect]: 40,
};

/** Default router preference (RFC 4191, section 2.1): 3 is reserved and reads as medium. */
export type RouterPreference = 'medium' | 'high' | 'low';
const PREFERENCES: readonly RouterPreference[] = ['medium', 'high', 'medium', 'low'];
/** 2 is reserved, 3 is low. */
const PREFERENCE_CODES = { medium: 0, high: 1, low: 3 } as const;

/** A neighbour discovery message as plain data; decoding gives addresses as text. */
export type NdpMessage =
  | { readonly kind: 'routerSolicitation'; readonly options: readonly NdpOption[] }
  | {
      readonly kind: 'routerAdvertisement';
      readonly hopLimit: number;
      /** Addresses by DHCPv6. */
      readonly managed: boolean;
      /** Other configuration by DHCPv6. */
      readonly otherConfiguration: boolean;
      readonly preference: RouterPreference;
      /** In seconds; 0 is no default router. */
      readonly routerLifetime: number;
      /** In ms. */
      readonly reachableTime: number;
      /** In ms. */
      readonly retransmitTimer: number;
      readonly options: readonly NdpOption[];
    }
  | {
      readonly kind: 'neighborSolicitation';
      readonly target: Ipv6Address;
      readonly options: readonly NdpOption[];
    }
  | {
      readonly kind: 'neighborAdvertisement';
      readonly router: boolean;
      readonly solicited: boolean;
      readonly override: boolean;
      readonly target: Ipv6Address;
      readonly options: readonly NdpOption[];
    }
  | {
      readonly kind: 'redirect';
      readonly target: Ipv6Address;
      readonly destination: Ipv6Address;
      readonly options: readonly NdpOption[];
    };

/**
 * A neighbour discovery message in place: which getters mean something depends on `type`.
 *
 * Options are walked by {@link NdpOptionCursor} from `optionsOffset` to `end`.
 */
export class NdpView extends Icmpv6View {
  /** @throws CodecError if the message is of another type or its fixed part is not there whole. */
  override at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) {
      const type = inside(bytes, offset, end, 1) ? bytes[offset]! : -1;
      const size = FIXED[type] ?? 8;
      throw refusal('ndp', bytes, offset, end, size, `ICMPv6 type ${type}`);
    }
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  override tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, 8)) return false;
    const size = FIXED[bytes[offset]!];
    return size !== undefined && offset + size <= end && super.tryAt(bytes, offset, end);
  }

  get optionsOffset(): number {
    return Math.min(this.end, this.offset + (FIXED[this.type] ?? 8));
  }

  /** Of a router advertisement. */
  get hopLimit(): number {
    return this.bytes[this.offset + 4]!;
  }

  /** Of a router advertisement: addresses by DHCPv6. */
  get managed(): boolean {
    return (this.bytes[this.offset + 5]! & 0x80) !== 0;
  }

  /** Of a router advertisement: other configuration by DHCPv6. */
  get otherConfiguration(): boolean {
    return (this.bytes[this.offset + 5]! & 0x40) !== 0;
  }

  /** Of a router advertisement. */
  get preference(): RouterPreference {
    return PREFERENCES[(this.bytes[this.offset + 5]! >>> 3) & 3]!;
  }

  /** Of a router advertisement, in seconds. */
  get routerLifetime(): number {
    return u16At(this.bytes, this.offset + 6);
  }

  /** Of a router advertisement, in ms. 0 in messages that have none. */
  get reachableTime(): number {
    return this.optionsOffset < this.offset + 12 ? 0 : u32At(this.bytes, this.offset + 8);
  }

  /** Of a router advertisement, in ms. 0 in messages that have none. */
  get retransmitTimer(): number {
    return this.optionsOffset < this.offset + 16 ? 0 : u32At(this.bytes, this.offset + 12);
  }

  /** Of a neighbour advertisement. */
  get router(): boolean {
    return (this.bytes[this.offset + 4]! & 0x80) !== 0;
  }

  /** Of a neighbour advertisement. */
  get solicited(): boolean {
    return (this.bytes[this.offset + 4]! & 0x40) !== 0;
  }

  /** Of a neighbour advertisement. */
  get override(): boolean {
    return (this.bytes[this.offset + 4]! & 0x20) !== 0;
  }

  /** Where the 16 bytes of the target of a neighbour message or redirect lie; -1 in others. */
  get targetOffset(): number {
    return this.optionsOffset < this.offset + 24 ? -1 : this.offset + 8;
  }

  /** Of a neighbour message or redirect; empty in others. */
  get targetText(): string {
    return this.targetOffset < 0 ? '' : formatIPv6(this.bytes, this.targetOffset);
  }

  /** Where the 16 bytes of the destination of a redirect lie; -1 in others. */
  get destinationOffset(): number {
    return this.optionsOffset < this.offset + 40 ? -1 : this.offset + 24;
  }

  /** Of a redirect; empty in others. */
  get destinationText(): string {
    return this.destinationOffset < 0 ? '' : formatIPv6(this.bytes, this.destinationOffset);
  }
}

/** A message as plain data. @throws CodecError if it or one of its options is malformed. */
export function decodeNdp(bytes: Uint8Array, offset = 0, end: number = bytes.length): NdpMessage {
  const view = new NdpView().at(bytes, offset, end);
  const options = decodeNdpOptions(bytes, view.optionsOffset, end);
  switch (view.type) {
    case Icmpv6Type.routerSolicitation:
      return { kind: 'routerSolicitation', options };
    case Icmpv6Type.routerAdvertisement:
      return {
        kind: 'routerAdvertisement',
        hopLimit: view.hopLimit,
        managed: view.managed,
        otherConfiguration: view.otherConfiguration,
        preference: view.preference,
        routerLifetime: view.routerLifetime,
        reachableTime: view.reachableTime,
        retransmitTimer: view.retransmitTimer,
        options,
      };
    case Icmpv6Type.neighborSolicitation:
      return { kind: 'neighborSolicitation', target: view.targetText, options };
    case Icmpv6Type.neighborAdvertisement:
      return {
        kind: 'neighborAdvertisement',
        router: view.router,
        solicited: view.solicited,
        override: view.override,
        target: view.targetText,
        options,
      };
    case Icmpv6Type.redirect:
      return { kind: 'redirect', target: view.targetText, destination: view.destinationText, options };
    default:
      throw new CodecError('ndp', offset, `ICMPv6 type ${view.type}`);
  }
}

/**
 * Writes a neighbour discovery message.
 *
 * @param addressSum Of the IPv6 header; the sender's hop limit must be 255.
 * @returns the offset behind it.
 */
export function emitNdp(out: Uint8Array, offset: number, message: NdpMessage, addressSum: number): number {
  const type = Icmpv6Type[message.kind];
  const options = offset + FIXED[type]!;
  requireRoom('ndp', out, offset, ndpLength(message));
  putU32(out, offset + 4, 0);
  switch (message.kind) {
    case 'routerAdvertisement': {
      const { hopLimit, managed, otherConfiguration, preference } = message;
      requireField('ndp hopLimit', hopLimit, 0xff);
      requireField('ndp routerLifetime', message.routerLifetime, 0xffff);
      requireField('ndp reachableTime', message.reachableTime, 0xffffffff);
      requireField('ndp retransmitTimer', message.retransmitTimer, 0xffffffff);
      out[offset + 4] = hopLimit;
      const flags = (managed ? 0x80 : 0) | (otherConfiguration ? 0x40 : 0);
      out[offset + 5] = flags | (PREFERENCE_CODES[preference] << 3);
      putU16(out, offset + 6, message.routerLifetime);
      putU32(out, offset + 8, message.reachableTime);
      putU32(out, offset + 12, message.retransmitTimer);
      break;
    }
    case 'neighborAdvertisement': {
      const { router, solicited, override } = message;
      out[offset + 4] = (router ? 0x80 : 0) | (solicited ? 0x40 : 0) | (override ? 0x20 : 0);
      putIpv6(out, offset + 8, message.target);
      break;
    }
    case 'neighborSolicitation':
      putIpv6(out, offset + 8, message.target);
      break;
    case 'redirect':
      putIpv6(out, offset + 8, message.target);
      putIpv6(out, offset + 24, message.destination);
  }
  const end = emitNdpOptions(out, options, message.options);
  sealIcmpv6(out, offset, end, { type }, addressSum);
  return end;
}

/** Bytes of the message that {@link emitNdp} would write. */
export function ndpLength(message: NdpMessage): number {
  return FIXED[Icmpv6Type[message.kind]]! + ndpOptionsLength(message.options);
}
