import { EVER_RESENT, LOST, RESENT, SACKED } from './flight.ts';
import { before } from './sequence.ts';
import { Phase, Probe, type Tcb } from './tcb.ts';

/** Duplicate ACKs, or segments reported by SACK, that mean a loss (RFC 5681, RFC 6675, RFC 8985). */
const DUPLICATE_THRESHOLD = 3;

/** What one batch's ACKs mean together; the same object each time. */
const event = { acked: 0, now: 0, rtt: 0, smoothed: 0 };

/** Finds losses and says how much may be in flight now. Called once per batch of segments, before anything is sent. */
export function recover(tcb: Tcb, now: number): void {
  const { flight, congestion } = tcb;
  const { delivered, advanced, duplicateAcks, lossSeen, examine } = tcb;
  if (delivered === 0 && advanced === 0 && duplicateAcks === 0 && !lossSeen && !examine) return;
  tcb.examine = false;
  const lostBefore = flight.lostBytes;
  if (tcb.sack) {
    if (flight.sackedBytes > 0 || flight.lostBytes > 0) detectLosses(tcb, now);
  } else detectByDuplicates(tcb);
  const newlyLost = flight.lostBytes > lostBefore;
  const phaseBefore = tcb.phase;
  if (phaseBefore !== Phase.open && !before(tcb.sndUna, tcb.recoveryPoint)) leave(tcb);
  if (tcb.phase !== Phase.recovery && flight.lostBytes > 0 && (tcb.phase === Phase.open || newlyLost)) {
    if (tcb.phase === Phase.open) enter(tcb, now);
  }
  if (tcb.lossSeen) {
    // The tail probe repaired a loss: congestion all the same (RFC 8985, section 7.4.2).
    if (tcb.phase === Phase.open) {
      congestion.onLoss(now);
      congestion.window = congestion.threshold;
    }
    tcb.lossSeen = false;
  }
  if (tcb.phase === Phase.recovery) reduceProportionally(tcb, newlyLost);
  else if (tcb.phase === phaseBefore && tcb.advanced > 0 && (tcb.limited || tcb.phase === Phase.loss)) {
    event.acked = tcb.advanced;
    event.now = now;
    event.rtt = tcb.lastRtt;
    event.smoothed = Math.max(0, tcb.rtt.smoothed);
    congestion.onAck(event);
  }
  tcb.delivered = 0;
  tcb.advanced = 0;
}

/**
 * Time-based loss detection (RFC 8985, section 6.2, step 5): lost is what was sent a reordering window before
 * something that has arrived.
 */
export function detectLosses(tcb: Tcb, now: number): void {
  const { flight, rackTime, rackEnd } = tcb;
  if (rackTime < 0) return;
  const window = reorderingWindow(tcb);
  let wait = 0;
  for (let i = 0; i < flight.count; i++) {
    const flags = flight.flags(i);
    const time = flight.time(i);
    const sentAfter = time > rackTime || (time === rackTime && !before(flight.end(i), rackEnd));
    if (sentAfter) {
      // Those behind it were sent later still, unless this one was sent again.
      if ((flags & EVER_RESENT) === 0) break;
      continue;
    }
    if (flags & SACKED || (flags & (LOST | RESENT)) === LOST) continue;
    const remaining = time + tcb.rackRtt + window - now;
    if (remaining <= 0) flight.markLost(i);
    else if (remaining > wait) wait = remaining;
  }
  if (wait > 0) {
    tcb.probe = Probe.reordering;
    tcb.probeAt = now + wait;
  } else if (tcb.probe === Probe.reordering) {
    tcb.probe = Probe.none;
    tcb.probeAt = Number.POSITIVE_INFINITY;
  }
}

/** Section 6.2, step 4. */
function reorderingWindow(tcb: Tcb): number {
  if (!tcb.reordering) {
    if (tcb.phase !== Phase.open || tcb.flight.sackedBytes >= DUPLICATE_THRESHOLD * tcb.mss) return 0;
  }
  const least = Number.isFinite(tcb.rtt.least) ? tcb.rtt.least : 0;
  return Math.min((tcb.reorderSteps * least) / 4, Math.max(0, tcb.rtt.smoothed));
}

/** NewReno (RFC 6582): three duplicates mean the first segment, a partial ACK the next one. */
function detectByDuplicates(tcb: Tcb): void {
  const { flight } = tcb;
  if (flight.count === 0 || flight.flags(0) & LOST) return;
  const partial = tcb.phase === Phase.recovery && tcb.advanced > 0 && before(tcb.sndUna, tcb.recoveryPoint);
  // Section 3.2, step 1: duplicates of what was sent before the last recovery are none.
  const enough = tcb.phase === Phase.open && tcb.duplicateAcks >= DUPLICATE_THRESHOLD;
  if (partial || enough) flight.markLost(0);
}

function enter(tcb: Tcb, now: number): void {
  tcb.prrFlight = Math.max(tcb.mss, tcb.inFlight + tcb.delivered);
  tcb.congestion.onLoss(now);
  tcb.phase = Phase.recovery;
  tcb.recoveryPoint = tcb.sndNxt;
  tcb.prrDelivered = 0;
  tcb.prrOut = 0;
  tcb.resentStamp = 0;
  tcb.undoable = false;
  tcb.tlpOut = false;
  tcb.layer.counters.recoveries++;
}

function leave(tcb: Tcb): void {
  if (tcb.phase === Phase.recovery) tcb.congestion.window = tcb.congestion.threshold;
  tcb.phase = Phase.open;
  tcb.duplicateAcks = 0;
  if (tcb.reorderPersist > 0 && --tcb.reorderPersist === 0) tcb.reorderSteps = 1;
}

/** Proportional rate reduction (RFC 6937, section 3), with the slow-start reduction bound while losses do not go on. */
function reduceProportionally(tcb: Tcb, newlyLost: boolean): void {
  const { congestion, delivered, mss } = tcb;
  tcb.prrDelivered += delivered;
  const { inFlight } = tcb;
  let room: number;
  if (inFlight > congestion.threshold) {
    room = Math.ceil((tcb.prrDelivered * congestion.threshold) / tcb.prrFlight) - tcb.prrOut;
  } else {
    const behind = Math.max(tcb.prrDelivered - tcb.prrOut, delivered);
    const limit = tcb.advanced > 0 && !newlyLost ? behind + mss : behind;
    room = Math.min(congestion.threshold - inFlight, limit);
  }
  // The retransmission that recovery begins with is always sent (RFC 5681, section 3.2, step 3).
  // Without SACK each partial ACK asks for one more (RFC 6582, section 3.2, step 5).
  if ((tcb.prrOut === 0 || (newlyLost && !tcb.sack)) && room < mss) room = mss;
  congestion.window = inFlight + Math.max(0, room);
}

/** The retransmission timer fired (RFC 6298, section 5; RFC 5681, section 3.1; RFC 8985, section 6.3). */
export function onTimeout(tcb: Tcb, now: number): void {
  const { flight, congestion } = tcb;
  // The threshold falls once for one loss, however often it is repeated.
  if (tcb.phase !== Phase.loss || tcb.backoff === 0) congestion.onLoss(now);
  congestion.window = tcb.mss;
  // What the peer reported and then threw away shows in that the first segment is still missing (RFC 2018, section 8).
  flight.markAllLost(flight.count > 0 && (flight.flags(0) & SACKED) !== 0);
  tcb.phase = Phase.loss;
  tcb.recoveryPoint = tcb.sndNxt;
  tcb.duplicateAcks = 0;
  tcb.backoff++;
  tcb.resentStamp = 0;
  tcb.tlpOut = false;
  tcb.probe = Probe.none;
  tcb.probeAt = Number.POSITIVE_INFINITY;
  tcb.rtoAt = Number.POSITIVE_INFINITY;
  tcb.layer.counters.timeouts++;
}

/** Sends everything in flight again for a reason that is no congestion: the path takes shorter packets now. */
export function resendAll(tcb: Tcb): void {
  tcb.flight.markAllLost(false);
  tcb.phase = Phase.loss;
  tcb.recoveryPoint = tcb.sndNxt;
  tcb.duplicateAcks = 0;
  tcb.tlpOut = false;
}
