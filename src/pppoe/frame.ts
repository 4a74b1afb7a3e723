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

/**
 * Numbers of 32 bits in bytes: a `DataView` reads and writes one in a tenth of the time that four single bytes take. The
 * last one is kept, as nearly all frames of a wire lie in one buffer.
 */
let lastBytes: Uint8Array = new Uint8Array(0);
let lastView: DataView = new DataView(lastBytes.buffer);

function viewOf(bytes: Uint8Array): DataView {
  if (bytes !== lastBytes) {
    lastView = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    lastBytes = bytes;
  }
  return lastView;
}

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
  /** The first twelve bytes, both addresses, as three numbers. */
  addresses0 = 0;
  addresses1 = 0;
  addresses2 = 0;
  /** Why {@link parse} refused; '' where the frame is no PPPoE at all. */
  problem = '';

  /** @returns whether it is a sound PPPoE frame. */
  parse(bytes: Uint8Array, offset: number, length: number): boolean {
    const end = offset + length;
    this.problem = '';
    if (!(length >= ETHERNET_LENGTH && offset >= 0 && end <= bytes.length)) return false;
    const view = viewOf(bytes);
    let at = offset + 12;
    let etherType = view.getUint16(at);
    at += 2;
    this.vlanCount = 0;
    while (etherType === EtherType.vlan || etherType === EtherType.qinq) {
      if (this.vlanCount === MAX_VLANS || at + VLAN_LENGTH > end) return false;
      const id = view.getUint16(at) & 0xfff;
      if (this.vlanCount++ === 0) this.outerVlan = id;
      else this.innerVlan = id;
      etherType = view.getUint16(at + 2);
      at += VLAN_LENGTH;
    }
    this.isSession = etherType === EtherType.pppoeSession;
    if (!this.isSession && etherType !== EtherType.pppoeDiscovery) return false;
    if (at + PPPOE_LENGTH > end) return this.#refuse('a PPPoE header cut short');
    const head = view.getInt32(at);
    if (head >>> 24 !== 0x11) return this.#refuse('PPPoE of another version or type');
    this.bytes = bytes;
    this.offset = offset;
    this.code = (head >>> 16) & 0xff;
    this.sessionId = head & 0xffff;
    this.payloadOffset = at + PPPOE_LENGTH;
    this.payloadEnd = at + PPPOE_LENGTH + view.getUint16(at + 4);
    this.addresses0 = view.getInt32(offset);
    this.addresses1 = view.getInt32(offset + 4);
    this.addresses2 = view.getInt32(offset + 8);
    return this.payloadEnd <= end || this.#refuse('a PPPoE length beyond the frame');
  }

  /** The sender's address. */
  get source(): number {
    return macAt(this.bytes, this.offset + 6);
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

/** The headers of a session's frames, as the numbers that they are written and compared by. */
export class FrameHeader {
  readonly vlans: readonly PppoeVlan[];
  /** Bytes in front of an IP packet. */
  readonly length: number;
  readonly #mac: number;
  /** Both addresses as we send them, and as they are in what the peer sends. */
  #out0 = 0;
  #out1 = 0;
  #out2 = 0;
  #in0 = 0;
  #in1 = 0;
  #in2 = 0;
  readonly #tags: Int32Array;
  #sessionId = 0;

  constructor(mac: number, peer: number, vlans: readonly PppoeVlan[]) {
    this.vlans = vlans;
    this.length = ETHERNET_LENGTH + vlans.length * VLAN_LENGTH + PPPOE_LENGTH + PPP_LENGTH;
    this.#mac = mac;
    this.#tags =
      vlans.length === 0
        ? UNTAGGED
        : Int32Array.from(vlans, ({ id, priority = 0, etherType }, i) => {
            const type = etherType ?? (i === 0 && vlans.length > 1 ? EtherType.qinq : EtherType.vlan);
            return (type << 16) | (priority << 13) | id;
          });
    this.peer = peer;
  }

  set peer(mac: number) {
    [this.#out0, this.#out1, this.#out2] = addressWords(mac, this.#mac);
    [this.#in0, this.#in1, this.#in2] = addressWords(this.#mac, mac);
  }

  get sessionId(): number {
    return this.#sessionId;
  }
  set sessionId(id: number) {
    this.#sessionId = id;
  }

  /** Whether a frame comes from the peer to us, in this session and under its VLAN tags. */
  owns(frame: PppoeFrame): boolean {
    return (
      frame.sessionId === this.#sessionId &&
      frame.addresses0 === this.#in0 &&
      frame.addresses1 === this.#in1 &&
      frame.addresses2 === this.#in2 &&
      this.hasVlansOf(frame)
    );
  }

  /** Whether a frame bears the same VLAN tags; priorities do not count. */
  hasVlansOf(frame: PppoeFrame): boolean {
    const { length } = this.#tags;
    if (length !== frame.vlanCount) return false;
    if (length === 0) return true;
    if ((this.#tags[0]! & 0xfff) !== frame.outerVlan) return false;
    return length < 2 || (this.#tags[1]! & 0xfff) === frame.innerVlan;
  }

  /** Writes the headers so that they end at `offset`, for `length` bytes of PPP payload. */
  write(bytes: Uint8Array, offset: number, length: number, protocol: number): void {
    const view = viewOf(bytes);
    let at = this.writeEthernet(view, offset - this.length);
    view.setInt32(at, SESSION_STAGE);
    view.setInt32(at + 4, (this.#sessionId << 16) | (length + PPP_LENGTH));
    at += 8;
    view.setInt16(at, protocol);
  }

  /** Writes both addresses and the VLAN tags. @returns the offset behind them, where the EtherType comes. */
  writeEthernet(view: DataView, offset: number): number {
    view.setInt32(offset, this.#out0);
    view.setInt32(offset + 4, this.#out1);
    view.setInt32(offset + 8, this.#out2);
    let at = offset + 12;
    for (let i = 0; i < this.#tags.length; i++) {
      view.setInt32(at, this.#tags[i]!);
      at += VLAN_LENGTH;
    }
    return at;
  }
}

const UNTAGGED = new Int32Array(0);
/** EtherType, version, type and code of a session's frames. */
const SESSION_STAGE = (EtherType.pppoeSession << 16) | 0x1100;

/** Destination and source as three numbers of 32 bits. */
function addressWords(destination: number, source: number): [number, number, number] {
  const high = Math.floor(destination / 0x1_0000);
  const middle = (destination % 0x1_0000) * 0x1_0000 + Math.floor(source / 0x1_0000_0000);
  return [high | 0, middle | 0, source | 0];
}

/** A discovery frame. @returns the offset behind it. */
export function emitDiscovery(
  out: Uint8Array,
  offset: number,
  frame: PppoeWireIdentity & { readonly code: number; readonly tags: readonly PppoeTag[] },
): number {
  const { mac, peerMac, vlans, sessionId, code, tags } = frame;
  const header = new FrameHeader(macNumber(mac), macNumber(peerMac), checkVlans(vlans));
  if (offset < 0 || offset + header.length > out.length) {
    throw new ArgumentError(
      `a discovery frame needs ${header.length} bytes at ${offset}; ${out.length} are there`,
    );
  }
  const view = viewOf(out);
  const at = header.writeEthernet(view, offset);
  view.setUint16(at, EtherType.pppoeDiscovery);
  return emitPppoe(out, at + 2, { code, sessionId, tags });
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
