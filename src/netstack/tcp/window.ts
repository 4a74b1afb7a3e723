import { distance } from './sequence.ts';
import { DEFAULT_BUFFER, type Tcb } from './tcb.ts';

/** What a connection may receive before anything is known of its traffic. */
export const FIRST_WINDOW: number = 256 << 10;
/** What is allowed even when the memory of the stack is used up, so that everyone gets on. */
export const LEAST_WINDOW: number = 16 << 10;

/** The shift that lets a window of `bytes` be advertised (RFC 7323, section 2.2). */
export function shiftFor(bytes: number): number {
  let shift = 0;
  while (shift < 14 && 0xffff << shift < bytes) shift++;
  return shift;
}

/** How far the right edge could be, if silly windows were no concern. */
function reach(tcb: Tcb): number {
  const limit = Math.min(tcb.rcvLimit, tcb.layer.fairShare);
  return Math.max(0, limit - tcb.received.readable);
}

/**
 * Bytes to advertise. The right edge never moves back, and moves on only in steps worth a segment (RFC 9293, sections
 * 3.8.6 and 3.8.6.2.2).
 */
export function windowToOffer(tcb: Tcb): number {
  const present = distance(tcb.rcvNxt, tcb.rcvEdge);
  const room = reach(tcb);
  if (room - present < Math.min(tcb.rcvLimit >> 1, tcb.rcvMss)) return Math.max(0, present);
  // What the scale cannot express is not promised.
  const shift = tcb.rcvShift;
  const window = Math.max(present, Math.min(room >> shift, 0xffff) << shift);
  tcb.rcvEdge = (tcb.rcvNxt + window) | 0;
  return window;
}

/** Whether the application has read so much that the peer should hear of it at once. */
export function wantsWindowUpdate(tcb: Tcb): boolean {
  const present = distance(tcb.rcvNxt, tcb.rcvEdge);
  const gain = reach(tcb) - present;
  return gain >= Math.min(tcb.rcvLimit >> 1, Math.max(2 * tcb.rcvMss, present >> 1));
}

/**
 * Lets the window grow with what the application reads in a round trip, so that the path and not the buffer limits
 * the peer.
 */
export function growWindow(tcb: Tcb, now: number): void {
  const roundTrip = tcb.rtt.smoothed < 0 ? 100 : Math.max(1, tcb.rtt.smoothed);
  if (now - tcb.readSince < roundTrip) return;
  const { receiveBuffer = DEFAULT_BUFFER } = tcb.options;
  // Measured over several round trips when little comes, hence the rate and not the sum.
  const perRoundTrip = (tcb.readBytes * roundTrip) / (now - tcb.readSince);
  if (4 * perRoundTrip > tcb.rcvLimit) tcb.rcvLimit = Math.min(receiveBuffer, Math.ceil(4 * perRoundTrip));
  tcb.readBytes = 0;
  tcb.readSince = now;
}
