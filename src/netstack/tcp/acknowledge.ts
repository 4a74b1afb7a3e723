import { stamp } from './emit.ts';
import { EVER_RESENT, SACKED } from './flight.ts';
import { FIN, type Segment } from './segment.ts';
import { before, distance, later, notAfter } from './sequence.ts';
import { Phase, Probe, type Tcb, Told } from './tcb.ts';

/**
 * Takes in what a segment acknowledges: SND.UNA and the window, round-trip times, SACK blocks. What follows from it
 * for recovery and congestion control is worked out once per batch, by `recover`.
 */
export function acknowledge(tcb: Tcb, segment: Segment, now: number): void {
  const { ack } = segment;
  if (tcb.windowProbed && ack === ((tcb.sndNxt + 1) | 0)) acceptProbedByte(tcb, now);
  const acked = distance(tcb.sndUna, ack);
  const opened = updateWindow(tcb, segment);
  if (acked > 0) advance(tcb, segment, acked, now);
  if (tcb.sack && segment.sackCount > 0) readBlocks(tcb, segment, now);
  else if (!tcb.sack && acked === 0) countDuplicate(tcb, segment, opened);
  if (tcb.tlpOut) judgeTailProbe(tcb, segment, acked);
  if (acked > 0 || opened || segment.sackCount > 0 || tcb.duplicateAcks > 0) tcb.layer.touch(tcb);
}

/** Section 3.10.7.4: only from a segment newer than the one the present window came from. */
function updateWindow(tcb: Tcb, segment: Segment): boolean {
  const { seq, ack } = segment;
  if (before(ack, tcb.sndUna)) return false;
  if (!before(tcb.sndWl1, seq) && !(tcb.sndWl1 === seq && notAfter(tcb.sndWl2, ack))) return false;
  const window = segment.window << Math.max(0, tcb.sndShift);
  const changed = window !== tcb.sndWnd;
  tcb.sndWnd = window;
  tcb.sndWl1 = seq;
  tcb.sndWl2 = ack;
  if (window > tcb.maxSndWnd) tcb.maxSndWnd = window;
  if (changed && window > 0 && tcb.probe === Probe.window) {
    tcb.probe = Probe.none;
    tcb.probeAt = Number.POSITIVE_INFINITY;
    tcb.windowProbes = 0;
  }
  // An answer to a probe is a sign of life, for as long as the window may stay closed.
  if (tcb.flight.count === 0) tcb.waitingSince = Number.POSITIVE_INFINITY;
  return changed;
}

/** The peer took the byte that was sent to test its closed window. */
function acceptProbedByte(tcb: Tcb, now: number): void {
  tcb.windowProbed = false;
  const start = tcb.sndNxt;
  tcb.sndNxt = (start + 1) | 0;
  tcb.flight.push(start, tcb.sndNxt, now, EVER_RESENT);
}

function advance(tcb: Tcb, segment: Segment, acked: number, now: number): void {
  const { flight, layer } = tcb;
  const { ack } = segment;
  let sentAt = -1;
  let resentAt = -1;
  while (flight.count > 0 && notAfter(flight.end(0), ack)) {
    const flags = flight.flags(0);
    if ((flags & SACKED) === 0) {
      tcb.delivered += flight.length(0);
      noteDelivery(tcb, 0, segment, now);
      if (flags & EVER_RESENT) resentAt = Math.max(resentAt, flight.time(0));
      else sentAt = flight.time(0);
    }
    flight.shift();
  }
  if (flight.count > 0 && before(flight.start(0), ack)) {
    if ((flight.flags(0) & SACKED) === 0) tcb.delivered += distance(flight.start(0), ack);
    flight.trim(ack);
  }
  tcb.sndUna = ack;
  tcb.fack = later(tcb.fack, ack);
  // The FIN has a number of its own, and no place in the queue.
  const bytes = Math.min(acked, tcb.queue.length);
  tcb.queue.drop(bytes);
  layer.memory -= bytes;
  tcb.advanced += acked;
  tcb.windowProbed = false;
  // Karn's rule, also for what waited behind a retransmission: its ACK tells how long the repair took.
  if (sentAt >= 0 && resentAt < 0) sampleRtt(tcb, now - sentAt, now);
  // An echo from before the last retransmission may have waited for it, when an ACK was lost.
  else if (resentAt >= 0 && tcb.timestamps && !before(segment.tsEcho, stamp(tcb, resentAt))) {
    sampleRtt(tcb, Math.max(0, distance(segment.tsEcho, stamp(tcb, now))), now);
  }
  if (tcb.undoable && tcb.timestamps && before(segment.tsEcho, tcb.resentStamp)) undo(tcb);
  tcb.undoable = false;
  tcb.backoff = 0;
  forgetDuplicates(tcb, acked);
  tcb.rtoAt = Number.POSITIVE_INFINITY;
  tcb.waitingSince = flight.count > 0 ? now : Number.POSITIVE_INFINITY;
  if (tcb.full && tcb.queue.length <= tcb.sendLimit >> 1) tcb.told |= Told.write;
}

function sampleRtt(tcb: Tcb, rtt: number, now: number): void {
  tcb.lastRtt = rtt;
  tcb.rtt.sample(rtt, now);
}

/** Eifel (RFC 3522, RFC 4015): the ACK answers the original, so nothing was lost. */
function undo(tcb: Tcb): void {
  if (tcb.phase === Phase.open) return;
  tcb.congestion.undo();
  tcb.flight.clearLost();
  tcb.phase = Phase.open;
  tcb.layer.counters.undone++;
}

/** RFC 8985, section 6.2, steps 2 and 3: the latest segment that arrived, and whether it overtook others. */
function noteDelivery(tcb: Tcb, index: number, segment: Segment, now: number): void {
  const { flight } = tcb;
  const time = flight.time(index);
  const end = flight.end(index);
  const rtt = now - time;
  if (flight.flags(index) & EVER_RESENT) {
    // The original may be what arrived.
    if (segment.hasTimestamps && before(segment.tsEcho, stamp(tcb, time))) return;
    if (rtt < tcb.rtt.least) return;
  } else if (before(end, tcb.fack)) tcb.reordering = true;
  if (time < tcb.rackTime || (time === tcb.rackTime && !before(tcb.rackEnd, end))) return;
  tcb.rackTime = time;
  tcb.rackEnd = end;
  tcb.rackRtt = rtt;
}

/** SACK (RFC 2018, section 5; RFC 6675, section 4; DSACK: RFC 2883). */
function readBlocks(tcb: Tcb, segment: Segment, now: number): void {
  const { sack, sackCount, ack } = segment;
  let first = 0;
  if (isDuplicateReport(segment)) {
    first = 1;
    onDuplicateReport(tcb, ack);
  }
  tcb.seenBlocks ??= new Int32Array(8);
  const seen = tcb.seenBlocks;
  for (let i = first; i < sackCount; i++) {
    const start = sack[2 * i]!;
    const end = sack[2 * i + 1]!;
    // What was never sent, or is acknowledged, is no block.
    if (!before(start, end) || before(tcb.sndNxt, end) || notAfter(end, tcb.sndUna)) continue;
    let from = start;
    // Blocks are repeated in ACK after ACK and mostly grow at their end: what was marked is not walked again.
    for (let j = 0; j < 8; j += 2) {
      if (seen[j] === start && before(start, seen[j + 1]!) && notAfter(seen[j + 1]!, end)) {
        from = seen[j + 1]!;
        break;
      }
    }
    markSacked(tcb, from, end, segment, now);
  }
  seen.fill(0);
  for (let i = 0; i < 2 * sackCount; i++) seen[i] = sack[i]!;
}

function markSacked(tcb: Tcb, from: number, end: number, segment: Segment, now: number): void {
  const { flight } = tcb;
  for (let i = flight.find(from); i < flight.count && notAfter(flight.end(i), end); i++) {
    if (flight.flags(i) & SACKED || before(flight.start(i), from)) continue;
    noteDelivery(tcb, i, segment, now);
    tcb.delivered += flight.length(i);
    flight.markSacked(i);
    tcb.fack = later(tcb.fack, flight.end(i));
  }
}

/** RFC 2883, section 4: the first block lies below the ACK, or within the second. */
function isDuplicateReport({ sack, sackCount, ack }: Segment): boolean {
  if (before(sack[0]!, ack)) return true;
  return sackCount > 1 && notAfter(sack[2]!, sack[0]!) && notAfter(sack[1]!, sack[3]!);
}

/** RFC 8985, section 6.2, step 4: a needless retransmission widens the reordering window, once a round trip. */
function onDuplicateReport(tcb: Tcb, ack: number): void {
  tcb.layer.counters.duplicates++;
  if (tcb.dsackRound !== 0 && before(ack, tcb.dsackRound)) return;
  tcb.dsackRound = tcb.sndNxt;
  tcb.reorderSteps = Math.min(16, tcb.reorderSteps + 1);
  tcb.reorderPersist = 16;
  tcb.reordering = true;
}

/** RFC 5681, section 2: for peers without SACK, how many segments have left the network. */
function countDuplicate(tcb: Tcb, segment: Segment, opened: boolean): void {
  if (segment.ack !== tcb.sndUna || tcb.flight.count === 0 || segment.length > 0 || opened) return;
  if (segment.flags & FIN) return;
  tcb.duplicateAcks++;
  tcb.delivered += tcb.mss;
}

/** What is acknowledged now is no longer among what has left the network beyond it; the first segment was missing. */
function forgetDuplicates(tcb: Tcb, acked: number): void {
  if (tcb.phase !== Phase.recovery) tcb.duplicateAcks = 0;
  else tcb.duplicateAcks = Math.max(0, tcb.duplicateAcks - Math.max(0, Math.ceil(acked / tcb.mss) - 1));
}

/** RFC 8985, section 7.4: whether the tail was lost and only the probe arrived. */
function judgeTailProbe(tcb: Tcb, segment: Segment, acked: number): void {
  if (before(segment.ack, tcb.tlpEnd)) return;
  if (!tcb.tlpResent) {
    tcb.tlpOut = false;
    return;
  }
  if (segment.sackCount > 0 && isDuplicateReport(segment)) {
    // Both arrived.
    tcb.tlpOut = false;
    return;
  }
  if (before(tcb.tlpEnd, segment.ack)) {
    tcb.tlpOut = false;
    tcb.lossSeen = true;
    return;
  }
  if (acked === 0 && segment.sackCount === 0) tcb.tlpOut = false;
}
