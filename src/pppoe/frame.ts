import { ArgumentError } from '../error.ts';
import {
  ETHERNET_LENGTH,
  EtherType,
  emitPppoe,
  type MacAddress,
  macNumber,
  PPP_LENGTH,
  PPPOE_LENGTH,
  PppoeCode,
  type PppoeTag,
  PppoeTagType,
  VLAN_LENGTH,
} from '../packet/index.ts';

/** A VLAN tag of a session's frames. */
export interface PppoeVlan {
  /** 0 to 4094; 0 carries a priority only. */
  readonly id: number;
  /** Priority code point, 0 to 7. Default is 0. */
  readonly priority?: number;
  /** Default is 0x88a8 for the outer one of two, else 0x8100. */
  readonly etherType?: number;
}

/** What names a session on the wire: enough to end it with a PADT, as the next start does after a crash. */
export interface PppoeWireIdentity {
  readonly mac: MacAddress;
  readonly peerMac: MacAddress;
  readonly vlans: readonly PppoeVlan[];
  readonly sessionId: number;
}

/** As many tags as a frame may have: a service tag and a customer tag. */
export const MAX_VLANS = 2;
/** The longest headers in front of an IP packet: Ethernet, two VLAN tags, PPPoE, PPP. */
export const MAX_HEADER_LENGTH: number =
  ETHERNET_LENGTH + MAX_VLANS * VLAN_LENGTH + PPPOE_LENGTH + PPP_LENGTH;

/** One frame at a time, taken apart without an object of its own. */
export class PppoeFrame {
  bytes: Uint8Array = new Uint8Array(0);
  /** Where the Ethernet header begins. */
  offset = 0;
  /** Whether it belongs to a session (0x8864) and not to discovery (0x8863). */
  isSession = false;
  vlanCount = 0;
  outerVlan = 0;
  innerVlan = 0;
  code = 0;
  sessionId = 0;
  /** Where the tags, or the PPP packet, begin. */
  payloadOffset = 0;
  payloadEnd = 0;
  /** Why {@link parse} refused; '' where the frame is no PPPoE at all. */
  problem = '';

  /** @returns whether it is a sound PPPoE frame. */
  parse(bytes: Uint8Array, offset: number, length: number): boolean {
    const end = offset + length;
    this.problem = '';
    if (length < ETHERNET_LENGTH || end > bytes.length) return false;
    let at = offset + 12;
    let etherType = (bytes[at]! << 8) | bytes[at + 1]!;
    at += 2;
    this.vlanCount = 0;
    while (etherType === EtherType.vlan || etherType === EtherType.qinq) {
      if (this.vlanCount === MAX_VLANS || at + VLAN_LENGTH > end) return false;
      const id = ((bytes[at]! & 0x0f) << 8) | bytes[at + 1]!;
      if (this.vlanCount++ === 0) this.outerVlan = id;
      else this.innerVlan = id;
      etherType = (bytes[at + 2]! << 8) | bytes[at + 3]!;
      at += VLAN_LENGTH;
    }
    this.isSession = etherType === EtherType.pppoeSession;
    if (!this.isSession && etherType !== EtherType.pppoeDiscovery) return false;
    if (at + PPPOE_LENGTH > end) return this.#refuse('a PPPoE header cut short');
    if (bytes[at] !== 0x11) return this.#refuse('PPPoE of another version or type');
    this.bytes = bytes;
    this.offset = offset;
    this.code = bytes[at + 1]!;
    this.sessionId = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    this.payloadOffset = at + PPPOE_LENGTH;
    this.payloadEnd = at + PPPOE_LENGTH + ((bytes[at + 4]! << 8) | bytes[at + 5]!);
    return this.payloadEnd <= end || this.#refuse('a PPPoE length beyond the frame');
  }

  /** The sender's address. */
  get source(): number {
    const { bytes, offset } = this;
    return macAt(bytes, offset + 6);
  }

  get destination(): number {
    return macAt(this.bytes, this.offset);
  }

  #refuse(problem: string): false {
    this.problem = problem;
    return false;
  }
}

export function macAt(bytes: Uint8Array, at: number): number {
  const high = (bytes[at]! << 8) | bytes[at + 1]!;
  const low =
    ((bytes[at + 2]! << 24) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!) >>> 0;
  return high * 0x1_0000_0000 + low;
}

/** Whether an address belongs to one station, as every sender's does. */
export function isStation(mac: number): boolean {
  return mac !== 0 && (Math.floor(mac / 2 ** 40) & 1) === 0;
}

/** The two ends of a session or of a discovery, and the tags between: the headers of its frames, made once. */
export class FrameHeader {
  /** Ethernet, VLAN tags, PPPoE and PPP, with length and protocol left open. */
  readonly template: Uint8Array;
  readonly vlans: readonly PppoeVlan[];

  constructor(mac: number, peer: number, vlans: readonly PppoeVlan[]) {
    this.vlans = vlans;
    this.template = new Uint8Array(ETHERNET_LENGTH + vlans.length * VLAN_LENGTH + PPPOE_LENGTH + PPP_LENGTH);
    const { template } = this;
    putMacAt(template, 0, peer);
    putMacAt(template, 6, mac);
    let at = 12;
    for (const [i, { id, priority = 0, etherType }] of vlans.entries()) {
      putShort(template, at, etherType ?? (i === 0 && vlans.length > 1 ? EtherType.qinq : EtherType.vlan));
      putShort(template, at + 2, (priority << 13) | id);
      at += VLAN_LENGTH;
    }
    putShort(template, at, EtherType.pppoeSession);
    template[at + 2] = 0x11;
  }

  get length(): number {
    return this.template.length;
  }

  set peer(mac: number) {
    putMacAt(this.template, 0, mac);
  }

  set sessionId(id: number) {
    putShort(this.template, this.template.length - 6, id);
  }

  /** Whether a frame bears the same VLAN tags; priorities do not count. */
  hasVlansOf(frame: PppoeFrame): boolean {
    const { vlans } = this;
    if (vlans.length !== frame.vlanCount) return false;
    if (vlans.length > 0 && vlans[0]!.id !== frame.outerVlan) return false;
    return vlans.length < 2 || vlans[1]!.id === frame.innerVlan;
  }

  /** Writes the headers so that they end at `offset`, for `length` bytes of PPP payload. */
  write(bytes: Uint8Array, offset: number, length: number, protocol: number): void {
    const { template } = this;
    const size = template.length;
    const at = offset - size;
    for (let i = 0; i < size; i++) bytes[at + i] = template[i]!;
    putShort(bytes, offset - 4, length + PPP_LENGTH);
    putShort(bytes, offset - 2, protocol);
  }
}

/** A discovery frame. @returns the offset behind it. */
export function emitDiscovery(
  out: Uint8Array,
  offset: number,
  frame: PppoeWireIdentity & { readonly code: number; readonly tags: readonly PppoeTag[] },
): number {
  const { mac, peerMac, vlans, sessionId, code, tags } = frame;
  const header = new FrameHeader(macNumber(mac), macNumber(peerMac), checkVlans(vlans));
  const at = offset + header.length - PPP_LENGTH - PPPOE_LENGTH;
  if (offset < 0 || offset + header.length > out.length) {
    throw new ArgumentError(
      `a discovery frame needs ${header.length} bytes at ${offset}; ${out.length} are there`,
    );
  }
  out.set(header.template.subarray(0, header.length - PPP_LENGTH - PPPOE_LENGTH), offset);
  putShort(out, at - 2, EtherType.pppoeDiscovery);
  return emitPppoe(out, at, { code, sessionId, tags });
}

/** Writes a PADT frame for a session. @returns the offset behind it. */
export function emitPadt(out: Uint8Array, offset: number, session: PppoeWireIdentity, reason = ''): number {
  const tags = reason === '' ? [] : [{ type: PppoeTagType.genericError, data: reason }];
  return emitDiscovery(out, offset, { ...session, code: PppoeCode.padt, tags });
}

/** @throws ArgumentError if there are more than two or one of them is out of range. */
export function checkVlans(vlans: readonly PppoeVlan[]): readonly PppoeVlan[] {
  if (vlans.length > MAX_VLANS)
    throw new ArgumentError(`a frame bears ${MAX_VLANS} VLAN tags at most, not ${vlans.length}`);
  for (const { id, priority = 0, etherType = EtherType.vlan } of vlans) {
    if (!Number.isInteger(id) || id < 0 || id > 4094) {
      throw new ArgumentError(`a VLAN id is a whole number from 0 to 4094, not ${id}`);
    }
    if (!Number.isInteger(priority) || priority < 0 || priority > 7) {
      throw new ArgumentError(`a VLAN priority is a whole number from 0 to 7, not ${priority}`);
    }
    if (etherType !== EtherType.vlan && etherType !== EtherType.qinq) {
      throw new ArgumentError(`a VLAN tag has EtherType 0x8100 or 0x88a8, not 0x${etherType.toString(16)}`);
    }
  }
  return vlans;
}

/** The VLAN tags of a frame, to answer with. */
export function vlansOf(frame: PppoeFrame): PppoeVlan[] {
  const { bytes, offset, vlanCount } = frame;
  return Array.from({ length: vlanCount }, (_, i) => {
    const at = offset + 12 + i * VLAN_LENGTH;
    return {
      id: i === 0 ? frame.outerVlan : frame.innerVlan,
      priority: bytes[at + 2]! >>> 5,
      etherType: (bytes[at]! << 8) | bytes[at + 1]!,
    };
  });
}

function putShort(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function putMacAt(bytes: Uint8Array, at: number, mac: number): void {
  putShort(bytes, at, Math.floor(mac / 0x1_0000_0000));
  const low = mac % 0x1_0000_0000;
  bytes[at + 2] = low >>> 24;
  bytes[at + 3] = low >>> 16;
  bytes[at + 4] = low >>> 8;
  bytes[at + 5] = low;
}
