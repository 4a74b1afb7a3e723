import { acknowledge } from './acknowledge.ts';
import { emitSegment, stamp } from './emit.ts';
import { ACK, FIN, RST, type Segment, SYN } from './segment.ts';
import { before, distance, notAfter } from './sequence.ts';
import { State, type Tcb, Told } from './tcb.ts';
import { LEAST_WINDOW } from './window.ts';

/** Timestamps older than this say nothing: the clock may have gone round (RFC 7323, section 5.5). In ms. */
const STAMP_AGE = 24 * 24 * 3600 * 1000;
/** Challenge ACKs of one connection in a second (RFC 5961, section 7). */
const CHALLENGES = 10;
/** Blocks that are remembered as recent. */
const RECENT_BLOCKS = 4;

/** Deals with a segment that arrived for a connection: RFC 9293, sections 3.10.7.3 and 3.10.7.4, in their order. */
export function onSegment(tcb: Tcb, segment: Segment, now: number): void {
  tcb.lastReceived = now;
  if (tcb.state === State.synSent) {
    onSynSent(tcb, segment, now);
    return;
  }
  if (!isAcceptable(tcb, segment, now)) return;
  const { flags } = segment;
  if (flags & RST) {
    onReset(tcb, segment, now);
    return;
  }
  if (flags & SYN) {
    challenge(tcb, now);
    return;
  }
  if ((flags & ACK) === 0) return;
  if (tcb.state === State.synReceived && !onSynAcknowledged(tcb, segment, now)) return;
  if (!isPlausibleAck(tcb, segment)) {
    challenge(tcb, now);
    return;
  }
  tcb.keepAliveProbes = 0;
  acknowledge(tcb, segment, now);
  if (onFinAcknowledged(tcb, now)) return;
  onText(tcb, segment.seq, segment, now);
}

/** Section 3.10.7.3. */
function onSynSent(tcb: Tcb, segment: Segment, now: number): void {
  const { flags, ack } = segment;
  const acknowledges = (flags & ACK) !== 0;
  if (acknowledges && (notAfter(ack, tcb.iss) || before(tcb.sndNxt, ack))) {
    // Somebody still knows an earlier incarnation: the reset clears that away, and our SYN comes again.
    if ((flags & RST) === 0) tcb.layer.reset(tcb.interface, tcb.local, tcb.remote, segment);
    return;
  }
  if (flags & RST) {
    if (acknowledges) tcb.layer.fail(tcb, 'ECONNREFUSED');
    return;
  }
  if ((flags & SYN) === 0) return;
  tcb.irs = segment.seq;
  tcb.rcvNxt = (segment.seq + 1) | 0;
  tcb.received.rebase(tcb.rcvNxt);
  tcb.rcvEdge = (tcb.rcvNxt + Math.min(0xffff, tcb.rcvLimit)) | 0;
  learnOptions(tcb, segment, now);
  if (!acknowledges) {
    // Both sides opened at once (section 3.5, figure 8).
    tcb.state = State.synReceived;
    tcb.sndNxt = tcb.iss;
    tcb.layer.touch(tcb);
    return;
  }
  tcb.sndUna = ack;
  establish(tcb, segment, now);
  tcb.ackNow = true;
  if (segment.length > 0 || flags & FIN) onText(tcb, tcb.rcvNxt, segment, now);
}

/** In SYN-RECEIVED: whether the ACK is for our SYN; then the connection stands. */
function onSynAcknowledged(tcb: Tcb, segment: Segment, now: number): boolean {
  if (!before(tcb.sndUna, segment.ack) || before(tcb.sndNxt, segment.ack)) {
    tcb.layer.reset(tcb.interface, tcb.local, tcb.remote, segment);
    return false;
  }
  // The application's backlog is full: the peer will say it again.
  if (tcb.listener !== undefined && !tcb.listener.accept(tcb)) return false;
  tcb.sndUna = (tcb.iss + 1) | 0;
  establish(tcb, segment, now);
  return true;
}

function establish(tcb: Tcb, segment: Segment, now: number): void {
  tcb.state = State.established;
  // Karn's rule: only a SYN that was sent once can be timed, or one with a timestamp.
  if (tcb.backoff === 0) tcb.rtt.sample(Math.max(0, now - tcb.lastSent), now);
  else if (tcb.timestamps) tcb.rtt.sample(Math.max(0, stamp(tcb, now) - segment.tsEcho), now);
  tcb.layer.prepare(tcb, now);
  tcb.sndWnd = segment.flags & SYN ? segment.window : segment.window << Math.max(0, tcb.sndShift);
  tcb.maxSndWnd = tcb.sndWnd;
  tcb.sndWl1 = segment.seq;
  tcb.sndWl2 = segment.ack;
  tcb.told |= Told.connect;
  tcb.layer.touch(tcb);
}

/** What the peer's SYN offers (RFC 9293, section 3.7.1; RFC 7323, sections 1.3 and 2; RFC 2018, section 2). */
export function learnOptions(tcb: Tcb, segment: Segment, now: number): void {
  tcb.peerMss = segment.mss > 0 ? Math.max(64, segment.mss) : tcb.local.version === 4 ? 536 : 1220;
  const { sack = true, timestamps = true, windowScaling = true } = tcb.options;
  tcb.sack = sack && segment.sackPermitted;
  tcb.timestamps = timestamps && segment.hasTimestamps;
  if (tcb.timestamps) {
    tcb.tsRecent = segment.tsValue;
    tcb.tsRecentAt = now;
  }
  tcb.sndShift = windowScaling ? segment.windowShift : -1;
  if (tcb.sndShift < 0) {
    tcb.rcvShift = 0;
    tcb.rcvLimit = Math.min(tcb.rcvLimit, 0xffff);
  }
  tcb.lastAckSent = tcb.rcvNxt;
}

/** First check: sequence number, and timestamps (RFC 7323, section 5.3). What is refused is answered here. */
function isAcceptable(tcb: Tcb, segment: Segment, now: number): boolean {
  const { seq, length, flags } = segment;
  const reset = (flags & RST) !== 0;
  if (tcb.timestamps && !reset) {
    // RFC 7323, section 3.2: once negotiated, every segment has them.
    if (!segment.hasTimestamps) return false;
    if (before(segment.tsValue, tcb.tsRecent) && now - tcb.tsRecentAt < STAMP_AGE) {
      reply(tcb, now);
      return false;
    }
  }
  const end = (seq + length) | 0;
  const acceptable =
    segment.space === 0
      ? notAfter(tcb.rcvNxt, seq) && notAfter(seq, tcb.rcvEdge)
      : before(tcb.rcvNxt, (seq + segment.space) | 0) && before(seq, tcb.rcvEdge);
  if (!acceptable) {
    if (reset) return false;
    if (tcb.state === State.synReceived && flags & SYN && seq === tcb.irs) {
      // Our answer to its SYN was lost.
      tcb.layer.resendSyn(tcb);
      return false;
    }
    if (length > 0 && notAfter(end, tcb.rcvNxt)) reportDuplicate(tcb, seq, end);
    if (tcb.state === State.timeWait && flags & FIN) tcb.layer.enterTimeWait(tcb, now);
    // Its ACK may still be news: a probe of a closed window brings it (section 3.10.7.4).
    if (flags & ACK && !(flags & SYN) && seq === tcb.rcvNxt && isPlausibleAck(tcb, segment)) {
      if (tcb.state !== State.synReceived) {
        acknowledge(tcb, segment, now);
        if (onFinAcknowledged(tcb, now)) return false;
      }
    }
    if (length > 0 || flags & (SYN | FIN) || seq !== tcb.rcvNxt) reply(tcb, now);
    return false;
  }
  if (tcb.timestamps && !reset && notAfter(seq, tcb.lastAckSent) && !before(segment.tsValue, tcb.tsRecent)) {
    tcb.tsRecent = segment.tsValue;
    tcb.tsRecentAt = now;
  }
  return true;
}

/** Second check (RFC 5961, section 3): only the exact sequence number resets. */
function onReset(tcb: Tcb, segment: Segment, now: number): void {
  if (segment.seq !== tcb.rcvNxt) {
    challenge(tcb, now);
    return;
  }
  if (tcb.state === State.synReceived) tcb.layer.fail(tcb, 'ECONNREFUSED');
  else if (tcb.state === State.timeWait) tcb.layer.finish(tcb, undefined);
  else tcb.layer.fail(tcb, 'ECONNRESET');
}

/** Fifth check (RFC 5961, section 5): neither older than what the peer may still repeat, nor of what was never sent. */
function isPlausibleAck(tcb: Tcb, segment: Segment): boolean {
  const { ack } = segment;
  const newest = tcb.windowProbed ? (tcb.sndNxt + 1) | 0 : tcb.sndNxt;
  return notAfter((tcb.sndUna - tcb.maxSndWnd) | 0, ack) && notAfter(ack, newest);
}

/** State changes for the ACK of our FIN; whether nothing more is to be done with the segment. */
function onFinAcknowledged(tcb: Tcb, now: number): boolean {
  if (!tcb.finSent || tcb.sndUna !== tcb.sndNxt) return false;
  switch (tcb.state) {
    case State.finWait1:
      tcb.state = State.finWait2;
      if (tcb.deaf) tcb.layer.awaitFin(tcb, now);
      return false;
    case State.closing:
      tcb.layer.enterTimeWait(tcb, now);
      return true;
    case State.lastAck:
      tcb.layer.finish(tcb, undefined);
      return true;
    default:
      return false;
  }
}

/** Seventh and eighth: text and FIN. `seq` is that of the first byte of the payload. */
function onText(tcb: Tcb, seq: number, segment: Segment, now: number): void {
  let { length, payload } = segment;
  let fin = (segment.flags & FIN) !== 0;
  if (length === 0 && !fin) return;
  const { state, received } = tcb;
  if (state !== State.established && state !== State.finWait1 && state !== State.finWait2) return;
  let start = seq;
  const skip = distance(start, tcb.rcvNxt);
  if (skip > 0) {
    reportDuplicate(tcb, start, (start + Math.min(skip, length)) | 0);
    if (skip > length) return;
    start = tcb.rcvNxt;
    payload += skip;
    length -= skip;
  }
  const beyond = distance(tcb.rcvEdge, (start + length) | 0);
  if (beyond > 0) {
    length -= beyond;
    fin = false;
    tcb.ackNow = true;
  }
  if (length > 0 && !takeText(tcb, start, segment.bytes, payload, length, now)) return;
  if (fin && !tcb.finEarly) {
    tcb.finSeq = (start + length) | 0;
    tcb.finEarly = true;
  }
  if (tcb.finEarly && received.next === tcb.finSeq) onFin(tcb, now);
  else if (fin) tcb.ackNow = true;
  tcb.layer.touch(tcb);
}

/** Stores data; false when the connection is gone by that. */
function takeText(
  tcb: Tcb,
  start: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  now: number,
): boolean {
  const { received, layer } = tcb;
  if (tcb.deaf) {
    // RFC 1122, section 4.2.2.13: nobody will ever read it, and the peer shall know.
    layer.abort(tcb);
    return false;
  }
  if (length > tcb.rcvMss) tcb.rcvMss = length;
  const inOrder = start === tcb.rcvNxt;
  const end = (start + length) | 0;
  // What fits into memory that is held already is always taken: it may close the gap that keeps it held.
  if (
    layer.memory > layer.memoryLimit &&
    received.lacks(end) &&
    (!inOrder || received.readable >= LEAST_WINDOW)
  ) {
    layer.counters.memoryDrops++;
    tcb.ackNow = true;
    return true;
  }
  const gaps = received.starts.length;
  if (gaps > 0 && received.has(start, (start + length) | 0))
    reportDuplicate(tcb, start, (start + length) | 0);
  const held = received.memory;
  const moved = received.write(start, bytes, offset, length);
  layer.memory += received.memory - held;
  if (moved > 0) {
    tcb.rcvNxt = received.next;
    tcb.unacked += moved;
    // RFC 5681, section 4.2: at once when a gap is filled.
    if (gaps > 0) tcb.ackNow = true;
    tcb.told |= Told.read;
  } else {
    tcb.ackNow = true;
    noteRecent(tcb);
  }
  if (tcb.readSince === 0) tcb.readSince = now;
  return true;
}

/** RFC 2018, section 4: the range that a segment came to is the first to be reported, each range once. */
function noteRecent(tcb: Tcb): void {
  const { rangeStart, rangeEnd } = tcb.received;
  const isInside = (seq: number): boolean => notAfter(rangeStart, seq) && before(seq, rangeEnd);
  const [first] = tcb.recent;
  if (first !== undefined && isInside(first)) return;
  tcb.recent = [rangeStart, ...tcb.recent.filter((seq) => !isInside(seq))].slice(0, RECENT_BLOCKS);
}

/** Eighth (section 3.10.7.4): the peer has ended its stream, and all of it is here. */
function onFin(tcb: Tcb, now: number): void {
  tcb.finReceived = true;
  tcb.finEarly = false;
  tcb.rcvNxt = (tcb.rcvNxt + 1) | 0;
  tcb.ackNow = true;
  tcb.told |= Told.read;
  if (tcb.state === State.established) tcb.state = State.closeWait;
  else if (tcb.state === State.finWait1) tcb.state = State.closing;
  else tcb.layer.enterTimeWait(tcb, now);
}

function reportDuplicate(tcb: Tcb, start: number, end: number): void {
  tcb.ackNow = true;
  if (tcb.sack) {
    tcb.dsackStart = start;
    tcb.dsackEnd = end;
  }
  tcb.layer.touch(tcb);
}

/** An ACK that says where we are, for whoever is somewhere else. */
function reply(tcb: Tcb, now: number): void {
  if (mayChallenge(tcb, now)) {
    tcb.ackNow = true;
    tcb.layer.touch(tcb);
  }
}

/** A challenge ACK (RFC 5961): who really is the peer answers it, who only pretends to be does not see it. */
function challenge(tcb: Tcb, now: number): void {
  if (!mayChallenge(tcb, now)) return;
  tcb.layer.counters.challenges++;
  emitSegment(tcb, tcb.sndNxt, ACK, 0, 0, now);
}

function mayChallenge(tcb: Tcb, now: number): boolean {
  if (now - tcb.challengeSecond >= 1000) {
    tcb.challengeSecond = now;
    tcb.challenges = 0;
  }
  return tcb.challenges++ < CHALLENGES;
}
