import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TcpState } from '../../src/netstack/index.ts';
import { Script } from './script.ts';

const STAMPED = [
  { kind: 'mss', value: 1000 },
  { kind: 'sackPermitted' },
  { kind: 'timestamps', value: 100, echo: 0 },
] as const;

describe('opening', () => {
  it('RFC 9293, 3.5: three-way handshake, passive and active', () => {
    assert.equal(Script.passive().connection?.state, TcpState.established);
    assert.equal(Script.active().connection?.state, TcpState.established);
  });

  it('RFC 9293, 3.5, figure 8: simultaneous open', () => {
    const s = new Script();
    s.connect();
    s.out();
    s.in('S', { seq: 0, options: [{ kind: 'mss', value: 1000 }] });
    assert.deepEqual(s.out(), ['SA 0+0 ack 1']);
    s.in('SA', { seq: 0, ack: 1 });
    s.in('A', { seq: 1, ack: 1 });
    assert.ok(s.connected);
  });

  it('RFC 9293, 3.10.7.1: a segment for nobody is answered with a reset, a reset with nothing', () => {
    const s = new Script();
    s.in('A', { seq: 1, ack: 77 });
    assert.deepEqual(s.out(), ['R 77+0']);
    s.in('S', { seq: 5, length: 3 });
    assert.deepEqual(s.out(), ['RA 0+0 ack 9']);
    s.in('R', { seq: 1 });
    assert.deepEqual(s.out(), []);
  });

  it('RFC 9293, 3.10.7.2: in LISTEN an ACK is reset, a RST or nothing at all is ignored', () => {
    const s = new Script();
    s.listen();
    s.in('A', { seq: 1, ack: 50 });
    assert.deepEqual(s.out(), ['R 50+0']);
    s.in('RA', { seq: 1, ack: 50 });
    s.in('', { seq: 1, length: 10 });
    assert.deepEqual(s.out(), []);
  });

  it('RFC 9293, 3.10.7.3: in SYN-SENT an unacceptable ACK is reset, and the SYN comes again', () => {
    const s = new Script();
    s.connect();
    s.out();
    s.in('A', { seq: 700, ack: 300 });
    assert.deepEqual(s.out(), ['R 300+0']);
    s.wait(1000);
    assert.deepEqual(s.out(), ['S 0+0']);
    s.in('SA', { seq: 0, ack: 1 });
    assert.ok(s.connected);
  });

  it('RFC 9293, 3.10.7.3: in SYN-SENT only a reset that acknowledges the SYN refuses', () => {
    const s = new Script();
    s.connect();
    s.out();
    s.in('R', { seq: 0 });
    s.in('RA', { seq: 0, ack: 5 });
    assert.equal(s.over, false);
    s.in('RA', { seq: 0, ack: 1 });
    assert.equal(s.error?.code, 'ECONNREFUSED');
    assert.deepEqual(s.out(), []);
  });

  it('RFC 6298, 5.5 and 5.6: a SYN is repeated after 1, 2, 4 seconds, and in the end ETIMEDOUT', () => {
    const s = new Script({ tcp: { connectTimeout: 10_000 } });
    s.connect();
    assert.deepEqual(s.out(), ['S 0+0']);
    for (const ms of [1000, 2000, 4000]) {
      s.wait(ms - 1);
      assert.deepEqual(s.out(), []);
      s.wait(1);
      assert.deepEqual(s.out(), ['S 0+0']);
    }
    s.wait(8000);
    assert.equal(s.error?.code, 'ETIMEDOUT');
    assert.equal(s.error?.stableCode, 'BW_TIMEOUT');
  });

  it('RFC 9293, 3.5: a repeated SYN gets its SYN-ACK again', () => {
    const s = new Script();
    s.listen();
    const offer = [{ kind: 'mss', value: 1000 }] as const;
    s.in('S', { seq: 0, options: offer });
    s.in('S', { seq: 0, options: offer });
    assert.deepEqual(s.out(), ['SA 0+0 ack 1', 'SA 0+0 ack 1']);
  });

  it('RFC 9293, 3.7.1 and RFC 6691: the MSS is that of both sides, less the options', () => {
    const s = Script.active();
    s.write(5000);
    assert.equal(s.out()[0], 'A 1+1000 ack 1');
    const small = Script.active({ mtu: 600, offer: [{ kind: 'mss', value: 1460 }, ...STAMPED.slice(2)] });
    small.write(5000);
    assert.equal(small.out()[0], 'A 1+548 ack 1');
    const silent = Script.active({ offer: [] });
    silent.write(5000);
    assert.equal(silent.out()[0], 'A 1+536 ack 1');
  });

  it('RFC 7323, 2.2 and 3.2: scaling, timestamps and SACK only if both offer them', () => {
    const s = new Script();
    s.listen();
    s.in('S', { seq: 0, options: [{ kind: 'mss', value: 1000 }] });
    s.out();
    assert.deepEqual(
      s.lastOptions.map(({ kind }) => kind).filter((kind) => kind !== 'nop'),
      ['mss'],
    );
    const all = new Script();
    all.listen();
    all.in('S', { seq: 0, options: [...STAMPED, { kind: 'windowScale', shift: 7 }] });
    all.out();
    assert.deepEqual(
      all.lastOptions.map(({ kind }) => kind).filter((kind) => kind !== 'nop'),
      ['mss', 'sackPermitted', 'timestamps', 'windowScale'],
    );
  });

  it('RFC 6528: initial sequence numbers differ by peer and go on with time', () => {
    const isn = (port: number, wait: number): number => {
      const s = new Script();
      s.listen();
      s.peerPort = port;
      s.wait(wait);
      s.in('S', { seq: 0 });
      s.out();
      return s.iss;
    };
    assert.notEqual(isn(5000, 0), isn(5001, 0));
    assert.equal(((isn(5000, 1000) - isn(5000, 0)) >>> 0) / 250_000, 1);
  });

  it('RFC 6056, 3.3.4: ports lie in the ephemeral range and follow no order that shows', () => {
    const s = new Script();
    const ports = [1, 2, 3, 4].map((last) => {
      const connection = s.stack.connect({ address: `198.51.100.${last}`, port: 80 }, {});
      return connection.localPort;
    });
    assert.ok(ports.every((port) => port >= 49152));
    const steps = ports.slice(1).map((port, i) => port - ports[i]!);
    assert.ok(new Set(steps).size > 1);
  });

  it('half-open connections are bounded: the oldest gives way', () => {
    const s = new Script({ tcp: { halfOpen: 10 } as never });
    s.listen();
    for (let port = 6000; port < 6100; port++) {
      s.peerPort = port;
      s.in('S', { seq: 0 });
    }
    assert.equal(s.stack.tcp.connections, 10);
    assert.equal(s.stack.counters.halfOpenDrops, 90);
  });
});

describe('closing', () => {
  it('RFC 9293, 3.6, figure 12: we close first, TIME-WAIT lasts, then nothing is left', () => {
    const s = Script.passive();
    s.end();
    assert.deepEqual(s.out(), ['FA 1+0 ack 1']);
    s.in('A', { ack: 2 });
    assert.equal(s.connection?.state, TcpState.finWait2);
    s.in('FA', { ack: 2 });
    assert.deepEqual(s.out(), ['A 2+0 ack 2']);
    assert.equal(s.connection?.state, TcpState.timeWait);
    assert.ok(s.over && s.error === undefined);
    s.wait(59_999);
    assert.equal(s.stack.tcp.connections, 1);
    s.wait(2);
    assert.equal(s.stack.tcp.connections, 0);
  });

  it('RFC 9293, 3.6: the peer closes first: CLOSE-WAIT, LAST-ACK', () => {
    const s = Script.passive();
    s.in('FA', { ack: 1 });
    assert.deepEqual(s.out(), ['A 1+0 ack 2']);
    assert.equal(s.connection?.state, TcpState.closeWait);
    s.write(10);
    assert.deepEqual(s.out(), ['A 1+10 ack 2']);
    s.end();
    assert.deepEqual(s.out(), ['FA 11+0 ack 2']);
    assert.equal(s.connection?.state, TcpState.lastAck);
    s.in('A', { seq: 2, ack: 12 });
    assert.equal(s.stack.tcp.connections, 0);
    assert.ok(s.over);
  });

  it('RFC 9293, 3.6, figure 13: both close at once: CLOSING, TIME-WAIT', () => {
    const s = Script.passive();
    s.end();
    s.in('FA', { ack: 1 });
    assert.equal(s.connection?.state, TcpState.closing);
    s.in('A', { seq: 2, ack: 2 });
    assert.equal(s.connection?.state, TcpState.timeWait);
  });

  it('RFC 9293, 3.10.7.4: a FIN repeated in TIME-WAIT is acknowledged, and TIME-WAIT begins anew', () => {
    const s = Script.passive();
    s.end();
    s.in('FA', { ack: 2 });
    s.out();
    s.wait(50_000);
    s.in('FA', { ack: 2 });
    assert.deepEqual(s.out(), ['A 2+0 ack 2']);
    s.wait(50_000);
    assert.equal(s.stack.tcp.connections, 1);
  });

  it('RFC 6191: a SYN with a later timestamp takes the place of TIME-WAIT, an earlier one does not', () => {
    const s = Script.passive({ offer: STAMPED });
    s.end();
    s.in('FA', { ack: 2, ts: [200, 0] });
    s.out();
    s.in('S', { seq: 9000, options: STAMPED });
    assert.equal(s.connection?.state, TcpState.timeWait);
    s.out();
    s.in('S', { seq: 9000, ts: [300, 0] });
    assert.equal(s.stack.tcp.connections, 1);
    assert.match(s.out()[0] ?? '', /^SA 0\+0 ack 9001/);
  });

  it('RFC 9293, 3.10.5: abort resets', () => {
    const s = Script.passive();
    s.connection!.abort();
    s.stack.flush(s.now);
    assert.deepEqual(s.out(), ['RA 1+0 ack 1']);
    assert.equal(s.error?.code, 'ECONNABORTED');
  });

  it('RFC 1122, 4.2.2.13: data for an application that reads no more is reset', () => {
    const s = Script.passive();
    s.connection!.end();
    s.connection!.ignore();
    s.stack.flush(s.now);
    s.out();
    s.in('A', { ack: 2, length: 10 });
    assert.deepEqual(s.out(), ['RA 2+0 ack 1']);
    assert.equal(s.stack.tcp.connections, 0);
  });

  it('FIN-WAIT-2 of an application that is gone ends after a minute', () => {
    const s = Script.passive();
    s.connection!.end();
    s.connection!.ignore();
    s.stack.flush(s.now);
    s.in('A', { ack: 2 });
    s.wait(59_000);
    assert.equal(s.stack.tcp.connections, 1);
    s.wait(2000);
    assert.equal(s.stack.tcp.connections, 0);
  });

  it('a FIN before its data waits for it', () => {
    const s = Script.passive();
    s.in('FA', { seq: 11, ack: 1, length: 10 });
    assert.equal(s.connection?.state, TcpState.established);
    s.in('A', { seq: 1, ack: 1, length: 10 });
    assert.equal(s.connection?.state, TcpState.closeWait);
    assert.equal(s.read, 20);
  });

  it('an interface that goes away ends its connections with a code of their own: ENETDOWN', () => {
    const s = Script.passive();
    s.stack.removeInterface(s.via);
    s.stack.flush(s.now);
    assert.equal(s.error?.code, 'ENETDOWN');
    assert.equal(s.error?.stableCode, 'BW_INTERFACE_CLOSED');
    assert.throws(() => s.connection?.write(new Uint8Array(1)), { code: 'ENETDOWN' });
  });
});

describe('resets and forgeries', () => {
  it('RFC 5961, 3.2: only the exact sequence number resets; elsewhere in the window it is challenged', () => {
    const s = Script.passive();
    s.in('R', { seq: 2 });
    assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    s.in('R', { seq: 70_000_000 });
    assert.deepEqual(s.out(), []);
    s.in('R', { seq: 1 });
    assert.equal(s.error?.code, 'ECONNRESET');
  });

  it('RFC 5961, 4.2: a SYN in a standing connection is challenged, whatever its number', () => {
    const s = Script.passive();
    s.in('S', { seq: 1 });
    s.in('S', { seq: 5_000_000 });
    assert.deepEqual(s.out(), ['A 1+0 ack 1', 'A 1+0 ack 1']);
    assert.equal(s.over, false);
  });

  it('RFC 5961, 5.2: an ACK of what was never sent, or too old, is challenged and its data dropped', () => {
    const s = Script.passive();
    s.in('A', { ack: 500, length: 10 });
    assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    s.in('A', { ack: -100_000, length: 10 });
    assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    assert.equal(s.read, 0);
  });

  it('RFC 5961, 7: challenges are limited, ten a second', () => {
    const s = Script.passive();
    for (let i = 0; i < 100; i++) s.in('S', { seq: 1 });
    assert.equal(s.out().length, 10);
    s.wait(1000);
    s.in('S', { seq: 1 });
    assert.equal(s.out().length, 1);
  });

  for (const state of [
    'SYN-RECEIVED',
    'ESTABLISHED',
    'FIN-WAIT-1',
    'FIN-WAIT-2',
    'CLOSE-WAIT',
    'CLOSING',
    'LAST-ACK',
    'TIME-WAIT',
  ] as const) {
    it(`RFC 9293, 3.10.7.4, second: RST in ${state}`, () => {
      let s: Script;
      let next = 1;
      if (state === 'SYN-RECEIVED') {
        s = new Script();
        s.listen();
        s.in('S', { seq: 0 });
      } else {
        s = Script.passive();
        if (state === 'FIN-WAIT-1' || state === 'FIN-WAIT-2' || state === 'CLOSING' || state === 'TIME-WAIT')
          s.end();
        if (state === 'FIN-WAIT-2') s.in('A', { ack: 2 });
        if (state === 'CLOSE-WAIT' || state === 'LAST-ACK' || state === 'CLOSING') s.in('FA', { ack: 1 });
        if (state === 'TIME-WAIT') s.in('FA', { ack: 2 });
        if (state === 'LAST-ACK') s.end();
        if (state === 'CLOSE-WAIT' || state === 'LAST-ACK' || state === 'CLOSING' || state === 'TIME-WAIT')
          next = 2;
      }
      s.out();
      s.in('R', { seq: next });
      assert.equal(s.stack.tcp.connections, 0);
      assert.deepEqual(s.out(), []);
      // Who has ended already, or never began, has nothing to complain of.
      if (state === 'TIME-WAIT') assert.equal(s.error, undefined);
      else if (state === 'SYN-RECEIVED') assert.equal(s.connected, false);
      else assert.equal(s.error?.code, 'ECONNRESET');
    });
  }

  it('RFC 7323, 5.3: a segment with an older timestamp is dropped and acknowledged (PAWS); a reset is not', () => {
    const s = Script.passive({ offer: STAMPED });
    s.in('A', { ack: 1, length: 10, ts: [50, 0] });
    assert.deepEqual(s.out(), ['A 1+0 ack 1']);
    assert.equal(s.read, 0);
    s.in('R', { seq: 1, ts: [50, 0] });
    assert.equal(s.error?.code, 'ECONNRESET');
  });

  it('RFC 7323, 3.2: a segment without the negotiated timestamps is dropped', () => {
    const s = Script.passive({ offer: STAMPED });
    s.in('A', { ack: 1, length: 10 });
    assert.equal(s.read, 0);
    s.in('A', { ack: 1, length: 10, ts: [101, 0] });
    assert.equal(s.read, 10);
  });

  it('RFC 7323, 4.3: the echoed timestamp is that of the segment which the ACK is for', () => {
    const s = Script.passive({ offer: STAMPED });
    s.in('A', { seq: 11, ack: 1, length: 10, ts: [300, 0] });
    s.out();
    const echo = (): number => {
      const option = s.lastOptions.find(({ kind }) => kind === 'timestamps');
      return option?.kind === 'timestamps' ? option.echo : -1;
    };
    assert.equal(echo(), 100, 'the one behind the gap does not count');
    s.in('A', { seq: 1, ack: 1, length: 10, ts: [250, 0] });
    s.out();
    assert.equal(echo(), 250);
  });
});
