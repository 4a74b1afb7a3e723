import { ArgumentError } from '../error.ts';
import type { CaptureInterface, CaptureSection, CaptureStatistics } from './capture-format.ts';
import { GrowingBuffer } from './chunks.ts';
import { BlockType, BYTE_ORDER_MAGIC, OptionCode, paddedLength } from './pcapng-format.ts';
import { requireField, requireRange } from './view.ts';

/** What an interface of a written capture is; `linkType` is 1, Ethernet, by default. */
export type PcapngInterface = Partial<Omit<CaptureInterface, 'statistics'>>;

/** What may go with a packet beside its bytes and its time. */
export interface PcapngPacketDetails {
  /** Default is 0, the first that was added. */
  readonly interfaceId?: number;
  /** Bytes on the wire, where some were cut before. Default is all that are given. */
  readonly originalLength?: number;
  readonly comments?: readonly string[];
  /** Direction in the low two bits: 1 is inbound, 2 outbound. */
  readonly flags?: number;
  /** Packets lost between this one and the one before it on the same interface. */
  readonly dropCount?: bigint;
}

const NO_DETAILS: PcapngPacketDetails = {};
const encoder = new TextEncoder();

/**
 * Writes a pcapng file in little-endian order with timestamps in nanoseconds: packets in, chunks out.
 *
 *     const writer = new PcapngWriter({ application: 'barewire' });
 *     const id = writer.addInterface({ name: 'bw0' });
 *     writer.packet(frame, 0, frame.length, timestamp);
 *     writer.statistics(id, { timestamp, received: 1n, dropped: 0n });
 *     file.write(writer.take());
 */
export class PcapngWriter {
  readonly #out = new GrowingBuffer(64 * 1024);
  readonly #snapLengths: number[] = [];

  constructor(section: CaptureSection = {}) {
    this.#block(BlockType.section, 16, [
      ...commentOptions(section.comments),
      ...textOption(OptionCode.hardware, section.hardware),
      ...textOption(OptionCode.os, section.os),
      ...textOption(OptionCode.application, section.application),
    ]);
    const { view } = this.#out;
    view.setUint32(8, BYTE_ORDER_MAGIC, true);
    view.setUint16(12, 1, true);
    // The section's length is not known while it grows.
    view.setBigInt64(16, -1n, true);
  }

  /** Bytes that wait to be taken. */
  get size(): number {
    return this.#out.length;
  }

  /** Describes an interface. @returns its id, counted from 0. */
  addInterface(description: PcapngInterface = {}): number {
    const { linkType = 1, snapLength = 0, filter } = description;
    requireField('pcapng linkType', linkType, 0xffff);
    requireField('pcapng snapLength', snapLength, 0xffffffff);
    const body = this.#block(BlockType.interface, 8, [
      ...textOption(OptionCode.interfaceName, description.name),
      ...textOption(OptionCode.interfaceDescription, description.description),
      ...textOption(OptionCode.interfaceFilter, filter === undefined ? undefined : `\0${filter}`),
      ...textOption(OptionCode.interfaceOs, description.os),
      { code: OptionCode.timestampResolution, data: Uint8Array.of(9) },
    ]);
    this.#out.view.setUint16(body, linkType, true);
    this.#out.view.setUint32(body + 4, snapLength, true);
    return this.#snapLengths.push(snapLength) - 1;
  }

  /**
   * Appends the packet that lies in `bytes` from `offset` to `end`.
   *
   * @param timestamp In ns since 1970 (UTC).
   */
  packet(
    bytes: Uint8Array,
    offset: number,
    end: number,
    timestamp: bigint,
    details: PcapngPacketDetails = NO_DETAILS,
  ): void {
    const { interfaceId = 0, originalLength = end - offset } = details;
    requireRange('pcapng', bytes, offset, end);
    const snapLength = this.#snapLengths[interfaceId];
    if (snapLength === undefined) throw unknownInterface(interfaceId);
    requireField('pcapng originalLength', originalLength, 0xffffffff);
    const captured = Math.min(end - offset, snapLength || Number.POSITIVE_INFINITY);
    requireUnsigned64('pcapng timestamp', timestamp);
    const options = details === NO_DETAILS ? NO_OPTIONS : packetOptions(details);
    const body = this.#block(BlockType.enhancedPacket, 20 + paddedLength(captured), options);
    const { view } = this.#out;
    view.setUint32(body, interfaceId, true);
    putTimestamp(view, body + 4, timestamp);
    view.setUint32(body + 12, captured, true);
    view.setUint32(body + 16, originalLength, true);
    this.#out.bytes.set(bytes.subarray(offset, offset + captured), body + 20);
  }

  /** Appends the counters of an interface; the last of several holds. */
  statistics(interfaceId: number, statistics: CaptureStatistics): void {
    if (this.#snapLengths[interfaceId] === undefined) throw unknownInterface(interfaceId);
    requireUnsigned64('pcapng timestamp', statistics.timestamp);
    const body = this.#block(BlockType.statistics, 12, [
      ...counterOption(OptionCode.received, statistics.received),
      ...counterOption(OptionCode.dropped, statistics.dropped),
      ...counterOption(OptionCode.accepted, statistics.accepted),
      ...counterOption(OptionCode.osDropped, statistics.osDropped),
      ...counterOption(OptionCode.delivered, statistics.delivered),
    ]);
    this.#out.view.setUint32(body, interfaceId, true);
    putTimestamp(this.#out.view, body + 4, statistics.timestamp);
  }

  /** Hands over what was written since the last time; the first chunk begins with the section header. */
  take(): Uint8Array {
    return this.#out.take();
  }

  /** A block with a body of `fixed` zeros and options behind them. @returns where the body begins. */
  #block(type: number, fixed: number, options: readonly Option[]): number {
    let optionsLength = options.length === 0 ? 0 : 4;
    for (const { data } of options) optionsLength += 4 + paddedLength(data.length);
    const length = 12 + fixed + optionsLength;
    const start = this.#out.reserve(length);
    const { bytes, view } = this.#out;
    view.setUint32(start, type, true);
    view.setUint32(start + 4, length, true);
    let at = start + 8 + fixed;
    for (const { code, data } of options) {
      view.setUint16(at, code, true);
      view.setUint16(at + 2, data.length, true);
      bytes.set(data, at + 4);
      at += 4 + paddedLength(data.length);
    }
    view.setUint32(start + length - 4, length, true);
    return start + 8;
  }
}

const NO_OPTIONS: readonly Option[] = [];
/** A number of 64 bits and its halves: the machines we run on are little-endian. */
const WHOLE = new BigUint64Array(1);
const HALVES = new Uint32Array(WHOLE.buffer);
const LIMIT = 1n << 64n;

interface Option {
  readonly code: number;
  readonly data: Uint8Array;
}

function packetOptions(details: PcapngPacketDetails): Option[] {
  const options = commentOptions(details.comments);
  if (details.flags !== undefined) {
    requireField('pcapng flags', details.flags, 0xffffffff);
    const data = new Uint8Array(4);
    new DataView(data.buffer).setUint32(0, details.flags, true);
    options.push({ code: OptionCode.flags, data });
  }
  return [...options, ...counterOption(OptionCode.dropCount, details.dropCount)];
}

function commentOptions(comments: readonly string[] = []): Option[] {
  return comments.flatMap((comment) => textOption(OptionCode.comment, comment));
}

function textOption(code: number, text: string | undefined): Option[] {
  if (text === undefined) return [];
  const data = encoder.encode(text);
  requireField('pcapng option length', data.length, 0xffff);
  return [{ code, data }];
}

function counterOption(code: number, value: bigint | undefined): Option[] {
  if (value === undefined) return [];
  requireUnsigned64('pcapng counter', value);
  const data = new Uint8Array(8);
  new DataView(data.buffer).setBigUint64(0, value, true);
  return [{ code, data }];
}

/** The upper half comes first, in either byte order. */
function putTimestamp(view: DataView, offset: number, timestamp: bigint): void {
  WHOLE[0] = timestamp;
  view.setUint32(offset, HALVES[1]!, true);
  view.setUint32(offset + 4, HALVES[0]!, true);
}

function requireUnsigned64(name: string, value: bigint): void {
  if (value < 0n || value >= LIMIT) throw new ArgumentError(`${name} must be below 2^64, not ${value}`);
}

function unknownInterface(id: number): ArgumentError {
  return new ArgumentError(`no interface ${id} was added to the capture`, {
    hint: 'Call addInterface first and use the id that it returns.',
  });
}
