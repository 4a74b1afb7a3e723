import { ArgumentError } from '../error.ts';
import { Netlink } from '../netlink/index.ts';
import type { Netns } from '../sys/index.ts';
import type { XskSocket } from './socket.ts';
import { DescriptorOption } from './uapi.ts';
import { TX_METADATA_SIZE } from './umem.ts';

/** What is asked for one packet. */
export interface TxRequest {
  /**
   * An Internet checksum over the packet from byte `start` to its end, put at byte `start + offset`, where the sum of
   * the pseudo-header stands already. Done by the card or the kernel; where neither can, here.
   */
  readonly checksum?: { readonly start: number; readonly offset: number };
  /** Note when it was sent, for `timestampOf`. Default is not to. */
  readonly timestamp?: boolean;
  /** When the card is to send it, in ns of the card's clock; for cards that can (Linux 6.14). */
  readonly launchTime?: bigint;
}

/** `XDP_TXMD_FLAGS_` (linux/if_xdp.h). */
const FLAG = { timestamp: 1n, checksum: 2n, launchTime: 4n } as const;

/**
 * Requests that go with packets to be sent, on a socket whose UMEM has `txMetadata`.
 *
 * @example
 * const address = socket.reserve();
 * // … write the packet there …
 * const options = metadata.request(address, length, { checksum: { start: 34, offset: 6 } });
 * socket.enqueue(address, length, options);
 */
export class TxMetadata {
  readonly #socket: XskSocket;
  readonly #view: DataView;
  /** Whether somebody below takes checksums off us. */
  readonly checksumOffload: boolean;

  /** @throws ArgumentError when the socket's UMEM has no room for metadata. */
  constructor(socket: XskSocket, options: { readonly netns?: Netns | string | undefined } = {}) {
    const { umem } = socket;
    if (umem.txMetadata === false) throw new ArgumentError('the UMEM was made without `txMetadata`');
    this.#socket = socket;
    this.#view = new DataView(umem.bytes.buffer, umem.bytes.byteOffset, umem.bytes.length);
    // In copy mode the kernel sees to it, for every interface.
    this.checksumOffload = socket.mode === 'copy' || cardChecksums(socket.interface, options.netns);
  }

  /**
   * Writes the request before the packet that was built at `address`.
   *
   * @returns Options for `enqueue`.
   * @throws ArgumentError for a checksum outside of the packet.
   */
  request(address: number, length: number, request: TxRequest): number {
    const { checksum, launchTime } = request;
    const at = address - TX_METADATA_SIZE;
    if (at < this.#socket.umem.baseOf(address)) {
      throw new ArgumentError(
        'there is no room for metadata before the packet: take the address from reserve()',
      );
    }
    let flags = request.timestamp === true ? FLAG.timestamp : 0n;
    if (checksum !== undefined) {
      const { start, offset } = checksum;
      if (start < 0 || offset < 0 || start + offset + 2 > length) {
        throw new ArgumentError(`a checksum at byte ${start + offset} of a packet of ${length} bytes`);
      }
      if (this.checksumOffload) {
        flags |= FLAG.checksum;
        // struct xsk_tx_metadata { flags @0, csum_start @8, csum_offset @10, launch_time @16 }
        this.#view.setUint16(at + 8, start, true);
        this.#view.setUint16(at + 10, offset, true);
      } else {
        completeChecksum(this.#socket.umem.bytes, address + start, address + length, offset);
      }
    }
    if (launchTime !== undefined) {
      flags |= FLAG.launchTime;
      this.#view.setBigUint64(at + 16, launchTime, true);
    }
    this.#view.setBigUint64(at, flags, true);
    return flags === 0n ? 0 : DescriptorOption.txMetadata;
  }

  /**
   * When a completed packet was sent, in ns: of the card's clock, or in copy mode of CLOCK_TAI, as near as the kernel
   * comes to it. For the callback of `complete`.
   */
  timestampOf(address: number): bigint {
    return this.#view.getBigUint64(address - TX_METADATA_SIZE + 8, true);
  }
}

/**
 * The Internet checksum (RFC 1071) of `bytes` from `start` to `end`, put at `start + offset`.
 *
 * What stands there, the sum of the pseudo-header, is part of the sum.
 */
export function completeChecksum(bytes: Uint8Array, start: number, end: number, offset: number): void {
  let sum = 0;
  for (let i = start; i < end - 1; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  if (((end - start) & 1) === 1) sum += bytes[end - 1]! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  const checksum = ~sum & 0xffff;
  bytes[start + offset] = checksum >> 8;
  bytes[start + offset + 1] = checksum & 0xff;
}

function cardChecksums(name: string, netns: Netns | string | undefined): boolean {
  using net = new Netlink({ netns });
  return net.netdev.xdp(name).xskFeatures.includes('tx-checksum');
}
