import { expandDivisions } from './divide.ts';
import { removeIdleBranches } from './empty.ts';
import { analyseFlow } from './flow.ts';
import { MAX_SAFE, swapBytes } from './fold.ts';
import { forgetStates, raiseLengths } from './forget.ts';
import { applyForwards, type Block, type Graph, isPure, isRemovable, type Node, resolve } from './ir.ts';
import { fits, type Ranges } from './ranges.ts';

/** What the graph allows before ranges are known: joins of constants threaded, phis that choose nothing removed. */
export function tidy(graph: Graph): void {
  for (let round = 0; round < 8; round++) {
    removeTrivialPhis(graph);
    if (!threadConstants(graph)) return;
    analyseFlow(graph);
  }
}

/** The passes that ranges make possible; the program's meaning stays, to the last packet. */
export function optimise(graph: Graph, ranges: Ranges): void {
  expandDivisions(graph, ranges);
  splitAddresses(graph, ranges);
  combine(graph, ranges);
  shortenChains(graph);
  byteOrder(graph, ranges);
  numberValues(graph);
  shareChecks(graph);
  hoistInvariants(graph);
  removeDead(graph);
  while (removeIdleBranches(graph)) removeDead(graph);
  raiseLengths(graph);
}

/**
 * Makes loops such that a verifier can follow each iteration.
 *
 * @returns Whether it may give up nevertheless, because there are so many ways through them.
 */
export function boundLoops(graph: Graph): boolean {
  showLimits(graph);
  const tangled = forgetStates(graph);
  removeDead(graph);
  return tangled;
}

/** Turns branches that ranges decide into jumps; `true` if there were any. */
export function foldBranches(graph: Graph, ranges: Ranges): boolean {
  let changed = false;
  for (const block of graph.order) {
    const { term } = block;
    if (term.kind !== 'branch') continue;
    const { lo, hi } = ranges.at(term.cond, block);
    if (lo !== hi) continue;
    const to = lo === 1n ? term.then : term.otherwise;
    block.term = { kind: 'jump', to, at: term.at };
    changed = true;
  }
  if (changed) {
    for (const block of graph.order) {
      for (const pred of block.preds) {
        if (pred.term.kind !== 'jump' || pred.term.to === block) continue;
        const index = block.preds.indexOf(pred);
        block.preds = block.preds.filter((_, i) => i !== index);
        for (const phi of block.phis) phi.args.splice(index, 1);
      }
    }
    analyseFlow(graph);
  }
  return changed;
}

function removeTrivialPhis(graph: Graph): void {
  let changed = true;
  while (changed) {
    changed = false;
    for (const block of graph.order) {
      for (const phi of block.phis) {
        if (phi.forward !== undefined) continue;
        let only: Node | undefined;
        let trivial = true;
        for (const arg of phi.args) {
          const value = resolve(arg);
          if (value === phi || value === only) continue;
          if (only !== undefined) {
            trivial = false;
            break;
          }
          only = value;
        }
        if (!trivial || only === undefined) continue;
        phi.forward = only;
        changed = true;
      }
    }
  }
  applyForwards(graph);
}

/** A block that only branches on which way it was entered: its predecessors go on directly. */
function threadConstants(graph: Graph): boolean {
  let changed = false;
  const uses = countUses(graph);
  for (const block of graph.order) {
    const { term } = block;
    if (term.kind !== 'branch' || block.nodes.length > 0 || block.phis.length === 0) continue;
    let cond = term.cond;
    let negated = false;
    while (cond.op === 'not') {
      cond = cond.args[0]!;
      negated = !negated;
    }
    if (cond.op !== 'phi' || cond.block !== block || !cond.args.every((arg) => arg.op === 'const')) continue;
    const unused = block.phis.every((phi) => (uses.get(phi) ?? 0) === (phi === cond ? 1 : 0));
    if (!unused || block.preds.some((pred) => pred.term.kind !== 'jump') || block.preds.includes(block))
      continue;
    if (term.then.preds.length !== 1 || term.otherwise.preds.length !== 1) continue;
    const [then, otherwise] = [term.then, term.otherwise];
    then.preds = [];
    otherwise.preds = [];
    block.preds.forEach((pred, i) => {
      const truth = (cond.args[i]!.value !== 0n) !== negated;
      const to = truth ? then : otherwise;
      pred.term = { kind: 'jump', to, at: term.at };
      to.preds.push(pred);
    });
    block.preds = [];
    changed = true;
  }
  return changed;
}

export function countUses(graph: Graph): Map<Node, number> {
  const uses = new Map<Node, number>();
  const use = (node: Node): void => {
    uses.set(node, (uses.get(node) ?? 0) + 1);
  };
  for (const block of graph.order) {
    for (const phi of block.phis) for (const arg of phi.args) use(arg);
    for (const node of block.nodes) for (const arg of node.args) use(arg);
    if (block.term.kind === 'branch') use(block.term.cond);
    if (block.term.kind === 'return') use(block.term.value);
  }
  return uses;
}

/** How far a constant may move from an offset into the instructions that use its pointer. */
const MOST_AHEAD = 0x800;

/** `data + (x + 4)` is reached from `data + x`, which other accesses share. */
function splitAddresses(graph: Graph, ranges: Ranges): void {
  const ahead = new Map<Node, number>();
  for (const block of graph.order) {
    for (const node of block.nodes) {
      if (node.op === 'offptr') {
        let offset = node.args[1]!;
        let by = 0;
        while (offset.op === 'add' && offset.args[1]!.op === 'const') {
          const [x, c] = [offset.args[0]!, offset.args[1]!.value];
          if (c < 0n || by + Number(c) > MOST_AHEAD || ranges.at(x, block).lo < 0n) break;
          by += Number(c);
          offset = x;
        }
        if (by === 0 || offset.op === 'const') continue;
        node.args[1] = offset;
        ahead.set(node, by);
      }
    }
  }
  if (ahead.size === 0) return;
  for (const block of graph.order) {
    for (const node of block.nodes) {
      const by = ahead.get(node.args[0]!);
      if (by === undefined) continue;
      if (node.op === 'check' || node.op === 'within') node.size += by;
      else if (node.op === 'load' || node.op === 'store') node.off += by;
    }
  }
}

/** Joins constants of neighbouring operations. */
function combine(graph: Graph, ranges: Ranges): void {
  for (const block of graph.order) {
    for (const node of block.nodes) {
      const [a, b] = node.args;
      if (a === undefined || b?.op !== 'const') continue;
      const [x, c] = a.args;
      if (c?.op !== 'const' || x === undefined) continue;
      if (node.op === 'add' && a.op === 'add') {
        // (x + c) + b
        node.args = [x, constantLike(graph, b, c.value + b.value)];
      } else if ((node.op === 'eq' || node.op === 'ne') && b.value === 0n) {
        // x * c === 0, where nothing is lost on the left
        const scaled = a.op === 'mul' ? c.value > 0n : a.op === 'shl' && ranges.at(x, a.block).hi < 1n << 20n;
        if (scaled && ranges.at(x, a.block).lo >= 0n && (a.op === 'mul' || c.value <= 11n))
          node.args = [x, b];
      }
    }
  }
}

/**
 * `a + (x + 1) * 8` becomes `(a + 8) + x * 8`: what is loaded last, often the length of a header, goes through fewer
 * operations before the next address is known.
 */
function shortenChains(graph: Graph): void {
  const uses = countUses(graph);
  const once = (node: Node): boolean => uses.get(node) === 1;
  for (const block of graph.order) {
    for (const node of [...block.nodes]) {
      if (node.op !== 'add' || node.type !== 'num') continue;
      const [a, product] = node.args as [Node, Node];
      if (a.op === 'const' || product.op !== 'mul' || !once(product) || product.block !== block) continue;
      const [sum, factor] = product.args as [Node, Node];
      if (sum.op !== 'add' || factor.op !== 'const' || factor.value <= 0n || !once(sum)) continue;
      const [x, more] = sum.args as [Node, Node];
      if (more.op !== 'const' || more.value <= 0n || x.lo < 0n || sum.block !== block) continue;
      const ahead = more.value * factor.value;
      // Nothing on the way may leave the numbers that are exact, nor what 32 bits of an immediate hold.
      if (ahead > 0xffffn || a.lo < -MAX_SAFE || a.hi + ahead > MAX_SAFE) continue;
      const start = graph.node('add', 'num', [a, constantLike(graph, more, ahead)], block, node.at);
      start.lo = a.lo + ahead;
      start.hi = a.hi + ahead;
      product.args = [x, factor];
      product.lo = x.lo * factor.value;
      product.hi = x.hi * factor.value;
      node.args = [start, product];
      block.nodes.splice(block.nodes.indexOf(node), 0, start);
    }
  }
}

/** Keeps values in network order where nothing looks at their magnitude: constants are swapped instead. */
function byteOrder(graph: Graph, ranges: Ranges): void {
  sinkSwaps(graph);
  for (const block of graph.order) {
    for (const node of block.nodes) {
      if (node.op === 'swap') {
        const inner = node.args[0]!;
        if (inner.op === 'swap' && inner.size === node.size) {
          const raw = inner.args[0]!;
          if (fits(ranges.at(raw, block), { lo: 0n, hi: (1n << BigInt(node.size)) - 1n })) node.forward = raw;
        }
      } else if (node.op === 'eq' || node.op === 'ne') {
        compareRaw(graph, node);
      }
    }
  }
  applyForwards(graph);
}

function compareRaw(graph: Graph, node: Node): void {
  let [a, b] = node.args as [Node, Node];
  if (a.op === 'const') [a, b] = [b, a];
  if (a.op === 'swap' && b.op === 'swap' && a.size === b.size && isRaw(a) && isRaw(b)) {
    node.args = [a.args[0]!, b.args[0]!];
    return;
  }
  if (b.op !== 'const') return;
  if (a.op === 'swap' && isRaw(a) && b.value >= 0n && b.value < 1n << BigInt(a.size)) {
    node.args = [a.args[0]!, constantLike(graph, b, swapBytes(b.value, a.size))];
    return;
  }
  // (x & mask) === value, of 16 bits in network order.
  const [x, mask] = a.args;
  if (a.op !== 'and' || x?.op !== 'swap' || mask?.op !== 'const' || x.size !== 16 || !isRaw(x)) return;
  if (mask.value < 0n || mask.value > 0xffffn || b.value < 0n || b.value > 0xffffn) return;
  const raw = graph.node(
    'and',
    'num',
    [x.args[0]!, constantLike(graph, mask, swapBytes(mask.value, 16))],
    a.block,
    a.at,
  );
  raw.lo = 0n;
  raw.hi = 0xffffn;
  a.block.nodes.splice(a.block.nodes.indexOf(a) + 1, 0, raw);
  node.args = [raw, constantLike(graph, b, swapBytes(b.value, 16))];
}

/** Whether what is swapped has nothing above its width. */
function isRaw(swap: Node): boolean {
  const { lo, hi } = swap.args[0]!;
  return lo >= 0n && hi < 1n << BigInt(swap.size);
}

function constantLike(graph: Graph, like: Node, value: bigint): Node {
  const node = graph.node('const', like.type, [], graph.entry, like.at);
  node.value = value;
  node.lo = value;
  node.hi = value;
  return node;
}

/** A phi of swapped values becomes the swap of a phi. */
function sinkSwaps(graph: Graph): void {
  /** What takes the place of each phi that now holds raw values. */
  const swapOf = new Map<Node, Node>();
  const put = (args: Node[]): void => {
    for (let i = 0; i < args.length; i++) args[i] = swapOf.get(args[i]!) ?? args[i]!;
  };
  for (const block of graph.order) {
    for (const phi of block.phis) {
      put(phi.args);
      const size = phi.args.find((arg) => arg.op === 'swap')?.size;
      if (size === undefined) continue;
      const loop = block.loop?.header === block;
      const all = phi.args.every(
        (arg) =>
          (arg.op === 'swap' && arg.size === size && isRaw(arg)) ||
          (arg.op === 'const' && arg.value >= 0n && arg.value < 1n << BigInt(size)) ||
          (loop && arg === phi),
      );
      if (!all) continue;
      const swap = graph.node('swap', phi.type, [phi], block, phi.at);
      swap.size = size;
      swap.lo = 0n;
      swap.hi = (1n << BigInt(size)) - 1n;
      // Phis that were given raw values earlier may have taken this one for such.
      for (const raw of swapOf.keys()) {
        for (let i = 0; i < raw.args.length; i++) if (raw.args[i] === phi) raw.args[i] = swap;
      }
      phi.args = phi.args.map((arg) => {
        if (arg === phi) return phi;
        if (arg.op !== 'swap') return constantLike(graph, arg, swapBytes(arg.value, size));
        const raw = arg.args[0]!;
        // A swap of the program's own still names the phi whose place another one takes.
        return swapOf.get(raw) === arg ? raw : (swapOf.get(raw) ?? raw);
      });
      phi.lo = 0n;
      phi.hi = (1n << BigInt(size)) - 1n;
      swapOf.set(phi, swap);
    }
  }
  if (swapOf.size === 0) return;
  for (const block of graph.order) {
    for (const phi of block.phis) if (!swapOf.has(phi)) put(phi.args);
    for (const node of block.nodes) put(node.args);
    const t = block.term;
    if (t.kind === 'branch') t.cond = swapOf.get(t.cond) ?? t.cond;
    if (t.kind === 'return') t.value = swapOf.get(t.value) ?? t.value;
  }
  for (const [phi, swap] of swapOf) phi.block.nodes.unshift(swap);
}

/** Whether the node writes memory that a load of the packet may read. */
function writesPacket(node: Node): boolean {
  return (
    (node.op === 'store' && node.region === 'packet') || (node.op === 'call' && MOVES_PACKET.has(node.off))
  );
}

/** Helpers that move or write the packet: adjust_head, adjust_meta, adjust_tail, store_bytes. */
const MOVES_PACKET: ReadonlySet<number> = new Set([44, 54, 65, 190]);

/** One node for equal computations, along the dominator tree. */
function numberValues(graph: Graph): void {
  const anyWrite = graph.order.some((block) => block.nodes.some(writesPacket));
  const children = new Map<Block, Block[]>();
  for (const block of graph.order) {
    if (block.idom === undefined) continue;
    const list = children.get(block.idom) ?? [];
    list.push(block);
    children.set(block.idom, list);
  }
  const known = new Map<string, Node>();
  const walk = (block: Block): void => {
    const added: [string, Node | undefined][] = [];
    /** Changes with every write, so that loads before it are not taken for loads after. */
    let epoch = anyWrite ? `b${block.id}.0` : '';
    let writes = 0;
    for (const node of block.nodes) {
      for (let i = 0; i < node.args.length; i++) node.args[i] = resolve(node.args[i]!);
      if (writesPacket(node)) epoch = `b${block.id}.${++writes}`;
      const key = keyOf(node, epoch);
      if (key === undefined) continue;
      const before = known.get(key);
      if (before !== undefined) {
        node.forward = before;
        continue;
      }
      added.push([key, undefined]);
      known.set(key, node);
    }
    for (const child of children.get(block) ?? []) walk(child);
    for (const [key] of added) known.delete(key);
  };
  walk(graph.entry);
  applyForwards(graph);
}

function keyOf(node: Node, epoch: string): string | undefined {
  if (node.op === 'const') return `c${node.type}${node.value}`;
  const args = node.args.map((arg) => (arg.op === 'const' ? `c${arg.type}${arg.value}` : arg.id)).join(',');
  if (node.op === 'load') {
    if (node.region !== 'packet') return undefined;
    return `load${args}:${node.off}:${node.size}@${epoch}`;
  }
  // The ends of the packet are read anew after they moved; only other fields of the context stay.
  if (node.op === 'ctxload') return node.type === 'ptr' ? undefined : `ctx${node.off}`;
  if (node.op === 'offptr') return `off${args}`;
  if (!isPure(node)) return undefined;
  return `${node.op}${node.type}${args}:${node.off}:${node.size}:${node.map}`;
}

/** One bounds check for several accesses: the largest of a run, and none where a larger one came before. */
function shareChecks(graph: Graph): void {
  const children = new Map<Block, Block[]>();
  for (const block of graph.order) {
    if (block.idom === undefined) continue;
    const list = children.get(block.idom) ?? [];
    list.push(block);
    children.set(block.idom, list);
  }
  /**
   * @param proved How many bytes lie behind a pointer.
   * @param before The first check on each pointer since something happened that a packet or a map could show: it may
   *   ask for more, because every way on from it ends in the same verdict.
   */
  const walk = (block: Block, proved: ReadonlyMap<Node, number>, before: ReadonlyMap<Node, Node>): void => {
    const here = new Map(proved);
    const asked = provedBy(block);
    if (asked !== undefined) here.set(asked.args[0]!, Math.max(asked.size, here.get(asked.args[0]!) ?? 0));
    let open = new Map(before);
    for (const node of block.nodes) {
      if (node.op !== 'check') {
        if (['store', 'atomic', 'call'].includes(node.op)) open = new Map();
        continue;
      }
      const ptr = node.args[0]!;
      const size = here.get(ptr) ?? 0;
      if (node.size <= size) {
        node.forward = node.args[0];
        continue;
      }
      const first = open.get(ptr);
      if (first === undefined) {
        open.set(ptr, node);
      } else {
        first.size = node.size;
        node.forward = node.args[0];
      }
      here.set(ptr, node.size);
    }
    for (const child of children.get(block) ?? []) {
      const other = otherWay(block, child);
      const same = child.preds.length === 1 && (other === undefined || endsShort(other, graph.short));
      walk(child, here, same ? open : new Map());
    }
  };
  walk(graph.entry, new Map(), new Map());
  applyForwards(graph);
}

/** The `pkt.has` that was true on the way into a block. */
function provedBy(block: Block): Node | undefined {
  const [pred] = block.preds;
  if (block.preds.length !== 1 || pred?.term.kind !== 'branch') return undefined;
  const { cond, then } = pred.term;
  if (cond.op === 'within') return then === block ? cond : undefined;
  if (cond.op !== 'not' || cond.args[0]!.op !== 'within') return undefined;
  return then === block ? undefined : cond.args[0];
}

/** The other way of the branch that leads to `child`. */
function otherWay(block: Block, child: Block): Block | undefined {
  const { term } = block;
  if (term.kind !== 'branch') return undefined;
  return term.then === child ? term.otherwise : term.then;
}

/** Whether a block does nothing but give the verdict of a packet that is too short. */
function endsShort(block: Block, short: number): boolean {
  const { term } = block;
  if (!block.nodes.every((node) => isPure(node) || node.op === 'load' || node.op === 'check')) return false;
  return term.kind === 'return' && term.value.op === 'const' && term.value.value === BigInt(short);
}

/** Moves what does not change in a loop in front of it. */
function hoistInvariants(graph: Graph): void {
  for (const loop of [...graph.loops].reverse()) {
    for (const block of graph.order) {
      if (!loop.blocks.has(block)) continue;
      const staying: Node[] = [];
      for (const node of block.nodes) {
        const invariant =
          isPure(node) &&
          !['const', 'stack', 'mapref', 'eq', 'ne', 'lt', 'le', 'not', 'within'].includes(node.op) &&
          node.args.every((arg) => arg.op === 'const' || !loop.blocks.has(arg.block));
        if (!invariant) {
          staying.push(node);
          continue;
        }
        node.block = loop.preheader;
        loop.preheader.nodes.push(node);
      }
      block.nodes = staying;
    }
  }
}

/** Makes the bound of a loop that a variable limits visible to verifiers that have forgotten it. */
function showLimits(graph: Graph): void {
  for (const { limit, counted } of graph.loops) {
    if (limit === undefined || counted !== undefined || limit.most >= 1n << 31n) continue;
    const { test, operand, most, block } = limit;
    const value = test.args[operand]!;
    if (value.op === 'const' || value.op === 'visible') continue;
    const visible = graph.node('visible', value.type, [value], block, test.at);
    visible.limit = Number(most);
    visible.lo = value.lo;
    visible.hi = most;
    const at = block.nodes.indexOf(test);
    block.nodes.splice(at < 0 ? block.nodes.length : at, 0, visible);
    test.args[operand] = visible;
  }
}

export function removeDead(graph: Graph): void {
  const alive = new Set<Node>();
  const work: Node[] = [];
  const need = (node: Node): void => {
    if (alive.has(node)) return;
    alive.add(node);
    work.push(node);
  };
  for (const block of graph.order) {
    for (const node of block.nodes) if (!isRemovable(node) && !isUnusedPointer(node)) need(node);
    if (block.term.kind === 'branch') need(block.term.cond);
    if (block.term.kind === 'return') need(block.term.value);
  }
  while (work.length > 0) for (const arg of work.pop()!.args) need(arg);
  for (const block of graph.order) {
    block.phis = block.phis.filter((phi) => alive.has(phi));
    block.nodes = block.nodes.filter((node) => alive.has(node));
  }
}

/** Helpers whose result alone matters: ktime, random, cpu, a map lookup. */
function isUnusedPointer(node: Node): boolean {
  return node.op === 'call' && [5, 7, 8, 118, 125, 160, 188].includes(node.off);
}
