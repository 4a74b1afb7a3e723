import { Fault } from '../error.ts';
import { replaceUses, unknownNumber } from './forget.ts';
import type { Block, Graph, Loop, Node } from './ir.ts';
import { removeDead } from './optimise.ts';

/**
 * Iterations of such loops in one run that no kernel cuts short: the clock of `may_goto` is looked at for the first time
 * after 65,535, and for the second, which may end the loop, after as many again (Linux 6.15). Kernels before count to
 * eight million.
 */
const MOST_ITERATIONS = 131_000n;

/** Loops inside others that are shorter are left for the verifier to follow, where all of them would be too many. */
const SHORT = [0n, 4n, 8n, 16n, 32n, 64n];

/**
 * Lets the kernel bound the loops (`may_goto`): a verifier then goes on until an iteration brings nothing new, which is at
 * once, for it begins without knowing anything of the variables. What becomes an offset is checked where it is used.
 *
 * That the kernel would end a loop never shows: it runs fewer iterations than the kernel allows.
 *
 * @throws Fault at the longest loop where that cannot be proved.
 */
export function freeLoops(graph: Graph): boolean {
  for (const short of SHORT) {
    for (const loop of graph.loops) {
      const inner = loop.parent !== undefined && !graph.loops.some((other) => other.parent === loop);
      loop.free = !(inner && (loop.trips ?? 0n) < short);
    }
    if (iterations(graph) <= MOST_ITERATIONS) break;
  }
  const all = iterations(graph);
  const longest = graph.loops.reduce<Loop | undefined>(
    (most, loop) => (loop.free && (most === undefined || totalTrips(loop) > totalTrips(most)) ? loop : most),
    undefined,
  );
  if (all > MOST_ITERATIONS) {
    throw new Fault(
      longest?.at ?? 0,
      `the loops may run ${all} iterations in all, and the kernel ends them after ${MOST_ITERATIONS}`,
      'Bound what they run over, take larger steps, or spread the work over several packets.',
    );
  }
  const forgotten = new Map<Node, Node>();
  let unknown: Node | undefined;
  const forget = (value: Node, block: Block): Node => {
    unknown ??= unknownNumber(graph);
    const node = graph.node('forget', value.type, [value, unknown], block, value.at);
    node.lo = value.lo;
    node.hi = value.hi;
    return node;
  };
  for (const { free, header, latch, preheader } of graph.loops) {
    if (!free) continue;
    const back = header.preds.indexOf(latch);
    for (const phi of header.phis) {
      if (phi.type === 'ptr') continue;
      const first = forget(phi.args[1 - back]!, preheader);
      preheader.nodes.push(first);
      phi.args[1 - back] = first;
      // The range that another iteration gives would be something new. The operations hide behind the kernel's counting.
      const next = phi.args[back]!;
      if (next.op === 'const' || next === phi || forgotten.has(next)) continue;
      const node = forget(next, next.block);
      forgotten.set(next, node);
      const at = next.block.nodes.indexOf(next);
      next.block.nodes.splice(at + 1, 0, node);
    }
  }
  replaceUses(graph, forgotten);
  removeDead(graph);
  return true;
}

function iterations(graph: Graph): bigint {
  return graph.loops.reduce((sum, loop) => (loop.free ? sum + totalTrips(loop) : sum), 0n);
}

/** How often a loop's body runs in all, with the loops around it. */
export function totalTrips(loop: Loop): bigint {
  let trips = 1n;
  for (let l: Loop | undefined = loop; l !== undefined; l = l.parent) trips *= l.trips ?? 1n;
  return trips;
}
