import { CodecError } from '../error.ts';
import {
  type CapturedPacket,
  type CaptureInterface,
  type CaptureParser,
  type CaptureSection,
  type CaptureStatistics,
  MAXIMUM_RECORD,
} from './capture-format.ts';
import type { ChunkBuffer } from './chunks.ts';
import { BlockType, BYTE_ORDER_MAGIC, OptionCode, paddedLength } from './pcapng-format.ts';
import { copyBytes } from './wire.ts';

/** Reading pcapng files (draft-ietf-opsawg-pcapng): blocks of a type, a length, a body and the length again. */
const BLOCK_OVERHEAD = 12;
const NANOSECONDS = 1_000_000_000n;

/** Bytes of a block's body before its options or packet data. */
const FIXED: Readonly<Record<number, number>> = {
  [BlockType.section]: 16,
  [BlockType.interface]: 8,
  [BlockType.packet]: 20,
  [BlockType.simplePacket]: 4,
  [BlockType.statistics]: 12,
  [BlockType.enhancedPacket]: 20,
};

/** An interface with the clock that its timestamps need. */
interface Source {
  readonly interface: CaptureInterface;
  /** A timestamp's unit is `numerator / denominator` ns. */
  readonly numerator: bigint;
  readonly denominator: bigint;
  /** In ns, added to every timestamp. */
  readonly offset: bigint;
}

/** One block: its body lies from `start` to `end`. */
interface Block {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly start: number;
  readonly end: number;
}

export class PcapngParser implements CaptureParser {
  section: CaptureSection = {};
  #littleEndian = true;
  #sources: Source[] = [];

  get interfaces(): readonly CaptureInterface[] {
    return this.#sources.map((source) => source.interface);
  }

  /** A parser for a file that begins with `magic`, or `undefined` if that is no pcapng file. */
  static for(magic: Uint8Array): PcapngParser | undefined {
    const view = new DataView(magic.buffer, magic.byteOffset, 4);
    return view.getUint32(0) === BlockType.section ? new PcapngParser() : undefined;
  }

  next(buffer: ChunkBuffer): CapturedPacket | null | undefined {
    const { bytes, start } = buffer;
    if (buffer.length < BLOCK_OVERHEAD) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    // The type of a section header reads alike in both orders, and the order of all that follows is in it.
    const type = view.getUint32(start, this.#littleEndian);
    if (type === BlockType.section) this.#readByteOrder(view, start);
    const length = view.getUint32(start + 4, this.#littleEndian);
    const fixed = FIXED[type] ?? 0;
    if (length % 4 !== 0 || length < BLOCK_OVERHEAD + fixed || length > MAXIMUM_RECORD) {
      throw new CodecError('pcapng', start, `a block of type ${type} and ${length} bytes`);
    }
    if (buffer.length < length) return undefined;
    if (view.getUint32(start + length - 4, this.#littleEndian) !== length) {
      throw new CodecError('pcapng', start + length - 4, 'the two lengths of a block differ');
    }
    buffer.start = start + length;
    const block: Block = { bytes, view, start: start + 8, end: start + length - 4 };
    switch (type) {
      case BlockType.section:
        this.#readSection(block);
        return null;
      case BlockType.interface:
        this.#readInterface(block);
        return null;
      case BlockType.statistics:
        this.#readStatistics(block);
        return null;
      case BlockType.enhancedPacket:
        return this.#enhancedPacket(block);
      case BlockType.simplePacket:
        return this.#simplePacket(block);
      case BlockType.packet:
        return this.#obsoletePacket(block);
      default:
        return null;
    }
  }

  #readByteOrder(view: DataView, start: number): void {
    if (view.getUint32(start + 8, true) === BYTE_ORDER_MAGIC) this.#littleEndian = true;
    else if (view.getUint32(start + 8, false) === BYTE_ORDER_MAGIC) this.#littleEndian = false;
    else throw new CodecError('pcapng', start + 8, 'no byte-order magic');
  }

  #readSection(block: Block): void {
    const major = block.view.getUint16(block.start + 4, this.#littleEndian);
    if (major !== 1) throw new CodecError('pcapng', block.start + 4, `version ${major}`);
    this.#sources = [];
    const section: { -readonly [K in keyof CaptureSection]: CaptureSection[K] } = {};
    for (const option of this.#options(block, block.start + 16)) {
      const text = (): string => textOf(block.bytes, option.start, option.end);
      if (option.code === OptionCode.comment) section.comments = [...(section.comments ?? []), text()];
      else if (option.code === OptionCode.hardware) section.hardware = text();
      else if (option.code === OptionCode.os) section.os = text();
      else if (option.code === OptionCode.application) section.application = text();
    }
    this.section = section;
  }

  #readInterface(block: Block): void {
    const { bytes, view, start } = block;
    const found: { -readonly [K in keyof CaptureInterface]: CaptureInterface[K] } = {
      linkType: view.getUint16(start, this.#littleEndian),
      snapLength: view.getUint32(start + 4, this.#littleEndian),
    };
    let resolution = 6;
    let offset = 0n;
    for (const option of this.#options(block, start + 8)) {
      const length = option.end - option.start;
      const text = (): string => textOf(bytes, option.start, option.end);
      if (option.code === OptionCode.interfaceName) found.name = text();
      else if (option.code === OptionCode.interfaceDescription) found.description = text();
      else if (option.code === OptionCode.interfaceOs) found.os = text();
      // Its first byte says what kind of filter it is; 0 is a string.
      else if (option.code === OptionCode.interfaceFilter && length > 0 && bytes[option.start] === 0) {
        found.filter = textOf(bytes, option.start + 1, option.end);
      } else if (option.code === OptionCode.timestampResolution && length === 1) {
        resolution = bytes[option.start]!;
      } else if (option.code === OptionCode.timestampOffset && length === 8) {
        offset = view.getBigInt64(option.start, this.#littleEndian) * NANOSECONDS;
      }
    }
    const exponent = BigInt(resolution & 0x7f);
    const denominator = resolution & 0x80 ? 2n ** exponent : 10n ** exponent;
    // Down to nanoseconds the division would leave no remainder: a factor does.
    const whole = NANOSECONDS % denominator === 0n;
    this.#sources.push({
      interface: found,
      numerator: whole ? NANOSECONDS / denominator : NANOSECONDS,
      denominator: whole ? 1n : denominator,
      offset,
    });
  }

  #readStatistics(block: Block): void {
    const { view, start } = block;
    const source = this.#source(block, view.getUint32(start, this.#littleEndian));
    const statistics: { -readonly [K in keyof CaptureStatistics]: CaptureStatistics[K] } = {
      timestamp: this.#timestamp(view, start + 4, source),
    };
    for (const option of this.#options(block, start + 12)) {
      if (option.end - option.start !== 8) continue;
      const value = view.getBigUint64(option.start, this.#littleEndian);
      if (option.code === OptionCode.received) statistics.received = value;
      else if (option.code === OptionCode.dropped) statistics.dropped = value;
      else if (option.code === OptionCode.accepted) statistics.accepted = value;
      else if (option.code === OptionCode.osDropped) statistics.osDropped = value;
      else if (option.code === OptionCode.delivered) statistics.delivered = value;
    }
    source.interface.statistics = statistics;
  }

  #enhancedPacket(block: Block): CapturedPacket {
    const { bytes, view, start, end } = block;
    const source = this.#source(block, view.getUint32(start, this.#littleEndian));
    const captured = view.getUint32(start + 12, this.#littleEndian);
    const data = start + 20;
    if (captured > end - data) throw new CodecError('pcapng', start, 'a packet runs past its block');
    const packet: { -readonly [K in keyof CapturedPacket]: CapturedPacket[K] } = {
      bytes: bytes.subarray(data, data + captured),
      timestamp: this.#timestamp(view, start + 4, source),
      originalLength: view.getUint32(start + 16, this.#littleEndian),
      interface: source.interface,
    };
    for (const option of this.#options(block, data + paddedLength(captured))) {
      const length = option.end - option.start;
      if (option.code === OptionCode.comment) {
        packet.comments = [...(packet.comments ?? []), textOf(bytes, option.start, option.end)];
      } else if (option.code === OptionCode.flags && length === 4) {
        packet.flags = view.getUint32(option.start, this.#littleEndian);
      } else if (option.code === OptionCode.dropCount && length === 8) {
        packet.dropCount = view.getBigUint64(option.start, this.#littleEndian);
      }
    }
    return packet;
  }

  /** Without timestamp, interface and captured length: those follow from the first interface. */
  #simplePacket(block: Block): CapturedPacket {
    const { bytes, view, start, end } = block;
    const source = this.#source(block, 0);
    const originalLength = view.getUint32(start, this.#littleEndian);
    const captured = Math.min(originalLength, source.interface.snapLength || originalLength);
    const data = start + 4;
    if (captured > end - data) throw new CodecError('pcapng', start, 'a packet runs past its block');
    return {
      bytes: bytes.subarray(data, data + captured),
      timestamp: 0n,
      originalLength,
      interface: source.interface,
    };
  }

  /** The packet block that enhanced packet blocks replaced; old files still hold it. */
  #obsoletePacket(block: Block): CapturedPacket {
    const { bytes, view, start, end } = block;
    const source = this.#source(block, view.getUint16(start, this.#littleEndian));
    const captured = view.getUint32(start + 12, this.#littleEndian);
    const data = start + 20;
    if (captured > end - data) throw new CodecError('pcapng', start, 'a packet runs past its block');
    return {
      bytes: bytes.subarray(data, data + captured),
      timestamp: this.#timestamp(view, start + 4, source),
      originalLength: view.getUint32(start + 16, this.#littleEndian),
      interface: source.interface,
    };
  }

  #source(block: Block, id: number): Source {
    const source = this.#sources[id];
    if (source === undefined) throw new CodecError('pcapng', block.start, `no interface ${id} was described`);
    return source;
  }

  /** The upper half comes first, in either byte order. */
  #timestamp(view: DataView, offset: number, source: Source): bigint {
    const high = view.getUint32(offset, this.#littleEndian);
    const low = view.getUint32(offset + 4, this.#littleEndian);
    const units = (BigInt(high) << 32n) | BigInt(low);
    return (units * source.numerator) / source.denominator + source.offset;
  }

  /** The options from `offset` to the end of a block. */
  *#options(block: Block, offset: number): IterableIterator<{ code: number; start: number; end: number }> {
    let at = offset;
    while (at + 4 <= block.end) {
      const code = block.view.getUint16(at, this.#littleEndian);
      const length = block.view.getUint16(at + 2, this.#littleEndian);
      if (code === OptionCode.end) return;
      const start = at + 4;
      if (start + length > block.end) throw new CodecError('pcapng', at, 'an option runs past its block');
      yield { code, start, end: start + length };
      at = start + paddedLength(length);
    }
  }
}

const decoder = new TextDecoder();

/** UTF-8 by the format; what is none becomes U+FFFD. */
function textOf(bytes: Uint8Array, start: number, end: number): string {
  // A copy: TextDecoder takes no view of shared memory.
  return decoder.decode(copyBytes(bytes, start, end));
}
