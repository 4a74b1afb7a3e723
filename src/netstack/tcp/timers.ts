import type { TimerWheel } from '../timer-wheel.ts';
import { emitSegment } from './emit.ts';
import { QUIET, sendTailProbe, sendWindowProbe } from './output.ts';
import { detectLosses, onTimeout } from './recovery.ts';
import { ACK } from './segment.ts';
import { Probe, Slow, State, type Tcb } from './tcb.ts';

const CONNECT_TIMEOUT = 60_000;
const USER_TIMEOUT = 120_000;

/**
 * Sees to it that the wheel wakes the connection for its first deadline. A deadline that moved away leaves the timer as
 * it is: the wake-up finds nothing due and sets it again, which is cheaper than following every ACK.
 */
export function schedule(tcb: Tcb, wheel: TimerWheel): void {
  if (tcb.state === State.closed) return;
  const next = Math.min(tcb.rtoAt, tcb.probeAt, tcb.ackAt, tcb.slowAt, tcb.trimAt);
  if (next < tcb.timer.at) wheel.set(tcb.timer, next);
}

/** Does what is due. */
export function onDue(tcb: Tcb, now: number): void {
  if (tcb.ackAt <= now) {
    tcb.ackAt = Number.POSITIVE_INFINITY;
    tcb.ackNow = true;
    tcb.layer.touch(tcb);
  }
  if (tcb.probeAt <= now) onProbe(tcb, now);
  if (tcb.rtoAt <= now) onRetransmission(tcb, now);
  if (tcb.slowAt <= now) onSlow(tcb, now);
  if (tcb.trimAt <= now) onTrim(tcb, now);
}

/** Memory that a burst of traffic left goes back once the connection is quiet. */
function onTrim(tcb: Tcb, now: number): void {
  tcb.trimAt = Number.POSITIVE_INFINITY;
  if (tcb.flight.count > 0 || tcb.received.readable > 0 || tcb.received.starts.length > 0) return;
  if (now - Math.max(tcb.lastReceived, tcb.lastSent) < QUIET) {
    tcb.trimAt = now + QUIET;
    return;
  }
  tcb.flight.clear();
  if (tcb.counted) tcb.layer.memory -= tcb.received.memory;
  tcb.received.release();
  tcb.seenBlocks = undefined;
}

function onProbe(tcb: Tcb, now: number): void {
  const { probe } = tcb;
  tcb.probe = Probe.none;
  tcb.probeAt = Number.POSITIVE_INFINITY;
  if (probe === Probe.tail) sendTailProbe(tcb, now);
  else if (probe === Probe.window) {
    if (givesUp(tcb, now)) return;
    sendWindowProbe(tcb, now);
  } else {
    detectLosses(tcb, now);
    tcb.examine = true;
  }
  tcb.layer.touch(tcb);
}

/** RFC 6298, rules 5.4 to 5.6. */
function onRetransmission(tcb: Tcb, now: number): void {
  tcb.rtoAt = Number.POSITIVE_INFINITY;
  if (givesUp(tcb, now)) return;
  if (tcb.state === State.synSent || tcb.state === State.synReceived) {
    tcb.backoff++;
    tcb.layer.counters.timeouts++;
    tcb.layer.resendSyn(tcb);
    return;
  }
  if (tcb.flight.count === 0) return;
  onTimeout(tcb, now);
  tcb.layer.touch(tcb);
}

/** Whether the peer has been silent for too long (RFC 9293, section 3.8.3). */
function givesUp(tcb: Tcb, now: number): boolean {
  const { connectTimeout = CONNECT_TIMEOUT, userTimeout = USER_TIMEOUT } = tcb.options;
  const opening = tcb.state === State.synSent || tcb.state === State.synReceived;
  if (now - tcb.waitingSince < (opening ? connectTimeout : userTimeout)) return false;
  tcb.layer.fail(tcb, 'ETIMEDOUT');
  return true;
}

function onSlow(tcb: Tcb, now: number): void {
  const { slow } = tcb;
  tcb.slow = Slow.none;
  tcb.slowAt = Number.POSITIVE_INFINITY;
  if (slow === Slow.timeWait || slow === Slow.finWait) tcb.layer.finish(tcb, undefined);
  else if (slow === Slow.keepAlive) onKeepAlive(tcb, now);
}

/** RFC 9293, section 3.8.4: a segment that must be answered, without data. */
function onKeepAlive(tcb: Tcb, now: number): void {
  const { keepAlive } = tcb.options;
  if (keepAlive === undefined) return;
  const { idle = 7_200_000, interval = 75_000, count = 9 } = keepAlive;
  const silent = now - tcb.lastReceived;
  tcb.slow = Slow.keepAlive;
  if (silent < idle || tcb.flight.count > 0) {
    tcb.keepAliveProbes = 0;
    tcb.slowAt = Math.max(now + 1, tcb.lastReceived + idle);
    if (tcb.flight.count > 0) tcb.slowAt = now + idle;
    return;
  }
  if (tcb.keepAliveProbes >= count) {
    tcb.layer.fail(tcb, 'ETIMEDOUT');
    return;
  }
  tcb.keepAliveProbes++;
  emitSegment(tcb, (tcb.sndUna - 1) | 0, ACK, 0, 0, now);
  tcb.slowAt = now + interval;
}
