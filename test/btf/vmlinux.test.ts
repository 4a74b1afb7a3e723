import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type Btf, decodeBtf, encodeBtf, formatDefinition } from '../../src/btf/index.ts';
import { tool } from '../dev-tools.ts';
import { rawDump } from './raw-dump.ts';

const PATH = '/sys/kernel/btf/vmlinux';
const bytes: Uint8Array = readFileSync(PATH);
const vmlinux: Btf = decodeBtf(bytes);

function bpftool(format: 'raw' | 'c'): string {
  const options = { encoding: 'utf8', maxBuffer: 1 << 28 } as const;
  return execFileSync(tool('bpftool'), ['btf', 'dump', 'file', PATH, 'format', format], options);
}

describe("the running kernel's BTF", () => {
  it('reads as bpftool reads it, every type and every member', () => {
    const theirs = bpftool('raw').trimEnd().split('\n');
    const ours = rawDump(vmlinux);
    assert.equal(ours.length, theirs.length);
    for (let i = 0; i < ours.length; i++) {
      // Not deepEqual on the whole: its message would take minutes to make.
      if (ours[i] !== theirs[i]) assert.equal(ours[i], theirs[i], `line ${i + 1}`);
    }
  });

  it('encodes to the same types again', () => {
    const types = [...vmlinux.types()];
    const again = decodeBtf(encodeBtf(types));
    assert.equal(again.nextId, vmlinux.nextId);
    let id = 1;
    for (const type of again.types()) {
      const before = types[id - 1]!;
      if (JSON.stringify(type, bigints) !== JSON.stringify(before, bigints)) assert.deepEqual(type, before);
      id++;
    }
  });

  it('is found by name and kind', () => {
    const id = vmlinux.find('sk_buff', 'struct');
    assert.ok(id !== undefined);
    assert.equal(vmlinux.name(id), 'sk_buff');
    assert.equal(vmlinux.kind(id), 'struct');
    assert.equal(vmlinux.find('sk_buff', 'enum'), undefined);
    assert.equal(vmlinux.find('no such type at all'), undefined);
    assert.equal(vmlinux.find(''), undefined);
    const func = vmlinux.find('xdp_do_redirect', 'func');
    assert.ok(func !== undefined && vmlinux.type(func).kind === 'func');
    // Every name leads to a type of that name and kind, the first of its like.
    const seen = new Set<string>();
    for (let at = 1; at < vmlinux.nextId; at += 1) {
      const name = vmlinux.name(at);
      const kind = vmlinux.kind(at);
      const key = `${kind} ${name}`;
      if (name === '' || kind === 'void' || seen.has(key)) continue;
      seen.add(key);
      if (at % 7 === 0 || at < 2000) assert.equal(vmlinux.find(name, kind), at, key);
    }
  });

  it('has the sizes that its structs say their members end at', () => {
    let compared = 0;
    for (const type of vmlinux.types()) {
      if (type.kind !== 'struct' || type.members.length === 0) continue;
      for (const member of type.members) {
        const size = vmlinux.sizeOf(member.type);
        assert.ok(size !== undefined, `${type.name}.${member.name}`);
        const bits = member.bitSize === 0 ? size * 8 : member.bitSize;
        assert.ok(member.bitOffset + bits <= type.size * 8, `${type.name}.${member.name}`);
        compared++;
      }
    }
    assert.ok(compared > 10_000, `${compared} members`);
  });

  it('prints as the C that bpftool prints', () => {
    // Blocks that say more than the type does (packing, alignment, bits between fields, renamed duplicates) are left.
    const blocks = bpftool('c')
      .split('\n\n')
      .filter((block) => /^(struct|union|enum) \w+ \{\n/.test(block) && /^\}.*;$/m.test(block));
    const plain = blocks.filter((block) => !/__attribute__|^\s*\w[\w ]*: \d+;$|___\d/m.test(block));
    let compared = 0;
    for (const block of plain) {
      const [, kind, name] = /^(struct|union|enum) (\w+)/.exec(block)!;
      const id =
        vmlinux.find(name!, kind as 'struct' | 'union' | 'enum') ??
        (kind === 'enum' ? vmlinux.find(name!, 'enum64') : undefined);
      assert.ok(id !== undefined, name);
      const ours = spell(formatDefinition(vmlinux, id));
      const theirs = spell(block);
      assert.equal(ours, theirs, name);
      compared++;
    }
    assert.ok(compared > 4000, `${compared} definitions`);
  });
});

function bigints(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value;
}

/** What both mean, where they spell it differently. */
function spell(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/(\d)U?LL\b/g, '$1')
    .replace(/\blong unsigned int\b/g, 'unsigned long')
    .replaceAll('* ', '*')
    .replace(/\[0\]/g, '[]')
    .trim();
}
