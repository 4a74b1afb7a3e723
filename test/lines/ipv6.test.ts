import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodeDhcpv6, encodeDhcpv6 } from '../../src/lines/dhcpv6.ts';
import { Ipv6Setup } from '../../src/lines/ipv6-setup.ts';
import { PrefixDelegation } from '../../src/lines/prefix-delegation.ts';
import { buildPacket, describePacket, type NdpOption } from '../../src/packet/index.ts';

const LOCAL = 'fe80::11:22ff:fe33:4455';
const PEER = 'fe80::1';
const random = (bytes: Uint8Array): void => void bytes.fill(0x5a);
const clientId = Uint8Array.of(0, 3, 0, 1, 2, 0, 0, 0, 0, 1);
const serverId = Uint8Array.of(0, 3, 0, 1, 2, 0xac, 0, 0, 0, 1);

function advertisement(options: readonly NdpOption[], routerLifetime = 1800, hopLimit = 255): Uint8Array {
  return buildPacket([
    { layer: 'ipv6', source: PEER, destination: 'ff02::1', hopLimit },
    {
      layer: 'ndp',
      message: {
        kind: 'routerAdvertisement',
        hopLimit: 64,
        managed: false,
        otherConfiguration: true,
        preference: 'medium',
        routerLifetime,
        reachableTime: 0,
        retransmitTimer: 0,
        options,
      },
    },
  ]);
}

const prefix = (text: string, validLifetime = 3600): NdpOption => ({
  kind: 'prefix',
  prefixLength: 64,
  onLink: true,
  autonomous: true,
  validLifetime,
  preferredLifetime: validLifetime,
  prefix: text,
});

function setup(delegation = false): { ipv6: Ipv6Setup; sent: Uint8Array[]; changes: () => number } {
  const sent: Uint8Array[] = [];
  let count = 0;
  const ipv6 = new Ipv6Setup({
    delegation,
    mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
    number: 1,
    random,
    send: (packet) => void sent.push(packet.slice()),
    changed: () => void count++,
  });
  return { ipv6, sent, changes: () => count };
}

/** Lets time pass up to `until`, in the steps that the deadlines ask for. */
function run(machine: { readonly deadline: number; advance(now: number): void }, until: number): void {
  for (let steps = 0; machine.deadline <= until; steps++) {
    assert.ok(steps < 1000, 'it makes no progress');
    machine.advance(machine.deadline);
  }
}

describe('router advertisements', () => {
  it('are asked for, later each time, until one comes', () => {
    const { ipv6, sent } = setup();
    ipv6.link(LOCAL, 0);
    run(ipv6, 30_000);
    assert.equal(sent.length, 4);
    assert.match(describePacket(sent[0]!), /./);
    ipv6.input(...whole(advertisement([prefix('2001:db8:1::')])), 30_001);
    run(ipv6, 100_000);
    assert.equal(sent.length, 4);
  });

  it('give address, route and name servers, for as long as they say', () => {
    const { ipv6, changes } = setup();
    ipv6.link(LOCAL, 0);
    const options: NdpOption[] = [
      prefix('2001:db8:1::', 60),
      prefix('fe80::'),
      { kind: 'rdnss', lifetime: 30, addresses: ['2001:db8::53'] },
    ];
    assert.equal(ipv6.input(...whole(advertisement(options, 90)), 1000), true);
    assert.deepEqual(ipv6.given, {
      addresses: ['2001:db8:1:0:11:22ff:fe33:4455'],
      defaultRoute: true,
      dns: ['2001:db8::53'],
      delegated: [],
    });
    assert.equal(changes(), 1);
    run(ipv6, 31_000);
    assert.deepEqual(ipv6.given.dns, []);
    run(ipv6, 61_000);
    assert.deepEqual(ipv6.given.addresses, []);
    assert.equal(ipv6.given.defaultRoute, true);
    run(ipv6, 91_000);
    assert.equal(ipv6.given.defaultRoute, false);
    ipv6.link(undefined, 92_000);
    assert.equal(ipv6.deadline, Number.POSITIVE_INFINITY);
  });

  it('from further away, or for no address of ours, change nothing', () => {
    const { ipv6, changes } = setup();
    ipv6.link(LOCAL, 0);
    assert.equal(ipv6.input(...whole(advertisement([prefix('2001:db8:1::')], 1800, 64)), 10), true);
    assert.equal(changes(), 0);
    const echo = buildPacket([
      { layer: 'ipv6', source: PEER, destination: LOCAL },
      { layer: 'icmpv6', type: 128, code: 0 },
    ]);
    assert.equal(ipv6.input(...whole(echo), 10), false, 'the kernel answers pings');
  });

  it('cut short or of noise are survived', () => {
    const { ipv6 } = setup(true);
    ipv6.link(LOCAL, 0);
    const good = advertisement([
      prefix('2001:db8:1::'),
      { kind: 'rdnss', lifetime: 9, addresses: ['2001:db8::1'] },
    ]);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: good.length }),
        fc.uint8Array({ maxLength: 200 }),
        (keep, noise) => {
          const bytes = Uint8Array.of(...good.subarray(0, keep), ...noise);
          if (bytes.length > 0) ipv6.input(bytes, 0, bytes.length, 10);
        },
      ),
    );
  });
});

describe('prefix delegation', () => {
  /** A server's answer, built as the client's own messages are. */
  function answer(
    type: number,
    question: Uint8Array,
    given: string | undefined,
    lifetime = 1000,
  ): Uint8Array {
    const transaction = (question[1]! << 16) | (question[2]! << 8) | question[3]!;
    const bytes = encodeDhcpv6({
      type: type as never,
      transaction,
      clientId,
      serverId,
      iaid: 1,
      elapsed: 0,
      prefixes: given === undefined ? [] : [given],
    });
    // The lifetimes of the prefix, which questions leave at zero, stand behind IAPREFIX (26), 25 bytes.
    const at = bytes.findIndex((byte, i) => byte === 0 && bytes[i + 1] === 26 && bytes[i + 3] === 25);
    if (at >= 0) {
      const view = new DataView(bytes.buffer);
      view.setUint32(at + 4, lifetime);
      view.setUint32(at + 8, lifetime * 2);
    }
    return bytes;
  }

  function client(): { machine: PrefixDelegation; sent: Uint8Array[] } {
    const sent: Uint8Array[] = [];
    const machine = new PrefixDelegation({
      clientId,
      iaid: 1,
      random,
      send: (message) => void sent.push(message),
      changed: () => {},
    });
    return { machine, sent };
  }

  it('solicits, requests, renews, rebinds and begins anew', () => {
    const { machine, sent } = client();
    machine.start(0);
    assert.equal(sent.at(-1)![0], 1);
    machine.input(answer(2, sent.at(-1)!, '2001:db8:100::/56'), 10);
    assert.equal(sent.at(-1)![0], 3);
    machine.input(answer(7, sent.at(-1)!, '2001:db8:100::/56'), 20);
    assert.deepEqual(machine.prefixes, ['2001:db8:100::/56']);
    run(machine, 500_020);
    assert.equal(sent.at(-1)![0], 5, 'renewed after half of the time');
    machine.input(answer(7, sent.at(-1)!, '2001:db8:100::/56'), 500_030);
    run(machine, 500_030 + 800_000);
    assert.equal(sent.at(-1)![0], 6, 'asked of anybody after four fifths');
    assert.deepEqual(machine.prefixes, ['2001:db8:100::/56']);
    run(machine, 500_030 + 2_000_000);
    assert.deepEqual(machine.prefixes, []);
    assert.equal(sent.at(-1)![0], 1);
    machine.stop();
    assert.equal(machine.deadline, Number.POSITIVE_INFINITY);
  });

  it('asks again and again, later each time, and gives a silent server up', () => {
    const { machine, sent } = client();
    machine.start(0);
    run(machine, 60_000);
    assert.ok(sent.length >= 5 && sent.length <= 7, `${sent.length} messages`);
    machine.input(answer(2, sent.at(-1)!, '2001:db8:100::/56'), 60_010);
    run(machine, 60_010 + 600_000);
    assert.equal(sent.at(-1)![0], 1, 'the server that offered is silent: begin anew');
  });

  it('believes no answer that is not for it', () => {
    const { machine, sent } = client();
    machine.start(0);
    const other = answer(2, sent[0]!, '2001:db8:100::/56');
    other[3]! ^= 1;
    machine.input(other, 10);
    machine.input(answer(2, sent[0]!, undefined), 10);
    machine.input(answer(7, sent[0]!, '2001:db8:100::/56'), 10);
    assert.equal(sent.length, 1);
    assert.deepEqual(machine.prefixes, []);
  });

  it('reads any bytes or says why not', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeDhcpv6(bytes, 1);
        } catch (error) {
          assert.equal((error as { code: string }).code, 'BW_CODEC');
        }
      }),
    );
  });
});

function whole(packet: Uint8Array): [Uint8Array, number, number] {
  return [packet, 0, packet.length];
}
