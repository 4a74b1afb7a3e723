import { analyseFlow } from './flow.ts';
import { type Block, type Graph, type Node, resolve } from './ir.ts';

/**
 * Removes conditions that decide nothing: both ways lead to the same place with the same values. They are what is left
 * of code whose results nobody needs, and each would double what a verifier follows.
 */
export function removeIdleBranches(graph: Graph): boolean {
  let changed = false;
  for (let again = true; again; ) {
    again = false;
    for (const block of graph.order) {
      if (removeIdle(block)) again = true;
    }
    if (!again) break;
    changed = true;
    analyseFlow(graph);
  }
  return changed;
}

function removeIdle(block: Block): boolean {
  const { term } = block;
  if (term.kind !== 'branch' || term.then === term.otherwise) return false;
  const ways = [term.then, term.otherwise] as const;
  const [then, otherwise] = ways.map((way) => passes(way, block));
  if (then === undefined || then !== otherwise) return false;
  const to = then;
  const [a, b] = ways.map((way) => to.preds.indexOf(way === to ? block : way)) as [number, number];
  if (a < 0 || b < 0 || !to.phis.every((phi) => isSame(phi.args[a]!, phi.args[b]!))) return false;
  // Back edges stay what they are: a loop keeps one way in and one way round.
  if (block.loop !== undefined && block.loop.header === to) return false;
  to.preds[a] = block;
  to.preds.splice(b, 1);
  for (const phi of to.phis) phi.args.splice(b, 1);
  for (const way of ways) if (way !== to) way.preds = [];
  block.term = { kind: 'jump', to, at: term.at };
  return true;
}

/** Where a way of a branch leads when nothing happens on it. */
function passes(way: Block, from: Block): Block | undefined {
  if (way.nodes.length > 0 || way.phis.length > 0 || way.preds.length !== 1 || way.preds[0] !== from)
    return way;
  return way.term.kind === 'jump' ? way.term.to : way;
}

function isSame(a: Node, b: Node): boolean {
  const [x, y] = [resolve(a), resolve(b)];
  return x === y || (x.op === 'const' && y.op === 'const' && x.value === y.value);
}
