import { differential, type Failure, type Outcome } from './differential.ts';
import { type Case, caseProgram } from './program.ts';
import { simpler, size } from './tree.ts';

/**
 * The smallest case that still fails in the same way: whatever can be left out of the program, its env, its maps
 * and its packets is left out. After `seconds` it is as small as it has become.
 */
export function shrink(given: Case, failure: Failure, seconds = 30): { case: Case; failure: Failure } {
  let best = { case: given, failure };
  const until = performance.now() + seconds * 1000;
  const left = (): boolean => performance.now() < until;
  const attempt = (candidate: Case): boolean => {
    if (!left()) return false;
    let outcome: Outcome;
    try {
      caseProgram(candidate);
      outcome = differential(candidate);
    } catch {
      return false;
    }
    if (outcome.kind !== failure.kind || outcome.what !== failure.what) return false;
    best = { case: candidate, failure: outcome };
    return true;
  };
  for (let before = -1; before !== weight(best.case) && left(); ) {
    before = weight(best.case);
    while (first(fewerPackets(best.case), attempt));
    while (first(simplerBodies(best.case), attempt));
    while (first(simplerHelpers(best.case), attempt));
    while (first(fewerFills(best.case), attempt));
    while (first(plainerPackets(best.case), attempt));
    if (best.case.unroll !== 16) attempt({ ...best.case, unroll: 16 });
  }
  return best;
}

function weight({ body, env, fills, packets }: Case): number {
  const bytes = packets.reduce((sum, p) => sum + p.length + p.filter((x) => x !== 0).length, 0);
  const entries = fills.reduce((sum, f) => sum + f.entries.length, 0);
  return size(body) + env.reduce((sum, item) => sum + size(item.source), 0) + bytes + entries;
}

function first(candidates: Iterable<Case>, attempt: (candidate: Case) => boolean): boolean {
  for (const candidate of candidates) if (attempt(candidate)) return true;
  return false;
}

function* simplerBodies(given: Case): Generator<Case> {
  for (const body of simpler(given.body)) yield { ...given, body };
}

function* simplerHelpers(given: Case): Generator<Case> {
  for (const [i, item] of given.env.entries()) {
    for (const source of simpler(item.source))
      yield { ...given, env: given.env.with(i, { ...item, source }) };
  }
}

function* fewerPackets(given: Case): Generator<Case> {
  const { packets } = given;
  if (packets.length < 2) return;
  for (const packet of packets) yield { ...given, packets: [packet] };
  for (const i of packets.keys()) yield { ...given, packets: packets.toSpliced(i, 1) };
}

function* fewerFills(given: Case): Generator<Case> {
  for (const [i, fill] of given.fills.entries()) {
    for (const j of fill.entries.keys()) {
      yield { ...given, fills: given.fills.with(i, { ...fill, entries: fill.entries.toSpliced(j, 1) }) };
    }
  }
}

function* plainerPackets(given: Case): Generator<Case> {
  for (const [i, packet] of given.packets.entries()) {
    const put = (bytes: Uint8Array): Case => ({ ...given, packets: given.packets.with(i, bytes) });
    for (const length of [14, packet.length >> 1, packet.length - 16, packet.length - 1]) {
      if (length >= 14 && length < packet.length) yield put(packet.slice(0, length));
    }
    for (let chunk = packet.length; chunk >= 1; chunk >>= 1) {
      for (let at = 0; at < packet.length; at += chunk) {
        const bytes = packet.slice().fill(0, at, at + chunk);
        if (Buffer.compare(bytes, packet) !== 0) yield put(bytes);
      }
    }
  }
}
