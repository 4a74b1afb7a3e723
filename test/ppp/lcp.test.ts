import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodePppOptions } from '../../src/packet/index.ts';
import { Bench, CCP, IPCP, LCP, MAGIC, PAP } from './carrier.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('Configure-Requests', () => {
  it('ask for the MRU and a magic number, and for nothing else', () => {
    const bench = new Bench().start();
    const [request] = bench.take();
    assert.equal(request?.code, 1);
    const options = decodePppOptions(request.data, 0, request.data.length);
    assert.deepEqual(
      options.map(({ type }) => type),
      [1, 5],
    );
    assert.equal(hex(options[0]!.data), '05d4');
    assert.notEqual(hex(options[1]!.data), '00000000');
  });

  it('are repeated after 1, 2, 3, 3 … seconds under the same identifier, ten times in all', () => {
    const bench = new Bench().start();
    const times: number[] = [];
    const before = bench.take()[0]!;
    for (let second = 1; second <= 60; second++) {
      bench.pass(1000);
      for (const packet of bench.take()) {
        if (packet.code !== 1) continue;
        assert.equal(packet.identifier, before.identifier);
        assert.deepEqual(packet.bytes, before.bytes);
        times.push(second);
      }
    }
    assert.deepEqual(times, [1, 3, 6, 9, 12, 15, 18, 21, 24]);
    assert.equal(bench.error?.code, 'BW_PPP_NO_ANSWER');
  });

  it('get a new identifier when their options change', () => {
    const bench = new Bench().start();
    const first = bench.take()[0]!;
    bench.receive(LCP, 3, first.identifier, [1, 4, 0x05, 0x78]);
    const second = bench.last();
    assert.notEqual(second.identifier, first.identifier);
    assert.equal(hex(second.data.subarray(0, 4)), '01040578', 'the MRU of 1400 that the peer suggested');
    bench.receive(LCP, 4, second.identifier, second.data.subarray(0, 4));
    assert.equal(bench.last().data[0], 5, 'without the MRU that the peer rejects');
  });

  it('are acknowledged only with the options that were asked for, under the identifier of the last', () => {
    const bench = new Bench().start();
    const request = bench.take()[0]!;
    bench.receive(LCP, 1, 1, MAGIC);
    bench.receive(LCP, 2, request.identifier + 1, request.data);
    const others = request.data.slice();
    others[2]! ^= 1;
    bench.receive(LCP, 2, request.identifier, others);
    bench.receive(LCP, 2, request.identifier, request.data.subarray(0, 4));
    assert.equal(bench.link.lcp.opened, false);
    assert.equal(bench.discarded.length, 3);
    bench.receive(LCP, 2, request.identifier, request.data);
    assert.equal(bench.link.lcp.opened, true);
  });

  it('that were acknowledged stay so when the Ack comes again', () => {
    const bench = new Bench().start();
    const request = bench.take()[0]!;
    bench.receive(LCP, 1, 1, MAGIC);
    bench.receive(LCP, 2, request.identifier, request.data);
    bench.receive(LCP, 2, request.identifier, request.data);
    bench.receive(LCP, 3, request.identifier, [1, 4, 5, 0x78]);
    assert.equal(bench.link.lcp.opened, true);
  });

  it('of a peer that objects for ever end the link', () => {
    const bench = new Bench().start();
    for (let i = 0; i < 30 && bench.error === undefined; i++) {
      const request = bench.take().findLast(({ code }) => code === 1);
      if (request !== undefined) bench.receive(LCP, 3, request.identifier, [1, 4, 0x05, 0xd0 - i]);
    }
    assert.equal(bench.error?.code, 'BW_PPP_NOT_CONVERGING');
    assert.equal(bench.link.deadline, Number.POSITIVE_INFINITY);
  });
});

describe("the peer's options", () => {
  const answer = (options: readonly number[], bench = new Bench().start()): string => {
    bench.take();
    bench.receive(LCP, 1, 7, options);
    const [reply] = bench.take();
    assert.equal(reply?.identifier, 7);
    return `${['', '', 'ack', 'nak', 'reject'][reply.code]} ${hex(reply.data)}`;
  };

  it('MRU and magic number are acknowledged as they came', () => {
    assert.equal(answer([1, 4, 0x05, 0xd4, ...MAGIC]), 'ack 010405d4050611223344');
  });

  it('PFC, ACFC, ACCM, quality, MRRU, Endpoint-Discriminator and what is unknown are rejected, all at once', () => {
    const rejected = [
      [2, 6, 0, 0, 0, 0],
      [4, 8, 0xc0, 0x25, 0, 0, 0, 1],
      [7, 2],
      [8, 2],
      [17, 4, 5, 0xdc],
      [19, 5, 1, 2, 3],
      [99, 3, 7],
    ].flat();
    assert.equal(answer([1, 4, 5, 0xd4, ...rejected, ...MAGIC]), `reject ${hex(Uint8Array.from(rejected))}`);
  });

  it('an MRU that the carrier cannot take is answered with what it can', () => {
    assert.equal(answer([1, 4, 0x05, 0xdc]), 'nak 010405d4');
  });

  it('an MRU below the least is answered with a better one', () => {
    assert.equal(answer([1, 4, 0x00, 0x80]), 'nak 010405d4');
  });

  it('a magic number of zero is answered with another one', () => {
    assert.match(answer([5, 6, 0, 0, 0, 0]), /^nak 0506(?!00000000)/);
  });

  it('a way to authenticate that is not allowed is answered with one that is', () => {
    const bench = new Bench({ answers: ['chap-md5', 'pap'] }).start();
    assert.equal(answer([3, 5, 0xc2, 0x23, 0x81], bench), 'nak 0305c22305');
    assert.equal(answer([3, 5, 0xc2, 0x23, 0x81], bench), 'nak 0304c023');
    assert.equal(answer([3, 4, 0xc0, 0x23], bench), 'ack 0304c023');
  });

  it('authentication is rejected by who has no name to tell', () => {
    assert.equal(answer([3, 4, 0xc0, 0x23], new Bench({ answers: [] }).start()), 'reject 0304c023');
  });

  it('what is objected to five times is rejected (Max-Failure)', () => {
    const bench = new Bench().start();
    for (let i = 0; i < 5; i++) assert.match(answer([1, 4, 0, 0x80], bench), /^nak/);
    assert.equal(answer([1, 4, 0, 0x80], bench), 'reject 01040080');
  });

  it('of a wrong length are rejected, those without one are not followed at all', () => {
    assert.equal(answer([1, 3, 5]), 'reject 010305');
    assert.equal(answer([5, 3, 5]), 'reject 050305');
    assert.equal(answer([3, 3, 5]), 'reject 030305');
    const whole = [1, 4, 0x05, 0xd4, ...MAGIC, 3, 5, 0xc2, 0x23, 5];
    for (let length = 1; length < whole.length; length++) {
      if (length === 4 || length === 10) continue;
      const bench = new Bench().start();
      bench.take();
      bench.receive(LCP, 1, 1, whole.slice(0, length));
      assert.deepEqual(bench.take(), [], `${length} bytes`);
      assert.deepEqual(bench.discarded, ['a Configure-Request with a malformed option']);
      assert.equal(bench.error, undefined);
    }
    for (const length of [0, 1]) {
      const bench = new Bench().start();
      bench.take();
      bench.receive(LCP, 1, 1, [1, length, 0, 0]);
      assert.deepEqual(bench.take(), [], `an option of length ${length}`);
    }
  });
});

describe('LCP when it is open', () => {
  it('answers echoes with its own magic number and the data as it came', () => {
    const bench = new Bench().openLcp();
    bench.take();
    bench.receive(LCP, 9, 77, [0, 0, 0, 0, 1, 2, 3]);
    const [reply] = bench.take();
    assert.equal(reply?.code, 10);
    assert.equal(reply.identifier, 77);
    const magic = bench.link.lcp.magic.toString(16).padStart(8, '0');
    assert.equal(hex(reply.data), `${magic}010203`);
  });

  it('sends an echo every interval, jittered at first, and gives up after three without an answer', () => {
    const bench = openNetwork();
    bench.take();
    const echoes: number[] = [];
    for (let second = 0; second < 200 && bench.error === undefined; second++) {
      bench.pass(1000);
      for (const { code } of bench.take()) if (code === 9) echoes.push(bench.now / 1000);
    }
    assert.equal(echoes.length, 3);
    assert.ok(echoes[0]! >= 15 && echoes[0]! <= 31, `the first after ${echoes[0]} s`);
    assert.equal(echoes[1]! - echoes[0]!, 30);
    assert.equal(bench.error?.code, 'BW_PPP_ECHO');
  });

  it('measures the round trip of an echo that is answered, and goes on', () => {
    const bench = openNetwork();
    bench.take();
    for (let i = 0; i < 10; i++) {
      bench.pass(31_000);
      const echo = bench.take().find(({ code }) => code === 9);
      assert.ok(echo !== undefined);
      bench.receive(LCP, 10, echo.identifier, MAGIC.slice(2));
    }
    assert.equal(bench.error, undefined);
    assert.ok(bench.link.echoRoundTrip >= 0);
  });

  it('rejects unknown codes with the packet that had it, and survives the like', () => {
    const bench = new Bench().openLcp();
    bench.take();
    bench.receive(LCP, 42, 9, [1, 2, 3]);
    const [reject] = bench.take();
    assert.equal(reject?.code, 7);
    assert.equal(hex(reject.data), '2a090007010203');
    bench.receive(LCP, 7, 1, [12, 1, 0, 4]);
    assert.equal(bench.link.lcp.opened, true, 'Identification is nothing to do without');
    bench.receive(LCP, 7, 1, [1, 1, 0, 4]);
    assert.equal(bench.link.lcp.opened, false, 'Configure-Request is');
  });

  it('rejects unknown protocols with the packet that came', () => {
    const bench = openNetwork();
    bench.take();
    bench.receive(CCP, 1, 1, [1, 2]);
    const [reject] = bench.take();
    assert.equal(reject?.protocol, LCP);
    assert.equal(reject.code, 8);
    assert.equal(hex(reject.data), '80fd010100060102');
  });

  it('ends when the peer rejects LCP, or the protocol it had asked for', () => {
    const lcp = new Bench().openLcp();
    lcp.receive(LCP, 8, 1, [0xc0, 0x21]);
    assert.equal(lcp.error?.code, 'BW_PPP_REJECTED');
    const pap = new Bench().openLcp([3, 4, 0xc0, 0x23, ...MAGIC]);
    pap.receive(LCP, 8, 1, [0xc0, 0x23]);
    assert.equal(pap.error?.code, 'BW_PPP_REJECTED');
  });

  it('acknowledges a Terminate-Request and tells what it said', () => {
    const bench = openNetwork();
    bench.take();
    bench.receive(LCP, 5, 3, [...Buffer.from('Kündigung\x07\x1b[31m')]);
    const [ack] = bench.take();
    assert.equal(ack?.code, 6);
    assert.equal(ack.identifier, 3);
    assert.equal(bench.error?.code, 'BW_PPP_TERMINATED');
    assert.equal(bench.error.peerMessage, 'Kündigung\\x07\\x1b[31m');
  });

  it('ends with a Terminate-Request, repeated once, and waits for the Ack no longer than that', () => {
    const bench = openNetwork();
    bench.take();
    bench.link.close(bench.now, 'bye');
    bench.pass(10_000);
    const terminates = bench.take().filter(({ code }) => code === 5);
    assert.equal(terminates.length, 2);
    assert.equal(hex(terminates[0]!.data), hex(Buffer.from('bye')));
    assert.equal(bench.error?.code, 'BW_PPP_CLOSED');
    assert.deepEqual(bench.phases.slice(-2), ['terminate', 'ended']);
  });

  it('begins anew when the peer does, with IPCP and all', () => {
    const bench = openNetwork();
    assert.deepEqual(bench.told, ['ipv4 up']);
    bench.take();
    bench.receive(LCP, 1, 9, [5, 6, 9, 9, 9, 9]);
    assert.deepEqual(bench.told, ['ipv4 up', 'ipv4 down']);
    const [request, ack] = bench.take();
    assert.equal(request?.code, 1);
    assert.equal(ack?.code, 2);
    bench.receive(LCP, 2, request.identifier, request.data);
    const ipcp = bench.take().find(({ protocol }) => protocol === IPCP);
    assert.ok(ipcp !== undefined);
    bench.receive(IPCP, 1, 2, [3, 6, 10, 64, 0, 1]);
    bench.receive(IPCP, 2, ipcp.identifier, ipcp.data);
    assert.deepEqual(bench.told, ['ipv4 up', 'ipv4 down', 'ipv4 up']);
  });

  it('takes a control packet at every length without harm', () => {
    const whole = Uint8Array.from([1, 9, 0, 14, 5, 6, 9, 9, 9, 9, 1, 4, 5, 0xd4]);
    for (const protocol of [LCP, IPCP, PAP, 0xc223, 0xc227]) {
      for (let code = 0; code < 16; code++) {
        for (let length = 0; length <= whole.length; length++) {
          const bench = openNetwork();
          const bytes = whole.slice(0, length);
          if (length > 0) bytes[0] = code;
          bench.receiveBytes(protocol, bytes);
          const lies = whole.slice(0, length);
          if (length > 3) lies[3] = length + 1;
          bench.receiveBytes(protocol, lies);
          bench.pass(1000);
        }
      }
    }
  });
});

describe('a looped line', () => {
  it('is found by the magic number in Configure-Requests that come back', () => {
    const bench = new Bench().start();
    for (let i = 0; i < 100 && bench.error === undefined; i++) {
      for (const { protocol, bytes } of bench.take()) bench.receiveBytes(protocol, bytes);
      bench.pass(100);
    }
    assert.equal(bench.error?.code, 'BW_PPP_LOOPBACK');
  });

  it('is found by echoes that come back', () => {
    const bench = openNetwork();
    bench.take();
    for (let i = 0; i < 4 && bench.error === undefined; i++) {
      bench.pass(31_000);
      for (const { protocol, code, bytes } of bench.take())
        if (code === 9) bench.receiveBytes(protocol, bytes);
    }
    assert.equal(bench.error?.code, 'BW_PPP_LOOPBACK');
  });

  it('is not mistaken for a peer that chose the same magic number once', () => {
    const bench = new Bench().start();
    const request = bench.take()[0]!;
    bench.receive(LCP, 1, 1, request.data);
    const nak = bench.take().find(({ code }) => code === 3);
    assert.ok(nak !== undefined);
    bench.receive(LCP, 1, 2, nak.data);
    assert.equal(bench.last().code, 2);
    assert.equal(bench.error, undefined);
  });
});

/** Up to IPCP, without authentication. */
function openNetwork(): Bench {
  const bench = new Bench().openLcp();
  const ipcp = bench.take().find(({ protocol }) => protocol === IPCP)!;
  bench.receive(IPCP, 1, 1, [3, 6, 10, 64, 0, 1]);
  bench.receive(IPCP, 3, ipcp.identifier, [3, 6, 10, 64, 0, 7, 129, 6, 192, 0, 2, 53, 131, 6, 192, 0, 2, 54]);
  const again = bench.take().findLast(({ protocol, code }) => protocol === IPCP && code === 1)!;
  bench.receive(IPCP, 2, again.identifier, again.data);
  assert.equal(bench.link.ipv4Open, true);
  return bench;
}
