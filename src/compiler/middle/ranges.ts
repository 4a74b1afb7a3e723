import { dominates } from './flow.ts';
import { divide, MAX_SAFE } from './fold.ts';
import type { Block, Graph, Loop, Node } from './ir.ts';

/** All values from `lo` to `hi`. */
export interface Range {
  readonly lo: bigint;
  readonly hi: bigint;
}

const U64 = (1n << 64n) - 1n;
const I32: Range = { lo: -(1n << 31n), hi: (1n << 31n) - 1n };
const U32: Range = { lo: 0n, hi: (1n << 32n) - 1n };
const BOOL: Range = { lo: 0n, hi: 1n };
/** Beyond what any operation needs to tell apart. */
const EDGE = 1n << 80n;
const TOP: Range = { lo: -EDGE, hi: EDGE };

/** What the kernel's helper functions return, by their numbers. */
const HELPER_RESULTS: Readonly<Record<number, Range>> = {
  2: { lo: -4095n, hi: 0n },
  3: { lo: -4095n, hi: 0n },
  5: { lo: 0n, hi: (1n << 63n) - 1n },
  7: U32,
  8: { lo: 0n, hi: 8191n },
  23: { lo: 0n, hi: 4n },
  44: { lo: -4095n, hi: 0n },
  51: { lo: 0n, hi: 4n },
  54: { lo: -4095n, hi: 0n },
  65: { lo: -4095n, hi: 0n },
  69: { lo: -4095n, hi: 9n },
  118: { lo: 0n, hi: (1n << 63n) - 1n },
  125: { lo: 0n, hi: (1n << 63n) - 1n },
  130: { lo: -4095n, hi: 0n },
  160: { lo: 0n, hi: (1n << 63n) - 1n },
  188: { lo: 0n, hi: 0xf_ffffn },
  189: { lo: -4095n, hi: 0n },
  190: { lo: -4095n, hi: 0n },
};

/**
 * The range of every node, and the narrower one that conditions on the way to a block prove.
 *
 * Loops are widened first, narrowed again by their conditions, and accumulators are bounded by how often the
 * loop can run.
 */
export class Ranges {
  readonly #graph: Graph;
  /** What the branch into a block says. */
  readonly #facts = new Map<Block, Map<Node, Range>>();
  /** The nearest dominator, itself included, that has facts. */
  readonly #known = new Set<Node>();
  /** Blocks that no packet reaches, as far as ranges show. */
  readonly #dead = new Set<Block>();
  /** Bounds on loop variables from the number of iterations. */
  readonly #bounds = new Map<Node, Range>();

  /** The part of the order in which a block may depend on a later one. */
  readonly #looping: readonly [from: number, to: number];

  constructor(graph: Graph) {
    this.#graph = graph;
    const looping = graph.order.flatMap((block, i) => (block.loop === undefined ? [] : [i]));
    this.#looping = looping.length === 0 ? [0, 0] : [looping[0]!, looping.at(-1)! + 1];
    for (const block of graph.order)
      for (const node of block.nodes) if (node.op === 'const') this.#known.add(node);
    this.#iterate(true);
    this.#iterate(false);
    if (graph.loops.length > 0) {
      for (let round = 0; round < 3; round++) {
        let tighter = false;
        for (const loop of [...graph.loops].reverse()) if (this.#bound(loop)) tighter = true;
        if (!tighter) break;
        this.#iterate(false);
      }
    }
  }

  /** The range of a node where a block begins, or anywhere the block dominates. */
  at(of: Node, block: Block): Range {
    const node = of.op === 'forget' ? of.args[0]! : of;
    let { lo, hi } = node;
    if (node.op === 'const') return { lo, hi };
    for (let b: Block | undefined = block; b !== undefined; b = b.idom) {
      const fact = this.#facts.get(b)?.get(node);
      if (fact !== undefined) {
        if (fact.lo > lo) lo = fact.lo;
        if (fact.hi < hi) hi = fact.hi;
      }
      if (b === node.block) break;
    }
    return lo > hi ? { lo: hi, hi: lo } : { lo, hi };
  }

  /** Whether a node is not zero where a block begins: by its range, or by a condition on the way. */
  isNonZero(node: Node, block: Block): boolean {
    const { lo, hi } = this.at(node, block);
    if (lo > 0n || hi < 0n) return true;
    for (let b: Block | undefined = block; b !== undefined && b !== node.block; b = b.idom) {
      const [pred] = b.preds;
      if (b.preds.length !== 1 || pred?.term.kind !== 'branch') continue;
      let { cond } = pred.term;
      let truth = pred.term.then === b;
      for (; cond.op === 'not'; truth = !truth) cond = cond.args[0]!;
      const [x, y] = cond.args;
      const zero = x === node ? y : y === node ? x : undefined;
      if (zero?.op !== 'const' || zero.value !== 0n) continue;
      if ((cond.op === 'ne' && truth) || (cond.op === 'eq' && !truth)) return true;
    }
    return false;
  }

  #iterate(widen: boolean): void {
    const { length } = this.#graph.order;
    const [first, end] = this.#looping;
    this.#pass(0, length, widen, 0);
    if (first === end) return;
    const limit = widen ? 40 : 4;
    let round = 1;
    while (round < limit && this.#pass(first, end, widen, round)) round++;
    if (widen && round === limit) this.#giveUp();
    // What comes before the first loop had all that it depends on; what comes after the last had to wait for it.
    else this.#pass(end, length, widen, round);
  }

  /** Goes once through the blocks from one place of the order to another; `true` if anything is known better. */
  #pass(from: number, to: number, widen: boolean, round: number): boolean {
    const { order } = this.#graph;
    let changed = false;
    for (let i = from; i < to; i++) {
      const block = order[i]!;
      if (this.#isDead(block)) {
        this.#dead.add(block);
        continue;
      }
      if (this.#dead.delete(block)) changed = true;
      this.#learn(block);
      const widenPhis = widen && round >= 2 && block.loop?.header === block;
      for (const phi of block.phis) {
        if (this.#visit(phi, this.#phiRange(phi), widen, widenPhis)) changed = true;
      }
      for (const node of block.nodes) {
        if (node.type === 'void' || node.op === 'const') continue;
        if (this.#visit(node, this.#transfer(node), widen, widen && round >= 24)) changed = true;
      }
    }
    return changed;
  }

  /** Nothing converged: assume nothing about anything. */
  #giveUp(): void {
    this.#dead.clear();
    this.#facts.clear();
    for (const block of this.#graph.order) {
      for (const node of [...block.phis, ...block.nodes]) {
        if (node.type === 'void' || node.op === 'const') continue;
        this.#known.add(node);
        const { lo, hi } = node.type === 'bool' ? BOOL : TOP;
        node.lo = lo;
        node.hi = hi;
      }
    }
  }

  #visit(node: Node, range: Range | undefined, growing: boolean, widen: boolean): boolean {
    if (range === undefined) return false;
    let lo = range.lo < -EDGE ? -EDGE : range.lo;
    let hi = range.hi > EDGE ? EDGE : range.hi;
    if (!this.#known.has(node)) {
      this.#known.add(node);
      node.lo = lo;
      node.hi = hi;
      return true;
    }
    if (growing) {
      if (node.lo < lo) lo = node.lo;
      if (node.hi > hi) hi = node.hi;
      if (widen && lo < node.lo) lo = -stepBeyond(-lo);
      if (widen && hi > node.hi) hi = stepBeyond(hi);
    } else {
      if (node.lo > lo) lo = node.lo;
      if (node.hi < hi) hi = node.hi;
      if (lo > hi) return false;
    }
    if (lo === node.lo && hi === node.hi) return false;
    node.lo = lo;
    node.hi = hi;
    return true;
  }

  #phiRange(phi: Node): Range | undefined {
    let lo: bigint | undefined;
    let hi: bigint | undefined;
    phi.args.forEach((arg, i) => {
      if (!this.#known.has(arg) && arg.op !== 'const') return;
      if (this.#dead.has(phi.block.preds[i]!)) return;
      const range = this.at(arg, phi.block.preds[i]!);
      if (lo === undefined || range.lo < lo) lo = range.lo;
      if (hi === undefined || range.hi > hi) hi = range.hi;
    });
    if (lo === undefined || hi === undefined) return undefined;
    const bound = this.#bounds.get(phi);
    if (bound !== undefined) {
      if (bound.lo > lo) lo = bound.lo;
      if (bound.hi < hi) hi = bound.hi;
    }
    return lo <= hi ? { lo, hi } : { lo: hi, hi: lo };
  }

  /** Whether ranges show that no packet gets here. */
  isDead(block: Block): boolean {
    return this.#dead.has(block);
  }

  /** Back edges do not bring a block to life. */
  #isDead(block: Block): boolean {
    if (block === this.#graph.entry) return false;
    return block.preds.every((pred) => {
      if (pred.order >= block.order || this.#dead.has(pred)) return true;
      const { term } = pred;
      if (term.kind !== 'branch' || term.then === term.otherwise) return false;
      if (term.cond.op !== 'const' && !this.#known.has(term.cond)) return true;
      const { lo, hi } = this.at(term.cond, pred);
      return lo === hi && (lo === 1n ? term.otherwise : term.then) === block;
    });
  }

  /** Takes down what the branch that leads to this block says about its operands. */
  #learn(block: Block): void {
    if (block.preds.length !== 1) return;
    const term = block.preds[0]!.term;
    if (term.kind !== 'branch') return;
    const facts = new Map<Node, Range>();
    const from = block.preds[0]!;
    assume(term.cond, block === term.then, facts, (node) => this.at(node, from));
    if (facts.size > 0) this.#facts.set(block, facts);
  }

  #transfer(node: Node): Range | undefined {
    const [a, b] = node.args;
    if (a !== undefined && a.op !== 'const' && !this.#known.has(a)) return undefined;
    if (b !== undefined && b.op !== 'const' && !this.#known.has(b)) return undefined;
    const x = a === undefined ? TOP : this.at(a, node.block);
    const y = b === undefined ? TOP : this.at(b, node.block);
    return transfer(node, x, y);
  }

  /** Counts a loop's iterations and bounds what it accumulates. */
  #bound(loop: Loop): boolean {
    const trips = this.#trips(loop);
    if (trips === undefined) return false;
    let tighter = false;
    if (loop.trips === undefined || trips < loop.trips) {
      loop.trips = trips;
      tighter = true;
    }
    const { header } = loop;
    const back = header.preds.indexOf(loop.latch);
    const steps = loop.trips - 1n;
    for (const phi of header.phis) {
      if (phi.type !== 'num' && phi.type !== 'big') continue;
      const delta = this.#delta(phi.args[back]!, phi, 0);
      if (delta === undefined) continue;
      const init = this.at(phi.args[1 - back]!, loop.preheader);
      const lo = init.lo + (delta.lo < 0n ? delta.lo * steps : 0n);
      const hi = init.hi + (delta.hi > 0n ? delta.hi * steps : 0n);
      const before = this.#bounds.get(phi);
      if (before === undefined || lo > before.lo || hi < before.hi) {
        this.#bounds.set(phi, { lo, hi });
        tighter = true;
      }
    }
    return tighter;
  }

  #trips(loop: Loop): bigint | undefined {
    let least: bigint | undefined;
    for (const block of loop.blocks) {
      const { term } = block;
      if (term.kind !== 'branch' || !dominates(block, loop.latch)) continue;
      const thenIn = loop.blocks.has(term.then);
      const otherwiseIn = loop.blocks.has(term.otherwise);
      if (thenIn === otherwiseIn) continue;
      const trips = this.#tripsBy(loop, block, term.cond, thenIn);
      if (trips !== undefined && (least === undefined || trips < least)) least = trips;
    }
    return least;
  }

  /** How often the header runs at most, when going on needs `cond` to be `truth`. */
  #tripsBy(loop: Loop, block: Block, cond: Node, truth: boolean): bigint | undefined {
    if (cond.op === 'not') return this.#tripsBy(loop, block, cond.args[0]!, !truth);
    const [a, b] = cond.args;
    if (a === undefined || b === undefined) return undefined;
    let [left, right, strict] = [a, b, cond.op === 'lt'];
    if (cond.op === 'lt' || cond.op === 'le') {
      if (!truth) [left, right, strict] = [b, a, !strict];
    } else if ((cond.op === 'ne' && truth) || (cond.op === 'eq' && !truth)) {
      return this.#tripsToMeet(loop, a, b, block);
    } else {
      return undefined;
    }
    // It goes on while left < right (or <=): either left climbs or right sinks.
    const { header } = loop;
    const back = header.preds.indexOf(loop.latch);
    let least: bigint | undefined;
    for (const phi of header.phis) {
      if (phi.type !== 'num' && phi.type !== 'big') continue;
      const step = this.#delta(phi.args[back]!, phi, 0);
      if (step === undefined) continue;
      const init = this.at(phi.args[1 - back]!, loop.preheader);
      let room: bigint | undefined;
      let pace = 1n;
      const climbs = step.lo > 0n ? this.#delta(left, phi, 0) : undefined;
      const sinks = step.hi < 0n ? this.#delta(right, phi, 0) : undefined;
      if (climbs !== undefined) {
        const limit = this.at(
          right,
          loop.preheader.order < right.block.order ? right.block : loop.preheader,
        ).hi;
        room = limit - (strict ? 1n : 0n) - init.lo - climbs.lo;
        pace = step.lo;
      } else if (sinks !== undefined) {
        const limit = this.at(left, loop.preheader.order < left.block.order ? left.block : loop.preheader).lo;
        room = init.hi + sinks.hi - limit - (strict ? 1n : 0n);
        pace = -step.hi;
      }
      if (room === undefined || room > EDGE / 2n) continue;
      const trips = room < 0n ? 1n : room / pace + 2n;
      const against = climbs === undefined ? left : right;
      const constants = step.lo === step.hi && init.lo === init.hi && against.op === 'const';
      if (constants || !loop.counters.has(phi)) loop.counters.set(phi, constants ? 'constants' : 'ranges');
      if (constants && (loop.counted === undefined || trips < loop.counted)) loop.counted = trips;
      if (climbs !== undefined && against.op !== 'const') {
        const where = loop.blocks.has(against.block) ? cond.block : loop.preheader;
        const { hi } = this.at(
          against,
          loop.preheader.order < against.block.order ? against.block : loop.preheader,
        );
        loop.limit = { test: cond, operand: cond.args[0] === against ? 0 : 1, most: hi, block: where };
      }
      if (least === undefined || trips < least) least = trips;
    }
    return least;
  }

  /** It goes on while `a !== b`: a constant step that meets the limit exactly. */
  #tripsToMeet(loop: Loop, a: Node, b: Node, _block: Block): bigint | undefined {
    const { header } = loop;
    const back = header.preds.indexOf(loop.latch);
    for (const [x, limit] of [
      [a, b],
      [b, a],
    ] as const) {
      if (limit.op !== 'const') continue;
      for (const phi of header.phis) {
        const step = this.#delta(phi.args[back]!, phi, 0);
        const ahead = this.#delta(x, phi, 0);
        const init = phi.args[1 - back]!;
        if (step === undefined || ahead === undefined || step.lo !== step.hi || ahead.lo !== ahead.hi)
          continue;
        if (step.lo === 0n || init.op !== 'const') continue;
        const way = limit.value - init.value - ahead.lo;
        if (way % step.lo === 0n && way / step.lo >= 0n) {
          const trips = way / step.lo + 1n;
          loop.counters.set(phi, 'constants');
          if (loop.counted === undefined || trips < loop.counted) loop.counted = trips;
          return trips;
        }
      }
    }
    return undefined;
  }

  /** How far `node` lies from `root`, where it is `root` plus something. */
  #delta(node: Node, root: Node, depth: number): Range | undefined {
    if (node === root) return { lo: 0n, hi: 0n };
    if (depth > 24 || node.op === 'const') return undefined;
    const [a, b] = node.args;
    switch (node.op) {
      case 'add': {
        const left = this.#delta(a!, root, depth + 1);
        const right = left === undefined ? this.#delta(b!, root, depth + 1) : undefined;
        const base = left ?? right;
        if (base === undefined) return undefined;
        const by = this.at(left === undefined ? a! : b!, node.block);
        return { lo: base.lo + by.lo, hi: base.hi + by.hi };
      }
      case 'sub': {
        const base = this.#delta(a!, root, depth + 1);
        if (base === undefined) return undefined;
        const by = this.at(b!, node.block);
        return { lo: base.lo - by.hi, hi: base.hi - by.lo };
      }
      case 'phi': {
        const loop = node.block.loop;
        if (loop !== undefined && loop.header === node.block) {
          if (node.block === root.block || loop.trips === undefined) return undefined;
          const back = node.block.preds.indexOf(loop.latch);
          const init = this.#delta(node.args[1 - back]!, root, depth + 1);
          const step = this.#delta(node.args[back]!, node, depth + 1);
          if (init === undefined || step === undefined) return undefined;
          return {
            lo: init.lo + (step.lo < 0n ? step.lo * loop.trips : 0n),
            hi: init.hi + (step.hi > 0n ? step.hi * loop.trips : 0n),
          };
        }
        let lo: bigint | undefined;
        let hi: bigint | undefined;
        for (const arg of node.args) {
          const each = this.#delta(arg, root, depth + 1);
          if (each === undefined) return undefined;
          if (lo === undefined || each.lo < lo) lo = each.lo;
          if (hi === undefined || each.hi > hi) hi = each.hi;
        }
        return lo === undefined || hi === undefined ? undefined : { lo, hi };
      }
      default:
        return undefined;
    }
  }
}

/** Where growing ranges rest: a variable that is copied around a loop stops at the width of what it holds. */
const STEPS = [
  0n,
  1n,
  0xffn,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  1n << 48n,
  MAX_SAFE,
  U64,
  EDGE,
];

function stepBeyond(value: bigint): bigint {
  if (value < 0n) return 0n;
  return STEPS.find((step) => step >= value) ?? EDGE;
}

/** What a condition's truth says about the nodes in it. */
function assume(cond: Node, truth: boolean, facts: Map<Node, Range>, at: (node: Node) => Range): void {
  if (cond.op === 'not') {
    assume(cond.args[0]!, !truth, facts, at);
    return;
  }
  const value = truth ? 1n : 0n;
  if (cond.op !== 'const') facts.set(cond, { lo: value, hi: value });
  const [a, b] = cond.args;
  if (a === undefined || b === undefined || (a.type !== 'num' && a.type !== 'big')) return;
  const x = at(a);
  const y = at(b);
  let [left, right, strict, l, r] = [a, b, cond.op === 'lt', x, y];
  switch (cond.op) {
    case 'eq':
    case 'ne': {
      if ((cond.op === 'eq') === truth) {
        const lo = max(x.lo, y.lo);
        const hi = min(x.hi, y.hi);
        learn(a, { lo, hi }, facts);
        learn(b, { lo, hi }, facts);
      } else {
        if (b.op === 'const') learn(a, without(x, b.value), facts);
        if (a.op === 'const') learn(b, without(y, a.value), facts);
      }
      return;
    }
    case 'lt':
    case 'le':
      if (!truth) [left, right, strict, l, r] = [b, a, !strict, y, x];
      {
        const gap = strict ? 1n : 0n;
        learn(left, { lo: l.lo, hi: min(l.hi, r.hi - gap) }, facts);
        learn(right, { lo: max(r.lo, l.lo + gap), hi: r.hi }, facts);
      }
      return;
    default:
      return;
  }
}

function without(range: Range, value: bigint): Range {
  if (range.lo === value) return { lo: value + 1n, hi: range.hi };
  if (range.hi === value) return { lo: range.lo, hi: value - 1n };
  return range;
}

/** Takes down a fact, and what it means for the node it was computed from. */
function learn(node: Node, range: Range, facts: Map<Node, Range>): void {
  if (node.op === 'const') return;
  const before = facts.get(node);
  facts.set(
    node,
    before === undefined ? range : { lo: max(range.lo, before.lo), hi: min(range.hi, before.hi) },
  );
  const [a, b] = node.args;
  if (node.op === 'add' && b?.op === 'const')
    learn(a!, { lo: range.lo - b.value, hi: range.hi - b.value }, facts);
  if (node.op === 'sub' && b?.op === 'const')
    learn(a!, { lo: range.lo + b.value, hi: range.hi + b.value }, facts);
  if (node.op === 'tobig' || node.op === 'tonum' || node.op === 'index') learn(a!, range, facts);
  if (node.op === 'mul' && b?.op === 'const' && b.value > 0n && range.lo >= 0n) {
    learn(a!, { lo: (range.lo + b.value - 1n) / b.value, hi: range.hi / b.value }, facts);
  }
}

/** The range of an operation's result from those of its operands. */
export function transfer(node: Node, x: Range, y: Range): Range | undefined {
  switch (node.op) {
    case 'const':
      return { lo: node.value, hi: node.value };
    case 'add':
      return { lo: x.lo + y.lo, hi: isLastFold(node) ? min(x.hi + y.hi, 0xffffn) : x.hi + y.hi };
    case 'sub':
      return { lo: x.lo - y.hi, hi: x.hi - y.lo };
    case 'mul':
      return hull(x.lo * y.lo, x.lo * y.hi, x.hi * y.lo, x.hi * y.hi);
    case 'div':
    case 'divfloor':
    case 'divceil': {
      // That it is never by zero is checked apart.
      const { op } = node;
      const by = [y.lo, y.hi, ...(y.lo <= 0n && y.hi >= 0n ? [-1n, 1n] : [])].filter((b) => b !== 0n);
      const corners = [x.lo, x.hi].flatMap((a) => by.map((b) => divide(op, a, b)));
      // Of a quotient near zero, the largest and the smallest lie at the corners all the same.
      return hull(...corners);
    }
    case 'mod': {
      if (x.lo >= 0n && y.lo > 0n && x.hi < y.lo) return x;
      const most = max(max(y.hi, -y.lo) - 1n, 0n);
      return { lo: x.lo < 0n ? max(x.lo, -most) : 0n, hi: x.hi > 0n ? min(x.hi, most) : 0n };
    }
    case 'and':
    case 'or':
    case 'xor':
      return node.type === 'big'
        ? bitwise(node.op, x, y, TOP)
        : bitwise(node.op, int32(x, y, node.op), int32(y, x, node.op), I32);
    case 'shl':
      if (y.lo < 0n || y.hi > (node.type === 'big' ? 63n : 31n)) return node.type === 'big' ? TOP : I32;
      {
        const from = node.type === 'big' ? x : fits(x, I32) ? x : I32;
        const result = hull(from.lo << y.lo, from.lo << y.hi, from.hi << y.lo, from.hi << y.hi);
        return node.type === 'big' || fits(result, I32) ? result : I32;
      }
    case 'sar': {
      if (y.lo < 0n || y.hi > (node.type === 'big' ? 63n : 31n)) return node.type === 'big' ? x : I32;
      const from = node.type === 'big' || fits(x, I32) ? x : I32;
      return hull(from.lo >> y.lo, from.lo >> y.hi, from.hi >> y.lo, from.hi >> y.hi);
    }
    case 'shr': {
      const from = fits(x, U32) ? x : U32;
      if (y.lo < 0n || y.hi > 31n) return U32;
      return { lo: from.lo >> y.hi, hi: from.hi >> y.lo };
    }
    case 'wrap': {
      const top = (1n << BigInt(node.size)) - 1n;
      return x.lo >= 0n && x.hi <= top ? x : { lo: 0n, hi: top };
    }
    case 'tobig':
    case 'tonum':
    case 'visible':
    case 'index':
      return x;
    case 'swap':
      return { lo: 0n, hi: (1n << BigInt(node.size)) - 1n };
    case 'concat': {
      const scale = 1n << BigInt(node.size);
      return { lo: x.lo * scale + y.lo, hi: x.hi * scale + y.hi };
    }
    case 'eq':
      if (x.lo === x.hi && y.lo === y.hi && x.lo === y.lo && node.args[0]!.type !== 'ptr')
        return { lo: 1n, hi: 1n };
      return node.args[0]!.type !== 'ptr' && (x.hi < y.lo || y.hi < x.lo) ? { lo: 0n, hi: 0n } : BOOL;
    case 'ne':
      if (x.lo === x.hi && y.lo === y.hi && x.lo === y.lo && node.args[0]!.type !== 'ptr')
        return { lo: 0n, hi: 0n };
      return node.args[0]!.type !== 'ptr' && (x.hi < y.lo || y.hi < x.lo) ? { lo: 1n, hi: 1n } : BOOL;
    case 'lt':
      return x.hi < y.lo ? { lo: 1n, hi: 1n } : x.lo >= y.hi ? { lo: 0n, hi: 0n } : BOOL;
    case 'le':
      return x.hi <= y.lo ? { lo: 1n, hi: 1n } : x.lo > y.hi ? { lo: 0n, hi: 0n } : BOOL;
    case 'within':
      return BOOL;
    case 'not':
      return { lo: 1n - x.hi, hi: 1n - x.lo };
    case 'load':
    case 'stackload': {
      const bits = BigInt(node.size * 8);
      if (node.signed) return { lo: -(1n << (bits - 1n)), hi: (1n << (bits - 1n)) - 1n };
      return { lo: 0n, hi: (1n << bits) - 1n };
    }
    case 'ctxload':
      return node.type === 'ptr' ? TOP : U32;
    case 'length':
      return { lo: 0n, hi: 0xffffn };
    case 'call':
      return node.type === 'ptr' ? TOP : (HELPER_RESULTS[node.off] ?? TOP);
    default:
      return TOP;
  }
}

/** `(sum & 0xffff) + (sum >>> 16)` of a sum so small that the carry cannot carry again. */
function isLastFold(node: Node): boolean {
  const [low, high] = node.args as [Node, Node];
  if (low.op !== 'and' || (high.op !== 'shr' && high.op !== 'sar') || low.args[0] !== high.args[0])
    return false;
  const [mask, by, sum] = [low.args[1]!, high.args[1]!, low.args[0]!];
  if (mask.op !== 'const' || mask.value !== 0xffffn || by.op !== 'const' || by.value !== 16n) return false;
  return sum.lo >= 0n && sum.hi <= 0x1fffen;
}

/** A number's range as an operand of an int32 operation. */
function int32(x: Range, other: Range, op: string): Range {
  if (fits(x, I32)) return x;
  // A mask that is no negative number keeps only bits that the conversion leaves alone.
  if (op === 'and' && other.lo >= 0n && other.hi <= I32.hi && x.lo >= 0n) return x;
  return I32;
}

function bitwise(op: 'and' | 'or' | 'xor', x: Range, y: Range, top: Range): Range {
  if (op === 'and') {
    if (x.lo >= 0n && y.lo >= 0n) return { lo: 0n, hi: min(x.hi, y.hi) };
    if (x.lo >= 0n) return { lo: 0n, hi: x.hi };
    if (y.lo >= 0n) return { lo: 0n, hi: y.hi };
    return top;
  }
  if (x.lo >= 0n && y.lo >= 0n) {
    const all = (1n << BigInt(bitLength(max(x.hi, y.hi)))) - 1n;
    return { lo: op === 'or' ? max(x.lo, y.lo) : 0n, hi: all };
  }
  if (top === I32 && op === 'xor' && y.lo === -1n && y.hi === -1n) return { lo: -1n - x.hi, hi: -1n - x.lo };
  return top;
}

function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length;
}

export function fits(range: Range, within: Range): boolean {
  return range.lo >= within.lo && range.hi <= within.hi;
}

/** Whether every value of the range is a JavaScript number. */
export function isExact(range: Range): boolean {
  return range.lo >= -MAX_SAFE && range.hi <= MAX_SAFE;
}

export const INT32: Range = I32;
export const UINT32: Range = U32;
export const UINT64: Range = { lo: 0n, hi: U64 };
export const INT64: Range = { lo: -(1n << 63n), hi: (1n << 63n) - 1n };

function hull(...values: bigint[]): Range {
  let lo = values[0]!;
  let hi = values[0]!;
  for (const v of values) {
    if (v < lo) lo = v;
    if (v > hi) hi = v;
  }
  return { lo, hi };
}

export function min(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}

export function max(a: bigint, b: bigint): bigint {
  if (a > b) return a;
  return b;
}
