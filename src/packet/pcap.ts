import { ArgumentError, CodecError } from '../error.ts';
import {
  type CapturedPacket,
  type CaptureInterface,
  type CaptureParser,
  type CaptureSection,
  MAXIMUM_RECORD,
} from './capture-format.ts';
import { type ChunkBuffer, GrowingBuffer } from './chunks.ts';
import { requireField, requireRange } from './view.ts';

/**
 * The pcap file format (draft-ietf-opsawg-pcap): a header of 24 bytes, then for every packet one of 16 and its
 * bytes. The magic number tells byte order and the unit of the fraction of a second.
 */
const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const NANOSECONDS = 1_000_000_000n;

export class PcapParser implements CaptureParser {
  readonly section: CaptureSection = {};
  interfaces: readonly CaptureInterface[] = [];
  readonly #littleEndian: boolean;
  /** Nanoseconds in a unit of the fraction. */
  readonly #unit: number;
  #interface: CaptureInterface | undefined;

  private constructor(littleEndian: boolean, unit: number) {
    this.#littleEndian = littleEndian;
    this.#unit = unit;
  }

  /** A parser for a file that begins with `magic`, or `undefined` if that is no pcap file. */
  static for(magic: Uint8Array): PcapParser | undefined {
    const view = viewOf(magic, 0, 4);
    for (const littleEndian of [true, false]) {
      const value = view.getUint32(0, littleEndian);
      if (value === MAGIC_MICROSECONDS) return new PcapParser(littleEndian, 1000);
      if (value === MAGIC_NANOSECONDS) return new PcapParser(littleEndian, 1);
    }
    return undefined;
  }

  next(buffer: ChunkBuffer): CapturedPacket | null | undefined {
    if (this.#interface === undefined) return this.#fileHeader(buffer);
    const { bytes, start, length } = buffer;
    if (length < RECORD_HEADER) return undefined;
    const view = viewOf(bytes, start, RECORD_HEADER);
    const captured = view.getUint32(8, this.#littleEndian);
    if (captured > MAXIMUM_RECORD) throw new CodecError('pcap', start, `a packet of ${captured} bytes`);
    if (length < RECORD_HEADER + captured) return undefined;
    const seconds = view.getUint32(0, this.#littleEndian);
    const fraction = view.getUint32(4, this.#littleEndian) * this.#unit;
    const data = start + RECORD_HEADER;
    buffer.start = data + captured;
    return {
      bytes: bytes.subarray(data, data + captured),
      timestamp: BigInt(seconds) * NANOSECONDS + BigInt(fraction),
      originalLength: view.getUint32(12, this.#littleEndian),
      interface: this.#interface,
    };
  }

  #fileHeader(buffer: ChunkBuffer): null | undefined {
    if (buffer.length < FILE_HEADER) return undefined;
    const view = viewOf(buffer.bytes, buffer.start, FILE_HEADER);
    const major = view.getUint16(4, this.#littleEndian);
    if (major !== 2) throw new CodecError('pcap', 4, `version ${major}`);
    // The upper half may hold the length of frame check sequences.
    const linkType = view.getUint32(20, this.#littleEndian) & 0xffff;
    this.#interface = { linkType, snapLength: view.getUint32(16, this.#littleEndian) };
    this.interfaces = [this.#interface];
    buffer.start += FILE_HEADER;
    return null;
  }
}

export interface PcapOptions {
  /** `LinkType`. Default is 1, Ethernet. */
  readonly linkType?: number;
  /** Most bytes of a packet; longer ones are cut. Default is 262144. */
  readonly snapLength?: number;
  /** Default is `nanoseconds`; some old readers know `microseconds` only. */
  readonly precision?: 'nanoseconds' | 'microseconds';
}

/** Writes a pcap file in little-endian order: packets in, chunks out. */
export class PcapWriter {
  readonly #out = new GrowingBuffer(64 * 1024);
  readonly #snapLength: number;
  readonly #unit: bigint;

  constructor(options: PcapOptions = {}) {
    const { linkType = 1, snapLength = 262_144, precision = 'nanoseconds' } = options;
    requireField('pcap linkType', linkType, 0xffff);
    requireField('pcap snapLength', snapLength, 0xffffffff);
    this.#snapLength = snapLength;
    this.#unit = precision === 'nanoseconds' ? 1n : 1000n;
    this.#out.reserve(FILE_HEADER);
    const { view } = this.#out;
    view.setUint32(0, precision === 'nanoseconds' ? MAGIC_NANOSECONDS : MAGIC_MICROSECONDS, true);
    view.setUint16(4, 2, true);
    view.setUint16(6, 4, true);
    view.setUint32(16, snapLength, true);
    view.setUint32(20, linkType, true);
  }

  /** Bytes that wait to be taken. */
  get size(): number {
    return this.#out.length;
  }

  /**
   * Appends the packet that lies in `bytes` from `offset` to `end`.
   *
   * @param timestamp In ns since 1970 (UTC), before 2106.
   * @param originalLength Bytes on the wire, where some were cut before. Default is `end - offset`.
   */
  packet(
    bytes: Uint8Array,
    offset: number,
    end: number,
    timestamp: bigint,
    originalLength: number = end - offset,
  ): void {
    requireRange('pcap', bytes, offset, end);
    const seconds = timestamp / NANOSECONDS;
    if (seconds < 0n || seconds > 0xffff_ffffn) {
      throw new ArgumentError(`pcap timestamps lie between 1970 and 2106, not at ${seconds} s`);
    }
    const captured = Math.min(end - offset, this.#snapLength || Number.POSITIVE_INFINITY);
    const start = this.#out.reserve(RECORD_HEADER + captured);
    const { view } = this.#out;
    view.setUint32(start, Number(seconds), true);
    view.setUint32(start + 4, Number((timestamp % NANOSECONDS) / this.#unit), true);
    view.setUint32(start + 8, captured, true);
    view.setUint32(start + 12, originalLength, true);
    this.#out.bytes.set(bytes.subarray(offset, offset + captured), start + RECORD_HEADER);
  }

  /** Hands over what was written since the last time; the first chunk begins with the file header. */
  take(): Uint8Array {
    return this.#out.take();
  }
}

function viewOf(bytes: Uint8Array, offset: number, length: number): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + offset, length);
}
