import { transportChecksum } from '../../packet/checksum.ts';
import type { StackInterface } from '../interface.ts';
import type { Ip } from '../ip.ts';
import { putHalf, putWord } from '../ip.ts';
import { HEADROOM, writeIpHeader } from '../ip-header.ts';
import { checksumOf } from '../summed-memory.ts';
import { ACK, RST, type Segment, SYN, TCP_HEADER } from './segment.ts';
import { notAfter } from './sequence.ts';
import { State, type Tcb } from './tcb.ts';
import { windowToOffer } from './window.ts';

/** IANA protocol number. */
export const TCP = 6;
/** Blocks that fit beside timestamps (RFC 2018, section 3). */
const MAX_BLOCKS = 3;

/**
 * Writes one segment of a connection and hands it to its interface.
 *
 * @param offset Where the payload lies, counted from the first unacknowledged byte.
 * @returns false when the interface takes nothing at present; then nothing has changed.
 */
export function emitSegment(
  tcb: Tcb,
  seq: number,
  flags: number,
  offset: number,
  length: number,
  now: number,
): boolean {
  const { layer } = tcb;
  const out = layer.scratch;
  const header = HEADROOM + (tcb.local.version === 4 ? 20 : 40);
  const synchronizing = (flags & SYN) !== 0;
  const options = synchronizing
    ? putSynOptions(tcb, out, header, now)
    : putOptions(tcb, out, header, now, length);
  const payload = header + TCP_HEADER + options;
  if (length > 0) tcb.queue.copy(out, payload, offset, length);
  const end = payload + length;
  const edge = tcb.rcvEdge;
  const window = flags & RST ? 0 : windowToOffer(tcb);
  putHalf(out, header, tcb.localPort);
  putHalf(out, header + 2, tcb.remotePort);
  putWord(out, header + 4, seq);
  putWord(out, header + 8, flags & ACK ? tcb.rcvNxt : 0);
  out[header + 12] = (TCP_HEADER + options) << 2;
  out[header + 13] = flags;
  // A window in a SYN is never scaled (RFC 7323, section 2.2).
  putHalf(out, header + 14, Math.min(0xffff, synchronizing ? window : window >>> tcb.rcvShift));
  putWord(out, header + 16, 0);
  putHalf(out, header + 16, checksumOf(out, header, end, tcb.addressSum, TCP));
  writeIpHeader(out, HEADROOM, tcb.local, tcb.remote, TCP, end - header, layer.nextId());
  if (!tcb.interface.transmit(out, HEADROOM, end - HEADROOM, tcb.remote)) {
    tcb.rcvEdge = edge;
    return false;
  }
  layer.counters.segmentsOut++;
  if (flags & ACK) {
    tcb.ackNow = false;
    tcb.unacked = 0;
    tcb.ackAt = Number.POSITIVE_INFINITY;
    tcb.lastAckSent = tcb.rcvNxt;
    tcb.dsackStart = tcb.dsackEnd;
    if (tcb.quickAcks > 0) tcb.quickAcks--;
  }
  return true;
}

/** Answers a segment that belongs to no connection (RFC 9293, section 3.10.7.1). */
export function emitReset(
  via: StackInterface,
  out: Uint8Array,
  local: Ip,
  remote: Ip,
  segment: Segment,
  id: number,
): void {
  const header = HEADROOM + (local.version === 4 ? 20 : 40);
  const end = header + TCP_HEADER;
  const answersAck = (segment.flags & ACK) !== 0;
  putHalf(out, header, segment.destinationPort);
  putHalf(out, header + 2, segment.sourcePort);
  putWord(out, header + 4, answersAck ? segment.ack : 0);
  putWord(out, header + 8, answersAck ? 0 : (segment.seq + segment.space) | 0);
  out[header + 12] = TCP_HEADER << 2;
  out[header + 13] = answersAck ? RST : RST | ACK;
  putWord(out, header + 14, 0);
  putHalf(out, header + 18, 0);
  putHalf(out, header + 16, transportChecksum(out, header, end, local.sum + remote.sum, TCP));
  writeIpHeader(out, HEADROOM, local, remote, TCP, TCP_HEADER, id);
  via.transmit(out, HEADROOM, end - HEADROOM, remote);
}

/** The clock of a connection's timestamps: ms, from a beginning of its own (RFC 7323, section 5.4). */
export function stamp(tcb: Tcb, now: number): number {
  return (Math.floor(now % 2 ** 32) + tcb.tsOffset) | 0;
}

/** The SYN offers everything, its answer only what was offered. */
function putSynOptions(tcb: Tcb, out: Uint8Array, header: number, now: number): number {
  const answers = tcb.state === State.synReceived;
  let at = header + TCP_HEADER;
  out[at] = 2;
  out[at + 1] = 4;
  putHalf(out, at + 2, tcb.interface.mtu - (tcb.local.version === 4 ? 40 : 60));
  at += 4;
  if (answers ? tcb.sack : tcb.options.sack !== false) {
    out[at++] = 4;
    out[at++] = 2;
  } else {
    out[at++] = 1;
    out[at++] = 1;
  }
  if (answers ? tcb.timestamps : tcb.options.timestamps !== false) {
    out[at] = 8;
    out[at + 1] = 10;
    putWord(out, at + 2, stamp(tcb, now));
    putWord(out, at + 6, answers ? tcb.tsRecent : 0);
    at += 10;
  } else {
    out[at++] = 1;
    out[at++] = 1;
  }
  if (answers ? tcb.sndShift >= 0 : tcb.options.windowScaling !== false) {
    out[at] = 1;
    out[at + 1] = 3;
    out[at + 2] = 3;
    out[at + 3] = tcb.rcvShift;
    at += 4;
  }
  return at - header - TCP_HEADER;
}

function putOptions(tcb: Tcb, out: Uint8Array, header: number, now: number, length: number): number {
  let at = header + TCP_HEADER;
  if (tcb.timestamps) {
    putWord(out, at, 0x0101_080a);
    putWord(out, at + 4, stamp(tcb, now));
    putWord(out, at + 8, tcb.tsRecent);
    at += 12;
  }
  // A full segment has no room for blocks; the ACK that goes with them goes alone.
  if (length === 0 && tcb.sack && (tcb.received.starts.length > 0 || tcb.dsackStart !== tcb.dsackEnd)) {
    at = putBlocks(tcb, out, at);
  }
  return at - header - TCP_HEADER;
}

/** RFC 2018, section 4: the block that changed last comes first; RFC 2883: before it, a duplicate. */
function putBlocks(tcb: Tcb, out: Uint8Array, start: number): number {
  let at = start + 4;
  let count = 0;
  const put = (from: number, to: number): void => {
    putWord(out, at, from);
    putWord(out, at + 4, to);
    at += 8;
    count++;
  };
  if (tcb.dsackStart !== tcb.dsackEnd) put(tcb.dsackStart, tcb.dsackEnd);
  const { starts, ends } = tcb.received;
  const shown: number[] = [];
  for (const recent of tcb.recent) {
    if (count === MAX_BLOCKS) break;
    const index = starts.findIndex((from, i) => notAfter(from, recent) && !notAfter(ends[i]!, recent));
    if (index < 0 || shown.includes(index)) continue;
    shown.push(index);
    put(starts[index]!, ends[index]!);
  }
  for (let index = 0; index < starts.length && count < MAX_BLOCKS && shown.length < MAX_BLOCKS; index++) {
    if (!shown.includes(index)) {
      shown.push(index);
      put(starts[index]!, ends[index]!);
    }
  }
  out[start] = 1;
  out[start + 1] = 1;
  out[start + 2] = 5;
  out[start + 3] = 2 + 8 * count;
  return count === 0 ? start : at;
}
