import { createReadStream } from 'node:fs';
import { loadObject, type Program, type XdpAction } from '../bpf/index.ts';
import { ArgumentError } from '../error.ts';
import { LinkType, readCapture } from '../packet/index.ts';
import { PacketLink } from '../xsk/index.ts';
import { chooseProgram, neededPrograms } from './load.ts';

export interface RunOptions {
  /** A capture file, or the name of an interface. */
  readonly source: string;
  readonly object: Uint8Array;
  /** Which of its programs. Default is the only one for interfaces. */
  readonly program?: string | undefined;
  readonly netns?: string | undefined;
  /** Ends after so many packets. Default is never. */
  readonly count?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a program decided on one packet. */
export interface Verdict {
  /** From 1. */
  readonly packet: number;
  /** In ns since 1970 (UTC). */
  readonly timestamp: bigint;
  /** Bytes of the packet that the program saw. */
  readonly length: number;
  readonly action: XdpAction | undefined;
  /** What it returned. */
  readonly returned: number;
  /** The packet afterwards, where the program changed it. */
  readonly changed: Uint8Array | undefined;
  readonly bytes: Uint8Array;
}

/** The shortest frame that the kernel runs a program on. */
const SHORTEST = 14;

/**
 * Runs a program over captured packets, in the kernel but on no interface: a filter's verdicts before it is attached.
 *
 * The packets of an interface are copies: the network goes on as without it.
 *
 * @throws ArgumentError for a capture whose packets have no Ethernet header; CodecError for a file that is no capture.
 */
export async function* verdicts(options: RunOptions): AsyncGenerator<Verdict> {
  const object = loadObject(options.object);
  const program = chooseProgram(object, options.program);
  using loaded = object.load({ programs: neededPrograms(object, program) });
  const main = loaded.programs[program.name];
  if (main === undefined) return;
  let packet = 0;
  for await (const { bytes, timestamp } of packetsOf(options)) {
    if (bytes.length < SHORTEST) continue;
    packet++;
    yield decide(main, packet, bytes, timestamp);
    if (packet >= (options.count ?? Number.POSITIVE_INFINITY)) return;
  }
}

function decide(program: Program, packet: number, bytes: Uint8Array, timestamp: bigint): Verdict {
  const { action, returned, data } = program.testRun({ data: bytes });
  const same = data.length === bytes.length && data.every((byte, i) => byte === bytes[i]);
  return {
    packet,
    timestamp,
    length: bytes.length,
    action,
    returned,
    changed: same ? undefined : data,
    bytes,
  };
}

interface Packet {
  readonly bytes: Uint8Array;
  readonly timestamp: bigint;
}

async function* packetsOf(options: RunOptions): AsyncGenerator<Packet> {
  if (/\.(pcap|pcapng|cap)$/.test(options.source) || options.source.includes('/')) {
    for await (const packet of readCapture(createReadStream(options.source))) {
      if (options.signal?.aborted === true) return;
      const { linkType } = packet.interface;
      if (linkType !== LinkType.ethernet) {
        throw new ArgumentError(
          `${options.source}: packets of link type ${linkType} have no Ethernet header`,
          {
            hint: 'Capture on an Ethernet interface, not on "any".',
          },
        );
      }
      yield packet;
    }
    return;
  }
  yield* packetsOfInterface(options);
}

async function* packetsOfInterface({ source, netns, signal }: RunOptions): AsyncGenerator<Packet> {
  const link = PacketLink.open(source, netns === undefined ? {} : { netns });
  try {
    while (signal?.aborted !== true) {
      const batch: Packet[] = [];
      link.receive((bytes, address, length) => {
        // Out of memory that is shared with the kernel.
        const copy = Uint8Array.from(bytes.subarray(address, address + length));
        batch.push({ bytes: copy, timestamp: BigInt(Date.now()) * 1_000_000n });
      });
      yield* batch;
      if (batch.length === 0) await link.readable(signal);
    }
  } finally {
    await link.close();
  }
}
