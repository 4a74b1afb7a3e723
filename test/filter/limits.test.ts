import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { run, runMaps } from '../../src/compiler/index.ts';
import { checkRule, type RuleParts } from '../../src/policy/make-rule.ts';
import { makeRate, parsePer } from '../../src/policy/parse.ts';
import { DEFAULT_SETTINGS, type Policy } from '../../src/policy/policy.ts';
import { PRESETS, presetRule } from '../../src/policy/presets.ts';
import { filterProgram } from '../../src/programs/filter.ts';
import { shapeOf } from '../../src/programs/filter-shape.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { Bed } from './bed.ts';
import { frame, ports, tcp } from './frames.ts';

const stock = takeStock();
after(() => requireNoLeaks(stock));

/** A filter of limits in Node, with a clock that stands until it is moved. */
class Clocked {
  now = 3_600_000_000_000n;
  readonly #program: ReturnType<typeof filterProgram>;
  readonly #maps: ReturnType<typeof runMaps>;

  constructor(rules: readonly RuleParts[], settings: Partial<Policy['settings']> = {}) {
    const policy: Policy = {
      settings: { ...DEFAULT_SETTINGS, ...settings },
      rules: rules.map((rule) => ({ ...checkRule(rule), added: 0, list: 0 })),
      lists: [],
      tables: [],
    };
    this.#program = filterProgram(
      shapeOf(policy, { guarded: false, frags: false, capacities: {}, monotonic: () => 0n }),
    );
    this.#maps = runMaps(this.#program) as never;
  }

  /** How many of these frames pass, one right after the other. */
  pass(frames: readonly Uint8Array[]): number {
    const { packets } = run(this.#program, frames, { maps: this.#maps as never, ktime: () => this.now });
    return packets.filter(({ verdict }) => verdict === 'pass').length;
  }

  /** In ms. */
  wait(time: number): void {
    this.now += BigInt(Math.round(time * 1e6));
  }
}

const limit = (
  perSecond: number,
  burst: number,
  more: Partial<RuleParts> = {},
  per = 'source',
): RuleParts => ({
  action: 'limit',
  protocol: 17,
  limit: { packets: makeRate(perSecond, burst, 1), per: parsePer(per), within: 'continue' },
  ...more,
});
const many = (count: number, source = '192.0.2.1', more = {}): Uint8Array[] =>
  Array.from({ length: count }, () => frame({ source, ...more }));

describe('limits', () => {
  it('let a burst through, then so many a second, for ever', () => {
    const subject = new Clocked([limit(100, 10)]);
    assert.equal(subject.pass(many(50)), 10);
    subject.wait(10);
    assert.equal(subject.pass(many(5)), 1);
    let passed = 0;
    for (let i = 0; i < 1000; i++) {
      subject.wait(1);
      passed += subject.pass(many(3));
    }
    assert.equal(passed, 100);
    subject.wait(3_600_000);
    assert.equal(subject.pass(many(50)), 10, 'a long pause saves up no more than the burst');
  });

  it('count each source by itself, prefixes of sources together, or all', () => {
    const each = new Clocked([limit(10, 2)]);
    assert.equal(each.pass([...many(5), ...many(5, '192.0.2.2')]), 4);
    const together = new Clocked([limit(10, 2, {}, '/24,/48')]);
    assert.equal(together.pass([...many(5), ...many(5, '192.0.2.2'), ...many(5, '192.0.3.1')]), 4);
    assert.equal(
      together.pass([
        ...many(5, '2001:db8:1::1'),
        ...many(5, '2001:db8:1:ffff::2'),
        ...many(5, '2001:db8:2::1'),
      ]),
      4,
    );
    const all = new Clocked([limit(10, 2, {}, 'all')]);
    assert.equal(all.pass([...many(5), ...many(5, '198.51.100.1')]), 2);
  });

  it('count bytes of whole frames', () => {
    const bytes = frame({ payload: new Uint8Array(966) }).length;
    assert.equal(bytes, 1000);
    const subject = new Clocked([
      {
        action: 'limit',
        protocol: 17,
        limit: { bytes: makeRate(100_000, 10_000, 1514), per: parsePer('source'), within: 'continue' },
      },
    ]);
    const large = many(50, '192.0.2.1', { payload: new Uint8Array(966) });
    assert.equal(subject.pass(large), 11, 'ten thousand bytes, and the one that crosses the line');
    subject.wait(1000);
    assert.ok([10, 11].includes(subject.pass(large.slice(0, 30))));
  });

  it('apply to what they name, one after the other, and let the rest decide', () => {
    const subject = new Clocked([
      limit(10, 3, { ports: [{ from: 53, to: 53 }] }),
      limit(10, 5),
      { action: 'deny', protocol: 17, ports: [{ from: 99, to: 99 }] },
      { action: 'allow', protocol: 17, ports: [{ from: 7, to: 7 }] },
    ]);
    const to = (port: number, count: number): Uint8Array[] =>
      many(count, '192.0.2.1', { payload: ports(9, port) });
    assert.equal(subject.pass(to(53, 10)), 3);
    assert.equal(subject.pass(to(54, 10)), 2, 'what the first one passed counts for the second');
    assert.equal(subject.pass(to(99, 3)), 0);
    assert.equal(subject.pass(to(7, 50)), 50, 'what is allowed is not limited');
  });

  it('let in what keeps to them, where everything else is denied', () => {
    const subject = new Clocked(
      [
        limit(10, 4, {
          ports: [{ from: 53, to: 53 }],
          limit: { packets: makeRate(10, 4, 1), per: parsePer('source'), within: 'allow' },
        }),
      ],
      { default: 'deny' },
    );
    assert.equal(subject.pass(many(10)), 4);
    assert.equal(subject.pass(many(10, '192.0.2.1', { payload: ports(9, 54) })), 0);
  });

  it('stand against floods of SYNs, which leave connections alone', () => {
    const { 'syn-flood': preset } = PRESETS;
    assert.ok(preset !== undefined);
    const subject = new Clocked([presetRule(preset, undefined)]);
    const segments = (flags: number): Uint8Array[] =>
      many(500, '192.0.2.1', { protocol: 6, payload: tcp(1024, 80, flags) });
    assert.equal(subject.pass(segments(0x02)), 100);
    assert.equal(subject.pass(segments(0x10)), 500);
    assert.equal(subject.pass(segments(0x12)), 500);
  });

  it('hold in the kernel as well, and count what they drop', async () => {
    const bed = new Bed();
    try {
      const filter = bed.filter();
      await filter.attach();
      await filter.addRules([limit(1, 20, { protocol: 1 })]);
      const text = bed.left.exec('sh', ['-c', 'ping -i 0.002 -c 200 -W 1 10.77.0.2 || true']);
      const answered = Number(/(\d+) received/.exec(text)?.[1]);
      assert.ok(answered >= 20 && answered <= 30, `${answered} of 200 were answered`);
      assert.equal(filter.rules()[0]?.packets, BigInt(200 - answered));
    } finally {
      bed.destroy();
    }
  });
});
