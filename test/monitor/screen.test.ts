import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { sumUp } from '../../src/apps/counts.ts';
import type { MonitorReport } from '../../src/apps/monitor.ts';
import { NO_FILTER, parseMonitorFilter } from '../../src/apps/monitor-filter.ts';
import { type FlowActivity, FlowTracker } from '../../src/apps/monitor-flows.ts';
import { summarize } from '../../src/apps/monitor-summary.ts';
import { talkers } from '../../src/apps/monitor-talkers.ts';
import { MONITOR_SORTS, MONITOR_VIEWS } from '../../src/apps/monitor-words.ts';
import { keysOf, type MonitorKeys, press } from '../../src/cli/monitor-keys.ts';
import { ASCII_BARS, drawMonitor, type MonitorScreen, sparkline } from '../../src/cli/monitor-screen.ts';
import { makeOutput, type Paint } from '../../src/cli/output.ts';
import { widthOf } from '../../src/cli/text.ts';

const plain: Paint = makeOutput(process.stdout, process.stderr, { NO_COLOR: '1' }).paint;

const counts = (udp: bigint, tcp: bigint): ReturnType<typeof sumUp> =>
  sumUp([
    [1, [{ packets: udp, bytes: udp * 100n }]],
    [0, [{ packets: tcp, bytes: tcp * 1000n }]],
  ]);

const flow = (remote: string, remotePort: number, packets: number, protocol = 17): FlowActivity => ({
  protocol,
  remote,
  local: remote.includes(':') ? 'fd00:77::2' : '10.77.0.2',
  remotePort,
  localPort: protocol === 1 ? 0 : 53,
  in: { packets, bytes: packets * 100 },
  out: { packets: packets / 2, bytes: packets * 200 },
  total: { packets: packets * 3, bytes: packets * 900 },
});

const report: MonitorReport = {
  time: new Date('2026-11-20T12:34:56Z'),
  elapsed: 10_000,
  span: 2000,
  in: { counts: counts(3000n, 300n), before: counts(1000n, 100n) },
  out: { counts: counts(500n, 50n), before: counts(100n, 10n) },
  flows: [
    flow('10.77.0.1', 4000, 1000),
    flow('10.77.0.9', 4001, 200),
    flow('2001:db8::1', 50_000, 100, 6),
    flow('10.77.0.9', 0, 10, 1),
  ],
  coverage: 0.987,
  sample: 1,
};

const screen: MonitorScreen = {
  interface: 'eth0',
  seen: 'in by XDP in driver mode, out by tcx',
  notes: ['Frames that the card will split on their way out (TSO) count as one'],
  report,
  history: { in: [1, 2, 4, 8, 4, 2, 1], out: [0, 0, 8] },
  view: 'flows',
  sort: 'bits',
  filter: NO_FILTER,
  frozen: false,
  scrolled: 0,
  help: false,
  prompt: undefined,
  message: undefined,
  recording: undefined,
  drops: [],
};

const drawn = (changes: Partial<MonitorScreen>, columns = 80, rows = 24): string[] =>
  drawMonitor({ ...screen, ...changes }, { columns, rows }, plain).map((line) => line.trimEnd());

describe('the screen', () => {
  it('shows all of it on 80 columns and 24 rows', () => {
    const lines = drawn({});
    assert.equal(lines.length, 24);
    assert.deepEqual(
      lines.filter((line) => line !== ''),
      [
        'eth0  in by XDP in driver mode, out by tcx                              12:34:56',
        'In   1.10 k/s  1.60 Mbit/s    600 kB  ▂▃▅█▅▃▂',
        'Out    220 /s   320 kbit/s    100 kB  ▁▁█',
        'tcp 50 %  udp 50 %',
        '4 conversations, 99 % of the IP bytes, every packet looked up',
        'Frames that the card will split on their way out (TSO) count as one',
        'Conversation (here - there)                        In*         Out*    Total',
        'udp 10.77.0.2:53 - 10.77.0.1:4000           400 kbit/s   800 kbit/s   900 kB',
        'udp 10.77.0.2:53 - 10.77.0.9:4001          80.0 kbit/s   160 kbit/s   180 kB',
        'tcp [fd00:77::2]:53 - [2001:db8::1]:50000  40.0 kbit/s  80.0 kbit/s  90.0 kB',
        'icmp 10.77.0.2 - 10.77.0.9                 4.00 kbit/s  8.00 kbit/s  9.00 kB',
        'flows by bits  q quit  ? help  v view  s sort  / filter  space freeze  r record',
      ],
    );
  });

  it('fits 40 columns and 12 rows', () => {
    const lines = drawn({ view: 'remote', frozen: true }, 40, 12);
    assert.equal(lines.length, 12);
    assert.deepEqual(
      lines.filter((line) => line !== ''),
      [
        'eth0  in by XDP in dr…  FROZEN  12:34:56',
        'In   1.10 k/s  1.60 Mbit/s  ▂▃▅█▅▃▂',
        'Out    220 /s   320 kbit/s  ▁▁█',
        'tcp 50 %  udp 50 %',
        'Address there          In*         Out*',
        '10.77.0.1       400 kbit/s   800 kbit/s',
        '10.77.0.9      84.0 kbit/s   168 kbit/s',
        '2001:db8::1    40.0 kbit/s  80.0 kbit/s',
        'remote by bits  q quit  ? help  v view',
      ],
    );
    for (const line of lines) assert.ok(widthOf(line) <= 40, line);
  });

  it('never grows beyond the terminal, whatever it is', () => {
    const anything = fc.record({
      columns: fc.integer({ min: 1, max: 200 }),
      rows: fc.integer({ min: 1, max: 60 }),
      view: fc.constantFrom(...MONITOR_VIEWS),
      sort: fc.constantFrom(...MONITOR_SORTS),
      help: fc.boolean(),
      frozen: fc.boolean(),
      scrolled: fc.nat(100),
      prompt: fc.option(fc.string(), { nil: undefined }),
      message: fc.option(fc.string(), { nil: undefined }),
      drops: fc.array(fc.string(), { maxLength: 30 }),
      interface: fc.string({ maxLength: 15 }),
      report: fc.constantFrom(report, undefined, { ...report, in: undefined }, { ...report, flows: [] }),
    });
    fc.assert(
      fc.property(anything, ({ columns, rows, ...changes }) => {
        const lines = drawMonitor({ ...screen, ...changes }, { columns, rows }, plain);
        assert.ok(lines.length <= rows);
        // A table keeps its first column and one rate; below that width there is nothing to be read anyway.
        if (columns < 30) return;
        for (const line of lines) {
          assert.ok(widthOf(line) <= columns, `${columns}: ${line}`);
          assert.doesNotMatch(line, /\p{Cc}/u);
        }
      }),
    );
  });

  it('shows views, sorts, filters, what was dropped and what is recorded', () => {
    const table = (lines: readonly string[]): string[] => {
      const from = lines.findIndex((line) => /Total/.test(line));
      return lines
        .slice(from + 1, -1)
        .filter((line) => line !== '')
        .map((line) => line.split(/ {2,}/)[0]!);
    };
    assert.deepEqual(table(drawn({ view: 'remote' })), ['10.77.0.1', '10.77.0.9', '2001:db8::1']);
    assert.deepEqual(table(drawn({ view: 'remote', sort: 'flows' }))[0], '10.77.0.9');
    assert.deepEqual(table(drawn({ view: 'protocols' })), ['udp', 'tcp', 'icmp']);
    assert.deepEqual(table(drawn({ view: 'ports' })), ['udp 53', 'tcp 53', 'icmp']);
    assert.deepEqual(table(drawn({ view: 'local' })), ['10.77.0.2', 'fd00:77::2']);
    assert.deepEqual(table(drawn({ view: 'remote', scrolled: 2 })), ['2001:db8::1']);
    const filtered = drawn({ filter: parseMonitorFilter('udp not 10.77.0.1'), view: 'remote' });
    assert.deepEqual(table(filtered), ['10.77.0.9']);
    assert.ok(filtered.some((line) => line.startsWith('1 of 4 conversations')));
    assert.match(filtered.at(-1)!, /^remote by bits, only udp not 10\.77\.0\.1 {2}q quit/);
    assert.match(
      drawn({ filter: parseMonitorFilter('sctp') }).join('\n'),
      /Nothing that the filter lets through/,
    );
    assert.match(drawn({ recording: { file: 'x', recorded: 12, dropped: 0 } })[0]!, /REC 12 {2}12:34:56$/);
    assert.equal(drawn({ prompt: 'udp 5' }).at(-1), 'filter: udp 5_');
    assert.equal(drawn({ message: 'done' }).at(-1), 'done');
    const drops = drawn({ drops: ['10.0.0.1 denied by rule 3', 'second'] });
    assert.deepEqual(drops.slice(-3, -1), ['10.0.0.1 denied by rule 3', 'second']);
    assert.match(drawn({ report: { ...report, sample: 100 } }).join('\n'), /1 packet in 100 looked up/);
    assert.match(drawn({ report: { ...report, out: undefined } })[2]!, /^Out {2}not seen$/);
    assert.match(drawn({ help: true }).join('\n'), /freeze the screen; counting goes on/);
  });

  it('draws history to scale', () => {
    assert.equal(sparkline([0, 1, 2, 3, 4, 5, 6, 7, 8], 20), '▁▂▃▄▅▆▇██');
    assert.equal(sparkline([100, 0, 8], 2), '▁█');
    assert.equal(sparkline([0, 8], 2, ASCII_BARS), '_#');
    assert.equal(sparkline([5], 0), '');
  });
});

describe('the keys', () => {
  const start: MonitorKeys = {
    view: 'flows',
    sort: 'bits',
    frozen: false,
    scrolled: 0,
    help: false,
    prompt: undefined,
  };
  const after = (text: string, from = start): { keys: MonitorKeys; actions: unknown[] } => {
    let keys = from;
    const actions: unknown[] = [];
    for (const key of keysOf(text)) {
      const pressed = press(keys, key);
      keys = pressed.keys;
      if (pressed.action !== undefined) actions.push(pressed.action);
    }
    return { keys, actions };
  };

  it('set view, sort, freeze, scroll and help', () => {
    assert.equal(after('v').keys.view, 'remote');
    assert.equal(after('\tv4').keys.view, 'ports');
    assert.equal(after('vvvvv').keys.view, 'flows');
    assert.equal(after('s').keys.sort, 'packets');
    assert.equal(after(' ').keys.frozen, true);
    assert.equal(after(' f').keys.frozen, false);
    assert.equal(after('jj\u001b[Bk').keys.scrolled, 2);
    assert.equal(after('\u001b[A').keys.scrolled, 0);
    assert.equal(after('jjv').keys.scrolled, 0);
    assert.deepEqual([after('?').keys.help, after('?x').keys.help], [true, false]);
    assert.deepEqual(after('q').actions, [{ action: 'quit' }]);
    assert.deepEqual(after('\u0003').actions, [{ action: 'quit' }]);
    assert.deepEqual(after('r').actions, [{ action: 'record' }]);
    assert.deepEqual(after('9xyz').keys, start);
  });

  it('type a filter, with second thoughts', () => {
    assert.equal(after('/udp q').keys.prompt, 'udp q');
    assert.deepEqual(after('/udp 53\r').actions, [{ action: 'filter', text: 'udp 53' }]);
    assert.equal(after('/udp 53\r').keys.prompt, undefined);
    assert.equal(after('/udx\u007fp\u001b[A').keys.prompt, 'udp');
    assert.equal(after('/udp\u0015tcp').keys.prompt, 'tcp');
    assert.deepEqual(after('/udp\u001b').actions, []);
    assert.equal(after('/udp\u001b').keys.prompt, undefined);
    assert.deepEqual(after('/udp\u0003').actions, [{ action: 'quit' }]);
    assert.equal(after(`/${'x'.repeat(1000)}`).keys.prompt!.length, 200);
    assert.deepEqual(after('c').actions, [{ action: 'filter', text: '' }]);
  });

  it('take anything that is typed', () => {
    fc.assert(fc.property(fc.string(), (text) => void after(text)));
  });
});

describe('the filter', () => {
  it('takes protocols, addresses, prefixes, ports and their opposites', () => {
    const cases: readonly (readonly [string, boolean])[] = [
      ['', true],
      ['udp', true],
      ['tcp', false],
      ['not tcp', true],
      ['not not udp', true],
      ['UDP and 53', true],
      ['port 4000', true],
      ['port 4001', false],
      ['10.77.0.1', true],
      ['host 10.77.0.2', true],
      ['host 10.77.0.3', false],
      ['10.77.0.0/24', true],
      ['net 10.78.0.0/24', false],
      ['not 10.77.0.0/24', false],
      ['ip4', true],
      ['ip6', false],
      ['2001:db8::/32', false],
      ['udp, 53, not 10.0.0.0/16', true],
    ];
    for (const [text, expected] of cases) {
      assert.equal(parseMonitorFilter(text).matches(report.flows[0]!), expected, text);
    }
    for (const bad of ['udpp', 'port', 'port x', 'not', '70000', '10.0.0.1/8', 'host 10.0.0.0/8', '1.2.3']) {
      assert.throws(() => parseMonitorFilter(bad), { code: 'BW_ARGUMENT' }, bad);
    }
    assert.equal(parseMonitorFilter('2001:DB8::1').matches(report.flows[2]!), true);
  });

  it('throws nothing but what an argument can be wrong with', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseMonitorFilter(text);
        } catch (error) {
          assert.equal((error as { code: string }).code, 'BW_ARGUMENT');
        }
      }),
    );
  });
});

describe('readings', () => {
  const key = (port: number): never =>
    ({
      remote: 0n,
      remoteLow: 0xffff_0a4d_0001n,
      local: 0x20010db800000000n,
      localLow: 1n,
      remotePort: port,
      localPort: 9,
      protocol: 17,
    }) as never;
  const tally = (packets: bigint): never =>
    ({ inPackets: packets, inBytes: packets * 10n, outPackets: 0n, outBytes: 0n }) as never;

  it('become what happened between them, also where one was forgotten and came again', () => {
    const tracker = new FlowTracker();
    tracker.update([[key(1), tally(5n)]]);
    const [again, fresh] = tracker.update([
      [key(1), tally(8n)],
      [key(2), tally(3n)],
    ]);
    assert.deepEqual(
      [again!.in, again!.total],
      [
        { packets: 3, bytes: 30 },
        { packets: 8, bytes: 80 },
      ],
    );
    assert.deepEqual([again!.remote, again!.local], ['10.77.0.1', '2001:db8::1']);
    assert.equal(fresh!.in.packets, 3);
    const [reset] = tracker.update([[key(1), tally(2n)]]);
    assert.equal(reset!.in.packets, 2);
  });

  it('are summed up for programs', () => {
    const options = { view: 'remote', sort: 'bits', filter: NO_FILTER, top: 1 } as const;
    const summary = summarize(report, options);
    assert.equal(summary.talkers.length, 1);
    assert.deepEqual(summary.talkers[0], {
      name: '10.77.0.1',
      flows: 1,
      in: { packetsPerSecond: 500, bitsPerSecond: 400_000 },
      out: { packetsPerSecond: 250, bitsPerSecond: 800_000 },
      totalPackets: 3000,
      totalBytes: 900_000,
    });
    assert.equal(summary.in!.packetsPerSecond, 1100);
    assert.deepEqual(Object.keys(summary.in!.kinds), ['ipv4-tcp', 'ipv4-udp']);
    assert.equal(talkers(report.flows, 'remote', 'packets')[0]!.name, '10.77.0.1');
  });
});
