import type { Block, Graph, Node, Op } from './ir.ts';
import { max, type Range, type Ranges } from './ranges.ts';

/**
 * Divisions whose operands may be negative, or that round away from zero, in terms of those that the machine has: of
 * numbers that are not negative, rounding down.
 */
export function expandDivisions(graph: Graph, ranges: Ranges): void {
  for (const block of graph.order) {
    if (!block.nodes.some(({ op }) => DIVISIONS.has(op))) continue;
    const nodes: Node[] = [];
    for (const node of block.nodes) {
      if (DIVISIONS.has(node.op)) new Expansion(graph, ranges, block, node, nodes).run();
      nodes.push(node);
    }
    block.nodes = nodes;
  }
}

const DIVISIONS: ReadonlySet<Op> = new Set<Op>(['div', 'divfloor', 'divceil', 'mod']);

class Expansion {
  readonly #graph: Graph;
  readonly #ranges: Ranges;
  readonly #block: Block;
  readonly #node: Node;
  readonly #out: Node[];

  constructor(graph: Graph, ranges: Ranges, block: Block, node: Node, out: Node[]) {
    this.#graph = graph;
    this.#ranges = ranges;
    this.#block = block;
    this.#node = node;
    this.#out = out;
  }

  /** Leaves the node as what gives the result. */
  run(): void {
    const node = this.#node;
    const [a, b] = node.args as [Node, Node];
    const x = this.#ranges.at(a, this.#block);
    const y = this.#ranges.at(b, this.#block);
    const natural = x.lo >= 0n && y.lo > 0n;
    if (natural && node.op !== 'divceil') {
      if (node.op === 'divfloor') node.op = 'div';
      return;
    }
    const result = natural ? this.#up(a, b, x, y) : this.#signed(a, b, x, y);
    node.op = node.type === 'num' ? 'tonum' : 'wrap';
    node.size = 64;
    node.args = [result];
  }

  /** ⌈a / b⌉ is ⌊(a + b - 1) / b⌋. */
  #up(a: Node, b: Node, x: Range, y: Range): Node {
    const less = this.#emit('sub', [b, this.#constant(1n)], { lo: y.lo - 1n, hi: y.hi - 1n });
    const sum = this.#emit('add', [a, less], { lo: x.lo + y.lo - 1n, hi: x.hi + y.hi - 1n });
    return this.#emit('div', [sum, b], { lo: 0n, hi: (x.hi + y.hi) / y.lo });
  }

  #signed(a: Node, b: Node, x: Range, y: Range): Node {
    const { op } = this.#node;
    const [signA, sizeA, most] = this.#parts(a, x);
    const [signB, sizeB, mostBy] = this.#parts(b, y);
    if (op === 'mod') {
      const rest = this.#emit('mod', [sizeA, sizeB], { lo: 0n, hi: mostBy - 1n });
      return this.#withSign(rest, signA, mostBy);
    }
    const quotient = this.#emit('div', [sizeA, sizeB], { lo: 0n, hi: most });
    const sign =
      signA === undefined ? signB : signB === undefined ? signA : this.#emit('xor', [signA, signB], SIGN);
    const whole = this.#withSign(quotient, sign, most);
    if (op === 'div') return whole;
    // What is left has its sign where there is anything left: (rest | -rest) >> 63 tells whether.
    const product = this.#emit('mul', [whole, b], { lo: -most, hi: most });
    const rest = this.#emit('sub', [a, product], { lo: -mostBy, hi: mostBy });
    const opposite = this.#emit('sub', [this.#constant(0n), rest], { lo: -mostBy, hi: mostBy });
    const any = this.#emit('or', [rest, opposite], WORD);
    const apart = this.#emit('xor', [rest, b], WORD);
    const below = op === 'divfloor' ? apart : this.#emit('xor', [apart, this.#constant(-1n)], WORD);
    const both = this.#emit('and', [any, below], WORD);
    const one = this.#emit('sar', [both, this.#constant(63n)], SIGN);
    const range = { lo: -most - 1n, hi: most + 1n };
    return this.#emit(op === 'divfloor' ? 'add' : 'sub', [whole, one], range);
  }

  /** A number's sign, as 0 or -1, and its size; no sign where it is never negative. */
  #parts(value: Node, range: Range): [sign: Node | undefined, size: Node, most: bigint] {
    const most = max(range.hi, -range.lo);
    if (range.lo >= 0n) return [undefined, value, most];
    const sign = this.#emit('sar', [value, this.#constant(63n)], SIGN);
    const flipped = this.#emit('xor', [value, sign], { lo: 0n, hi: most });
    return [sign, this.#emit('sub', [flipped, sign], { lo: 0n, hi: most }), most];
  }

  /** The number itself, or its negative where the sign is -1. */
  #withSign(value: Node, sign: Node | undefined, most: bigint): Node {
    if (sign === undefined) return value;
    const flipped = this.#emit('xor', [value, sign], { lo: -most - 1n, hi: most });
    return this.#emit('sub', [flipped, sign], { lo: -most, hi: most });
  }

  #constant(value: bigint): Node {
    const node = this.#graph.node('const', 'big', [], this.#graph.entry, this.#node.at);
    node.value = value;
    node.lo = value;
    node.hi = value;
    return node;
  }

  /** An operation on all 64 bits. */
  #emit(op: Op, args: Node[], range: Range): Node {
    const node = this.#graph.node(op, 'big', args, this.#block, this.#node.at);
    node.lo = range.lo;
    node.hi = range.hi;
    this.#out.push(node);
    return node;
  }
}

const SIGN: Range = { lo: -1n, hi: 0n };
const WORD: Range = { lo: -(1n << 63n), hi: (1n << 63n) - 1n };
