import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import {
  address,
  duration,
  integer,
  interfaceName,
  type Kind,
  namespaceName,
  oneOf,
  packetRate,
  text,
} from '../../src/cli/kinds.ts';
import { ArgumentError } from '../../src/error.ts';

function refuses(kind: Kind<unknown>, given: string, message: RegExp, hint: RegExp): void {
  assert.throws(
    () => kind.parse(given),
    (error: unknown) => {
      assert.ok(error instanceof ArgumentError);
      assert.match(error.message, message);
      assert.match(error.hint ?? '', hint);
      return true;
    },
  );
}

it('reads durations in ms', () => {
  const kind = duration();
  assert.equal(kind.parse('500ms'), 500);
  assert.equal(kind.parse('2s'), 2000);
  assert.equal(kind.parse('120s'), 120_000);
  assert.equal(kind.parse('1.5s'), 1500);
  assert.equal(kind.parse('10m'), 600_000);
  assert.equal(kind.parse('1h30m'), 5_400_000);
  assert.equal(kind.parse('2d'), 172_800_000);
  refuses(kind, '5', /'5' has no unit/, /5s/);
  refuses(kind, '5 s', /not a duration/, /500ms/);
  refuses(kind, '-5s', /not a duration/, /500ms/);
  refuses(kind, 's', /not a duration/, /500ms/);
  refuses(kind, '2sx', /not a duration/, /500ms/);
  refuses(duration({ min: '100ms', max: '1h' }), '10ms', /out of range/, /from 100ms to 1h/);
  refuses(duration({ min: '100ms', max: '1h' }), '2h', /out of range/, /from 100ms to 1h/);
});

it('reads any sum of units', () => {
  const n = fc.integer({ min: 0, max: 1000 });
  fc.assert(
    fc.property(n, n, n, n, (h, m, s, ms) => {
      assert.equal(duration().parse(`${h}h${m}m${s}s${ms}ms`), h * 3_600_000 + m * 60_000 + s * 1000 + ms);
    }),
  );
});

it('reads whole numbers within their range', () => {
  assert.equal(integer().parse('-7'), -7);
  assert.equal(integer().parse('0x1F'), 31);
  assert.equal(integer().parse('-0x10'), -16);
  assert.equal(integer().parse('1_000_000'), 1_000_000);
  refuses(integer({ min: 1 }), '0', /0 is out of range/, /at least 1/);
  refuses(integer({ min: 1, max: 64 }), '65', /out of range/, /from 1 to 64/);
  for (const given of ['', '1.5', 'ten', '1e3', '0x', '1__0', '_1', '--1']) {
    refuses(integer(), given, /not a whole number/, /whole number/);
  }
  refuses(integer(), '9007199254740993', /out of range/, /whole number/);
});

it('takes one of a set and names the nearest', () => {
  const kind = oneOf('MODE', ['auto', 'driver', 'generic']);
  assert.equal(kind.parse('driver'), 'driver');
  refuses(kind, 'drvier', /'drvier' is not known/, /Did you mean driver\?/);
  refuses(kind, 'native', /'native' is not known/, /auto, driver, generic/);
});

it('reads packet rates', () => {
  assert.equal(packetRate().parse('1000'), 1000);
  assert.equal(packetRate().parse('10k'), 10_000);
  assert.equal(packetRate().parse('2.5Mpps'), 2_500_000);
  assert.equal(packetRate().parse('1G/s'), 1_000_000_000);
  for (const given of ['0', '-1', 'fast', '10m', '']) refuses(packetRate(), given, /not a rate/, /10k/);
});

it('takes addresses of either version, or of one', () => {
  assert.equal(address().parse('192.0.2.1'), '192.0.2.1');
  assert.equal(address().parse('2001:db8::1'), '2001:db8::1');
  refuses(address(), '192.0.2.256', /'192.0.2.256' is not an IPv4 or IPv6 address/, /192\.0\.2\.1/);
  refuses(address(), 'fe80::1%eth0', /is not an/, /2001:db8::1/);
  refuses(address(4), '2001:db8::1', /is not an IPv4 address/, /192\.0\.2\.1/);
  refuses(address(6), '192.0.2.1', /is not an IPv6 address/, /2001:db8::1/);
});

it('takes what can name an interface or a namespace', () => {
  assert.equal(interfaceName().parse('bw-a.100'), 'bw-a.100');
  for (const given of ['', '.', '..', 'a b', 'a/b', 'a:1', 'abcdefghijklmnop', 'übergroßername']) {
    refuses(interfaceName(), given, /cannot be the name/, /1 to 15 bytes/);
  }
  assert.equal(namespaceName().parse('/proc/1/ns/net'), '/proc/1/ns/net');
  refuses(namespaceName(), '', /cannot be the name/, /ip netns list/);
  refuses(text(), '', /empty/, /^$/);
});
