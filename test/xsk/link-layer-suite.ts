import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { LinkLayer } from '../../src/xsk/index.ts';

/** For experiments (IEEE 802 Local Experimental EtherType 1): the kernel sends none by itself. */
export const TEST_ETHER_TYPE = 0x88b5;

export interface LinkPair {
  readonly a: LinkLayer;
  readonly b: LinkLayer;
  /** Takes down what the links stand on. */
  readonly destroy: () => void;
}

/** What every link layer must do, tried on two ends of one. */
export function linkLayerSuite(name: string, open: () => Promise<LinkPair>): void {
  describe(name, () => {
    let pair: LinkPair;
    before(async () => {
      pair = await open();
    });
    after(async () => {
      await pair.a.close();
      await pair.b.close();
      pair.destroy();
    });

    it('tells its MTU and address', () => {
      for (const link of [pair.a, pair.b]) {
        assert.equal(link.mtu, 1500);
        assert.equal(link.address.length, 6);
        assert.equal(link.closed, false);
        assert.ok(link.name.length > 0);
      }
      assert.notDeepEqual(pair.a.address, pair.b.address);
    });

    it('carries frames of every length, once, unaltered and in order', async () => {
      const lengths = [60, 61, 64, 65, 127, 128, 300, 999, 1280, 1500, 1513, 1514];
      const sent = lengths.map((length, number) => frame(pair.a, pair.b, number, length));
      assert.equal(sendAll(pair.a, sent), sent.length);
      const got = await collect(pair.b, sent.length);
      assert.deepEqual(got, sent);
    });

    it('carries both directions at once', async () => {
      const there = Array.from({ length: 100 }, (_, number) => frame(pair.a, pair.b, number, 80));
      const back = Array.from({ length: 100 }, (_, number) => frame(pair.b, pair.a, number + 1000, 90));
      let there$: Uint8Array[] = [];
      let back$: Uint8Array[] = [];
      for (let i = 0; i < 100; i += 10) {
        sendAll(pair.a, there.slice(i, i + 10));
        sendAll(pair.b, back.slice(i, i + 10));
        there$ = there$.concat(await collect(pair.b, 10));
        back$ = back$.concat(await collect(pair.a, 10));
      }
      assert.deepEqual(there$, there);
      assert.deepEqual(back$, back);
    });

    it('passes on thousands of frames, more than any ring holds', async () => {
      const count = 6000;
      const bytes = frame(pair.a, pair.b, 0, 64);
      const view = new DataView(bytes.buffer);
      let sent = 0;
      let next = 0;
      while (next < count) {
        // No more on their way than a veth's own ring takes.
        const batch = Math.min(count - sent, 128 - (sent - next));
        sent += pair.a.send(batch, (out, at, _room, index) => {
          view.setUint32(14, sent + index);
          out.set(bytes, at);
          return bytes.length;
        });
        const seen = pair.b.receive((got, at) => {
          const number =
            ((got[at + 14]! << 24) | (got[at + 15]! << 16) | (got[at + 16]! << 8) | got[at + 17]!) >>> 0;
          if (number !== next) assert.fail(`frame ${number} came instead of ${next}`);
          next++;
        });
        if (seen === 0) await waitFor(pair.b);
      }
      assert.equal(
        pair.b.receive(() => {}),
        0,
      );
    });

    it('shows no more than the limit', async () => {
      sendAll(
        pair.a,
        Array.from({ length: 10 }, (_, number) => frame(pair.a, pair.b, number, 64)),
      );
      const numbers: number[] = [];
      while (numbers.length < 10) {
        const seen = pair.b.receive((bytes, at) => numbers.push(bytes[at + 17]!), 3);
        assert.ok(seen <= 3);
        if (seen === 0) await waitFor(pair.b);
      }
      assert.deepEqual(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });

    it('an index that is built with length 0 sends nothing', async () => {
      const bytes = frame(pair.a, pair.b, 0, 64);
      const done = pair.a.send(6, (out, at, _room, index) => {
        out.set(bytes, at);
        out[at + 20] = index;
        return index % 2 === 0 ? 64 : 0;
      });
      assert.equal(done, 6);
      const got = await collect(pair.b, 3);
      assert.deepEqual(
        got.map((one) => one[20]),
        [0, 2, 4],
      );
    });

    it('refuses frames too short or too long, and goes on', async () => {
      assert.throws(() => pair.a.send(1, () => 13), { code: 'BW_ARGUMENT' });
      assert.throws(() => pair.a.send(1, (_bytes, _at, room) => room + 1), { code: 'BW_ARGUMENT' });
      const sent = frame(pair.a, pair.b, 7, 100);
      sendAll(pair.a, [sent]);
      assert.deepEqual(await collect(pair.b, 1), [sent]);
    });

    it('goes on after a visitor that throws, with the frames behind it', async () => {
      const sent = Array.from({ length: 5 }, (_, number) => frame(pair.a, pair.b, number, 64));
      sendAll(pair.a, sent);
      await waitFor(pair.b);
      assert.throws(
        () =>
          pair.b.receive(() => {
            throw new Error('on purpose');
          }),
        /on purpose/,
      );
      assert.deepEqual(await collect(pair.b, 4), sent.slice(1));
    });

    it('is readable when a frame comes, and not before', async () => {
      let readable = false;
      const waiting = pair.b.readable().then(() => {
        readable = true;
      });
      await turns();
      assert.equal(readable, false);
      const sent = frame(pair.a, pair.b, 9, 64);
      sendAll(pair.a, [sent]);
      await waiting;
      assert.deepEqual(await collect(pair.b, 1), [sent]);
    });

    it('stops waiting when the signal is aborted', async () => {
      const stop = new AbortController();
      const waiting = pair.b.readable(stop.signal);
      stop.abort();
      await waiting;
      await pair.b.readable(AbortSignal.abort());
    });

    it('does not receive what it sends itself', async () => {
      sendAll(pair.a, [frame(pair.a, pair.b, 3, 64)]);
      await collect(pair.b, 1);
      assert.equal(
        pair.a.receive(() => {}),
        0,
      );
    });

    it('closes once, ends who waits, and refuses what comes after', async () => {
      const waiting = pair.a.readable();
      await pair.a.close();
      await waiting;
      await pair.a.close();
      assert.equal(pair.a.closed, true);
      assert.throws(() => pair.a.send(1, () => 64), { code: 'BW_CLOSED' });
      assert.throws(() => pair.a.receive(() => {}), { code: 'BW_CLOSED' });
      await pair.a.readable();
    });
  });
}

/** A frame from one to the other with its number, the rest of its bytes made from number and place. */
function frame(from: LinkLayer, to: LinkLayer, number: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(to.address, 0);
  bytes.set(from.address, 6);
  const view = new DataView(bytes.buffer);
  view.setUint16(12, TEST_ETHER_TYPE);
  view.setUint32(14, number);
  for (let i = 18; i < length; i++) bytes[i] = (i * 7 + number) & 0xff;
  return bytes;
}

function sendAll(link: LinkLayer, frames: readonly Uint8Array[]): number {
  return link.send(frames.length, (bytes, at, _room, index) => {
    bytes.set(frames[index]!, at);
    return frames[index]!.length;
  });
}

async function collect(link: LinkLayer, count: number): Promise<Uint8Array[]> {
  const frames: Uint8Array[] = [];
  while (frames.length < count) {
    const seen = link.receive((bytes, at, length) => frames.push(bytes.slice(at, at + length)));
    if (seen === 0) await waitFor(link);
  }
  return frames;
}

/** A frame that never comes is an error with a name, not a test that hangs. */
async function waitFor(link: LinkLayer): Promise<void> {
  const signal = AbortSignal.timeout(5000);
  await link.readable(signal);
  assert.equal(signal.aborted, false, `nothing came on ${link.name}`);
}

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}
