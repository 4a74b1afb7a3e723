import type { Umem } from '../../src/xsk/index.ts';
import { XskSocket, type XskSocketHandle } from '../../src/xsk/index.ts';
import { ConsumerRing, ProducerRing, type RingPlace } from '../../src/xsk/ring.ts';

type Name = 'rx' | 'tx' | 'fill' | 'completion';

/** Where the rings lie in the memory, in words; page 0 is the socket's own. */
const SPACING = 4096;

/**
 * The kernel's side of the four rings in plain memory: for states that a real kernel reaches once in days, such as
 * indices about to run over.
 */
export class FakeKernel {
  readonly socket: XskSocket;
  readonly #umem: Umem;
  readonly #words: Int32Array;
  readonly #handle: XskSocketHandle;
  readonly #fill: ConsumerRing;
  readonly #rx: ProducerRing;
  readonly #tx: ConsumerRing;
  readonly #completion: ProducerRing;

  /** @param options Where all indices begin, and how many entries rings have; the fill ring twice as many. */
  constructor(umem: Umem, options: { readonly start: number; readonly size: number }) {
    const { start, size } = options;
    this.#umem = umem;
    const buffer = new SharedArrayBuffer(5 * SPACING * 4, { maxByteLength: 5 * SPACING * 4 });
    const words = new Int32Array(buffer, 0, 5 * SPACING);
    this.#words = words;
    const place = (ring: number, entries: number): RingPlace => {
      const at = SPACING * ring;
      words[at] = start;
      words[at + 16] = start;
      return { producer: at, consumer: at + 16, flags: at + 32, entries: at + 64, size: entries };
    };
    const places: Record<Name, RingPlace> = {
      rx: place(1, size),
      tx: place(2, size),
      fill: place(3, 2 * size),
      completion: place(4, size),
    };
    this.#handle = {
      // No descriptor: without the flag that asks for a wake-up, no system call is made.
      fd: 0x7fff_0000,
      what: 'a socket without a kernel',
      interface: 'fake',
      queue: 0,
      rings: buffer,
      places,
      umem: umem.handle,
      mode: 'copy',
      filled: 0,
      sending: 0,
      fillTarget: umem.frames >> 1,
      busyPolled: false,
      multiBuffer: true,
    };
    this.socket = XskSocket.adopt(this.#handle);
    this.socket.fill();
    this.#fill = new ConsumerRing(words, places.fill);
    this.#rx = new ProducerRing(words, places.rx);
    this.#tx = new ConsumerRing(words, places.tx);
    this.#completion = new ProducerRing(words, places.completion);
  }

  /** The socket as it is now, for another thread. */
  handleNow(): XskSocketHandle {
    return { ...this.#handle, ...this.socket.held };
  }

  /** Receives up to `count` packets numbered from `number` on, as far as there are frames and room; how many. */
  deliver(count: number, number: number): number {
    const frames = this.#fill.available(count);
    const room = this.#rx.room(frames);
    const bytes = new DataView(this.#umem.bytes.buffer, this.#umem.bytes.byteOffset);
    for (let i = 0; i < room; i++) {
      const entry = this.#fill.first + (((this.#fill.next + i) & this.#fill.mask) << 1);
      const base = this.#words[entry]!;
      bytes.setUint32(base + 256, number + i, true);
      const at = this.#rx.first + ((this.#rx.next & this.#rx.mask) << 2);
      this.#words[at] = this.#umem.unaligned ? base : base + 256;
      this.#words[at + 1] = this.#umem.unaligned ? 256 << 16 : 0;
      this.#words[at + 2] = 60 + ((number + i) % 1000);
      this.#words[at + 3] = (number + i) % 5 === 0 ? 1 : 0;
      this.#rx.next = (this.#rx.next + 1) | 0;
    }
    this.#fill.next = (this.#fill.next + room) | 0;
    this.#fill.release();
    this.#rx.publish();
    return room;
  }

  /** Puts the last received packet on the RX ring once more, which a kernel must never do. */
  repeatLast(): void {
    const last = this.#rx.first + (((this.#rx.next - 1) & this.#rx.mask) << 2);
    const at = this.#rx.first + ((this.#rx.next & this.#rx.mask) << 2);
    this.#words.copyWithin(at, last, last + 4);
    this.#rx.next = (this.#rx.next + 1) | 0;
    this.#rx.publish();
  }

  /** Sends and completes up to `count` packets; the numbers that they begin with. */
  transmit(count: number): number[] {
    const packets = this.#completion.room(this.#tx.available(count));
    const bytes = new DataView(this.#umem.bytes.buffer, this.#umem.bytes.byteOffset);
    const numbers: number[] = [];
    for (let i = 0; i < packets; i++) {
      const at = this.#tx.first + (((this.#tx.next + i) & this.#tx.mask) << 2);
      const address = this.#words[at]!;
      numbers.push(bytes.getUint32(address, true));
      const to = this.#completion.first + ((this.#completion.next & this.#completion.mask) << 1);
      this.#words[to] = address;
      this.#words[to + 1] = this.#words[at + 1]!;
      this.#completion.next = (this.#completion.next + 1) | 0;
    }
    this.#tx.next = (this.#tx.next + packets) | 0;
    this.#tx.release();
    this.#completion.publish();
    return numbers;
  }
}
