import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from '../docs/documents.ts';

/**
 * The floors, from the top; a room may import rooms of lower floors, and on its own floor those named with it. `pure`
 * rooms import nothing that touches the machine, Node's modules included.
 */
const FLOORS: readonly Readonly<
  Record<string, { readonly beside?: readonly string[]; readonly pure?: true }>
>[] = [
  { index: {} },
  { cli: {} },
  { apps: {} },
  { proxy: { beside: ['http'] }, http: {} },
  { filter: {}, lines: { beside: ['nethost'] }, nethost: {} },
  {
    lab: { beside: ['netlink'] },
    xsk: { beside: ['bpf', 'netlink'] },
    bpf: { beside: ['netlink'] },
    tun: { beside: ['netlink'] },
    netlink: {},
    source: {},
  },
  { programs: { pure: true } },
  {
    compiler: { pure: true },
    object: { pure: true },
    netstack: { pure: true },
    pppoe: { beside: ['ppp'], pure: true },
    ppp: { pure: true },
    policy: { pure: true },
    resolver: { pure: true },
  },
  { sys: {} },
  {
    btf: { beside: ['spec', 'asm'], pure: true },
    spec: { beside: ['asm'], pure: true },
    asm: { pure: true },
    packet: { pure: true },
  },
  { layout: { pure: true }, address: { pure: true } },
  {
    shape: { beside: ['duration', 'error', 'nearest'], pure: true },
    duration: { beside: ['error'], pure: true },
    error: { pure: true },
    nearest: { pure: true },
  },
];

const rooms = new Map(
  FLOORS.flatMap((floor, depth) =>
    Object.entries(floor).map(([name, room]) => [name, { ...room, depth }] as const),
  ),
);
const sources = readdirSync(`${ROOT}src`, { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.ts'),
);

/** The room a source file lies in: its folder, or its own name on the ground. */
function roomOf(file: string): string {
  return (file.split('/')[0] ?? '').replace(/\.ts$/, '');
}

/** What a file imports; without types only what is there at run time. */
function imports(file: string, types: 'with types' | 'without types' = 'with types'): string[] {
  const text = readFileSync(`${ROOT}src/${file}`, 'utf8');
  const counted = types === 'with types' ? text : text.replaceAll(/^(import|export) type [^;]*;/gm, '');
  return [...counted.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

describe('the floors', () => {
  it('have a room for every source file', () => {
    for (const file of sources)
      assert.ok(rooms.has(roomOf(file)), `${file} lies in no room of test/structure`);
  });

  for (const file of sources) {
    it(`${file} imports downward only`, () => {
      const name = roomOf(file);
      const room = rooms.get(name);
      assert.ok(room !== undefined);
      for (const target of imports(file)) {
        if (!target.startsWith('.')) {
          assert.ok(
            room.pure === undefined || !target.startsWith('node:'),
            `${file} is pure and imports ${target}`,
          );
          continue;
        }
        const other = roomOf(normalize(join(dirname(file), target)));
        if (other === name) continue;
        const theirs = rooms.get(other);
        assert.ok(theirs !== undefined, `${file} imports ${target}, outside the floors`);
        const allowed = theirs.depth > room.depth || (room.beside ?? []).includes(other);
        assert.ok(allowed, `${file} (${name}) imports upward or sideways: ${target} (${other})`);
        assert.ok(room.pure === undefined || theirs.pure === true, `${file} is pure and imports ${target}`);
      }
    });
  }

  it('only sys touches the native part', () => {
    for (const file of sources) {
      if (roomOf(file) === 'sys') continue;
      assert.ok(!imports(file).some((target) => /sys\/native/.test(target)), file);
    }
  });

  it('no room is without a subject', () => {
    for (const file of sources) assert.doesNotMatch(file, /(^|\/)(utils?|common|misc|helpers?)(\/|\.ts$)/);
  });

  it('no file imports itself in a circle', () => {
    const graph = new Map(
      sources.map((file) => [
        file,
        imports(file, 'without types')
          .filter((target) => target.startsWith('.'))
          .map((target) => normalize(join(dirname(file), target))),
      ]),
    );
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      assert.ok(!path.includes(file), `circle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`);
      if (done.has(file)) return;
      for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of sources) visit(file, []);
  });
});
