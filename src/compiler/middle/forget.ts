import type { Block, Graph, Loop, Node } from './ir.ts';

/** What a verifier can be expected to go through without help; its limit is a million. */
const WORTHWHILE = 64_000n;

/**
 * Makes verifiers forget what a loop's variables may be.
 *
 * A verifier goes on once for every range that a variable can have when an iteration or a loop ends: a sum of bytes has
 * another one after each iteration, and what follows is walked as often. Where such a value becomes an offset or is
 * compared, it is mixed with a number that no verifier knows, twice, which leaves it as it is; its bounds are checked
 * again where they matter.
 *
 * @returns Whether there was reason to.
 */
export function forgetStates(graph: Graph): boolean {
  if (graph.loops.length === 0 || risk(graph) < WORTHWHILE) return false;
  const looked = lookedAt(graph, true);
  const forgotten = new Map<Node, Node>();
  let unknown: Node | undefined;
  const last = Math.max(...graph.loops.map((loop) => loop.header.order));
  for (const block of graph.order) {
    const { loop } = block;
    const meets = leavesLoop(block) || (loop === undefined && block.order < last);
    const fresh: Node[] = [];
    for (const phi of block.phis) {
      if (phi.type === 'ptr' || !looked.has(phi)) continue;
      if (loop?.header === block ? isCounter(phi, loop) : !meets) continue;
      unknown ??= unknownNumber(graph);
      const node = graph.node('forget', phi.type, [phi, unknown], block, phi.at);
      node.lo = phi.lo;
      node.hi = phi.hi;
      forgotten.set(phi, node);
      fresh.push(node);
    }
    block.nodes.unshift(...fresh);
  }
  if (forgotten.size > 0) replaceUses(graph, forgotten);
  for (const loop of graph.loops) tellApart(graph, loop);
  for (const block of graph.order) {
    if (block.loop === undefined) continue;
    for (const node of [...block.nodes]) {
      // A check of an offset that a verifier counts along tells it more of the packet in every iteration.
      if (node.op !== 'offptr' || node.args[1]!.op === 'const' || !isEnumerated(node.args[1]!, 0)) continue;
      unknown ??= unknownNumber(graph);
      const offset = node.args[1]!;
      const hidden = graph.node('forget', offset.type, [offset, unknown], block, node.at);
      hidden.lo = offset.lo;
      hidden.hi = offset.hi;
      node.args[1] = hidden;
      block.nodes.splice(block.nodes.indexOf(node), 0, hidden);
    }
  }
  return true;
}

/**
 * Has verifiers look at a counter in each iteration. One that is held against nothing but unknown numbers seems not to
 * matter, and to Linux 6.1 iterations that differ in nothing else are a loop without an end.
 */
function tellApart(graph: Graph, { header, counters }: Loop): void {
  if ([...counters.values()].includes('constants')) return;
  for (const phi of header.phis) {
    if (!counters.has(phi) || phi.lo < 0n || phi.hi >= 1n << 31n) continue;
    const node = graph.node('visible', phi.type, [phi], header, phi.at);
    node.limit = Number(phi.hi);
    node.lo = phi.lo;
    node.hi = phi.hi;
    node.signed = true;
    header.nodes.unshift(node);
  }
}

/** Whether a verifier that follows each iteration knows a value exactly in each. */
function isEnumerated(node: Node, depth: number): boolean {
  if (node.op === 'const') return true;
  if (depth > 12) return false;
  if (node.op === 'phi') {
    const { loop } = node.block;
    return loop?.header === node.block && loop.counters.has(node);
  }
  if (!COMPUTED.has(node.op)) return false;
  return node.args.every((arg) => isEnumerated(arg, depth + 1));
}

const COMPUTED: ReadonlySet<string> = new Set([
  ...['add', 'sub', 'mul', 'div', 'mod', 'and', 'or', 'xor', 'shl', 'sar', 'shr', 'wrap', 'tobig', 'tonum'],
]);

/** A number that verifiers know nothing of: how far the packet's ends lie apart. */
export function unknownNumber(graph: Graph): Node {
  const { entry } = graph;
  let ctx = entry.nodes.find((node) => node.op === 'ctx');
  if (ctx === undefined) {
    ctx = graph.node('ctx', 'ptr', [], entry, -1);
    entry.nodes.unshift(ctx);
  }
  const ends = [0, 4].map((off) => {
    const known = entry.nodes.find(
      (node) => node.op === 'ctxload' && node.type === 'ptr' && node.off === off,
    );
    if (known !== undefined) return known;
    const load = graph.node('ctxload', 'ptr', [ctx], entry, -1);
    load.off = off;
    entry.nodes.splice(entry.nodes.indexOf(ctx) + 1, 0, load);
    return load;
  });
  const known = entry.nodes.find((node) => node.op === 'length' && ends.every((e, i) => node.args[i] === e));
  if (known !== undefined) return known;
  const node = graph.node('length', 'num', ends, entry, -1);
  node.hi = 0xffffn;
  const last = Math.max(...ends.map((e) => entry.nodes.indexOf(e)));
  entry.nodes.splice(last + 1, 0, node);
  return node;
}

/**
 * Takes lengths where the packet's ends are read. Asked where a number comes from, a verifier goes back from a difference
 * of pointers until it meets a store through one of them, and then holds everything it knows against everything.
 */
export function raiseLengths(graph: Graph): void {
  if (graph.loops.length === 0) return;
  const looked = lookedAt(graph, false);
  for (const block of graph.order) {
    for (const node of block.nodes.filter((each) => each.op === 'length' && looked.has(each))) {
      const [data, end] = node.args as [Node, Node];
      if (data.op !== 'ctxload' || end.op !== 'ctxload' || data.block !== end.block) continue;
      const { nodes } = data.block;
      block.nodes.splice(block.nodes.indexOf(node), 1);
      node.block = data.block;
      nodes.splice(Math.max(nodes.indexOf(data), nodes.indexOf(end)) + 1, 0, node);
    }
  }
}

export function replaceUses(graph: Graph, by: ReadonlyMap<Node, Node>): void {
  const put = (args: Node[], user: Node): void => {
    for (let i = 0; i < args.length; i++) {
      const other = by.get(args[i]!);
      if (other !== undefined && other !== user) args[i] = other;
    }
  };
  for (const block of graph.order) {
    for (const phi of block.phis) put(phi.args, phi);
    for (const node of block.nodes) put(node.args, node);
    const t = block.term;
    if (t.kind === 'branch') t.cond = by.get(t.cond) ?? t.cond;
    if (t.kind === 'return') t.value = by.get(t.value) ?? t.value;
  }
}

/**
 * How many operations a verifier may go through for states of loops that differ: each iteration of a loop with
 * conditions, and each of its ends, may bring one more into all that follows.
 */
function risk(graph: Graph): bigint {
  const { loops } = graph;
  const trips = loops.map(totalTrips);
  const steps = loops.map((loop, i) => trips[i]! * BigInt(sizeOf(loop)));
  let all = 0n;
  for (const [i, loop] of loops.entries()) {
    const { splits, ends } = decisions(loop);
    // Three conditions are as many as a loop's own variables can be expected to tell apart.
    all += (trips[i]! * steps[i]! * BigInt(splits > 0 ? Math.max(splits, 3) : 0)) / 6n;
    if (splits === 0 && !ends) continue;
    for (const [j, other] of loops.entries()) {
      const inside = loop !== other && loop.blocks.has(other.header);
      const after = other.blocks.has(loop.header) || other.header.order > loop.header.order;
      if (loop !== other && (inside ? splits > 0 : after)) all += trips[i]! * steps[j]!;
    }
  }
  return all;
}

function totalTrips(loop: Loop): bigint {
  let trips = 1n;
  for (let l: Loop | undefined = loop; l !== undefined; l = l.parent) trips *= l.trips ?? 1n;
  return trips;
}

/** Operations of one iteration, without those of loops inside. */
function sizeOf(loop: Loop): number {
  let size = 0;
  for (const block of loop.blocks) if (block.loop === loop) size += block.nodes.length + 2;
  return size;
}

/** How many conditions in a loop part its ways, and whether it ends where data tells rather than where it has counted to. */
function decisions(loop: Loop): { splits: number; ends: boolean } {
  let splits = 0;
  let ends = false;
  for (const block of loop.blocks) {
    const { term } = block;
    if (block.loop !== loop || term.kind !== 'branch') continue;
    const out = [term.then, term.otherwise].filter((to) => !loop.blocks.has(to));
    if (out.length === 0) splits++;
    else if (
      out.some((to) => to.term.kind !== 'return' || to.nodes.length > 0) &&
      !isCounted(term.cond, loop)
    )
      ends = true;
  }
  return { splits, ends };
}

/** Whether a condition holds a counter against a constant. */
function isCounted(cond: Node, loop: Loop): boolean {
  const [a, b] = cond.args;
  if (a === undefined || b?.op !== 'const') return false;
  const counter = a.op === 'add' || a.op === 'sub' ? a.args[0]! : a;
  return loop.counters.get(counter) === 'constants';
}

/**
 * Values that addresses, keys and, where they are wanted, conditions depend on: those whose ranges a verifier holds against
 * each other.
 */
export function lookedAt(graph: Graph, conditions: boolean): Set<Node> {
  const found = new Set<Node>();
  const pending: Node[] = [];
  const look = (node: Node | undefined): void => {
    if (node === undefined || node.op === 'const' || node.type === 'ptr' || found.has(node)) return;
    found.add(node);
    pending.push(node);
  };
  for (const block of graph.order) {
    for (const node of block.nodes) {
      if (node.op === 'offptr' || node.op === 'elemptr') look(node.args[1]);
      else if (node.op === 'visible' || node.op === 'stackstore') look(node.args[0]);
    }
    if (conditions && block.term.kind === 'branch') look(block.term.cond);
  }
  while (pending.length > 0) for (const arg of pending.pop()!.args) look(arg);
  return found;
}

/** Whether a loop's end depends on the variable, which verifiers then have to follow. */
function isCounter(phi: Node, loop: Loop): boolean {
  const how = loop.counters.get(phi);
  if (how === undefined) return false;
  return how === 'constants' || ![...loop.counters.values()].includes('constants');
}

/** Whether ways out of a loop meet in a block. */
function leavesLoop(block: Block): boolean {
  return block.preds.some((pred) => {
    for (let { loop } = pred; loop !== undefined; loop = loop.parent)
      if (!loop.blocks.has(block)) return true;
    return false;
  });
}
