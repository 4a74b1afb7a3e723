import { Fault } from '../error.ts';
import { type Block, type Graph, type Loop, successors } from './ir.ts';

/** Orders the blocks that can be reached, drops the others, and finds dominators and loops. */
export function analyseFlow(graph: Graph): void {
  const order = postOrder(graph.entry).reverse();
  graph.order = order;
  const reached = new Set(order);
  for (const block of graph.blocks) block.order = -1;
  order.forEach((block, i) => {
    block.order = i;
    block.loop = undefined;
  });
  for (const block of order) dropDeadPreds(block, reached);
  dominators(graph);
  findLoops(graph);
}

function postOrder(entry: Block): Block[] {
  const seen = new Set<Block>([entry]);
  const result: Block[] = [];
  const stack: { block: Block; next: number; succ: Block[] }[] = [
    { block: entry, next: 0, succ: forward(entry) },
  ];
  while (stack.length > 0) {
    const top = stack[stack.length - 1]!;
    const succ = top.succ[top.next++];
    if (succ === undefined) {
      result.push(top.block);
      stack.pop();
    } else if (!seen.has(succ)) {
      seen.add(succ);
      stack.push({ block: succ, next: 0, succ: forward(succ) });
    }
  }
  return result;
}

/** Successors so that reverse post-order visits the first way of a branch first. */
function forward(block: Block): Block[] {
  return successors(block).reverse();
}

function dropDeadPreds(block: Block, reached: Set<Block>): void {
  if (block.preds.every((pred) => reached.has(pred))) return;
  for (const phi of block.phis) phi.args = phi.args.filter((_, i) => reached.has(block.preds[i]!));
  block.preds = block.preds.filter((pred) => reached.has(pred));
}

/** Cooper, Harvey and Kennedy's iteration over immediate dominators. */
function dominators(graph: Graph): void {
  const { order } = graph;
  for (const block of order) block.idom = undefined;
  graph.entry.idom = graph.entry;
  let changed = true;
  while (changed) {
    changed = false;
    for (const block of order) {
      if (block === graph.entry) continue;
      let idom: Block | undefined;
      for (const pred of block.preds) {
        if (pred.idom === undefined) continue;
        idom = idom === undefined ? pred : meet(pred, idom);
      }
      if (idom !== block.idom) {
        block.idom = idom;
        changed = true;
      }
    }
  }
  graph.entry.idom = undefined;
  for (const block of order) block.depth = block.idom === undefined ? 0 : block.idom.depth + 1;
}

function meet(a: Block, b: Block): Block {
  let x = a;
  let y = b;
  while (x !== y) {
    while (x.order > y.order) x = x.idom!;
    while (y.order > x.order) y = y.idom!;
  }
  return x;
}

export function dominates(a: Block, b: Block): boolean {
  let x: Block | undefined = b;
  while (x !== undefined && x.depth > a.depth) x = x.idom;
  return x === a;
}

function findLoops(graph: Graph): void {
  const found: { header: Block; latch: Block; blocks: Set<Block> }[] = [];
  for (const block of graph.order) {
    for (const succ of successors(block)) {
      if (!dominates(succ, block)) continue;
      const blocks = new Set<Block>([succ, block]);
      const stack = block === succ ? [] : [block];
      while (stack.length > 0) {
        for (const pred of stack.pop()!.preds) {
          if (blocks.has(pred)) continue;
          blocks.add(pred);
          stack.push(pred);
        }
      }
      found.push({ header: succ, latch: block, blocks });
    }
  }
  found.sort((a, b) => b.blocks.size - a.blocks.size);
  /** What ranges have told of a loop holds as long as there is one with its header. */
  const before = new Map(graph.loops.map((loop) => [loop.header, loop]));
  graph.loops = [];
  for (const { header, latch, blocks } of found) {
    const preheader = header.preds.find((pred) => !blocks.has(pred));
    if (preheader === undefined) throw new Fault(0, 'this loop has no way in', 'Write a for loop.');
    const parent = [...graph.loops].reverse().find((l) => l.blocks.has(header));
    const loop: Loop = {
      header,
      latch,
      blocks,
      preheader,
      parent,
      depth: (parent?.depth ?? 0) + 1,
      trips: before.get(header)?.trips,
      counted: before.get(header)?.counted,
      counters: before.get(header)?.counters ?? new Map(),
      limit: before.get(header)?.limit,
      free: before.get(header)?.free ?? false,
      at: graph.loopAt.get(header) ?? 0,
    };
    graph.loops.push(loop);
    for (const block of blocks) block.loop = loop;
  }
}
