import { once } from 'node:events';
import { Worker, workerData } from 'node:worker_threads';
import { BarewireError } from '../error.ts';
import { driveBlocking } from './driver.ts';
import type { XskInterface } from './interface.ts';
import { XskSocket, type XskSocketHandle } from './socket.ts';

export interface WorkerOptions {
  /** For the worker, which finds it as `adoptQueue().data`. Must be clonable. */
  readonly data?: unknown;
}

/** What a worker of `startWorkers` finds. */
interface Orders {
  readonly barewire: {
    readonly socket: XskSocketHandle;
    readonly stop: SharedArrayBuffer;
    readonly data: unknown;
  };
}

/** One queue of an interface, in a worker of its own. */
export interface WorkerQueue {
  readonly socket: XskSocket;
  /** What `startWorkers` was given. */
  readonly data: unknown;
  /** Whether the interface is being closed. */
  readonly stopping: boolean;
  /**
   * Works until the workers are stopped, without letting go of the thread.
   *
   * @param work Receives, forwards or sends, and returns how many packets that were.
   */
  run(work: () => number, options?: { readonly driver?: 'nap' | 'spin'; readonly nap?: number }): void;
}

/** The workers of an interface, one a queue. */
export interface Workers extends AsyncDisposable {
  readonly workers: readonly Worker[];
  /** Has `run` return in each worker, and waits for the workers to end. @throws The first error of a worker. */
  stop(): Promise<void>;
}

/**
 * Starts a worker for each queue of an interface, over the same memory.
 *
 * The sockets are the workers' until `stop()`; then they are usable here again, and to be closed here.
 *
 * @param script What each worker runs; it calls `adoptQueue`.
 */
export function startWorkers(owner: XskInterface, script: URL, options: WorkerOptions = {}): Workers {
  const stop = new SharedArrayBuffer(4);
  const failures: unknown[] = [];
  const workers = owner.sockets.map((socket) => {
    const orders: Orders = { barewire: { socket: socket.handle, stop, data: options.data } };
    const worker = new Worker(script, { workerData: orders });
    worker.on('error', (error) => failures.push(error));
    return worker;
  });
  const exits = workers.map((worker) => once(worker, 'exit').catch(() => undefined));
  const halt = async (): Promise<void> => {
    Atomics.store(new Int32Array(stop), 0, 1);
    await Promise.all(exits);
    for (const socket of owner.sockets) if (!socket.closed) socket.resume();
    if (failures.length > 0) throw failures[0];
  };
  return { workers, stop: halt, [Symbol.asyncDispose]: halt };
}

/** In a worker of `startWorkers`: its queue. */
export function adoptQueue(): WorkerQueue {
  const orders = (workerData as Orders | null)?.barewire;
  if (orders === undefined)
    throw new BarewireError('BW_STATE', 'adoptQueue() is for workers of startWorkers()');
  const stop = new Int32Array(orders.stop);
  const socket = XskSocket.adopt(orders.socket);
  return {
    socket,
    data: orders.data,
    get stopping(): boolean {
      return Atomics.load(stop, 0) !== 0;
    },
    run(work, options = {}): void {
      try {
        driveBlocking(
          { work, name: socket.interface, fds: [socket.fd], room: socket.fillTarget },
          stop,
          options,
        );
      } catch (error) {
        // Closed in its first thread, as when the interface is deleted: that one knows why.
        if (!socket.closed) throw error;
      } finally {
        socket.yield();
      }
    },
  };
}
