import { type Codec, codecOf } from '../layout/index.ts';
import type { MapSpec } from '../spec/index.ts';
import { Arena, type Fd, PAGE_SIZE, Poller, PROT_READ, PROT_WRITE, Readiness } from '../sys/index.ts';
import { type MapInfo, mapInfo } from './info.ts';
import { createMap } from './map-create.ts';
import { openPinned, pinObject, requireSame } from './pin.ts';

/** `linux/bpf.h`: the top bits of a record's length. */
const BUSY_BIT = 1 << 31;
const DISCARD_BIT = 1 << 30;
const HEADER_SIZE = 8;

/** Gets one record: its bytes lie in `view` at `offset`, valid until the callback returns. */
export type RecordCallback = (view: DataView, offset: number, length: number) => void;

/**
 * A BPF ring buffer: events from programs to user space, in order across CPUs, without copies.
 *
 * Its memory is laid out by `kernel/bpf/ringbuf.c`, each part on pages of its own:
 *
 *     consumer position | producer position | data … | the same data again
 *
 * The second mapping of the data makes a record that wraps contiguous. A program that finds the ring full drops the
 * event and sees a failed call; the kernel keeps no count of those.
 */
export class RingBuffer<E = unknown> implements Disposable {
  readonly spec: MapSpec;
  readonly fd: Fd;
  readonly #arena: Arena;
  readonly #consumer: BigInt64Array;
  readonly #producer: BigInt64Array;
  readonly #headers: Int32Array;
  readonly #data: DataView;
  readonly #mask: number;
  readonly #codec: Codec<E>;

  private constructor(spec: MapSpec, fd: Fd) {
    const size = spec.maxEntries;
    this.spec = spec;
    this.fd = fd;
    this.#mask = size - 1;
    this.#codec = codecOf(spec.value) as Codec<E>;
    this.#arena = new Arena(2 * PAGE_SIZE + 2 * size);
    try {
      this.#arena.map(fd, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, 0);
      this.#arena.map(fd, PAGE_SIZE, PAGE_SIZE + 2 * size, PROT_READ, PAGE_SIZE);
    } catch (error) {
      this.#arena.close();
      throw error;
    }
    const { buffer } = this.#arena;
    this.#consumer = new BigInt64Array(buffer, 0, 1);
    this.#producer = new BigInt64Array(buffer, PAGE_SIZE, 1);
    this.#headers = new Int32Array(buffer, 2 * PAGE_SIZE, (2 * size) / 4);
    this.#data = new DataView(buffer, 2 * PAGE_SIZE, 2 * size);
  }

  static create<E>(spec: MapSpec<'ringbuf', never, E>): RingBuffer<E> {
    return RingBuffer.#own(spec, createMap(spec, undefined));
  }

  /** Opens a pinned ring buffer. A ring buffer has one reader; two would each see a part. */
  static openPinned<E>(spec: MapSpec<'ringbuf', never, E>, path: string): RingBuffer<E> {
    const fd = openPinned(path, `ring buffer '${spec.name}'`);
    return RingBuffer.#own(spec, fd, path);
  }

  /** Takes over a descriptor of a ring buffer, of another program for one. */
  static fromFd<E>(spec: MapSpec<'ringbuf', never, E>, fd: Fd): RingBuffer<E> {
    return RingBuffer.#own(spec, fd, fd.what);
  }

  static #own<E>(spec: MapSpec<'ringbuf', never, E>, fd: Fd, path?: string): RingBuffer<E> {
    try {
      if (path !== undefined) requireSame(spec, mapInfo(fd), path);
      return new RingBuffer<E>(spec, fd);
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  get name(): string {
    return this.spec.name;
  }

  /**
   * Hands over what has arrived, oldest first, without allocating.
   *
   * @param limit At most so many records. Default is all.
   * @returns How many records were handed over.
   */
  drain(callback: RecordCallback, limit: number = Number.POSITIVE_INFINITY): number {
    let consumed = Atomics.load(this.#consumer, 0);
    const produced = Atomics.load(this.#producer, 0);
    let position = Number(consumed & BigInt(this.#mask));
    let left = Number(produced - consumed);
    let count = 0;
    let step = 0;
    try {
      while (left > 0 && count < limit) {
        const header = Atomics.load(this.#headers, position >> 2);
        // The kernel still writes this one, and with it everything after it has to wait.
        if ((header & BUSY_BIT) !== 0) break;
        const length = header & ~(BUSY_BIT | DISCARD_BIT);
        const size = HEADER_SIZE + ((length + 7) & ~7);
        step += size;
        left -= size;
        if ((header & DISCARD_BIT) === 0) {
          count++;
          callback(this.#data, position + HEADER_SIZE, length);
        }
        position = (position + size) & this.#mask;
      }
    } finally {
      // Also when the callback throws: a record is handed over once.
      consumed += BigInt(step);
      Atomics.store(this.#consumer, 0, consumed);
    }
    return count;
  }

  /**
   * Events as they arrive, until the signal aborts. Between events it sleeps on the event loop.
   *
   * Records shorter than the event's layout are passed over.
   */
  async *events(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<E> {
    const { signal } = options;
    let wake: () => void = () => {};
    const poller = new Poller(this.fd, Readiness.readable, () => wake());
    const onAbort = (): void => wake();
    signal?.addEventListener('abort', onAbort);
    try {
      while (!isAborted(signal)) {
        const batch: E[] = [];
        this.drain((view, offset, length) => {
          if (length >= this.#codec.size) batch.push(this.#codec.read(view, offset));
        }, 1024);
        if (batch.length > 0) {
          yield* batch;
          continue;
        }
        const woken = new Promise<void>((resolve) => {
          wake = resolve;
        });
        // What arrived between the look and the promise has woken nobody.
        if (this.#pending() || isAborted(signal)) continue;
        poller.watch(Readiness.readable);
        await woken;
        poller.watch(0);
      }
    } finally {
      signal?.removeEventListener('abort', onAbort);
      poller.close();
    }
  }

  info(): MapInfo {
    return mapInfo(this.fd);
  }

  pin(path: string): void {
    pinObject(this.fd, path);
  }

  close(): void {
    if (this.fd.closed) return;
    this.#arena.close();
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #pending(): boolean {
    const consumed = Atomics.load(this.#consumer, 0);
    if (consumed === Atomics.load(this.#producer, 0)) return false;
    return (Atomics.load(this.#headers, Number(consumed & BigInt(this.#mask)) >> 2) & BUSY_BIT) === 0;
  }
}

/** A call, because the compiler would hold a property of the signal for unchanged across `await`. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted ?? false;
}
