import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ArgumentError } from '../../src/error.ts';
import type { InterfaceAddress } from '../../src/netlink/index.ts';
import { Bed } from './bed.ts';

/** The parts of `ip -json -details addr` that are compared. */
interface IpAddress {
  ifindex: number;
  addr_info: {
    family: string;
    local: string;
    address?: string;
    prefixlen: number;
    broadcast?: string;
    scope: string;
    label?: string;
    metric?: number;
    valid_life_time: number;
    preferred_life_time: number;
    [flag: string]: unknown;
  }[];
}

describe('addresses', () => {
  it('reads every attribute as ip does', () => {
    using bed = new Bed();
    const { addresses } = bed.net;
    // Addresses that the kernel makes and tests by itself would change between the two listings.
    bed.sysctl('ipv6.conf.default.addr_gen_mode', '1');
    bed.veth('bw0', 'bw1');
    addresses.add('bw0', '192.0.2.1/24', { broadcast: '192.0.2.255', label: 'bw0:one', metric: 42 });
    addresses.add('bw0', '192.0.2.9/24');
    addresses.add('bw0', '198.51.100.1/32', { peer: '198.51.100.2', scope: 'link' });
    addresses.add('lo', '127.0.0.5/8');
    addresses.add('bw0', '2001:db8::1/64', { noDad: true, validLifetime: 1000, preferredLifetime: 500 });
    addresses.add('bw0', '2001:db8:1::1/128', {
      peer: '2001:db8:1::2',
      noDad: true,
      noPrefixRoute: true,
    });

    const ours = addresses.list();
    const theirs = bed
      .ip<IpAddress>('addr')
      .flatMap((link) => link.addr_info.map((info) => ({ ifindex: link.ifindex, ...info })));
    assert.equal(ours.length, theirs.length);
    for (const info of theirs) {
      const address = ours.find((own) => own.index === info.ifindex && own.address === info.local);
      assert.ok(address, info.local);
      compare(address, info);
    }
    assert.ok(theirs.length >= 6);
    const v4 = addresses.list({ link: 'bw0', version: 4 });
    assert.deepEqual(
      v4.map(({ address, prefixLength, peer }) => `${address}/${prefixLength} ${peer}`).sort(),
      ['192.0.2.1/24 undefined', '192.0.2.9/24 undefined', '198.51.100.1/32 198.51.100.2'],
    );
    const second = v4.find((address) => address.address === '192.0.2.9');
    assert.deepEqual(second!.flags, ['secondary', 'permanent']);
  });

  it('adds once, replaces often, deletes', () => {
    using bed = new Bed();
    const { addresses } = bed.net;
    addresses.add('lo', '192.0.2.1/24');
    assert.throws(
      () => addresses.add('lo', '192.0.2.1/24'),
      (error: Error & { code: string; hint: string }) => {
        assert.equal(error.code, 'BW_EXISTS');
        assert.match(error.hint, /replace/);
        return true;
      },
    );
    addresses.replace('lo', '192.0.2.1/24', { validLifetime: 600, preferredLifetime: 300 });
    const [address] = addresses.list({ link: 'lo', version: 4 });
    assert.ok(address!.validLifetime <= 600 && address!.validLifetime > 500);
    assert.ok(address!.preferredLifetime <= 300 && address!.preferredLifetime > 200);
    addresses.replace('lo', '192.0.2.1/24', { validLifetime: Number.POSITIVE_INFINITY });
    assert.equal(addresses.list({ link: 'lo', version: 4 })[0]!.validLifetime, Number.POSITIVE_INFINITY);
    addresses.delete('lo', '192.0.2.1/24');
    assert.deepEqual(addresses.list({ link: 'lo', version: 4 }), []);
    assert.throws(() => addresses.delete('lo', '192.0.2.1/24'), { errno: 99 });
  });

  it('refuses what cannot be an address before the kernel sees it', () => {
    using bed = new Bed();
    const { addresses } = bed.net;
    const wrong = [
      () => addresses.add('lo', 'localhost/8'),
      () => addresses.add('lo', '192.0.2.1/33'),
      () => addresses.add('lo', '192.0.2.1/24', { peer: '2001:db8::1' }),
      () => addresses.add('lo', '2001:db8::1/64', { broadcast: '2001:db8::ff' }),
      () => addresses.add('lo', '2001:db8::1/64', { label: 'lo:1' }),
      () => addresses.add('lo', '192.0.2.1/24', { validLifetime: -1 }),
      () => addresses.add('lo', '192.0.2.1/24', { scope: 'scope-256' }),
    ];
    for (const task of wrong) assert.throws(task, ArgumentError, String(task));
    assert.deepEqual(addresses.list(), []);
  });

  it("passes on the kernel's reason", () => {
    using bed = new Bed();
    assert.throws(
      () => bed.net.addresses.add('lo', '192.0.2.1/24', { validLifetime: 10, preferredLifetime: 20 }),
      (error: Error & { reason: string }) => {
        assert.match(error.reason, /lifetime/i);
        assert.ok(error.message.includes(error.reason));
        return true;
      },
    );
  });
});

function compare(address: InterfaceAddress, info: IpAddress['addr_info'][number]): void {
  const forever = 2 ** 32 - 1;
  const comparable = {
    family: address.version === 4 ? 'inet' : 'inet6',
    address: address.peer,
    prefixlen: address.prefixLength,
    broadcast: address.broadcast,
    scope: address.scope,
    label: address.label,
    metric: address.metric,
  };
  for (const [key, value] of Object.entries(comparable)) {
    assert.equal(value, info[key], `${address.address}: ${key}`);
  }
  for (const flag of [
    'secondary',
    'nodad',
    'tentative',
    'noprefixroute',
    'deprecated',
    'temporary',
  ] as const) {
    assert.equal(address.flags.includes(flag), info[flag] === true, `${address.address}: ${flag}`);
  }
  // A second may pass between the two listings.
  const near = (ours: number, theirs: number): boolean =>
    ours === Number.POSITIVE_INFINITY ? theirs === forever : Math.abs(ours - theirs) <= 1;
  assert.ok(near(address.validLifetime, info.valid_life_time), `${address.address}: valid lifetime`);
  assert.ok(
    near(address.preferredLifetime, info.preferred_life_time),
    `${address.address}: preferred lifetime`,
  );
}
