/** A worker whose callback throws what it was told, at the first packet. */
import { parentPort } from 'node:worker_threads';
import { adoptQueue } from '../../src/xsk/index.ts';

const queue = adoptQueue();
parentPort?.postMessage('ready');
queue.run(() =>
  queue.socket.receive(() => {
    throw new Error(String(queue.data));
  }),
);
