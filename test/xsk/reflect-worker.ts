/** A worker that sends every frame of its queue back, until it is stopped. */
import { parentPort } from 'node:worker_threads';
import { adoptQueue } from '../../src/xsk/index.ts';
import { reflectBack } from './integrity.ts';

const queue = adoptQueue();
parentPort?.postMessage('ready');
queue.run(() => reflectBack(queue.socket));
