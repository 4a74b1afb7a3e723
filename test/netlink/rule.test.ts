import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ArgumentError } from '../../src/error.ts';
import { NetlinkError, type RuleSpec } from '../../src/netlink/index.ts';
import { Bed } from './bed.ts';

/** The parts of `ip -json -details rule` that are compared. */
interface IpRule {
  priority: number;
  src: string;
  srclen?: number;
  dst?: string;
  dstlen?: number;
  not?: null;
  fwmark?: string;
  fwmask?: string;
  iif?: string;
  oif?: string;
  uid_start?: number;
  uid_end?: number;
  ipproto?: string;
  sport?: number;
  sport_start?: number;
  sport_end?: number;
  dport?: number;
  table?: string;
  action?: string;
  protocol: string;
  suppress_prefixlen?: number;
}

const SPECS: readonly RuleSpec[] = [
  { priority: 100, from: '192.0.2.0/24', table: 1000 },
  { priority: 101, to: '198.51.100.7/32', table: 'main', invert: true },
  { priority: 102, fwmark: 0x10, fwmask: 0xff, table: 1001 },
  { priority: 103, iif: 'bw0', oif: 'bw-not-there', table: 70_000 },
  { priority: 104, uids: { start: 1000, end: 1999 }, table: 1002, protocol: 'dhcp' },
  {
    priority: 105,
    ipProtocol: 17,
    sourcePorts: { start: 53, end: 53 },
    destinationPorts: { start: 1, end: 99 },
  },
  { priority: 106, from: '203.0.113.1/32', action: 'blackhole' },
  { priority: 107, action: 'unreachable', fwmark: 3 },
  { priority: 108, action: 'prohibit', fwmark: 4 },
  { priority: 109, suppressPrefixLength: 0, table: 'main' },
  { priority: 110, action: 'goto', goto: 32_766 },
];

describe('rules', () => {
  it('reads every attribute as ip does', () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    for (const spec of SPECS) bed.net.rules.add(spec);
    bed.net.rules.add({ from: '2001:db8::/32', table: 5 });
    const ours = bed.net.rules.list({ version: 4 });
    const theirs = bed.ip<IpRule>('rule');
    assert.equal(ours.length, SPECS.length + 3);
    for (const [i, rule] of ours.entries()) {
      const ip = theirs[i]!;
      const where = `priority ${rule.priority}`;
      const prefix = (address?: string, length?: number): string | undefined =>
        address === undefined || address === 'all' ? undefined : `${address}/${length ?? 32}`;
      assert.equal(rule.priority, ip.priority);
      assert.equal(rule.from, prefix(ip.src, ip.srclen), where);
      assert.equal(rule.to, prefix(ip.dst, ip.dstlen), where);
      assert.equal(rule.invert, ip.not === null, where);
      assert.equal(rule.fwmark === undefined ? undefined : `0x${rule.fwmark.toString(16)}`, ip.fwmark, where);
      assert.equal(rule.iif, ip.iif, where);
      assert.equal(rule.oif, ip.oif, where);
      assert.deepEqual([rule.uids?.start, rule.uids?.end], [ip.uid_start, ip.uid_end], where);
      assert.equal(rule.ipProtocol === 17 ? 'udp' : undefined, ip.ipproto, where);
      assert.equal(rule.sourcePorts?.start, ip.sport, where);
      assert.equal(rule.suppressPrefixLength, ip.suppress_prefixlen, where);
      assert.equal(rule.protocol, ip.protocol, where);
      const table = { 253: 'default', 254: 'main', 255: 'local' }[rule.table ?? 0] ?? rule.table?.toString();
      if (rule.action === 'table') assert.equal(table, ip.table, where);
      else if (rule.action !== 'goto') assert.equal(rule.action, ip.action, where);
    }
    assert.equal(ours.find((rule) => rule.priority === 110)!.goto, 32_766);
    assert.deepEqual(ours.find((rule) => rule.priority === 105)!.destinationPorts, { start: 1, end: 99 });
    assert.equal(ours.find((rule) => rule.priority === 102)!.fwmask, 0xff);
    const all = bed.net.rules.list();
    assert.equal(all.length, ours.length + bed.net.rules.list({ version: 6 }).length);
    assert.equal(all.filter((rule) => rule.from === '2001:db8::/32')[0]!.table, 5);
  });

  it('deletes exactly the rule that is described', () => {
    using bed = new Bed();
    bed.veth('bw0', 'bw1');
    const before = bed.net.rules.list();
    for (const spec of SPECS) bed.net.rules.add(spec);
    for (const spec of [...SPECS].reverse()) {
      const count = bed.net.rules.list().length;
      bed.net.rules.delete(spec);
      const left = bed.net.rules.list();
      assert.equal(left.length, count - 1);
      assert.ok(!left.some((rule) => rule.priority === spec.priority));
    }
    assert.deepEqual(bed.net.rules.list(), before);
  });

  it('deletes by a part of what a rule says', () => {
    using bed = new Bed();
    bed.net.rules.add({ priority: 7, from: '192.0.2.1/32', action: 'blackhole' });
    bed.net.rules.delete({ priority: 7 });
    assert.ok(!bed.net.rules.list().some((rule) => rule.priority === 7));
  });

  it('refuses doubles, the unknown and the contradictory', () => {
    using bed = new Bed();
    bed.net.rules.add({ fwmark: 1, table: 9, priority: 3 });
    assert.throws(() => bed.net.rules.add({ fwmark: 1, table: 9, priority: 3 }), { code: 'BW_EXISTS' });
    assert.throws(
      () => bed.net.rules.delete({ fwmark: 77 }),
      (error) => error instanceof NetlinkError && error.hint!.includes('list()'),
    );
    const wrong = [
      () => bed.net.rules.add({ from: '192.0.2.0/24', to: '2001:db8::/32' }),
      () => bed.net.rules.add({ from: '192.0.2.1/24' }),
      () => bed.net.rules.add({ uids: { start: 5, end: 4 } }),
      () => bed.net.rules.add({ sourcePorts: { start: 0, end: 65_536 } }),
      () => bed.net.rules.add({ iif: 'sixteen-bytes-xx' }),
    ];
    for (const task of wrong) assert.throws(task, ArgumentError, String(task));
  });
});
