import { CodecError } from '../error.ts';
import {
  type CapturedPacket,
  type CaptureInterface,
  type CaptureParser,
  type CaptureSection,
  LinkType,
} from './capture-format.ts';
import { ChunkBuffer } from './chunks.ts';
import { LayerKind } from './decode.ts';
import { PcapParser } from './pcap.ts';
import { PcapngParser } from './pcapng.ts';

/**
 * Reads a capture file, pcap or pcapng, of either byte order, from chunks of any size.
 *
 *     for await (const chunk of file) for (const packet of reader.push(chunk)) …
 *     reader.end();
 */
export class CaptureReader {
  readonly #buffer = new ChunkBuffer();
  #parser: CaptureParser | undefined;

  /** The interfaces of the current section so far. */
  get interfaces(): readonly CaptureInterface[] {
    return this.#parser?.interfaces ?? [];
  }

  /** Of the current section; empty for pcap. */
  get section(): CaptureSection {
    return this.#parser?.section ?? {};
  }

  /**
   * The packets that the next bytes of the file complete.
   *
   * The chunk is kept, not copied: it must not be overwritten. Packets that the caller does not ask for come with
   * the next chunk.
   *
   * @throws CodecError, from the iterator, if the file is malformed.
   */
  push(chunk: Uint8Array): IterableIterator<CapturedPacket> {
    this.#buffer.push(chunk);
    return this.#packets();
  }

  /** To be called at the end of the file. @throws CodecError if it ends in the middle of a record. */
  end(): void {
    if (this.#buffer.length > 0) {
      throw new CodecError('capture', this.#buffer.start, 'the file ends in the middle of a record');
    }
  }

  *#packets(): IterableIterator<CapturedPacket> {
    for (;;) {
      this.#parser ??= parserFor(this.#buffer);
      const packet = this.#parser?.next(this.#buffer);
      if (packet === undefined) return;
      if (packet !== null) yield packet;
    }
  }
}

/** The packets of a capture file whose bytes come from `chunks`, a file stream for one. */
export async function* readCapture(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<CapturedPacket, void, undefined> {
  const reader = new CaptureReader();
  for await (const chunk of chunks) yield* reader.push(chunk);
  reader.end();
}

/** What `PacketLayers.decode` is to begin with for a packet of a link type; `payload` for types without a codec. */
export function firstLayer(linkType: number, packet: Uint8Array): number {
  switch (linkType) {
    case LinkType.ethernet:
      return LayerKind.eth;
    case LinkType.raw:
      return packet.length > 0 && packet[0]! >>> 4 === 6 ? LayerKind.ipv6 : LayerKind.ipv4;
    case LinkType.ipv4:
      return LayerKind.ipv4;
    case LinkType.ipv6:
      return LayerKind.ipv6;
    case LinkType.ppp:
      return LayerKind.ppp;
    default:
      return LayerKind.payload;
  }
}

/** By the file's first four bytes; `undefined` as long as they are not there. */
function parserFor(buffer: ChunkBuffer): CaptureParser | undefined {
  if (buffer.length < 4) return undefined;
  const magic = buffer.bytes.subarray(buffer.start, buffer.start + 4);
  const parser = PcapngParser.for(magic) ?? PcapParser.for(magic);
  if (parser === undefined) throw new CodecError('capture', 0, 'neither pcap nor pcapng');
  return parser;
}
