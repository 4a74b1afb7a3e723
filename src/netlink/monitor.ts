import { ArgumentError } from '../error.ts';
import type { Fd } from '../sys/fd.ts';
import { Poller, Readiness } from '../sys/poller.ts';
import { decodeEvent, type NetlinkEvent } from './event.ts';
import { decodeMessages } from './message.ts';
import {
  bindSocket,
  enlargeReceiveQueue,
  joinGroup,
  MSG_DONTWAIT,
  openSocket,
  receiveDatagram,
} from './socket.ts';

/** What can be followed. */
export type MonitorGroup = keyof typeof GROUPS;

export interface MonitorOptions {
  /** Default is all. */
  readonly groups?: readonly MonitorGroup[];
  /** Ends the events, as `break` and `close()` do. */
  readonly signal?: AbortSignal;
  /** How much the kernel may queue before events are lost, in bytes. Default is 1 MiB. */
  readonly queueBytes?: number;
}

/** `RTNLGRP_` numbers (linux/rtnetlink.h); IPv4 and IPv6 have groups of their own. */
const GROUPS = {
  link: [1],
  address: [5, 9],
  route: [7, 11],
  rule: [8, 19],
  neighbour: [3],
} as const;

const QUEUE_BYTES = 1024 * 1024;
const BUFFER_BYTES = 64 * 1024;

/**
 * The changes in one network namespace, as they happen: an async iterator for one reader.
 *
 * It listens from the moment it is made. Nothing is read while nobody waits, so a slow reader's events queue up in
 * the kernel; what it cannot hold is reported as one `overrun`. While somebody waits, the process stays alive.
 */
export class Monitor implements AsyncIterableIterator<NetlinkEvent, undefined>, AsyncDisposable {
  readonly #fd: Fd;
  readonly #poller: Poller;
  readonly #signal: AbortSignal | undefined;
  readonly #events: NetlinkEvent[] = [];
  readonly #waiting: Waiter[] = [];
  #buffer: Uint8Array = new Uint8Array(BUFFER_BYTES);
  #closed = false;

  /**
   * Listens in the network namespace that the thread is in.
   *
   * @throws ArgumentError for an unknown group.
   */
  constructor(options: MonitorOptions = {}) {
    const groups = options.groups ?? (Object.keys(GROUPS) as MonitorGroup[]);
    for (const group of groups) {
      if (!Object.hasOwn(GROUPS, group)) {
        throw new ArgumentError(`'${group}' cannot be monitored`, {
          hint: `There are: ${Object.keys(GROUPS).join(', ')}.`,
        });
      }
    }
    this.#fd = openSocket('route');
    try {
      bindSocket(this.#fd);
      enlargeReceiveQueue(this.#fd, options.queueBytes ?? QUEUE_BYTES);
      for (const group of groups) for (const number of GROUPS[group]) joinGroup(this.#fd, number);
      this.#poller = new Poller(this.#fd, 0, () => this.#onReady());
    } catch (error) {
      this.#fd.close();
      throw error;
    }
    this.#signal = options.signal;
    if (this.#signal?.aborted) this.close();
    else this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  next(): Promise<IteratorResult<NetlinkEvent, undefined>> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#onReady();
    });
  }

  return(): Promise<IteratorResult<NetlinkEvent, undefined>> {
    this.close();
    return Promise.resolve(END);
  }

  /** Ends the events; whoever waits gets the end. A second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#poller.close();
    this.#fd.close();
    this.#events.length = 0;
    for (const waiter of this.#waiting.splice(0)) waiter.resolve(END);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  readonly #onAbort = (): void => this.close();

  /** Serves those who wait as far as there are events, and watches the socket for the rest. */
  #onReady(): void {
    try {
      while (this.#waiting.length > 0 && !this.#closed) {
        const event = this.#events.shift();
        if (event !== undefined) this.#waiting.shift()!.resolve({ done: false, value: event });
        else if (!this.#read()) break;
      }
    } catch (error) {
      this.#waiting.shift()?.reject(error);
      this.close();
    }
    if (this.#closed) for (const waiter of this.#waiting.splice(0)) waiter.resolve(END);
    else this.#poller.watch(this.#waiting.length > 0 ? Readiness.readable : 0);
  }

  /** Reads one datagram, or after an overrun all there are; false when there is none. */
  #read(): boolean {
    let overrun = false;
    for (;;) {
      const received = receiveDatagram(this.#fd, this.#buffer, MSG_DONTWAIT);
      if (received === 'overrun') {
        // The kernel says so before it hands out what it did keep, and until that is read it drops what follows
        // without a word: only a queue that is empty again makes sure that a listing made after the event is right.
        overrun = true;
      } else if (received === 'empty') {
        if (overrun) this.#events.push({ type: 'overrun' });
        return overrun;
      } else {
        this.#buffer = received.buffer;
        for (const message of decodeMessages(received.datagram)) {
          const event = decodeEvent(message);
          if (event !== undefined) this.#events.push(event);
        }
        if (!overrun) return true;
      }
    }
  }
}

interface Waiter {
  readonly resolve: (result: IteratorResult<NetlinkEvent, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

const END: IteratorReturnResult<undefined> = { done: true, value: undefined };
