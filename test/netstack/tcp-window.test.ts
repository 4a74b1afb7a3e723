import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Script } from './script.ts';

describe('windows', () => {
  it('RFC 9293, 3.8.6.1: a closed window is probed with one byte, less and less often, for ever', () => {
    const s = Script.passive({ window: 0, tcp: { userTimeout: 1e9 } });
    s.write(5000);
    assert.deepEqual(s.out(), []);
    const times: number[] = [];
    const begun = s.now;
    while (times.length < 5) {
      s.wait(10);
      const sent = s.out();
      if (sent.length === 0) continue;
      assert.deepEqual(sent, ['A 1+1 ack 1']);
      times.push(s.now - begun);
      s.in('A', { ack: 1, window: 0 });
    }
    assert.deepEqual(times, [200, 600, 1400, 3000, 6200]);
    s.in('A', { ack: 1, window: 3000 });
    assert.deepEqual(s.out(), ['A 1+1000 ack 1', 'A 1001+1000 ack 1', 'A 2001+1000 ack 1']);
  });

  it('RFC 9293, 3.8.6.1: a peer that takes the probe gets the rest', () => {
    const s = Script.passive({ window: 0 });
    s.write(2000);
    s.wait(200);
    assert.deepEqual(s.out(), ['A 1+1 ack 1']);
    s.in('A', { ack: 2, window: 5000 });
    assert.deepEqual(s.out(), ['A 2+1000 ack 1', 'A 1002+999 ack 1']);
  });

  it('RFC 9293, 3.8.6.1: a peer that does not even answer the probe: ETIMEDOUT', () => {
    const s = Script.passive({ window: 0, tcp: { userTimeout: 20_000 } });
    s.write(100);
    s.wait(60_000);
    assert.equal(s.error?.code, 'ETIMEDOUT');
  });

  it('RFC 9293, 3.8.6.2.1: no silly segments into a window that opens a little', () => {
    const s = Script.passive({ window: 4000 });
    s.write(10_000);
    assert.equal(s.out().length, 4);
    s.in('A', { ack: 4001, window: 100 });
    assert.deepEqual(s.out(), []);
    s.in('A', { ack: 4001, window: 2000 });
    assert.deepEqual(s.out(), ['A 4001+1000 ack 1', 'A 5001+1000 ack 1']);
  });

  it('RFC 9293, 3.8.6.2.1: what little the window takes goes after a while', () => {
    const s = Script.passive({ window: 4000 });
    s.write(10_000);
    s.out();
    s.in('A', { ack: 4001, window: 100 });
    s.wait(300);
    assert.deepEqual(s.out(), ['A 4001+100 ack 1']);
  });

  it('RFC 9293, 3.7.4 (Nagle): small segments wait for the ACK of what is in flight, if wished', () => {
    const s = Script.passive({ tcp: { noDelay: false } });
    s.write(10);
    assert.deepEqual(s.out(), ['A 1+10 ack 1']);
    s.write(10);
    s.write(10);
    assert.deepEqual(s.out(), []);
    s.in('A', { ack: 11 });
    assert.deepEqual(s.out(), ['A 11+20 ack 1']);
    const quick = Script.passive();
    quick.write(10);
    quick.write(10);
    assert.deepEqual(quick.out(), ['A 1+10 ack 1', 'A 11+10 ack 1']);
  });

  it('RFC 9293, 3.8.6: our right edge never moves back, and our window closes when nobody reads', () => {
    const s = Script.passive({ tcp: { receiveBuffer: 5000 } });
    s.reading = false;
    let edge = 0;
    let seq = 1;
    for (let i = 0; i < 5; i++) {
      s.in('A', { seq, ack: 1, length: 1000 });
      seq += 1000;
      assert.deepEqual(s.out(), [`A 1+0 ack ${seq}`]);
      assert.ok(seq + s.last.window >= edge);
      edge = seq + s.last.window;
    }
    assert.equal(s.last.window, 0);
    s.in('A', { seq, ack: 1, length: 1 });
    assert.deepEqual(s.out(), [`A 1+0 ack ${seq}`], 'a probe is answered, its byte is not taken');
    assert.equal(s.connection!.received.readable, 5000);
  });

  it('RFC 9293, 3.8.6.2.2: the window opens in steps worth it, at once when the application reads', () => {
    const s = Script.passive({ tcp: { receiveBuffer: 5000 } });
    s.reading = false;
    for (let i = 0; i < 5; i++) s.in('A', { seq: 1 + 1000 * i, ack: 1, length: 1000 });
    s.out();
    s.drain();
    s.stack.flush(s.now);
    assert.deepEqual(s.out(), ['A 1+0 ack 5001']);
    assert.equal(s.last.window, 5000);
  });

  it('RFC 7323, 2.3: windows are scaled, those of SYNs are not', () => {
    const s = Script.passive({
      offer: [
        { kind: 'mss', value: 1000 },
        { kind: 'windowScale', shift: 4 },
      ],
      window: 100,
    });
    s.write(5000);
    assert.equal(s.out().length, 1, '1,600 bytes of window');
    const ours = s.connection!;
    assert.equal(ours.rcvShift, 9);
    assert.ok(s.last.window << 9 <= 262_144);
  });

  it('RFC 7323, 2.4: the window grows with what the application reads in a round trip', () => {
    const s = Script.passive({
      rtt: 20,
      offer: [
        { kind: 'mss', value: 1000 },
        { kind: 'windowScale', shift: 4 },
      ],
    });
    const before = s.connection!.rcvLimit;
    let seq = 1;
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 200; i++) {
        s.in('A', { seq, ack: 1, length: 1000 }, false);
        seq += 1000;
      }
      s.stack.flush(s.now);
      s.wait(20);
    }
    assert.ok(s.connection!.rcvLimit > 2 * before);
    assert.ok(s.connection!.rcvLimit <= 16 << 20);
  });

  it('only what lies in the window is kept', () => {
    const s = Script.passive({ tcp: { receiveBuffer: 3000 } });
    s.reading = false;
    s.in('A', { seq: 2501, ack: 1, length: 1000 });
    s.in('A', { seq: 90_001, ack: 1, length: 1000 });
    s.in('A', { seq: 1, ack: 1, length: 2500 });
    assert.equal(s.connection!.received.readable, 3000);
  });

  it('data before the window is cut off, and the rest taken', () => {
    const s = Script.passive();
    s.in('A', { seq: 1, ack: 1, length: 1000 });
    s.in('A', { seq: 501, ack: 1, length: 1000 });
    assert.equal(s.read, 1500);
  });

  it('back-pressure: an application hears when there is room again', () => {
    const s = Script.passive({ tcp: { sendBuffer: 20_000 } });
    assert.equal(s.connection!.write(new Uint8Array(30_000)), false);
    let told = 0;
    s.connection!.handler.onWritable = () => told++;
    s.stack.flush(s.now);
    s.in('A', { ack: 10_001 });
    assert.equal(told, 0);
    s.in('A', { ack: 25_001 });
    assert.equal(told, 1);
  });

  it('memory is bounded in all: what would exceed it is dropped and comes again, order is still kept', () => {
    const s = Script.passive({ stack: { memoryLimit: 100_000 } });
    s.reading = false;
    let seq = 1;
    for (let i = 0; i < 300; i++) {
      s.in('A', { seq, ack: 1, length: 1000 });
      seq += 1000;
    }
    assert.ok(s.stack.tcp.memory <= 100_000 + 65_536 + 16_384, `${s.stack.tcp.memory}`);
  });
});

describe('keep-alive', () => {
  const keepAlive = { idle: 10_000, interval: 1000, count: 3 };

  it('RFC 9293, 3.8.4: a silent connection is asked; an answer keeps it', () => {
    const s = Script.passive({ tcp: { keepAlive } });
    s.wait(9999);
    assert.deepEqual(s.out(), []);
    s.wait(1);
    assert.deepEqual(s.out(), ['A 0+0 ack 1']);
    s.in('A', { ack: 1 });
    s.wait(9000);
    assert.deepEqual(s.out(), []);
    assert.equal(s.over, false);
  });

  it('RFC 9293, 3.8.4: without an answer it is given up', () => {
    const s = Script.passive({ tcp: { keepAlive } });
    s.wait(12_999);
    assert.deepEqual(s.out(), ['A 0+0 ack 1', 'A 0+0 ack 1', 'A 0+0 ack 1']);
    assert.equal(s.over, false);
    s.wait(1);
    assert.equal(s.error?.code, 'ETIMEDOUT');
  });

  it("RFC 9293, 3.8.4: a peer's probe is answered", () => {
    const s = Script.passive();
    s.in('A', { seq: 0, ack: 1 });
    assert.deepEqual(s.out(), ['A 1+0 ack 1']);
  });
});
