import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  array,
  be16,
  be32,
  compile,
  hash,
  lpmTrie,
  program,
  ringBuffer,
  run,
  runMaps,
  struct,
  u32,
  u64,
  xskMap,
} from '../../src/compiler/index.ts';

/*
 * What tsc must refuse stands behind a `@ts-expect-error`: were it accepted, the type check of this very file would
 * fail. The functions are never called.
 */
const rules = hash('rules', be32, struct('Rule', { hits: u64, port: be16 }), 8);
const slots = array('slots', u32, 4);
const routes = lpmTrie('routes', 4, u32, 8);
const events = ringBuffer('events', struct('Event', { port: u32 }), 4096);
const sockets = xskMap('sockets', 4);

const refusedByTsc = [
  program('a', { rules }, ({ rules }) => {
    const rule = rules.get(1);
    // @ts-expect-error The entry may be missing.
    rule.hits += 1n;
    return 'pass';
  }),
  // @ts-expect-error No such verdict.
  program('b', {}, () => 'accept'),
  // @ts-expect-error No verdict on one path.
  program('c', {}, (_env, pkt) => {
    if (pkt.u8(0) === 1) return 'pass';
  }),
  program('d', { rules }, ({ rules }) => {
    const rule = rules.get(1);
    if (!rule) return 'pass';
    // @ts-expect-error hits is a bigint.
    rule.hits += 1;
    // @ts-expect-error There is no such field.
    rule.misses = 1n;
    return 'drop';
  }),
  program('e', { rules }, ({ rules }) => {
    // @ts-expect-error The key is a number.
    rules.get({ address: 1 });
    // @ts-expect-error The value lacks a field.
    rules.set(1, { hits: 1n });
    return 'drop';
  }),
  program('f', { slots }, ({ slots }) => {
    // @ts-expect-error Entries of an array cannot be deleted.
    slots.delete(1);
    const slot = slots.get(0);
    // @ts-expect-error A value that is no struct is reached through `.value`.
    return slot === 3 ? 'pass' : 'drop';
  }),
  program('g', { routes }, ({ routes }) => {
    // @ts-expect-error The key is a prefix.
    return routes.has(7) ? 'pass' : 'drop';
  }),
  program('h', { events, sockets }, ({ events, sockets }) => {
    // @ts-expect-error The event has no such field.
    events.output({ port: 1, length: 2 });
    // @ts-expect-error A ring buffer has no entries to get.
    events.get(1);
    // @ts-expect-error A map of sockets has no entries to get.
    sockets.get(1);
    return sockets.redirect(0, 'pass');
  }),
  // @ts-expect-error env has no such map.
  program('i', {}, ({ missing }) => (missing.has(1) ? 'pass' : 'drop')),
  program('j', {}, (_env, pkt) => {
    // @ts-expect-error The header has no such field.
    if (pkt.ipv4(14).ports === 1) return 'pass';
    // @ts-expect-error etherType is a number.
    return pkt.eth().etherType === '0x0800' ? 'pass' : 'drop';
  }),
  // @ts-expect-error onShort must be a verdict.
  program('k', {}, () => 'pass', { onShort: 'redirect' }),
];

describe('types', () => {
  it('carry the maps of env through compiling and running', () => {
    const hits = program('hits', { rules }, ({ rules }, pkt) => {
      const rule = rules.get(pkt.be32(0));
      if (!rule) return 'pass';
      rule.hits += 1n;
      return 'drop';
    });
    const maps = runMaps(hits);
    maps.rules.set(7, { hits: 0n, port: 80 });
    const { packets } = run(hits, [Uint8Array.of(0, 0, 0, 7), Uint8Array.of(0, 0, 0, 8), new Uint8Array(2)], {
      maps,
    });
    assert.deepEqual(
      packets.map((p) => p.verdict),
      ['drop', 'pass', 'pass'],
    );
    const rule: { hits: bigint; port: number } | undefined = maps.rules.get(7);
    assert.deepEqual(rule, { hits: 1n, port: 80 });
    assert.equal(compile(hits).maps.rules, rules);
  });

  it('are wrong programs at run time as well', () => {
    const [missingCheck] = refusedByTsc;
    assert.throws(() => compile(missingCheck as never), /entry of map rules may be missing/);
  });
});
