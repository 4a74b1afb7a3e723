import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { loadDispatcher } from '../../src/bpf/dispatcher-program.ts';
import { type Btf, decodeBtf } from '../../src/btf/index.ts';
import { CodecError } from '../../src/error.ts';
import {
  DISPATCHER_CONFIG_SIZE,
  type DispatcherConfig,
  decodeDispatcherConfig,
  dispatcherCode,
  dispatcherVersionOf,
  encodeDispatcherConfig,
  readObject,
  writeObject,
} from '../../src/object/index.ts';
import { counterSpec } from '../../src/programs/counter.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';

const stock = takeStock();
after(() => requireNoLeaks(stock));

const folder = ['x86_64', 'aarch64'].map((arch) => `/usr/lib/${arch}-linux-gnu/bpf`).find(existsSync);
const theirs = readObject(readFileSync(`${folder}/xdp-dispatcher.o`)).btf?.types;
const ours = decodeBtf(dispatcherCode().btf);
const plain = { noNullPrototype: true } as const;
const entry = fc.record({ priority: fc.nat(0xffff_ffff), chain: fc.nat(0x1f), frags: fc.boolean() }, plain);
const config: fc.Arbitrary<DispatcherConfig> = fc.record(
  {
    version: fc.constant(2),
    frags: fc.boolean(),
    entries: fc.array(entry, { maxLength: 10 }),
  },
  plain,
);

/** Name and place of each member, in bits. */
function members(types: Btf | undefined): unknown {
  const id = types?.find('xdp_dispatcher_config', 'struct');
  const type = id === undefined ? undefined : types?.type(id);
  assert.ok(type?.kind === 'struct');
  return [type.size, type.members.map(({ name, bitOffset }) => [name, bitOffset])];
}

describe('a dispatcher', () => {
  it("tells of itself in its types what libxdp's tells", () => {
    assert.ok(theirs !== undefined);
    assert.deepEqual(members(ours), members(theirs));
    assert.deepEqual([dispatcherVersionOf(ours), dispatcherVersionOf(theirs)], [2, 2]);
    const stubs = (types: Btf): string[] =>
      Array.from({ length: 10 }, (_, position) => {
        const type = types.type(types.find(`prog${position}`, 'func') ?? 1);
        return type.kind === 'func' ? `${type.name} ${type.linkage}` : type.kind;
      });
    assert.deepEqual(stubs(ours), stubs(theirs));
    assert.equal(stubs(ours)[9], 'prog9 global');
  });

  it('is no other program', () => {
    const types = readObject(writeObject(counterSpec({ frags: false }))).btf?.types;
    assert.ok(types !== undefined);
    assert.equal(dispatcherVersionOf(types), undefined);
  });

  it('gives its configuration as it was given', () => {
    fc.assert(
      fc.property(config, (given) => {
        const bytes = encodeDispatcherConfig(given);
        assert.equal(bytes.length, DISPATCHER_CONFIG_SIZE);
        assert.deepEqual(decodeDispatcherConfig(bytes), given);
      }),
      { seed: 7 },
    );
  });

  it('of the first version is read as well', () => {
    const bytes = new Uint8Array(84);
    const view = new DataView(bytes.buffer);
    bytes[0] = 1;
    view.setUint32(4, 0x8000_0004, true);
    view.setUint32(44, 20, true);
    const entries = [{ chain: 4, priority: 20, frags: false }];
    assert.deepEqual(decodeDispatcherConfig(bytes), { version: 1, frags: false, entries });
  });

  it('whose configuration is none is refused as bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeDispatcherConfig(bytes);
        } catch (error) {
          assert.ok(error instanceof CodecError);
        }
      }),
      { seed: 8 },
    );
    const good = encodeDispatcherConfig({ version: 2, frags: false, entries: [] });
    for (const [at, byte, words] of [
      [0, 1, /magic number 1/],
      [2, 11, /11 programs, more than 10/],
    ] as const) {
      const bad = good.slice();
      bad[at] = byte;
      assert.throws(() => decodeDispatcherConfig(bad), { code: 'BW_CODEC', message: words });
    }
  });

  it('runs on this kernel, and passes what nobody decides', () => {
    const unreplaced = { priority: 50, chain: 4, frags: false };
    for (const count of [0, 1, 2, 10]) {
      using dispatcher = loadDispatcher({
        version: 2,
        frags: false,
        entries: Array.from({ length: count }, () => unreplaced),
      });
      assert.equal(dispatcher.info().name, 'xdp_dispatcher');
      assert.equal(dispatcher.testRun({ data: new Uint8Array(64) }).action, 'pass');
    }
  });
});
