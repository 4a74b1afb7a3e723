import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AddressPool } from '../../src/pppoe/address-pool.ts';
import { Deadlines, type Timed } from '../../src/pppoe/deadlines.ts';
import { PppoeFrame } from '../../src/pppoe/frame.ts';
import { emitPadt } from '../../src/pppoe/index.ts';
import { MacPacing } from '../../src/pppoe/pacing.ts';
import { look } from './looking-glass.ts';

class Item implements Timed {
  deadline = Number.POSITIVE_INFINITY;
  slot = -1;
}

describe('the heap of deadlines', () => {
  it('gives the earliest, whatever was updated and removed before', () => {
    const operation = fc.record({
      item: fc.nat(19),
      deadline: fc.oneof(fc.nat(1000), fc.constant(Number.POSITIVE_INFINITY)),
      remove: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
        const items = Array.from({ length: 20 }, () => new Item());
        const heap = new Deadlines<Item>();
        const inside = new Set<Item>();
        for (const { item: index, deadline, remove } of operations) {
          const item = items[index]!;
          if (remove) {
            heap.remove(item);
            inside.delete(item);
          } else {
            item.deadline = deadline;
            heap.update(item);
            if (deadline === Number.POSITIVE_INFINITY) inside.delete(item);
            else inside.add(item);
          }
          const earliest = Math.min(...[...inside].map(({ deadline: at }) => at));
          assert.equal(heap.next, earliest);
          assert.equal(heap.size, inside.size);
          assert.equal(heap.due(earliest - 1), undefined);
          if (inside.size > 0) assert.equal(heap.due(earliest)?.deadline, earliest);
        }
      }),
    );
  });
});

describe('the address pool', () => {
  it('gives each address to one at a time, loses none, and gives a returned one last', () => {
    const operation = fc.oneof(
      fc.constant({ kind: 'take' as const }),
      fc.record({
        kind: fc.constant('certain' as const),
        address: fc.integer({ min: 0x0a000000, max: 0x0a00001f }),
      }),
      fc.record({ kind: fc.constant('back' as const), which: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 300 }), (operations) => {
        const pool = new AddressPool('10.0.0.0/28');
        const out: number[] = [];
        for (const step of operations) {
          if (step.kind === 'take') {
            const address = pool.take();
            if (address === undefined) {
              assert.equal(pool.free, 0);
            } else {
              assert.ok(address > pool.own && address <= pool.last);
              assert.ok(!out.includes(address));
              out.push(address);
            }
          } else if (step.kind === 'certain') {
            const { address } = step;
            assert.equal(pool.takeCertain(address), !out.includes(address) && address !== pool.own);
            if (!out.includes(address) && address !== pool.own) out.push(address);
          } else if (out.length > 0) {
            pool.giveBack(out.splice(step.which % out.length, 1)[0]!);
          }
          const inside = out.filter((address) => address >= pool.first && address <= pool.last);
          assert.equal(pool.free, pool.size - inside.length);
          assert.equal(pool.taken, out.length);
        }
        for (const address of out) pool.giveBack(address);
        const all = Array.from({ length: pool.size }, () => pool.take());
        assert.equal(new Set(all).size, 13);
        assert.ok(!all.includes(undefined));
        assert.equal(pool.take(), undefined);
      }),
    );
  });

  it('reads prefixes and ranges', () => {
    assert.equal(new AddressPool('192.0.2.0/24').size, 253);
    assert.equal(new AddressPool('192.0.2.10 - 192.0.2.19', 0x0a000001).size, 10);
    assert.equal(new AddressPool('192.0.2.0/31', 0x0a000001).size, 2);
  });
});

describe('pacing', () => {
  it('keeps to a given interval', () => {
    const pacing = new MacPacing(1000);
    assert.deepEqual(
      [pacing.slot(1, 0), pacing.slot(1, 0), pacing.slot(1, 100), pacing.slot(2, 0)],
      [0, 1000, 2000, 0],
    );
  });

  it('learns that a concentrator counts, and does not take a dead or a lossy one for that', () => {
    const counting = new MacPacing(0);
    counting.answered(1);
    for (let i = 0; i < 3; i++) counting.unanswered(1);
    assert.deepEqual([counting.slot(1, 0), counting.slot(1, 0)], [0, 1100]);
    const dead = new MacPacing(0);
    for (let i = 0; i < 100; i++) dead.unanswered(1);
    assert.deepEqual([dead.slot(1, 0), dead.slot(1, 0)], [0, 0]);
    const lossy = new MacPacing(0);
    for (let i = 0; i < 100; i++) i % 3 === 0 ? lossy.unanswered(1) : lossy.answered(1);
    assert.deepEqual([lossy.slot(1, 0), lossy.slot(1, 0)], [0, 0]);
  });
});

describe('frames', () => {
  it('a PADT for a session of a crashed process is written from what a state file keeps', () => {
    const out = new Uint8Array(100);
    const end = emitPadt(
      out,
      4,
      { mac: '02:00:00:00:00:01', peerMac: '02:00:00:00:00:02', vlans: [{ id: 5 }], sessionId: 0x1234 },
      'the process was killed',
    );
    const seen = look(out.slice(4, end));
    assert.equal(seen?.code, 0xa7);
    assert.equal(seen.sessionId, 0x1234);
    assert.equal(seen.destination, '02:00:00:00:00:02');
    assert.equal(Buffer.from(seen.tags[0]!.data).toString(), 'the process was killed');
    assert.throws(
      () => emitPadt(new Uint8Array(20), 0, { mac: 1, peerMac: 2, vlans: [], sessionId: 1 }),
      /needs/,
    );
  });

  it('of random bytes are refused or lie within what was given', () => {
    const frame = new PppoeFrame();
    const head = fc.constantFrom(
      [0x88, 0x63],
      [0x88, 0x64],
      [0x81, 0, 0, 1, 0x88, 0x64],
      [0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x88, 0x63],
    );
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        head,
        fc.nat(70),
        fc.nat(90),
        (noise, types, offset, length) => {
          const bytes = Uint8Array.from([...noise.slice(0, 12), ...types, 0x11, ...noise]);
          if (!frame.parse(bytes, offset, length)) return;
          assert.ok(frame.payloadOffset <= frame.payloadEnd && frame.payloadEnd <= offset + length);
          assert.ok(offset + length <= bytes.length);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
