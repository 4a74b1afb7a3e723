import { ArgumentError } from '../error.ts';
import type { XskSocket } from './socket.ts';
import { DescriptorOption } from './uapi.ts';

/**
 * Received packets whose frames are ours for as long as we want: packet `i` is `lengths[i]` bytes of `bytes` from
 * `addresses[i]` on.
 *
 * One batch is used over and over. Each packet is given back with the batch, unless it was sent on or kept.
 */
export class PacketBatch {
  readonly socket: XskSocket;
  readonly capacity: number;
  /** The UMEM's. */
  readonly bytes: Uint8Array;
  /** -1 for a packet that was sent or kept. */
  readonly addresses: Int32Array;
  readonly lengths: Int32Array;
  /** Bits of `DescriptorOption`. */
  readonly options: Int32Array;
  count = 0;

  /** @param capacity Packets at most. Default is 64. */
  constructor(socket: XskSocket, capacity = 64) {
    if (!Number.isInteger(capacity) || capacity < 1)
      throw new ArgumentError(`a batch of ${capacity} packets`);
    this.socket = socket;
    this.capacity = capacity;
    this.bytes = socket.umem.bytes;
    this.addresses = new Int32Array(capacity);
    this.lengths = new Int32Array(capacity);
    this.options = new Int32Array(capacity);
  }

  /** Whether packet `i` goes on in packet `i + 1`, of this batch or the next. */
  continues(i: number): boolean {
    return (this.options[i]! & DescriptorOption.continued) !== 0;
  }

  /** Shows each packet that is still in the batch. */
  forEach(visit: (bytes: Uint8Array, address: number, length: number, index: number) => void): void {
    for (let i = 0; i < this.count; i++) {
      const address = this.addresses[i]!;
      if (address >= 0) visit(this.bytes, address, this.lengths[i]!, i);
    }
  }

  /** A copy of packet `i`. */
  copy(i: number): Uint8Array {
    const address = this.#addressOf(i);
    return this.bytes.slice(address, address + this.lengths[i]!);
  }

  /**
   * Puts packet `i`, changed or not, on the TX ring of `to`, in place; `flush` there sends it.
   *
   * @returns false when that ring is full, and the packet is still in the batch.
   */
  send(i: number, length: number = this.lengths[i]!, to: XskSocket = this.socket): boolean {
    if (to.umem !== this.socket.umem) throw new ArgumentError('packets are sent on within one UMEM only');
    const kept = this.options[i]! & DescriptorOption.continued;
    if (!to.enqueue(this.#addressOf(i), length, kept)) return false;
    this.addresses[i] = -1;
    return true;
  }

  /** Keeps packet `i` beyond the batch: its address, to be given to `socket.release` or `socket.enqueue` one day. */
  keep(i: number): number {
    const address = this.#addressOf(i);
    this.addresses[i] = -1;
    return address;
  }

  /** Gives back every packet that is still in the batch. */
  release(): void {
    for (let i = 0; i < this.count; i++) {
      const address = this.addresses[i]!;
      if (address >= 0) this.socket.release(address);
    }
    this.count = 0;
  }

  #addressOf(i: number): number {
    const address = i < this.count ? this.addresses[i]! : -1;
    if (address < 0) throw new ArgumentError(`packet ${i} is not in the batch any more`);
    return address;
  }
}
