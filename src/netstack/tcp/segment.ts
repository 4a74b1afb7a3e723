import { halfAt, wordAt } from '../ip.ts';

/** Flags of a segment (RFC 9293, section 3.1). */
export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;

/** A header without options. */
export const TCP_HEADER = 20;
/** NOP, NOP, kind 8, length 10: how everybody lays out the timestamps option (RFC 7323, appendix A). */
const TIMESTAMPS_ALONE = 0x0101_080a;

/** The segment that is being dealt with. One object serves all of them. */
export class Segment {
  sourcePort = 0;
  destinationPort = 0;
  seq = 0;
  ack = 0;
  flags = 0;
  /** As it stands in the header, not scaled. */
  window = 0;
  bytes: Uint8Array = new Uint8Array(0);
  /** The payload. */
  payload = 0;
  length = 0;
  /** Of the options; 0 and -1 where they are missing. */
  mss = 0;
  windowShift = -1;
  sackPermitted = false;
  hasTimestamps = false;
  tsValue = 0;
  tsEcho = 0;
  /** Left and right edges of the SACK blocks, in turn. */
  readonly sack: Int32Array = new Int32Array(8);
  sackCount = 0;

  /** Length in sequence space: SYN and FIN count one each. */
  get space(): number {
    return this.length + (this.flags & SYN ? 1 : 0) + (this.flags & FIN ? 1 : 0);
  }

  /** Reads header and options between `start` and `end`; false where they do not fit. The checksum is not looked at. */
  read(bytes: Uint8Array, start: number, end: number): boolean {
    if (end - start < TCP_HEADER) return false;
    const header = (bytes[start + 12]! >>> 4) << 2;
    const payload = start + header;
    if (header < TCP_HEADER || payload > end) return false;
    this.sourcePort = halfAt(bytes, start);
    this.destinationPort = halfAt(bytes, start + 2);
    this.seq = wordAt(bytes, start + 4);
    this.ack = wordAt(bytes, start + 8);
    this.flags = bytes[start + 13]!;
    this.window = halfAt(bytes, start + 14);
    this.bytes = bytes;
    this.payload = payload;
    this.length = end - payload;
    this.sackCount = 0;
    if (header === 32 && wordAt(bytes, start + 20) === TIMESTAMPS_ALONE) {
      this.mss = 0;
      this.windowShift = -1;
      this.sackPermitted = false;
      this.hasTimestamps = true;
      this.tsValue = wordAt(bytes, start + 24);
      this.tsEcho = wordAt(bytes, start + 28);
    } else this.#readOptions(bytes, start + TCP_HEADER, payload);
    return true;
  }

  /** Reads what is known and well-formed; a malformed option ends the list (RFC 9293, section 3.1). */
  #readOptions(bytes: Uint8Array, start: number, end: number): void {
    this.mss = 0;
    this.windowShift = -1;
    this.sackPermitted = false;
    this.hasTimestamps = false;
    let at = start;
    while (at < end) {
      const kind = bytes[at]!;
      if (kind === 0) return;
      if (kind === 1) {
        at++;
        continue;
      }
      const length = at + 1 < end ? bytes[at + 1]! : 0;
      if (length < 2 || at + length > end) return;
      if (kind === 2 && length === 4) this.mss = halfAt(bytes, at + 2);
      // RFC 7323, section 2.3: a shift above 14 is taken as 14.
      else if (kind === 3 && length === 3) this.windowShift = Math.min(14, bytes[at + 2]!);
      else if (kind === 4 && length === 2) this.sackPermitted = true;
      else if (kind === 5) this.#readSack(bytes, at, length);
      else if (kind === 8 && length === 10) {
        this.hasTimestamps = true;
        this.tsValue = wordAt(bytes, at + 2);
        this.tsEcho = wordAt(bytes, at + 6);
      }
      at += length;
    }
  }

  #readSack(bytes: Uint8Array, at: number, length: number): void {
    const count = (length - 2) >> 3;
    if (length !== 2 + 8 * count || count > 4) return;
    for (let i = 0; i < count; i++) {
      this.sack[2 * i] = wordAt(bytes, at + 2 + 8 * i);
      this.sack[2 * i + 1] = wordAt(bytes, at + 6 + 8 * i);
    }
    this.sackCount = count;
  }
}
