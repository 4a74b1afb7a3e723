import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseIp, parseMac, parsePrefix } from '../../src/address/index.ts';
import { AnswerBook } from '../../src/apps/send-answers.ts';
import { baseSums, dnsPlans, FrameSource, plainPlan, udpPlan } from '../../src/apps/send-frames.ts';
import { LatencyHistogram } from '../../src/apps/send-histogram.ts';
import { type Order, QueryKeys } from '../../src/apps/send-keys.ts';
import { Pace, wasHeld } from '../../src/apps/send-pace.ts';
import type { Path } from '../../src/apps/send-path.ts';
import { load } from '../../src/bpf/index.ts';
import {
  buildPacket,
  decodeDns,
  Ipv4View,
  Ipv6View,
  onesSum,
  transportChecksum,
  UdpView,
} from '../../src/packet/index.ts';
import { liveSendSpec } from '../../src/programs/live-send.ts';

const orders = fc.constantFrom<Order>('random', 'sequential');
const seeds = fc.integer({ min: 0, max: 0xffff_ffff });

function pathOf(version: 4 | 6, vlans: readonly number[] = []): Path {
  return {
    source: parseIp(version === 4 ? '192.0.2.1' : '2001:db8::1'),
    destination: parseIp(version === 4 ? '198.51.100.53' : '2001:db8:1::53'),
    sourceMac: parseMac('02:00:00:00:00:01'),
    destinationMac: parseMac('02:00:00:00:00:02'),
    vlans,
    via: undefined,
  };
}

/** What an IP packet with a UDP datagram says, once its checksums were found right. */
function readUdp(frame: Uint8Array, at: number): { source: string; view: UdpView } {
  const v4 = frame[at]! >>> 4 === 4;
  const ip = v4 ? new Ipv4View().at(frame, at) : new Ipv6View().at(frame, at);
  if (v4) assert.equal(onesSum(frame, at, at + 20), 0xffff, 'the IPv4 checksum');
  const view = new UdpView().at(frame, ip.payloadOffset);
  assert.notEqual(view.checksum, 0, 'a checksum is there');
  const length = frame.length - ip.payloadOffset;
  assert.equal(view.length, length);
  const right = transportChecksum(frame, ip.payloadOffset, frame.length, ip.addressSum, 17);
  assert.equal(right, 0, 'the UDP checksum');
  const end = v4 ? [at + 12, at + 16] : [at + 8, at + 24];
  return { source: frame.subarray(end[0], end[1]).join('.'), view };
}

describe('the keys of queries', () => {
  it('come once each, and lead back to their place', () => {
    for (const order of ['random', 'sequential'] as const) {
      const keys = new QueryKeys([5000, 5002], order, 12345);
      const seen = new Uint8Array(keys.size);
      for (let place = 0; place < keys.size; place++) {
        const key = keys.keyAt(place);
        assert.equal(seen[key]!++, 0);
        if (keys.placeOf(key) !== place) assert.fail(`${place} -> ${key} -> ${keys.placeOf(key)}`);
      }
    }
  });

  it('say port and ID, whatever the ports, order and seed', () => {
    const range = fc.tuple(fc.integer({ min: 1, max: 65535 }), fc.integer({ min: 1, max: 65535 }));
    fc.assert(
      fc.property(
        range,
        orders,
        seeds,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (ends, order, seed, where) => {
          const [first, last] = ends[0] <= ends[1] ? ends : [ends[1], ends[0]];
          const keys = new QueryKeys([first, last], order, seed);
          const place = Math.floor(where * (keys.size - 1));
          const key = keys.keyAt(place);
          const [port, id] = [keys.portOf(key), keys.idOf(key)];
          assert.ok(port >= first && port <= last && id >= 0 && id <= 0xffff);
          assert.equal(keys.keyOf(port, id), key);
          assert.equal(keys.placeOf(key), place);
          assert.equal(keys.keyOf(last + 1, id), -1);
        },
      ),
    );
  });
});

describe('frames to send', () => {
  it('have right checksums and all that was asked for, over IPv4 and IPv6, with tags, labels and sources', () => {
    const options = fc.record({
      version: fc.constantFrom<4 | 6>(4, 6),
      vlans: fc.array(fc.integer({ min: 0, max: 4094 }), { maxLength: 2 }),
      // Of odd and even length, for the place of the label among the words of the sum.
      name: fc.constantFrom('example.org', 'a.example', '.'),
      randomLabel: fc.boolean(),
      dnssec: fc.boolean(),
      sources: fc.boolean(),
      order: orders,
      seed: seeds,
    });
    fc.assert(
      fc.property(options, ({ version, vlans, name, randomLabel, dnssec, sources, order, seed }) => {
        const plans = dnsPlans(pathOf(version, vlans), {
          kind: 'dns',
          questions: [{ name, type: 'AAAA' }],
          randomLabel,
          dnssec,
        });
        const network = parsePrefix(version === 4 ? '203.0.113.0/24' : '2001:db8:7::/64');
        const source = new FrameSource(plans, {
          ports: [1024, 2047],
          order,
          seed,
          sources: sources ? network : undefined,
        });
        const out = new Uint8Array(256);
        const pairs = new Set<string>();
        for (let i = 0; i < 20; i++) {
          const key = source.keys.keyAt(source.place);
          const frame = out.slice(0, source.write(out, 0));
          const { source: from, view } = readUdp(frame, 14 + 4 * vlans.length);
          const dns = decodeDns(frame, view.payloadOffset);
          assert.equal(view.sourcePort, source.keys.portOf(key));
          assert.equal(dns.id, source.keys.idOf(key));
          pairs.add(`${view.sourcePort} ${dns.id}`);
          const asked = dns.questions[0]!.name;
          const wanted = name === '.' ? '' : `.${name}`;
          if (randomLabel) assert.match(asked, new RegExp(`^[a-p]{8}${wanted.replaceAll('.', '\\.')}$`));
          else assert.equal(asked, name);
          if (version === 4) assert.ok(from.startsWith(sources ? '203.0.113.' : '192.0.2.1'), from);
        }
        assert.equal(pairs.size, 20);
      }),
      { numRuns: 60 },
    );
  });

  it('are made by the program in the kernel as well', () => {
    const cases = [4, 6].flatMap((version) =>
      ['example.org', 'a.example'].flatMap((name) =>
        (['random', 'sequential'] as const).map((order) => ({ version: version as 4 | 6, name, order })),
      ),
    );
    for (const { version, name, order } of cases) {
      const [plan] = dnsPlans(pathOf(version, [7]), {
        kind: 'dns',
        questions: [{ name, type: 'A' }],
        randomLabel: true,
      });
      assert.ok(plan !== undefined);
      const { ip, udp, id, label } = plan;
      const sums = baseSums(plan, true);
      const network = version === 4 ? 0xcb007100 | 0 : 0;
      using loaded = load(
        liveSendSpec({
          frame: plan.bytes,
          patch: {
            order,
            seed: 7,
            udp,
            udpSum: sums.udp,
            firstPort: 3000,
            ports: 10,
            id,
            label,
            source: {
              at: version === 4 ? ip + 12 : ip + 20,
              network,
              mask: 0xff,
              ip: version === 4 ? { at: ip, sum: sums.ip } : undefined,
            },
          },
        }),
      );
      loaded.maps.state.set(0, { sent: 0n, limit: 100n, start: 0n, next: 0n });
      // Nothing is sent in a test run without live frames; the entry has to be there.
      loaded.maps.out.set(0, { ifindex: 1, prog: 0 });
      const ids = new Set<number>();
      let frame: Uint8Array = plan.bytes.slice();
      for (let i = 0; i < 100; i++) {
        // The page comes back as somebody left it: what was there before does not count.
        frame.fill(0xa5, 0, 60);
        const run = loaded.program.testRun({ data: frame });
        assert.equal(run.action, 'redirect');
        frame = run.data.slice();
        const { view } = readUdp(frame, ip);
        const dns = decodeDns(frame, view.payloadOffset);
        ids.add(dns.id);
        assert.ok(view.sourcePort >= 3000 && view.sourcePort <= 3009);
        assert.match(dns.questions[0]!.name, new RegExp(`^[a-p]{8}\\.${name}$`));
      }
      assert.ok(ids.size > 90, `${ids.size} IDs among 100`);
      assert.equal(loaded.maps.state.get(0)?.sent, 100n);
      assert.equal(loaded.program.testRun({ data: frame }).action, 'drop', 'the limit holds');
    }
  });

  it('go out as they are, one after the other, when they were given whole', () => {
    const given = [60, 61, 62, 63].map((length) => new Uint8Array(length).map((_, i) => i ^ length));
    const source = new FrameSource(given.map(plainPlan), { ports: [1, 1] });
    const out = new Uint8Array(1024);
    for (let round = 0; round < 3; round++) {
      for (const frame of given) assert.deepEqual(out.slice(512, 512 + source.write(out, 512)), frame);
    }
  });

  it('refuse a source network of the other version', () => {
    const plan = udpPlan(pathOf(4), 9, new Uint8Array(1));
    assert.throws(
      () => new FrameSource([plan], { ports: [1, 1], sources: parsePrefix('2001:db8::/64') }),
      /cannot be the source of IPv4/,
    );
  });
});

describe('the book of answers', () => {
  const server = parseIp('198.51.100.53');

  function answer(port: number, id: number, code = 0, from = '198.51.100.53'): Uint8Array {
    return buildPacket([
      { layer: 'eth', source: 1, destination: 2 },
      { layer: 'vlan', id: 7 },
      { layer: 'ipv4', source: from, destination: '192.0.2.1' },
      { layer: 'udp', sourcePort: 53, destinationPort: port },
      { layer: 'dns', message: { id, response: true, responseCode: code } },
    ]);
  }

  it('matches each query once, in any order, and tells late, second and foreign answers apart', () => {
    const clock = new Float64Array(1);
    const keys = new QueryKeys([2000, 2003], 'random', 99);
    const book = new AnswerBook(keys, server, 53, 100, clock);
    const receive = (frame: Uint8Array, now: number): void => {
      clock[0] = now;
      book.received(frame, 0, frame.length);
    };
    for (let place = 0; place < 10; place++) {
      clock[0] = place;
      book.sent(place);
    }
    const of = (place: number, code = 0, from?: string): Uint8Array => {
      const key = keys.keyAt(place);
      return answer(keys.portOf(key), keys.idOf(key), code, from);
    };
    receive(of(3), 13);
    receive(of(0, 3), 20);
    receive(of(3), 21);
    receive(of(11), 21);
    receive(of(5, 0, '198.51.100.54'), 22);
    receive(of(7), 107.5);
    clock[0] = 108.5;
    const report = book.report(10, false);
    assert.deepEqual(
      [report.answered, report.late, report.unexpected, report.codes],
      [2, 1, 2, { NOERROR: 1, NXDOMAIN: 1 }],
    );
    // Sent at 9 is still in time at 108.5; all others are not.
    assert.deepEqual([report.waiting, report.lost], [1, 7]);
    assert.deepEqual([report.latency?.min, report.latency?.max], [10, 20]);
    assert.equal(book.report(10, true).lost, 8);
  });

  it('reads nothing beyond a frame and throws nothing, whatever it is given', () => {
    const book = new AnswerBook(new QueryKeys([1, 9], 'random', 1), server, 53, 100, new Float64Array(1));
    const whole = answer(5, 1);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(whole.length), (noise, cut) => {
        book.received(noise, 0, noise.length);
        const mixed = Uint8Array.from([...whole.subarray(0, cut), ...noise]);
        book.received(mixed, 0, mixed.length);
      }),
    );
    assert.equal(book.report(0, true).answered, 0);
  });
});

describe('the histogram of latencies', () => {
  it('tells every percentile to 1.6 percent', () => {
    const values = fc.array(fc.double({ min: 0, max: 100_000, noNaN: true }), {
      minLength: 1,
      maxLength: 300,
    });
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 1, noNaN: true }), (given, share) => {
        const histogram = new LatencyHistogram();
        for (const value of given) histogram.add(value);
        const sorted = given.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1]!;
        const found = histogram.quantile(share);
        assert.ok(found >= exact - 1e-9 && found <= exact * 1.016 + 0.0002, `${found} for ${exact}`);
        const summary = histogram.summary()!;
        assert.deepEqual(
          [summary.count, summary.min, summary.max],
          [sorted.length, sorted[0], sorted.at(-1)],
        );
        const bars = histogram.bars();
        assert.equal(
          bars.reduce((sum, { count }) => sum + count, 0),
          given.length,
        );
        for (const [i, bar] of bars.entries()) {
          if (i > 0) assert.equal(bar.from, bars[i - 1]!.to);
        }
      }),
    );
  });

  it('is empty without values', () => {
    const histogram = new LatencyHistogram();
    assert.deepEqual([histogram.summary(), histogram.bars(), histogram.quantile(0.5)], [undefined, [], 0]);
  });
});

describe('the pace', () => {
  it('gives at every moment what the rate makes of the time', () => {
    const clock = new Float64Array(1);
    const pace = new Pace({ rate: 1000, duration: 1000 }, clock);
    let sent = 0;
    for (let now = 50; now < 1050; now += 0.25) {
      clock[0] = now;
      const due = pace.due();
      assert.ok(due <= 1, `${due} at once`);
      pace.took(due);
      sent += due;
      assert.ok(Math.abs(sent - (now - 50) - 1) <= 1);
    }
    clock[0] = 1051;
    assert.equal(pace.due(), 0);
    assert.ok(pace.ended());
    assert.equal(sent, 1000);
  });

  it('does not make up for a long pause by a flood', () => {
    const clock = new Float64Array(1);
    const pace = new Pace({ rate: 10_000 }, clock);
    const dueAt = (now: number): number => {
      clock[0] = now;
      return pace.due();
    };
    pace.took(dueAt(0));
    assert.equal(dueAt(50), 500);
    assert.equal(dueAt(5000), 1);
    assert.equal(dueAt(5001), 11);
  });

  it('says whether a rate was held', () => {
    assert.ok(wasHeld(1000, 1001, 1000));
    assert.ok(!wasHeld(1000, 1001, 1100));
    assert.ok(wasHeld(1_000_000, 1, 0));
  });
});
