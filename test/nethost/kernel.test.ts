import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { after, describe, it } from 'node:test';
import type { HostSocket } from '../../src/nethost/index.ts';
import type { Weather } from '../../src/netstack/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { KernelBed, later } from './kernel-bed.ts';

const stock = takeStock();
after(() => requireNoLeaks(stock));

/** Bytes that follow from their place, so that a wrong one is seen. */
function* chunksOf(total: number): Generator<Buffer> {
  let state = 12345;
  for (let at = 0; at < total; at += 65536) {
    const chunk = Buffer.allocUnsafe(Math.min(65536, total - at));
    for (let i = 0; i < chunk.length; i++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
      chunk[i] = state >>> 16;
    }
    yield chunk;
  }
}

/** Writes so many bytes, ends, and gives their hash. */
async function send(stream: Duplex, total: number): Promise<string> {
  const hash = createHash('sha256');
  for (const chunk of chunksOf(total)) {
    hash.update(chunk);
    if (!stream.write(chunk)) await once(stream, 'drain');
  }
  stream.end();
  return hash.digest('hex');
}

async function hashOf(stream: Duplex): Promise<string> {
  const hash = createHash('sha256');
  // Not `for await`, which destroys the whole stream when one half of it ends.
  stream.on('data', (chunk: Buffer) => hash.update(chunk));
  await once(stream, 'end');
  return hash.digest('hex');
}

describe('Linux on the other side of a TUN device', () => {
  for (const version of [4, 6] as const) {
    it(`IPv${version}: we connect, both sides send 8 MB at once`, async () => {
      await using bed = new KernelBed();
      const theirs = later<[string, string]>();
      const port = bed.serve((socket) => {
        void Promise.all([send(socket, 8e6), hashOf(socket)]).then(theirs.resolve, theirs.reject);
      });
      const socket = bed.host.connect({
        host: version === 4 ? bed.kernel4 : bed.kernel6,
        port,
        allowHalfOpen: true,
      });
      await once(socket, 'connect');
      const [sent, received] = await Promise.all([send(socket, 8e6), hashOf(socket)]);
      assert.deepEqual(await theirs.promise, [received, sent]);
    });

    it(`IPv${version}: the kernel connects, both sides send 8 MB at once`, async () => {
      await using bed = new KernelBed();
      const ours = later<[string, string]>();
      const server = bed.host.listen({ allowHalfOpen: true }, (socket: HostSocket) => {
        void Promise.all([send(socket, 8e6), hashOf(socket)]).then(ours.resolve, ours.reject);
      });
      const socket = bed.connect(version === 4 ? bed.ours4 : bed.ours6, server.port);
      await once(socket, 'connect');
      const [sent, received] = await Promise.all([send(socket, 8e6), hashOf(socket)]);
      assert.deepEqual(await ours.promise, [received, sent]);
    });
  }

  it('two thousand connections at once, each answered, none left behind', async () => {
    await using bed = new KernelBed();
    const port = bed.serve((socket) => {
      socket.on('data', (chunk: Buffer) => socket.end(chunk.toString().toUpperCase()));
    });
    const one = async (index: number): Promise<string> => {
      const socket = bed.host.connect({ host: index % 2 === 0 ? bed.kernel4 : bed.kernel6, port });
      socket.write(`number ${index}`);
      let text = '';
      socket.on('data', (chunk: Buffer) => {
        text += chunk;
      });
      await once(socket, 'end');
      return text;
    };
    const all = await Promise.all(Array.from({ length: 2000 }, (_, index) => one(index)));
    assert.deepEqual(
      all,
      all.map((_, index) => `NUMBER ${index}`),
    );
  });

  it('refuses where nobody listens, in both directions: ECONNREFUSED', async () => {
    await using bed = new KernelBed();
    const socket = bed.host.connect({ host: bed.kernel4, port: 9 });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException & { stableCode: string }];
    assert.equal(error.code, 'ECONNREFUSED');
    assert.equal(error.stableCode, 'BW_REFUSED');
    const [theirs] = (await once(bed.connect(bed.ours4, 9), 'error')) as [NodeJS.ErrnoException];
    assert.equal(theirs.code, 'ECONNREFUSED');
  });
});

/** What a bad line does, and how much is sent over it in each direction. */
const LINES: readonly (readonly [name: string, weather: Weather, total: number])[] = [
  ['20 ms away', { delay: 10 }, 8e6],
  ['0.1 % loss', { delay: 5, loss: 0.001 }, 4e6],
  ['1 % loss', { delay: 5, loss: 0.01 }, 2e6],
  ['10 % loss', { delay: 5, loss: 0.1 }, 3e5],
  ['reordering', { delay: 5, reorder: 0.1, jitter: 2 }, 2e6],
  ['duplicates', { delay: 5, duplicate: 0.2 }, 2e6],
  ['corruption', { delay: 5, corrupt: 0.01 }, 1e6],
  ['a slow line with a short queue', { delay: 5, rate: 4e6, queue: 40_000 }, 2e6],
  [
    'all of it at once',
    { delay: 5, jitter: 3, loss: 0.03, reorder: 0.05, duplicate: 0.05, corrupt: 0.01 },
    4e5,
  ],
];

describe('Linux behind a bad line: every byte arrives, in both directions at once', {
  concurrency: 3,
}, () => {
  for (const [index, [name, weather, total]] of LINES.entries()) {
    for (const who of ['we connect', 'the kernel connects'] as const) {
      it(`${name}; ${who}`, { timeout: 60_000 }, async () => {
        await using bed = new KernelBed({ weather, seed: index + 1 });
        const far = later<[string, string]>();
        const serve = (socket: Duplex): void => {
          void Promise.all([send(socket, total), hashOf(socket)]).then(far.resolve, far.reject);
        };
        const ipv6 = index % 2 === 1;
        let socket: Duplex;
        if (who === 'we connect') {
          const port = bed.serve(serve);
          const host = ipv6 ? bed.kernel6 : bed.kernel4;
          socket = bed.host.connect({ host, port, allowHalfOpen: true });
        } else {
          const server = bed.host.listen({ allowHalfOpen: true }, serve);
          socket = bed.connect(ipv6 ? bed.ours6 : bed.ours4, server.port);
        }
        await once(socket, 'connect');
        const [sent, received] = await Promise.all([send(socket, total), hashOf(socket)]);
        assert.deepEqual(await far.promise, [received, sent]);
      });
    }
  }
});
