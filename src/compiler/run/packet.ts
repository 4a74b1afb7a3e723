import { ArgumentError } from '../../error.ts';
import { type HeaderName, headerLayouts } from '../../packet/headers.ts';
import { CHECKSUM } from '../front/library.ts';
import { MAX_OFFSET } from '../front/packet.ts';
import type { Packet, Reader, Writer } from '../view.ts';
import { headerView, type Memory, StaleView } from './views.ts';

/** Thrown by an access beyond the packet's end; the runner turns it into the verdict `onShort`. */
export class ShortPacket extends RangeError {}

/** Bytes before a packet in the kernel's test runs (XDP_PACKET_HEADROOM), and what the kernel keeps of them. */
const HEADROOM = 256;
const FRAME_STRUCT = 40;
/** A page less `struct skb_shared_info`. */
const HARD_END = 4096 - 320;
const MAX_META = 252;
const ETHERNET = 14;

/** What a kernel's test run, and a driver that spends a page on each buffer, puts into the first one. */
export const FIRST_BUFFER: number = HARD_END - HEADROOM;

/** One packet on its way through a program in Node. */
export class RunPacket {
  readonly #buffer: Uint8Array;
  readonly #view: DataView;
  #start = HEADROOM;
  #end: number;
  #meta = HEADROOM;
  #epoch = 0;
  /** Where the first of the packet's buffers ends: as far as direct accesses reach. */
  #linear: number;

  /** @param linear How many bytes lie in the first of the packet's buffers. */
  constructor(bytes: Uint8Array, linear: number = bytes.length) {
    if (bytes.length > MAX_OFFSET) {
      throw new ArgumentError(
        `a packet of ${bytes.length} bytes is more than a program can reach (${MAX_OFFSET})`,
      );
    }
    this.#buffer = new Uint8Array(Math.max(HARD_END, HEADROOM + bytes.length + 320));
    this.#buffer.set(bytes, HEADROOM);
    this.#view = new DataView(this.#buffer.buffer);
    this.#end = HEADROOM + bytes.length;
    this.#linear = Math.min(this.#end, HEADROOM + linear);
  }

  /** A copy of the packet as it is now. */
  bytes(): Uint8Array {
    return this.#buffer.slice(this.#start, this.#end);
  }

  #at(offset: number, size: number): number {
    return this.#within(offset, size, this.#linear);
  }

  #within(offset: number, size: number, end: number): number {
    const length = end - this.#start;
    if (offset < 0 || offset + size > length) {
      const what = end === this.#end ? 'a packet' : 'the first buffer of a packet';
      throw new ShortPacket(`bytes ${offset} to ${offset + size} of ${what} of ${length}`);
    }
    return this.#start + offset;
  }

  /** What the function gets as `pkt`. */
  api(context: { ingressIfindex: number; rxQueue: number }): Packet {
    const direct = (offset: number, size: number): number => this.#at(offset, size);
    const anywhere = (offset: number, size: number): number => this.#within(offset, size, this.#end);
    const reader = this.#reader(direct);
    const writer = this.#writer(direct);
    const bytes = (offset: number, length: number): Uint8Array => {
      const at = this.#at(offset, length);
      return this.#buffer.slice(at, at + length);
    };
    const length = (): number => this.#end - this.#start;
    const api = {
      ...reader,
      get length(): number {
        return length();
      },
      ...context,
      store: {
        ...writer,
        bytes: (offset: number, value: Uint8Array): void => {
          this.#buffer.set(value, this.#at(offset, value.length));
        },
      },
      whole: { ...this.#reader(anywhere), store: this.#writer(anywhere) },
      bytes,
      has: (offset: number, size: number): boolean =>
        offset >= 0 && offset + size <= this.#linear - this.#start,
      checksum: (offset: number, size: number): number => CHECKSUM(reader, offset, size),
      adjustHead: (delta: number): boolean => this.#adjustHead(delta),
      adjustTail: (delta: number): boolean => this.#adjustTail(delta),
      adjustMeta: (delta: number): boolean => this.#adjustMeta(delta),
    };
    for (const name of Object.keys(headerLayouts) as HeaderName[]) {
      Object.assign(api, { [name]: (offset = 0): unknown => this.#header(name, offset) });
    }
    return api as unknown as Packet;
  }

  #header(name: HeaderName, base: number): unknown {
    const epoch = this.#epoch;
    return headerView(headerLayouts[name], base, (offset, size): Memory => {
      if (epoch !== this.#epoch)
        throw new StaleView(`this ${name} header is from before the packet's ends moved`);
      return { view: this.#view, offset: this.#at(offset, size) };
    });
  }

  #reader(at: (offset: number, size: number) => number): Reader {
    const v = this.#view;
    return {
      u8: (o) => v.getUint8(at(o, 1)),
      be16: (o) => v.getUint16(at(o, 2)),
      be32: (o) => v.getUint32(at(o, 4)),
      be64: (o) => v.getBigUint64(at(o, 8)),
      le16: (o) => v.getUint16(at(o, 2), true),
      le32: (o) => v.getUint32(at(o, 4), true),
      le64: (o) => v.getBigUint64(at(o, 8), true),
    };
  }

  #writer(at: (offset: number, size: number) => number): Writer {
    const v = this.#view;
    return {
      u8: (o, x) => v.setUint8(at(o, 1), x),
      be16: (o, x) => v.setUint16(at(o, 2), x),
      be32: (o, x) => v.setUint32(at(o, 4), x),
      be64: (o, x) => v.setBigUint64(at(o, 8), x),
      le16: (o, x) => v.setUint16(at(o, 2), x, true),
      le32: (o, x) => v.setUint32(at(o, 4), x, true),
      le64: (o, x) => v.setBigUint64(at(o, 8), x, true),
    };
  }

  /** bpf_xdp_adjust_head in net/core/filter.c; the delta is an int. */
  #adjustHead(delta: number): boolean {
    this.#epoch++;
    const to = this.#start + (delta | 0);
    const metadata = this.#start - this.#meta;
    if (to < FRAME_STRUCT + metadata || to > this.#linear - ETHERNET) return false;
    this.#buffer.copyWithin(to - metadata, this.#meta, this.#start);
    this.#meta = to - metadata;
    this.#start = to;
    return true;
  }

  /** bpf_xdp_adjust_tail: what is gained is zero. A packet in several buffers shrinks; whether it grows is the driver's. */
  #adjustTail(delta: number): boolean {
    this.#epoch++;
    const by = delta | 0;
    const to = this.#end + by;
    const several = this.#linear < this.#end;
    if (to < this.#start + ETHERNET || (several ? by > 0 : to > HARD_END)) return false;
    if (to > this.#end) this.#buffer.fill(0, this.#end, to);
    this.#end = to;
    this.#linear = several ? Math.min(this.#linear, to) : to;
    return true;
  }

  /** bpf_xdp_adjust_meta: multiples of four before the packet. */
  #adjustMeta(delta: number): boolean {
    this.#epoch++;
    const to = this.#meta + (delta | 0);
    const size = this.#start - to;
    if (to < FRAME_STRUCT || size < 0 || size > MAX_META || size % 4 !== 0) return false;
    this.#meta = to;
    return true;
  }
}
