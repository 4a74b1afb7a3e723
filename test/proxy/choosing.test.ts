import assert from 'node:assert/strict';
import type { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { RotatingLine } from '../../src/http/index.ts';
import { STRATEGIES } from '../../src/proxy/choice.ts';
import { Exit } from '../../src/proxy/exit.ts';
import { FailureLog } from '../../src/proxy/failures.ts';
import { ByteRate } from '../../src/proxy/rate.ts';
import { Router, type RoutingOptions } from '../../src/proxy/router.ts';
import { StickyTable } from '../../src/proxy/sticky.ts';
import { parseUserName } from '../../src/proxy/user-name.ts';
import { type Admission, User } from '../../src/proxy/users.ts';

/** A line that can be up or down and changes its address at will; nothing is sent through it here. */
class TestLine implements RotatingLine {
  readonly name: string;
  addresses: readonly string[];
  #dials = 0;

  constructor(name: string, address: string) {
    this.name = name;
    this.addresses = [address];
  }

  connect(): Promise<Duplex> {
    return Promise.reject(new Error('nothing is connected here'));
  }

  resolve(): Promise<readonly string[]> {
    return Promise.reject(new Error('nothing is resolved here'));
  }

  async redial(): Promise<{ readonly before: string | undefined; readonly after: string | undefined }> {
    const [before] = this.addresses;
    this.addresses = [`198.51.100.${++this.#dials}`];
    return { before, after: this.addresses[0] };
  }
}

function exitsOf(count: number): { readonly lines: TestLine[]; readonly exits: Exit[] } {
  const lines = Array.from({ length: count }, (_, i) => new TestLine(`line-${i}`, `203.0.113.${i + 1}`));
  return { lines, exits: lines.map((line) => new Exit(line, { drain: 5 })) };
}

function admission(text: string): Admission {
  const user = new User({ name: 'alice', from: ['192.0.2.0/24'] });
  return { user, wishes: parseUserName(text, (name) => name === 'alice') };
}

function routerOf(
  count: number,
  options: RoutingOptions = {},
): { router: Router; lines: TestLine[]; exits: Exit[] } {
  const { lines, exits } = exitsOf(count);
  return { router: new Router(exits, options), lines, exits };
}

const names = (router: Router, text: string, times: number, now = 0): string[] =>
  Array.from({ length: times }, () => router.route(admission(text), '192.0.2.1', now).exit.name);

describe('the exit of a request', () => {
  it('goes round when nothing else is said', () => {
    const { router } = routerOf(3);
    assert.deepEqual(names(router, 'alice', 4), ['line-0', 'line-1', 'line-2', 'line-0']);
  });

  for (const strategy of STRATEGIES) {
    it(`is never one that is down, by ${strategy}`, () => {
      const { router, lines, exits } = routerOf(4, { strategy });
      lines[0]!.addresses = [];
      exits[1]!.checked({ error: 'no answer' });
      exits[2]!.drain();
      assert.deepEqual(new Set(names(router, 'alice', 50)), new Set(['line-3']));
      exits[3]!.checked({ error: 'no answer' });
      assert.throws(() => names(router, 'alice', 1), {
        code: 'BW_PROXY_NO_EXIT',
        message: /line-0 is down, line-1 is down, line-2 is draining, line-3 is down/,
      });
    });
  }

  it('is the least used by that strategy', () => {
    const { router, exits } = routerOf(3, { strategy: 'least-used' });
    exits[0]!.hold(() => undefined);
    const release = exits[1]!.hold(() => undefined);
    assert.deepEqual(names(router, 'alice', 2), ['line-2', 'line-2']);
    release();
    exits[2]!.hold(() => undefined);
    assert.deepEqual(names(router, 'alice', 1), ['line-1']);
  });

  it('by hash moves only the keys of an exit that fails, and spreads them over the others', () => {
    const { router, exits } = routerOf(8, { strategy: 'hash' });
    const of = (client: number): string => router.route(admission('alice'), `192.0.2.${client}`, 0).exit.name;
    const before = Array.from({ length: 200 }, (_, i) => of(i));
    assert.equal(new Set(before).size, 8);
    exits[3]!.checked({ error: 'no answer' });
    const after = Array.from({ length: 200 }, (_, i) => of(i));
    for (const [i, name] of before.entries()) if (name !== 'line-3') assert.equal(after[i], name);
    const moved = after.filter((_, i) => before[i] === 'line-3');
    assert.ok(new Set(moved).size > 3);
  });

  it('stays with a session until its lifetime is over', () => {
    const { router } = routerOf(2);
    const text = 'alice-session-x-lifetime-10m';
    const [first] = names(router, text, 1);
    names(router, 'alice', 1);
    assert.deepEqual(names(router, text, 3, 599_999), [first, first, first]);
    names(router, 'alice', 1);
    assert.notEqual(names(router, text, 1, 600_000)[0], first);
  });

  it('stays for a time or a number of bytes, where that is how exits rotate', () => {
    const { router } = routerOf(2, { rotate: { unit: 'time', span: 1000 } });
    assert.deepEqual(names(router, 'alice', 3, 0), ['line-0', 'line-0', 'line-0']);
    assert.deepEqual(names(router, 'alice', 2, 1000), ['line-1', 'line-1']);
    const counted = routerOf(2, { rotate: { unit: 'bytes', bytes: 100 } }).router;
    const route = counted.route(admission('alice'), '192.0.2.1', 0);
    route.binding!.bytesLeft -= 99;
    assert.deepEqual(names(counted, 'alice', 1), [route.exit.name]);
    route.binding!.bytesLeft -= 1;
    assert.notEqual(names(counted, 'alice', 1)[0], route.exit.name);
  });

  it('soft sessions move on when their address is gone, hard ones fail and stay failed', async () => {
    for (const change of ['down', 'address'] as const) {
      const { router, lines, exits } = routerOf(2);
      const exit = router.route(admission('alice-session-x'), '192.0.2.1', 0).exit;
      router.route(admission('alice-session-y-mode-hard'), '192.0.2.1', 0);
      for (const [i, line] of lines.entries()) {
        if (change === 'address') line.addresses = [`198.51.100.${i}`];
      }
      if (change === 'down') for (const each of exits) each.checked({ error: 'no answer' });
      const hard = (): unknown => router.route(admission('alice-session-y-mode-hard'), '192.0.2.1', 0);
      assert.throws(hard, { code: 'BW_PROXY_EXIT_GONE' });
      assert.throws(hard, { code: 'BW_PROXY_EXIT_GONE' });
      if (change === 'down') for (const each of exits) if (each !== exit) each.checked({ latency: 1 });
      const moved = router.route(admission('alice-session-x'), '192.0.2.1', 0).exit;
      assert.ok(moved.usable);
      assert.deepEqual(names(router, 'alice-session-x', 3), Array(3).fill(moved.name));
    }
  });

  it('a named one is taken or refused, never replaced', () => {
    const { router, exits } = routerOf(3);
    assert.deepEqual(names(router, 'alice-exit-line-2', 3), ['line-2', 'line-2', 'line-2']);
    assert.throws(() => names(router, 'alice-exit-lime-2', 1), { hint: 'Did you mean line-2?' });
    exits[2]!.drain();
    assert.throws(() => names(router, 'alice-exit-line-2', 1), { message: /line-2 is draining/ });
  });
});

describe('a change of address', () => {
  it('gives the old and the new one, at most every so often', async () => {
    const { exits, lines } = exitsOf(1);
    const exit = exits[0]!;
    assert.deepEqual(await exit.rotate(100_000), {
      exit: 'line-0',
      before: '203.0.113.1',
      after: '198.51.100.1',
    });
    assert.equal(exit.state, 'up');
    await assert.rejects(exit.rotate(159_999), { code: 'BW_PROXY_LIMIT', hint: 'Try again in 1 s.' });
    assert.equal((await exit.rotate(160_000)).after, '198.51.100.2');
    assert.equal(lines[0]!.addresses[0], '198.51.100.2');
  });

  it('waits for open connections, ends those that stay, and takes no new ones meanwhile', async () => {
    const { exits } = exitsOf(1);
    const exit = exits[0]!;
    const release = exit.hold(() => assert.fail('it ended by itself'));
    let ended = false;
    const stubborn = exit.hold(() => {
      ended = true;
      stubborn();
    });
    const rotation = exit.rotate(0);
    const second = exit.rotate(0);
    assert.equal(exit.state, 'changing');
    assert.equal(exit.usable, false);
    release();
    assert.equal(ended, false);
    const results = await Promise.all([rotation, second]);
    assert.deepEqual(results[0], results[1]);
    assert.equal(ended, true);
    assert.equal(exit.usable, true);
  });

  it('that fails leaves the exit down, until a check finds it up', async () => {
    const line = new TestLine('line-0', '203.0.113.1');
    line.redial = () => Promise.reject(new Error('no concentrator answers'));
    const exit = new Exit(line);
    await assert.rejects(exit.rotate(0), /no concentrator/);
    assert.equal(exit.state, 'down');
    assert.equal(exit.lastError, 'no concentrator answers');
    exit.checked({ latency: 3 });
    assert.equal(exit.state, 'up');
  });

  it('is refused by a line that cannot', async () => {
    const line = new TestLine('eth0', '203.0.113.1');
    const fixed = {
      name: line.name,
      addresses: line.addresses,
      connect: line.connect,
      resolve: line.resolve,
    };
    await assert.rejects(new Exit(fixed).rotate(0), { code: 'BW_PROXY_COMMAND' });
  });
});

describe('user names', () => {
  const users = new Set(['alice', 'web', 'web-team']);
  const parse = (text: string) => parseUserName(text, (name) => users.has(name));

  it('end where the longest known name does', () => {
    assert.equal(parse('web-team-session-1').user, 'web-team');
    assert.equal(parse('web-team-session-1').session, '1');
  });

  it('hold parameters whose values may have hyphens', () => {
    assert.deepEqual(parse('alice-session-a-b-lifetime-1h30m-mode-hard-exit-line-3'), {
      user: 'alice',
      session: 'a-b',
      lifetime: 5_400_000,
      mode: 'hard',
      exit: 'line-3',
    });
  });

  it('say what is wrong with a parameter', () => {
    const wrong = (text: string, message: RegExp, hint?: RegExp): void => {
      assert.throws(
        () => parse(text),
        (error: Error & { hint?: string }) => {
          assert.match(error.message, message);
          if (hint !== undefined) assert.match(error.hint ?? '', hint);
          return true;
        },
      );
    };
    wrong('alice-sesion-1', /no parameter 'sesion'/, /session/);
    wrong('alice-session', /'session' has no value/);
    wrong('alice-session-1-session-2', /'session' is given twice/);
    wrong('alice-session-1-lifetime-10', /lifetime '10' is no duration/);
    wrong('alice-session-1-mode-warm', /neither soft nor hard/);
    wrong('alice-lifetime-10m', /belong to a session/);
  });

  it('of nobody are left whole, so that only the log-in fails', () => {
    assert.deepEqual(parse('mallory-sesion-1').user, 'mallory-sesion-1');
  });

  it("of any form are read or refused with the proxy's error", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('alice', 'web', 'team', 'session', 'lifetime', 'mode', 'exit', '', '1m')),
        (words) => {
          try {
            parse(words.join('-'));
          } catch (error) {
            assert.equal((error as { code?: string }).code, 'BW_PROXY_AUTHENTICATION');
          }
        },
      ),
    );
  });
});

describe('bounded tables', () => {
  it('sticky bindings: the one used longest ago goes', () => {
    const { exits } = exitsOf(1);
    const table = new StickyTable(3);
    for (const key of ['a', 'b', 'c']) table.bind(key, exits[0]!, 100);
    table.get('a', 0);
    table.bind('d', exits[0]!, 100);
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].map((key) => table.get(key, 0) !== undefined),
      [true, false, true, true],
    );
    assert.equal(table.size, 3);
  });

  it('failed log-ins: each waits longer, ten are enough, and ten quiet minutes forget them', () => {
    const log = new FailureLog(2);
    const delays = Array.from({ length: 11 }, () => {
      const delay = log.delay('192.0.2.1', 0);
      log.failed('192.0.2.1', 0);
      return delay;
    });
    assert.deepEqual(delays, [0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 8000, 'refuse']);
    assert.equal(log.delay('192.0.2.1', 600_000), 'refuse');
    assert.equal(log.delay('192.0.2.1', 600_001), 0);
    for (const address of ['192.0.2.2', '192.0.2.3', '192.0.2.4']) log.failed(address, 0);
    assert.equal(log.size, 2);
  });

  it('a rate lets through what it says over time', () => {
    const rate = new ByteRate(1000);
    let now = 1;
    let moved = 0;
    while (now < 10_000) {
      moved += 300;
      now += Math.max(1, rate.take(300, now));
    }
    // One second's worth at once, then the rate.
    assert.ok(moved >= 10_000 && moved <= 11_600, String(moved));
  });
});
