import { Fault } from '../error.ts';
import { foldConstants, simplify } from '../middle/fold.ts';
import { type Block, Graph, type Node, type Op, type Type } from '../middle/ir.ts';

/** What a node carries beside its arguments. */
export interface Attributes {
  readonly size?: number;
  readonly off?: number;
  readonly signed?: boolean;
  readonly region?: Node['region'];
  readonly map?: string;
  readonly limit?: number;
}

/** A function of this size takes seconds to compile; one whose helpers call helpers many times would take for ever. */
const MOST_OPERATIONS = 30_000;

/** A program that has grown too large, told at the place where it happened. */
export function tooLarge(at: number, what: string): Fault {
  return new Fault(
    at,
    `the program has grown to ${what}: helper functions stand wherever they are called, and short loops are unrolled`,
    'Call the helper from one place, in a loop that is not unrolled ({ unroll: 0 }), or make it a program of its own (tailCall).',
  );
}

/** Appends nodes to a graph, folding what is constant on the way. */
export class Builder {
  readonly graph: Graph = new Graph();
  /** Where nodes go; `undefined` after a return or a jump. */
  current: Block | undefined = this.graph.entry;
  readonly #constants = new Map<string, Node>();

  get live(): boolean {
    return this.current !== undefined;
  }

  constant(type: Type, value: bigint | number): Node {
    const big = BigInt(value);
    const key = `${type}${big}`;
    let node = this.#constants.get(key);
    if (node === undefined) {
      node = this.graph.node('const', type, [], this.graph.entry, -1);
      node.value = big;
      node.lo = big;
      node.hi = big;
      this.#constants.set(key, node);
    }
    return node;
  }

  num(value: bigint | number): Node {
    return this.constant('num', value);
  }

  emit(op: Op, type: Type, args: Node[], at: number, attributes: Attributes = {}): Node {
    const folded = foldConstants(op, type, attributes.size ?? 0, args);
    if (folded !== undefined) return this.constant(type, folded);
    const simple = simplify(op, type, args);
    if (simple !== undefined) return simple;
    const block = this.current;
    if (block === undefined) throw new Error('no open block');
    const node = this.graph.node(op, type, args, block, at);
    if (this.graph.nodeCount > MOST_OPERATIONS) throw tooLarge(at, `more than ${MOST_OPERATIONS} operations`);
    if (attributes.size !== undefined) node.size = attributes.size;
    if (attributes.off !== undefined) node.off = attributes.off;
    if (attributes.signed !== undefined) node.signed = attributes.signed;
    if (attributes.region !== undefined) node.region = attributes.region;
    if (attributes.map !== undefined) node.map = attributes.map;
    if (attributes.limit !== undefined) node.limit = attributes.limit;
    block.nodes.push(node);
    return node;
  }

  phi(block: Block, type: Type, args: Node[], at: number): Node {
    const node = this.graph.node('phi', type, args, block, at);
    block.phis.push(node);
    return node;
  }

  jump(from: Block, to: Block, at: number): void {
    from.term = { kind: 'jump', to, at };
    to.preds.push(from);
  }

  /** Ends the current block on a condition; both targets are fresh. */
  branch(cond: Node, at: number): { then: Block; otherwise: Block } {
    const from = this.current!;
    const then = this.graph.block();
    const otherwise = this.graph.block();
    from.term = { kind: 'branch', cond, then, otherwise, at };
    then.preds.push(from);
    otherwise.preds.push(from);
    this.current = undefined;
    return { then, otherwise };
  }

  return(value: Node, at: number): void {
    this.current!.term = { kind: 'return', value, at };
    this.current = undefined;
  }
}
