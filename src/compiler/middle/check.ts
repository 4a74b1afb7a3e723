import { Fault, TooLong } from '../error.ts';
import type { Block, Graph, Loop, Node } from './ir.ts';
import { fits, INT64, isExact, type Range, type Ranges, UINT64 } from './ranges.ts';

/** Iterations that every verifier follows within its budget of a million instructions. */
const MOST_TRIPS = 33_000n;

/**
 * Holds every operation to JavaScript's results: what cannot be proved exact is refused.
 *
 * @param followed Whether a verifier has to follow every iteration.
 * @throws Fault at the operation.
 */
export function checkExactness(graph: Graph, ranges: Ranges, followed: boolean): void {
  for (const loop of graph.loops) {
    if (ranges.isDead(loop.header) || ranges.isDead(loop.latch)) continue;
    if (loop.trips === undefined) {
      throw new Fault(
        loop.at,
        'this loop cannot be proved to end',
        'Count up to a constant, or to a number with a known limit: for (let i = 0; i < 64 && …; i++).',
      );
    }
    if (followed && loop.trips > MOST_TRIPS) {
      throw new TooLong(
        loop.at,
        `this loop may run ${loop.trips} times, more than a verifier follows`,
        `Bound it by ${MOST_TRIPS}, or return early.`,
      );
    }
  }
  const alive = graph.order.filter((block) => !ranges.isDead(block));
  // Operations first: where a loop's variable runs away, the operation is what has to change.
  for (const block of alive) for (const node of block.nodes) check(node, ranges);
  for (const block of alive) for (const phi of block.phis) check(phi, ranges);
}

/**
 * Operations on one way through a loop. Verifiers stop at a million instructions on all ways together, of which a loop
 * with conditions has several.
 */
const MOST_OPERATIONS = 150_000n;

/** Ways not taken yet that a verifier keeps in mind at once (BPF_COMPLEXITY_LIMIT_JMP_SEQ). */
const MOST_PENDING = 8192n;

/**
 * Refuses loops that no verifier follows to their end: on its first way through, it keeps every condition it meets.
 *
 * @throws Fault at the loop.
 */
export function checkLength(graph: Graph): void {
  const totals = new Map<Loop, Way>();
  for (const loop of [...graph.loops].reverse()) {
    const trips = loop.trips ?? 1n;
    const each = longestWay(graph, loop, totals);
    const total = { pending: each.pending * trips, steps: each.steps * trips };
    totals.set(loop, total);
    if (total.steps > MOST_OPERATIONS) {
      throw new TooLong(
        loop.at,
        `this loop may take ${total.steps} operations in ${trips} iterations, more than a verifier follows`,
        'Bound it more tightly, return early, or nest fewer loops.',
      );
    }
    if (total.pending > MOST_PENDING) {
      throw new TooLong(
        loop.at,
        `this loop may meet ${total.pending} conditions and bounds checks in ${trips} iterations, more than a verifier keeps in mind (${MOST_PENDING})`,
        'Bound what it runs over: if (length > 2000) return …, or take larger steps, as with pkt.be32.',
      );
    }
  }
  // Loops one after the other: what is kept of the first is still kept in the last.
  const all = longestWay(graph, undefined, totals);
  const last = graph.loops.at(-1);
  if (last !== undefined && all.pending > MOST_PENDING) {
    throw new TooLong(
      last.at,
      `the loops up to here may meet ${all.pending} conditions and bounds checks, more than a verifier keeps in mind (${MOST_PENDING})`,
      'Bound what they run over, or return before the last of them.',
    );
  }
}

/** What a verifier meets on a way through code. */
interface Way {
  /** Conditions that it cannot decide. */
  readonly pending: bigint;
  /** Operations. */
  readonly steps: bigint;
}

/** The longest way through one iteration, or through the whole function, inner loops run to their ends. */
function longestWay(graph: Graph, loop: Loop | undefined, inner: ReadonlyMap<Loop, Way>): Way {
  const ways = new Map<Block, Way>();
  let longest: Way = { pending: 0n, steps: 0n };
  for (const block of graph.order) {
    if (loop !== undefined && !loop.blocks.has(block)) continue;
    let pending = 0n;
    let steps = 0n;
    for (const from of block.preds) {
      const way = ways.get(from);
      if (way === undefined || block === loop?.header) continue;
      if (way.pending > pending) pending = way.pending;
      if (way.steps > steps) steps = way.steps;
    }
    const own = block.loop;
    if (own !== undefined && own !== loop) {
      // Of a loop inside, the header stands for all of it.
      const all = own.header === block && own.parent === loop ? inner.get(own) : undefined;
      pending += all?.pending ?? 0n;
      steps += all?.steps ?? 0n;
    } else {
      for (const node of block.nodes) if (isUndecided(node) || isRechecked(node)) pending += 1n;
      steps += BigInt(block.nodes.length + block.phis.length);
      const { term } = block;
      if (term.kind === 'branch' && (loop === undefined || !isCounting(term.cond, loop))) pending += 1n;
    }
    const way = { pending, steps };
    ways.set(block, way);
    if (pending > longest.pending) longest = { ...longest, pending };
    if (steps > longest.steps) longest = { ...longest, steps };
  }
  return longest;
}

/** Whether a condition holds a counter that goes from a constant in constant steps against a constant. */
function isCounting(cond: Node, loop: Loop): boolean {
  const [a, b] = cond.args;
  if (loop.counted === undefined || a === undefined || b?.op !== 'const') return false;
  const counter = a.op === 'add' && a.args[1]?.op === 'const' ? a.args[0]! : a;
  const back = loop.header.preds.indexOf(loop.latch);
  return counter.op === 'phi' && counter.block === loop.header && counter.args[1 - back]?.op === 'const';
}

/** Whether an offset is held against the limit of all offsets, because verifiers were made to forget it. */
function isRechecked(node: Node): boolean {
  return node.op === 'offptr' && node.args[1]!.op === 'forget';
}

/** Operations that leave for the short exit on a condition. */
const UNDECIDED: ReadonlySet<string> = new Set(['check', 'visible', 'elemptr']);

/** Whether a verifier has to go on both ways; a counter that it is made to look at, it knows. */
function isUndecided(node: Node): boolean {
  return UNDECIDED.has(node.op) && !(node.op === 'visible' && node.signed);
}

function check(node: Node, ranges: Ranges): void {
  const [a, b] = node.args;
  const at = (n: Node): Range => ranges.at(n, node.block);
  if (node.op === 'elemptr' || node.op === 'index') {
    const index = at(node.op === 'index' ? a! : b!);
    if (!fits(index, { lo: 0n, hi: BigInt(node.limit) - 1n })) {
      throw new Fault(
        node.at,
        `the index may be ${show(index)}, and the array has ${node.limit} elements`,
        `Bound it first: if (i >= 0 && i < ${node.limit}) …, or i & ${2 ** Math.floor(Math.log2(node.limit)) - 1}.`,
      );
    }
    return;
  }
  if (node.type === 'num') {
    if (DIVISIONS.has(node.op)) divisor(node, ranges);
    if (!isExact(node)) {
      throw new Fault(
        node.at,
        `the result may be ${show(node)}, and numbers are exact only within ±2^53`,
        'Bound the operands (& 0xffff, Math.min, an if), or use bigints.',
      );
    }
    if (node.op === 'tonum') {
      requireUnwrapped(a!, at(a!), node);
      if (!isExact(at(a!))) {
        throw new Fault(
          node.at,
          `Number(x) of a bigint of up to ${show(at(a!))} is not exact`,
          'Bound it first, as in Number(x & 0xffffffffn).',
        );
      }
    }
    return;
  }
  if (node.type === 'big') {
    if (node.op === 'div' || node.op === 'mod') {
      requireUnwrapped(a!, at(a!), node);
      requireUnwrapped(b!, at(b!), node);
      divisor(node, ranges);
    }
    if (node.op === 'sar') requireUnwrapped(a!, at(a!), node);
    if ((node.op === 'sar' || node.op === 'shl') && !fits(at(b!), { lo: 0n, hi: 63n })) {
      throw new Fault(
        node.at,
        `the shift may be by ${show(at(b!))}, and bigints have 64 bits here`,
        'Bound it, as in x << (n & 63n).',
      );
    }
    return;
  }
  if (node.op === 'eq' || node.op === 'ne' || node.op === 'lt' || node.op === 'le') {
    if (a!.type !== 'big') return;
    requireUnwrapped(a!, at(a!), node);
    requireUnwrapped(b!, at(b!), node);
    const [x, y] = [at(a!), at(b!)];
    if (!(fits(x, UINT64) && fits(y, UINT64)) && !(fits(x, INT64) && fits(y, INT64))) {
      throw new Fault(
        node.at,
        'a signed and an unsigned 64-bit value cannot be compared',
        'Write BigInt.asUintN(64, x) for the one that may be negative.',
      );
    }
  }
}

const DIVISIONS: ReadonlySet<string> = new Set(['div', 'divfloor', 'divceil', 'mod']);

function divisor(node: Node, ranges: Ranges): void {
  const divisorOf = node.args[1]!;
  if (ranges.isNonZero(divisorOf, node.block)) return;
  const by = ranges.at(divisorOf, node.block);
  throw new Fault(
    node.at,
    `the divisor may be ${by.lo === 0n ? 'zero' : show(by)}`,
    'Check it first: if (n !== 0) …',
  );
}

/** A bigint whose true value may lie outside 64 bits can be added and stored, but not looked at. */
function requireUnwrapped(value: Node, range: Range, node: Node): void {
  if (fits(range, UINT64) || fits(range, INT64)) return;
  throw new Fault(
    node.at,
    `this bigint may be ${show(range)}, which 64 bits do not hold${value.op === 'sub' ? ' (it may be negative)' : ''}`,
    'Write BigInt.asUintN(64, x) to wrap it, as the kernel does.',
  );
}

function show(range: Range): string {
  const one = (v: bigint): string => {
    const size = v < 0n ? -v : v;
    if (size < 1n << 24n) return `${v}`;
    if (size >= 1n << 80n) return v < 0n ? 'minus infinity' : 'infinity';
    const bits = (size - 1n).toString(2).length;
    return `about ${v < 0n ? '-' : ''}2^${bits}`;
  };
  return range.lo === range.hi ? one(range.lo) : `anything from ${one(range.lo)} to ${one(range.hi)}`;
}
