import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { Clock } from '../../src/filter/clock.ts';
import { crc32 } from '../../src/filter/crc32.ts';
import { takeLock } from '../../src/filter/lock.ts';
import { decodeRecord, encodeRecord } from '../../src/filter/log.ts';
import { adminPeer } from '../../src/filter/peer.ts';
import { placeOf, placesKept } from '../../src/filter/place.ts';
import { fittingReason } from '../../src/filter/reasons.ts';
import { Journal } from '../../src/filter/store.ts';
import { Blocks } from '../../src/policy/block.ts';
import { tableNamed } from '../../src/policy/table.ts';

const folder = mkdtempSync(join(tmpdir(), 'bw-store-'));
after(() => rmSync(folder, { recursive: true }));
const text = (journal: Journal): string[] =>
  [...journal.records()].map((record) => Buffer.from(record).toString());

describe('CRC-32', () => {
  it('gives the check value of the standard, whatever the cuts', () => {
    assert.equal(crc32(Buffer.from('123456789')), 0xcbf43926);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, at) => {
        assert.equal(crc32(bytes.subarray(at), crc32(bytes.subarray(0, at))), crc32(bytes));
      }),
    );
  });
});

describe('a journal', () => {
  it('has what was appended, whatever a crash cut short behind it', () => {
    const journal = new Journal(join(folder, 'journal'));
    let size = journal.create([Buffer.from('one'), Buffer.from('two'.repeat(3000))]);
    size = journal.append([Buffer.from('three')], size);
    const whole = readFileSync(journal.path);
    assert.equal(size, whole.length);
    for (let length = 0; length <= whole.length; length += length > 30 && length < 9020 ? 997 : 1) {
      writeFileSync(journal.path, whole.subarray(0, length));
      const there = text(journal).length;
      // What comes after a crash stands behind what is whole, not behind what is not.
      journal.append([Buffer.from('more')], size);
      assert.equal(text(journal).length, there + 1, `${length} bytes were left`);
      assert.equal(text(journal).at(-1), 'more');
    }
    writeFileSync(journal.path, whole);
    appendFileSync(journal.path, Buffer.alloc(100, 0xff));
    assert.equal(text(journal).length, 3);
    truncateSync(journal.path, whole.length - 1);
    assert.equal(text(journal).length, 2);
  });
});

describe('records', () => {
  it('come back as they were, ends included', () => {
    const clock = new Clock();
    const blocks = new Blocks();
    const deadline = clock.deadline(clock.now + 60_000);
    blocks.add(tableNamed('deny_src6_net'), new Uint8Array(16).fill(1), 0, 64, {
      deadline,
      added: 7,
      reason: 8,
      lists: 9,
    });
    blocks.add(tableNamed('deny_src6_net'), new Uint8Array(16).fill(2), 0, 65, {
      deadline: 0n,
      added: 7,
      reason: 0,
      lists: 1,
    });
    const [block] = blocks.blocks();
    assert.ok(block !== undefined);
    const back = decodeRecord(encodeRecord({ type: 'put', block }, clock), clock);
    assert.ok(back.type === 'put');
    assert.deepEqual(Buffer.from(back.block.keys), Buffer.from(block.keys));
    const ends = [0, 32].map((at) => new DataView(back.block.values.buffer).getBigUint64(at, true));
    assert.ok(Number(ends[0]! - deadline) < 1e6 && Number(deadline - ends[0]!) < 1e6);
    assert.equal(ends[1], 0n);
    assert.deepEqual(
      Buffer.from(back.block.values.subarray(8, 32)),
      Buffer.from(block.values.subarray(8, 32)),
    );
  });
});

describe('places', () => {
  it('have names that any file system takes, and that lead back', () => {
    const roots = { pins: join(folder, 'pins'), state: join(folder, 'state') };
    const place = placeOf('filter', 'eth0.100', 'blue', roots);
    assert.equal(place.key, 'eth0.100@blue');
    assert.doesNotMatch(place.pins.slice(roots.pins.length), /\./);
    new Journal(join(place.state, 'log')).create([]);
    assert.deepEqual(
      placesKept('filter', roots).map(({ interface: name, netns }) => [name, netns]),
      [['eth0.100', 'blue']],
    );
  });

  it('are locked one at a time', () => {
    const path = join(folder, 'lock');
    using first = takeLock(path);
    assert.ok(first.number > 0);
    first.close();
    using second = takeLock(path);
    assert.ok(second.number > 0);
  });
});

describe('the SSH peer', () => {
  it('is told by the environment', () => {
    assert.deepEqual(adminPeer({ SSH_CONNECTION: '198.51.100.7 5000 192.0.2.1 22' }), {
      address: '198.51.100.7',
    });
    assert.deepEqual(adminPeer({ SSH_CONNECTION: 'fe80::1%eth0 5000 fe80::2%eth0 22' }), {
      address: 'fe80::1',
    });
    assert.deepEqual(adminPeer({ SSH_CLIENT: '::ffff:198.51.100.7 5000 22' }), { address: '198.51.100.7' });
  });
});

describe('reasons', () => {
  it('of others are made to fit', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200, unit: 'binary' }), (reason) => {
        const fitting = fittingReason(reason);
        assert.ok(Buffer.byteLength(fitting) <= 95);
        assert.doesNotMatch(fitting, /[\n\r\t]/);
      }),
    );
  });
});
