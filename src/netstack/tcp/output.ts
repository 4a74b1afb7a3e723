import { INITIAL_WINDOW } from './congestion.ts';
import { emitSegment, stamp } from './emit.ts';
import { LOST, RESENT, WITH_FIN } from './flight.ts';
import { ACK, FIN, PSH, SYN } from './segment.ts';
import { distance } from './sequence.ts';
import { Phase, Probe, State, type Tcb } from './tcb.ts';
import { growWindow, wantsWindowUpdate } from './window.ts';

/** New segments in one go: what they bring back shall be looked at before more of them fill every queue and cache. */
const BURST = 64;
/** The longest wait for data to carry an ACK, in ms (RFC 9293, section 3.8.6.3 allows 500). */
const DELAYED_ACK = 40;
/** Most patience of a peer with a single segment, as RFC 8985 (section 7.2) assumes it, in ms. */
const PEER_DELAYED_ACK = 200;
/** How long a connection is silent before its buffers go back, in ms. */
export const QUIET = 1000;
/** Shorter tail probes cost more than they gain. */
const LEAST_PROBE = 2;

/** Sends whatever may be sent: retransmissions, data, FIN, ACK; then sets the timers. Called once per batch. */
export function output(tcb: Tcb, now: number): void {
  if (tcb.state === State.synSent || tcb.state === State.synReceived) {
    if (tcb.sndNxt === tcb.iss) sendSyn(tcb, now);
    else if (tcb.ackNow) emitSegment(tcb, tcb.sndNxt, ACK, 0, 0, now);
    tcb.layer.schedule(tcb);
    return;
  }
  if (tcb.state === State.closed) return;
  growWindow(tcb, now);
  const sending = tcb.state !== State.finWait2 && tcb.state !== State.timeWait;
  if (sending && !(resend(tcb, now) && sendNew(tcb, now))) {
    tcb.interface.block(tcb);
    armTimers(tcb, now);
    return;
  }
  if (!sendAck(tcb, now)) tcb.interface.block(tcb);
  armTimers(tcb, now);
}

function sendSyn(tcb: Tcb, now: number): void {
  const flags = tcb.state === State.synReceived ? SYN | ACK : SYN;
  if (!emitSegment(tcb, tcb.iss, flags, 0, 0, now)) tcb.interface.block(tcb);
  else {
    tcb.sndNxt = (tcb.iss + 1) | 0;
    tcb.lastSent = now;
    if (tcb.waitingSince === Number.POSITIVE_INFINITY) tcb.waitingSince = now;
  }
  tcb.rtoAt = now + tcb.rtt.backedOff(tcb.backoff);
}

/** Sends again what is lost, as far as the window allows. False when the interface takes nothing more. */
function resend(tcb: Tcb, now: number): boolean {
  const { flight } = tcb;
  let left = flight.lostBytes - flight.resentBytes;
  for (let i = 0; left > 0 && i < flight.count; i++) {
    if ((flight.flags(i) & (LOST | RESENT)) !== LOST) continue;
    const length = flight.length(i);
    const room = tcb.congestion.window - tcb.inFlight;
    if (room < length && tcb.inFlight > 0) return true;
    if (!resendAt(tcb, i, now)) return false;
    left -= length;
  }
  return true;
}

function resendAt(tcb: Tcb, index: number, now: number): boolean {
  const { flight } = tcb;
  const start = flight.start(index);
  const fin = flight.flags(index) & WITH_FIN ? FIN : 0;
  const length = flight.length(index) - fin;
  if (!emitSegment(tcb, start, ACK | PSH | fin, distance(tcb.sndUna, start), length, now)) return false;
  flight.markResent(index, now);
  tcb.prrOut += length;
  tcb.lastSent = now;
  if (!tcb.undoable && tcb.resentStamp === 0) {
    tcb.resentStamp = stamp(tcb, now);
    tcb.undoable = true;
  }
  tcb.layer.counters.retransmitted++;
  // RFC 6675, section 6: whoever sends the first segment again waits anew for its answer.
  if (index === 0 || tcb.rtoAt === Number.POSITIVE_INFINITY) tcb.rtoAt = now + tcb.rtt.backedOff(tcb.backoff);
  return true;
}

/** Sends data for the first time, and the FIN behind it. False when the interface takes nothing more. */
function sendNew(tcb: Tcb, now: number): boolean {
  if (tcb.finSent) return true;
  const { queue, flight, congestion, mss } = tcb;
  if (queue.length === 0 && !tcb.ending) return true;
  if (flight.count === 0) restartAfterIdle(tcb, now);
  tcb.limited = false;
  for (let count = 0; ; count++) {
    if (count === BURST) {
      tcb.layer.defer(tcb);
      return true;
    }
    const offset = distance(tcb.sndUna, tcb.sndNxt);
    const waiting = queue.length - offset;
    if (waiting === 0) {
      if (!tcb.ending) return true;
      return sendSegment(tcb, offset, 0, FIN, now);
    }
    const window = tcb.sndWnd - offset;
    const length = Math.min(waiting, mss, window);
    if (length <= 0) return true;
    if (congestion.window - tcb.inFlight < length) {
      tcb.limited = true;
      return true;
    }
    if (length < mss) {
      // Silly windows (section 3.8.6.2.1): a part of what waits only if it is much of what the peer can take at all.
      if (length < waiting && length < tcb.maxSndWnd >> 1) return true;
      // Nagle (section 3.7.4).
      if (length === waiting && offset > 0 && tcb.options.noDelay === false && !tcb.ending) return true;
    }
    const last = length === waiting;
    const flags = last ? (tcb.ending ? PSH | FIN : PSH) : 0;
    if (!sendSegment(tcb, offset, length, flags, now)) return false;
    if (tcb.finSent) return true;
  }
}

function sendSegment(tcb: Tcb, offset: number, length: number, flags: number, now: number): boolean {
  const start = tcb.sndNxt;
  if (!emitSegment(tcb, start, ACK | flags, offset, length, now)) return false;
  const fin = flags & FIN;
  const end = (start + length + fin) | 0;
  tcb.flight.push(start, end, now, fin ? WITH_FIN : 0);
  tcb.sndNxt = end;
  tcb.lastSent = now;
  if (tcb.phase === Phase.recovery) tcb.prrOut += length;
  if (tcb.waitingSince === Number.POSITIVE_INFINITY) tcb.waitingSince = now;
  if (tcb.rtoAt === Number.POSITIVE_INFINITY) tcb.rtoAt = now + tcb.rtt.backedOff(tcb.backoff);
  if (fin) {
    tcb.finSent = true;
    tcb.state = tcb.state === State.closeWait ? State.lastAck : State.finWait1;
  }
  return true;
}

/** RFC 5681, section 4.1: after a time-out's worth of silence the old window says nothing about the path. */
function restartAfterIdle(tcb: Tcb, now: number): void {
  const idle = now - tcb.lastSent;
  if (idle <= tcb.rtt.rto) return;
  const { congestion } = tcb;
  congestion.onIdle(idle);
  congestion.window = Math.min(congestion.window, INITIAL_WINDOW * tcb.mss);
}

/** An ACK of its own, when none went with data: at once if it matters, at the latest after a while. */
function sendAck(tcb: Tcb, now: number): boolean {
  if (tcb.dsackStart !== tcb.dsackEnd) tcb.ackNow = true;
  if (!tcb.ackNow) {
    if (tcb.unacked > 0 && (tcb.unacked >= 2 * tcb.rcvMss || tcb.quickAcks > 0)) tcb.ackNow = true;
    else if (!tcb.finReceived && wantsWindowUpdate(tcb)) tcb.ackNow = true;
  }
  if (tcb.ackNow) return emitSegment(tcb, tcb.sndNxt, ACK, 0, 0, now);
  if (tcb.unacked > 0 && tcb.ackAt === Number.POSITIVE_INFINITY) tcb.ackAt = now + DELAYED_ACK;
  return true;
}

export function armTimers(tcb: Tcb, now: number): void {
  const { flight, rtt } = tcb;
  if (flight.count === 0) {
    tcb.rtoAt = Number.POSITIVE_INFINITY;
    if (tcb.queue.length > 0 || (tcb.ending && !tcb.finSent)) armPersist(tcb, now);
    else if (tcb.probe !== Probe.none) clearProbe(tcb);
  } else {
    if (tcb.rtoAt === Number.POSITIVE_INFINITY) tcb.rtoAt = now + rtt.backedOff(tcb.backoff);
    if (tcb.probe === Probe.window) clearProbe(tcb);
    if (
      tcb.phase === Phase.open &&
      tcb.sack &&
      flight.sackedBytes === 0 &&
      !tcb.tlpOut &&
      rtt.smoothed >= 0
    ) {
      // Tail loss probe (RFC 8985, section 7.2).
      const patience = flight.count === 1 ? PEER_DELAYED_ACK : 0;
      const wait = Math.max(LEAST_PROBE, 2 * rtt.smoothed + patience);
      const at = Math.max(now + LEAST_PROBE, wait + Math.max(tcb.lastSent, tcb.waitingSince));
      if (at < tcb.rtoAt) {
        tcb.probe = Probe.tail;
        tcb.probeAt = at;
      } else if (tcb.probe === Probe.tail) clearProbe(tcb);
    } else if (tcb.probe === Probe.tail) clearProbe(tcb);
  }
  if (
    tcb.trimAt === Number.POSITIVE_INFINITY &&
    flight.count === 0 &&
    flight.capacity + tcb.received.memory > 0
  ) {
    tcb.trimAt = now + QUIET;
  }
  tcb.layer.schedule(tcb);
}

function clearProbe(tcb: Tcb): void {
  tcb.probe = Probe.none;
  tcb.probeAt = Number.POSITIVE_INFINITY;
}

/** The peer's window is closed (section 3.8.6.1), or too small to be worth a segment. */
function armPersist(tcb: Tcb, now: number): void {
  if (tcb.probe === Probe.window) return;
  tcb.probe = Probe.window;
  tcb.probeAt = now + tcb.rtt.backedOff(tcb.windowProbes);
}

/** The tail probe's time has come: new data if there is any, else the last segment again (RFC 8985, section 7.3). */
export function sendTailProbe(tcb: Tcb, now: number): void {
  const { flight, queue } = tcb;
  clearProbe(tcb);
  if (flight.count === 0) return;
  const offset = distance(tcb.sndUna, tcb.sndNxt);
  const length = Math.min(queue.length - offset, tcb.mss, tcb.sndWnd - offset);
  if (length > 0 && !tcb.finSent) {
    if (!sendSegment(tcb, offset, length, PSH, now)) return;
    tcb.tlpResent = false;
  } else {
    const last = flight.count - 1;
    const start = flight.start(last);
    const fin = flight.flags(last) & WITH_FIN ? FIN : 0;
    const size = flight.length(last) - fin;
    if (!emitSegment(tcb, start, ACK | PSH | fin, distance(tcb.sndUna, start), size, now)) return;
    flight.touch(last, now);
    tcb.lastSent = now;
    tcb.tlpResent = true;
    tcb.layer.counters.retransmitted++;
  }
  tcb.tlpOut = true;
  tcb.tlpEnd = tcb.sndNxt;
  tcb.rtoAt = now + tcb.rtt.backedOff(tcb.backoff);
  tcb.layer.counters.tailProbes++;
}

/** The persist timer's time has come: what the window allows, or one byte more than it allows. */
export function sendWindowProbe(tcb: Tcb, now: number): void {
  clearProbe(tcb);
  if (tcb.flight.count > 0 || tcb.finSent) return;
  const length = Math.min(tcb.queue.length, tcb.mss, tcb.sndWnd);
  if (tcb.queue.length === 0) sendSegment(tcb, 0, 0, FIN, now);
  // Whatever little the window allows is sent after a while (section 3.8.6.2.1, case 4).
  else if (length > 0) sendSegment(tcb, 0, length, PSH, now);
  else if (emitSegment(tcb, tcb.sndNxt, ACK, 0, 1, now)) {
    tcb.windowProbed = true;
    tcb.windowProbes++;
    if (tcb.waitingSince === Number.POSITIVE_INFINITY) tcb.waitingSince = now;
  }
}
