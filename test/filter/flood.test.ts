import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { FilterConfig } from '../../src/filter/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { Bed } from './bed.ts';

const stock = takeStock();
const bed = new Bed();
after(() => {
  bed.destroy();
  requireNoLeaks(stock);
});
const filter = bed.filter();
// IPv6 speaks by itself now and then, and the stack counts it elsewhere.
for (const host of [bed.left, bed.right]) host.sysctl('net.ipv6.conf.all.disable_ipv6', 1);

/** Configurations that agree on two networks and on nothing else: by tables, by rules, by the default. */
const AGREED: readonly FilterConfig[] = [
  { deny: ['10.2.0.0/16'] },
  { default: 'deny', allow: ['10.1.0.0/16', '10.77.0.0/24'] },
  {
    deny: [{ source: '10.2.0.0/17', protocol: 'udp', ports: '1-100' }],
    limits: [{ protocol: 'tcp', packets: 10 }],
  },
  { default: 'deny', allow: [{ source: '10.1.0.0/16', protocol: 'udp' }], deny: ['10.2.0.0/24'] },
];

/** IPv4 packets that the right host's stack has been given. */
function received(): number {
  const lines = bed.right.netns.run(() => readFileSync('/proc/thread-self/net/snmp', 'utf8')).split('\n');
  const [names, values] = lines.filter((line) => line.startsWith('Ip:')).map((line) => line.split(' '));
  return Number(values?.[names?.indexOf('InReceives') ?? -1]);
}

/** What the filter has passed and dropped of IP packets, in all of its generations. */
function decided(): { passed: number; dropped: number } {
  const sum = (drops: boolean): number =>
    filter
      .outcomes()
      .filter((tally) => tally.drops === drops && !['neighbour', 'other'].includes(tally.outcome))
      .reduce((total, { packets }) => total + Number(packets), 0);
  return { passed: sum(false), dropped: sum(true) };
}

/** Applies configurations, one after the other, while packets come from these sources. */
async function applyUnder(sources: string): Promise<{ received: number; passed: number; dropped: number }> {
  const [first, stack] = [decided(), received()];
  const program = fileURLToPath(new URL('flood-live.js', import.meta.url));
  const flood = bed.left.spawn(process.execPath, [program, sources, '10.77.0.2', '500000']);
  await once(flood.stdout!, 'data');
  for (
    let applied = 1;
    applied <= 6 || decided().passed + decided().dropped - first.passed - first.dropped < 200_000;
    applied++
  ) {
    await filter.apply(AGREED[applied % AGREED.length] ?? {});
    // An entry of another kind comes and goes as well: a table, and with it a program, that were not there.
    await filter.deny(`198.51.100.${applied % 250}`);
  }
  flood.stdin!.end();
  await once(flood, 'close');
  const last = decided();
  return {
    received: received() - stack,
    passed: last.passed - first.passed,
    dropped: last.dropped - first.dropped,
  };
}

describe('apply under 500,000 packets a second', () => {
  before(async () => {
    await filter.attach();
    await filter.apply(AGREED[0] ?? {});
  });

  it('drops no packet that every one of the configurations allows', { timeout: 120_000 }, async () => {
    const { received, passed, dropped } = await applyUnder('10.1.0.0/22');
    assert.equal(dropped, 0);
    assert.ok(passed >= 100_000, `${passed} packets`);
    assert.equal(received, passed, 'and no packet came by without having been looked at');
  });

  it('passes no packet that every one of them denies', { timeout: 120_000 }, async () => {
    const { received, passed, dropped } = await applyUnder('10.2.0.0/24');
    assert.equal(passed, 0);
    assert.equal(received, 0, 'nothing reached the stack');
    assert.ok(dropped >= 100_000, `${dropped} packets`);
  });
});
