import { ArgumentError } from '../../error.ts';
import { type HeaderName, headerLayouts } from '../../packet/headers.ts';
import { CHECKSUM } from '../front/library.ts';
import { MAX_OFFSET } from '../front/packet.ts';
import type { Packet, Reader, Writer } from '../view.ts';
import { headerView, type Memory } from './views.ts';

/** Thrown by an access beyond the packet's end; the runner turns it into the verdict `onShort`. */
export class ShortPacket extends RangeError {}

/** Thrown by a view from before the packet's ends moved. */
export class StaleView extends Error {}

/** Bytes before a packet in the kernel's test runs (XDP_PACKET_HEADROOM), and what the kernel keeps of them. */
const HEADROOM = 256;
const FRAME_STRUCT = 40;
/** A page less `struct skb_shared_info`. */
const HARD_END = 4096 - 320;
const MAX_META = 252;
const ETHERNET = 14;

/** One packet on its way through a program in Node. */
export class RunPacket {
  readonly #buffer: Uint8Array;
  readonly #view: DataView;
  #start = HEADROOM;
  #end: number;
  #meta = HEADROOM;
  #epoch = 0;

  constructor(bytes: Uint8Array) {
    if (bytes.length > MAX_OFFSET) {
      throw new ArgumentError(
        `a packet of ${bytes.length} bytes is more than a program can reach (${MAX_OFFSET})`,
      );
    }
    this.#buffer = new Uint8Array(Math.max(HARD_END, HEADROOM + bytes.length + 320));
    this.#buffer.set(bytes, HEADROOM);
    this.#view = new DataView(this.#buffer.buffer);
    this.#end = HEADROOM + bytes.length;
  }

  /** A copy of the packet as it is now. */
  bytes(): Uint8Array {
    return this.#buffer.slice(this.#start, this.#end);
  }

  #at(offset: number, size: number): number {
    if (offset < 0 || offset + size > this.#end - this.#start) {
      throw new ShortPacket(`bytes ${offset} to ${offset + size} of a packet of ${this.#end - this.#start}`);
    }
    return this.#start + offset;
  }

  /** What the function gets as `pkt`. */
  api(context: { ingressIfindex: number; rxQueue: number }): Packet {
    const reader = this.#reader();
    const writer = this.#writer();
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
      whole: { ...reader, store: writer },
      bytes,
      has: (offset: number, size: number): boolean => offset >= 0 && offset + size <= length(),
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

  #reader(): Reader {
    const v = this.#view;
    return {
      u8: (o) => v.getUint8(this.#at(o, 1)),
      be16: (o) => v.getUint16(this.#at(o, 2)),
      be32: (o) => v.getUint32(this.#at(o, 4)),
      be64: (o) => v.getBigUint64(this.#at(o, 8)),
      le16: (o) => v.getUint16(this.#at(o, 2), true),
      le32: (o) => v.getUint32(this.#at(o, 4), true),
      le64: (o) => v.getBigUint64(this.#at(o, 8), true),
    };
  }

  #writer(): Writer {
    const v = this.#view;
    return {
      u8: (o, x) => v.setUint8(this.#at(o, 1), x),
      be16: (o, x) => v.setUint16(this.#at(o, 2), x),
      be32: (o, x) => v.setUint32(this.#at(o, 4), x),
      be64: (o, x) => v.setBigUint64(this.#at(o, 8), x),
      le16: (o, x) => v.setUint16(this.#at(o, 2), x, true),
      le32: (o, x) => v.setUint32(this.#at(o, 4), x, true),
      le64: (o, x) => v.setBigUint64(this.#at(o, 8), x, true),
    };
  }

  /** bpf_xdp_adjust_head in net/core/filter.c; the delta is an int. */
  #adjustHead(delta: number): boolean {
    this.#epoch++;
    const to = this.#start + (delta | 0);
    const metadata = this.#start - this.#meta;
    if (to < FRAME_STRUCT + metadata || to > this.#end - ETHERNET) return false;
    this.#buffer.copyWithin(to - metadata, this.#meta, this.#start);
    this.#meta = to - metadata;
    this.#start = to;
    return true;
  }

  /** bpf_xdp_adjust_tail: what is gained is zero. */
  #adjustTail(delta: number): boolean {
    this.#epoch++;
    const to = this.#end + (delta | 0);
    if (to > HARD_END || to < this.#start + ETHERNET) return false;
    if (to > this.#end) this.#buffer.fill(0, this.#end, to);
    this.#end = to;
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
