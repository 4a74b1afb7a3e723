/**
 * The compiler's intermediate representation: a control-flow graph of nodes in static single assignment form.
 *
 * A value is an exact integer. `num` is a JavaScript number, `big` a bigint; in a register both are 64 bits of two's
 * complement. Whether an operation is exact is a matter of ranges, which `ranges.ts` computes.
 */
export type Type = 'num' | 'big' | 'bool' | 'verdict' | 'ptr' | 'void';

export type Op =
  | 'const'
  | 'phi'
  | 'add'
  | 'sub'
  | 'mul'
  /** Rounds towards zero, as bigints and `Math.trunc` do; the next two down and up. */
  | 'div'
  | 'divfloor'
  | 'divceil'
  | 'mod'
  | 'and'
  | 'or'
  | 'xor'
  | 'shl'
  /** `>>`, which keeps the sign. */
  | 'sar'
  /** `>>>` of numbers. */
  | 'shr'
  /** `BigInt.asUintN(bits, x)`. */
  | 'wrap'
  | 'tobig'
  | 'tonum'
  /** Byte swap of the low `bits`; what is above them must be zero. */
  | 'swap'
  /** `hi * 2^bits + lo`, with `lo` below `2^bits`. */
  | 'concat'
  | 'eq'
  | 'ne'
  | 'lt'
  | 'le'
  | 'not'
  | 'ctx'
  /** A 32-bit field of the context; of type `ptr` for data, data_meta and data_end. */
  | 'ctxload'
  /** `end - data`. */
  | 'length'
  /** `data + offset`; leaves for the short exit when the offset can lie in no packet. */
  | 'offptr'
  /** Leaves for the short exit unless `n` bytes lie between the pointer and `end`. */
  | 'check'
  /** Whether `size` bytes lie between the pointer and `end`. */
  | 'within'
  | 'load'
  | 'store'
  | 'atomic'
  /** A map value's pointer plus a variable number of bytes, below `limit`. */
  | 'elemptr'
  /** The number itself, which must be proved to be below `limit`. */
  | 'index'
  /** The number itself; leaves for the short exit above `limit`, which it never is: for the verifier to see. */
  | 'visible'
  /** The number itself; verifiers know nothing of it afterwards. The second argument is a number they know nothing of. */
  | 'forget'
  /** The address of a place on the stack. */
  | 'stack'
  | 'stackstore'
  | 'stackload'
  | 'mapref'
  | 'call';

export type Region = 'packet' | 'value' | 'meta';

export class Node {
  readonly id: number;
  op: Op;
  type: Type;
  args: Node[];
  block: Block;
  /** Position in the function's text. */
  readonly at: number;
  /** Of a constant. */
  value = 0n;
  /** Bytes for loads, stores, checks and addresses; bits for `swap`, `wrap` and `concat`. */
  size = 0;
  /** Byte offset of loads, stores, stack places and context fields; the helper's number for calls. */
  off = 0;
  /** Of a load; of `visible`, that verifiers are to look even where they know the bound. */
  signed = false;
  region: Region = 'packet';
  /** The map of a `mapref`. */
  map = '';
  /** The first value after `elemptr`'s range; the last one of `visible`'s. */
  limit = 0;
  /** Set when another node took its place. */
  forward: Node | undefined;
  lo = 0n;
  hi = 0n;

  constructor(id: number, op: Op, type: Type, args: Node[], block: Block, at: number) {
    this.id = id;
    this.op = op;
    this.type = type;
    this.args = args;
    this.block = block;
    this.at = at;
  }
}

export type Terminator =
  | { kind: 'jump'; to: Block; at: number }
  | { kind: 'branch'; cond: Node; then: Block; otherwise: Block; at: number }
  | { kind: 'return'; value: Node; at: number }
  | { kind: 'open' };

export class Block {
  readonly id: number;
  phis: Node[] = [];
  nodes: Node[] = [];
  preds: Block[] = [];
  term: Terminator = { kind: 'open' };
  /** Filled by `analyseFlow`. */
  order = -1;
  idom: Block | undefined;
  depth = 0;
  /** The innermost loop it belongs to. */
  loop: Loop | undefined;

  constructor(id: number) {
    this.id = id;
  }
}

export interface Loop {
  readonly header: Block;
  readonly blocks: Set<Block>;
  /** The only block outside that leads to the header. */
  readonly preheader: Block;
  /** The only block inside that leads to the header. */
  readonly latch: Block;
  readonly parent: Loop | undefined;
  readonly depth: number;
  /** The most iterations, where they can be counted. */
  trips: bigint | undefined;
  /** The same where constants alone decide, so that every verifier can count along. */
  counted: bigint | undefined;
  /** The variables that bound its iterations, and whether constants alone decide how. */
  readonly counters: Map<Node, 'constants' | 'ranges'>;
  /** What a climbing counter is held against, when that is no constant. */
  limit: LoopLimit | undefined;
  /** Bounded by the kernel (`may_goto`): a verifier does not follow each iteration. */
  free: boolean;
  /** Position of the loop statement. */
  readonly at: number;
}

/** The operand of a loop's last test that bounds it. */
export interface LoopLimit {
  readonly test: Node;
  readonly operand: 0 | 1;
  /** The largest value it can have. */
  readonly most: bigint;
  /** Where it is known: before the loop, or at the test when it is computed anew each time. */
  readonly block: Block;
}

/** A function under construction or under optimisation. */
export class Graph {
  readonly entry: Block;
  readonly blocks: Block[] = [];
  /** In reverse post-order; only what can be reached. */
  order: Block[] = [];
  loops: Loop[] = [];
  /** Where the statement of the loop with this header begins. */
  readonly loopAt: Map<Block, number> = new Map();
  /** Bytes of scratch on the stack for keys, values and helper arguments. */
  scratch = 0;
  /** Verdict for packets that are too short. */
  short = 2;
  #nodes = 0;

  constructor() {
    this.entry = this.block();
  }

  block(): Block {
    const block = new Block(this.blocks.length);
    this.blocks.push(block);
    return block;
  }

  node(op: Op, type: Type, args: Node[], block: Block, at: number): Node {
    return new Node(this.#nodes++, op, type, args, block, at);
  }

  get nodeCount(): number {
    return this.#nodes;
  }
}

export function resolve(node: Node): Node {
  let n = node;
  while (n.forward !== undefined) n = n.forward;
  return n;
}

export function successors(block: Block): Block[] {
  const t = block.term;
  if (t.kind === 'jump') return [t.to];
  if (t.kind === 'branch') return [t.then, t.otherwise];
  return [];
}

const IMPURE: ReadonlySet<Op> = new Set<Op>([
  ...(['offptr', 'check', 'load', 'store', 'atomic', 'elemptr', 'visible'] as const),
  ...(['stackstore', 'stackload', 'call', 'phi', 'ctx', 'ctxload'] as const),
]);
const REMOVABLE: ReadonlySet<Op> = new Set<Op>(['load', 'phi', 'ctxload', 'stackload']);

/** Whether a node may be dropped when nobody uses it, and moved when its arguments allow. */
export function isPure(node: Node): boolean {
  return !IMPURE.has(node.op);
}

/** Whether a node may be dropped when nobody uses it. */
export function isRemovable(node: Node): boolean {
  return isPure(node) || REMOVABLE.has(node.op);
}

/** Puts every argument in place of what it was forwarded to. */
export function applyForwards(graph: Graph): void {
  for (const block of graph.order) {
    block.phis = block.phis.filter((phi) => phi.forward === undefined);
    block.nodes = block.nodes.filter((node) => node.forward === undefined);
    for (const phi of block.phis) rewrite(phi.args);
    for (const node of block.nodes) rewrite(node.args);
    const t = block.term;
    if (t.kind === 'branch') t.cond = resolve(t.cond);
    if (t.kind === 'return') t.value = resolve(t.value);
  }
}

function rewrite(args: Node[]): void {
  for (let i = 0; i < args.length; i++) args[i] = resolve(args[i]!);
}
