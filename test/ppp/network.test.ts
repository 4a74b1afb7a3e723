import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodePppOptions, ipv4Text } from '../../src/packet/index.ts';
import { Bench, CCP, IPCP, IPV6CP, LCP } from './carrier.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const address = (type: number, text: string): number[] => [type, 6, ...text.split('.').map(Number)];
const IDENTIFIER = [1, 10, 2, 0, 0x5e, 0xff, 0xfe, 0, 0x53, 1];

/** A link in the network phase, and the request of a protocol that it began with. */
function begun(protocol: number, bench = new Bench()) {
  bench.openLcp();
  const request = bench.take().find((packet) => packet.protocol === protocol && packet.code === 1);
  assert.ok(request !== undefined);
  return { bench, request };
}

describe('IPCP from the side that asks', () => {
  it('asks for an address and two name servers, and takes what it is told', () => {
    const { bench, request } = begun(IPCP);
    const asked = decodePppOptions(request.data, 0, request.data.length);
    assert.deepEqual(
      asked.map(({ type, data }) => [type, hex(data)]),
      [
        [3, '00000000'],
        [129, '00000000'],
        [131, '00000000'],
      ],
    );
    bench.receive(IPCP, 1, 1, address(3, '10.64.0.1'));
    assert.equal(bench.take()[0]?.code, 2);
    bench.receive(IPCP, 3, request.identifier, [
      ...address(3, '100.64.1.2'),
      ...address(129, '192.0.2.1'),
      ...address(131, '192.0.2.2'),
    ]);
    const again = bench.last();
    assert.equal(
      hex(again.data),
      hex(
        Uint8Array.from([
          ...address(3, '100.64.1.2'),
          ...address(129, '192.0.2.1'),
          ...address(131, '192.0.2.2'),
        ]),
      ),
    );
    bench.receive(IPCP, 2, again.identifier, again.data);
    const { ipcp } = bench.link;
    assert.equal(ipv4Text(ipcp?.local ?? 0), '100.64.1.2');
    assert.equal(ipv4Text(ipcp?.peer ?? 0), '10.64.0.1');
    assert.deepEqual(ipcp?.dns.map(ipv4Text), ['192.0.2.1', '192.0.2.2']);
    assert.deepEqual(bench.told, ['ipv4 up']);
  });

  it('does without name servers that the peer rejects', () => {
    const { bench, request } = begun(IPCP);
    bench.receive(IPCP, 4, request.identifier, [...address(129, '0.0.0.0'), ...address(131, '0.0.0.0')]);
    assert.equal(hex(bench.last().data), '030600000000');
  });

  it('rejects VJ compression, the old addresses option, name servers asked of us, and an address of zero', () => {
    const { bench } = begun(IPCP);
    const options = [
      [2, 6, 0, 0x2d, 15, 1],
      [1, 10, 1, 2, 3, 4, 5, 6, 7, 8],
      address(129, '0.0.0.0'),
      address(3, '0.0.0.0'),
    ].flat();
    bench.receive(IPCP, 1, 5, [...options]);
    const [reject] = bench.take();
    assert.equal(reject?.code, 4);
    assert.equal(hex(reject.data), hex(Uint8Array.from(options)));
  });

  it('says so when the peer has no address', () => {
    for (const code of [3, 4]) {
      const { bench, request } = begun(IPCP);
      bench.receive(IPCP, code, request.identifier, address(3, '0.0.0.0'));
      assert.equal(bench.error?.code, 'BW_PPP_NO_ADDRESS');
    }
  });

  it('says so when the peer speaks no IPv4: Protocol-Reject, Terminate-Request, silence', () => {
    const rejected = begun(IPCP).bench;
    rejected.receive(LCP, 8, 1, [0x80, 0x21, 1, 1, 0, 4]);
    assert.equal(rejected.error?.code, 'BW_PPP_NETWORK_REFUSED');
    const { bench: ended, request } = begun(IPCP);
    ended.receive(IPCP, 1, 1, address(3, '10.0.0.1'));
    ended.receive(IPCP, 2, request.identifier, request.data);
    ended.receive(IPCP, 5, 2, [...Buffer.from('no more IPv4')]);
    ended.pass(5000);
    assert.equal(ended.error?.code, 'BW_PPP_NETWORK_REFUSED');
    assert.match(ended.error.message, /no more IPv4/);
    const silent = begun(IPCP).bench;
    silent.pass(40_000);
    assert.equal(silent.error?.code, 'BW_PPP_NO_ANSWER');
  });

  it('takes an option at every length without harm', () => {
    const whole = [...address(3, '10.64.0.9'), ...address(129, '192.0.2.1')];
    for (const code of [1, 2, 3, 4]) {
      for (let length = 0; length <= whole.length; length++) {
        const { bench, request } = begun(IPCP);
        bench.receive(IPCP, code, request.identifier, whole.slice(0, length));
        for (const lie of [0, 1, 2, 5, 7, 255]) {
          const lying = whole.slice(0, length);
          if (length > 1) lying[1] = lie;
          bench.receive(IPCP, code, bench.sent.at(-1)?.identifier ?? 1, lying);
        }
        bench.pass(60_000);
        assert.equal(bench.link.ipv4Open, false);
      }
    }
  });
});

describe('IPCP from the side that gives', () => {
  const giver = (): Bench =>
    new Bench({
      ipv4: () => ({
        local: 0x0a400001,
        peer: 0x0a400005,
        dns: [0xc0000201],
        nbns: [0xc0000203, 0xc0000204],
        asksDns: false,
        asksNbns: false,
      }),
    });

  it('tells its own address, gives one, and name servers to who asks for them', () => {
    const { bench, request } = begun(IPCP, giver());
    assert.equal(hex(request.data), '03060a400001');
    bench.receive(IPCP, 1, 1, [
      ...address(3, '0.0.0.0'),
      ...address(129, '0.0.0.0'),
      ...address(131, '0.0.0.0'),
      ...address(130, '0.0.0.0'),
      ...address(132, '0.0.0.0'),
    ]);
    const [nak] = bench.take();
    assert.equal(nak?.code, 3);
    assert.equal(
      hex(nak.data),
      '03060a400005' + '8106c0000201' + '8306c0000201' + '8206c0000203' + '8406c0000204',
    );
    bench.receive(IPCP, 1, 2, nak.data);
    assert.equal(bench.take()[0]?.code, 2);
  });

  it('asks a peer that wants no address to want one', () => {
    const { bench } = begun(IPCP, giver());
    bench.receive(IPCP, 1, 1, []);
    const [nak] = bench.take();
    assert.equal(nak?.code, 3);
    assert.equal(hex(nak.data), '03060a400005');
  });

  it('rejects name servers that it does not have', () => {
    const { bench } = begun(
      IPCP,
      new Bench({
        ipv4: () => ({
          local: 1 << 24,
          peer: 0x0a000002,
          dns: [],
          nbns: [],
          asksDns: false,
          asksNbns: false,
        }),
      }),
    );
    bench.receive(IPCP, 1, 1, [...address(3, '10.0.0.2'), ...address(129, '0.0.0.0')]);
    const [reject] = bench.take();
    assert.equal(reject?.code, 4);
    assert.equal(hex(reject.data), '810600000000');
  });

  it('ends the link when it has no address to give', () => {
    const bench = new Bench({ ipv4: () => 'no address' }).openLcp();
    assert.equal(bench.error?.code, 'BW_PPP_NO_ADDRESS');
    assert.equal(bench.last().code, 5);
    assert.match(Buffer.from(bench.last().data).toString(), /no address is left/);
  });
});

describe('IPV6CP', () => {
  const both = (): Bench => new Bench({ ipv6: new Uint8Array(8) });

  it('asks for a random identifier that claims not to be unique world-wide', () => {
    const { request } = begun(IPV6CP, both());
    assert.equal(request.data.length, 10);
    assert.equal(request.data[2]! & 0x02, 0);
    assert.notEqual(hex(request.data.subarray(2)), '0000000000000000');
  });

  it("takes the peer's identifier, and refuses zero and its own", () => {
    const { bench, request } = begun(IPV6CP, both());
    bench.receive(IPV6CP, 1, 1, [1, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert.equal(bench.last().code, 3);
    bench.receive(IPV6CP, 1, 2, request.data);
    assert.equal(bench.last().code, 3);
    assert.notEqual(hex(bench.last().data), hex(request.data));
    bench.receive(IPV6CP, 1, 3, IDENTIFIER);
    assert.equal(bench.last().code, 2);
    bench.receive(IPV6CP, 2, request.identifier, request.data);
    assert.deepEqual(bench.told, ['ipv6 up']);
    assert.equal(hex(bench.link.ipv6cp?.peer ?? new Uint8Array(0)), '02005efffe005301');
  });

  it('takes the identifier that the peer suggests', () => {
    const { bench, request } = begun(IPV6CP, both());
    bench.receive(IPV6CP, 3, request.identifier, IDENTIFIER);
    assert.equal(hex(bench.last().data), hex(Uint8Array.from(IDENTIFIER)));
  });

  it('is left alone on a link below 1280 bytes', () => {
    const bench = both().openLcp([1, 4, 0x04, 0xff]);
    assert.ok(!bench.take().some(({ protocol }) => protocol === IPV6CP));
    assert.equal(bench.link.mtu, 1279);
  });

  it('ends the link when IPv4 was not wanted and it fails', () => {
    const bench = new Bench({ ipv4: () => undefined, ipv6: new Uint8Array(8) }).openLcp();
    bench.receive(LCP, 8, 1, [0x80, 0x57]);
    assert.equal(bench.error?.code, 'BW_PPP_NETWORK_REFUSED');
  });
});

describe('the network phase', () => {
  it('rejects CCP and goes on', () => {
    const { bench } = begun(IPCP);
    bench.receive(CCP, 1, 1, []);
    assert.equal(bench.last().code, 8);
    assert.equal(bench.error, undefined);
  });

  it('is open only when the peer has answered an echo after IPCP, if it shall settle', () => {
    const { bench, request } = begun(IPCP, new Bench({ settles: true }));
    bench.receive(IPCP, 1, 1, address(3, '10.0.0.1'));
    bench.receive(IPCP, 3, request.identifier, [
      ...address(3, '10.0.0.2'),
      ...address(129, '10.0.0.1'),
      ...address(131, '10.0.0.1'),
    ]);
    const again = bench.last();
    bench.take();
    bench.receive(IPCP, 2, again.identifier, again.data);
    assert.deepEqual(bench.told, []);
    const echo = bench.take().find(({ code }) => code === 9);
    assert.ok(echo !== undefined);
    bench.receive(LCP, 10, echo.identifier, [1, 2, 3, 4]);
    assert.deepEqual(bench.told, ['ipv4 up']);
  });

  it('settles after a second with a peer that answers no echo', () => {
    const { bench, request } = begun(IPCP, new Bench({ settles: true }));
    bench.receive(IPCP, 4, request.identifier, [...address(129, '0.0.0.0'), ...address(131, '0.0.0.0')]);
    bench.receive(IPCP, 3, bench.last().identifier, address(3, '10.0.0.2'));
    const again = bench.last();
    bench.receive(IPCP, 1, 1, []);
    bench.receive(IPCP, 2, again.identifier, again.data);
    bench.pass(999);
    assert.deepEqual(bench.told, []);
    bench.pass(1);
    assert.deepEqual(bench.told, ['ipv4 up']);
    assert.equal(bench.link.ipcp?.peer, 0, 'the peer told no address');
  });
});
