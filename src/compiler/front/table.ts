import { Fault } from '../error.ts';
import type { Node } from '../middle/ir.ts';
import type { Context, Exit } from './context.ts';
import type { BytesVal, Val } from './value.ts';

/** So many elements become code; more belong into a map. */
const MOST_ELEMENTS = 4096;

/** A piece of a table that one expression reads, with its first index. */
interface Leaf {
  readonly from: number;
  readonly read: () => Val;
}

/**
 * `list[i]` with an index that is known only when the program runs. Small numbers lie side by side in 64-bit constants;
 * between those, and for everything else, the index is held against the middle, again and again.
 */
export function lookUp(cx: Context, items: readonly Val[], index: Node, at: number): Val {
  if (items.length === 0 || items.length > MOST_ELEMENTS) {
    const instead = items.length === 0 ? 'Put something into it.' : 'Keep it in an array map.';
    throw new Fault(at, `an array of ${items.length} elements cannot be indexed here`, instead);
  }
  const i = cx.b.emit('index', 'num', [index], at, { limit: items.length });
  return choose(
    cx,
    packed(cx, items, i, at) ?? items.map((item, n) => ({ from: n, read: () => item })),
    i,
    at,
  );
}

/** `bytes[i]` likewise. */
export function lookUpByte(cx: Context, of: BytesVal, index: Node, at: number): Val {
  const { b } = cx;
  const i = b.emit('index', 'num', [index], at, { limit: of.size });
  const leaves = of.chunks.map(({ off, size, node }): Leaf => {
    const read = (): Val => {
      const within = b.emit('sub', 'num', [i, b.num(off)], at);
      const by = b.emit(
        'and',
        'num',
        [b.emit('mul', 'num', [within, b.num(8)], at), b.num(size * 8 - 1)],
        at,
      );
      return { kind: 'num', node: part(cx, b.emit('tobig', 'big', [node], at), by, 8, at) };
    };
    return { from: off, read };
  });
  return choose(cx, leaves, i, at);
}

function choose(cx: Context, leaves: readonly Leaf[], index: Node, at: number): Val {
  if (leaves.length === 1) return leaves[0]!.read();
  const middle = leaves.length >> 1;
  const cond = cx.b.emit('lt', 'bool', [index, cx.b.num(leaves[middle]!.from)], at);
  const { then, otherwise } = cx.b.branch(cond, at);
  const ways = [
    [{ block: then, state: cx.cloneState() }, leaves.slice(0, middle)],
    [{ block: otherwise, state: cx.state }, leaves.slice(middle)],
  ] as const;
  const results: { exit: Exit; val: Val }[] = [];
  for (const [entry, rest] of ways) {
    cx.join([entry], at);
    const val = choose(cx, rest, index, at);
    results.push({ exit: { block: cx.b.current!, state: cx.state }, val });
    cx.b.current = undefined;
  }
  cx.join(
    results.map(({ exit }) => exit),
    at,
  );
  const val = cx.merge(
    results.map((r) => r.val),
    cx.b.current!,
    at,
  );
  if (val.kind === 'mixed')
    throw new Fault(at, `the elements are ${val.what}`, 'Keep to one kind of value in an array.');
  return val;
}

/** Leaves that hold as many elements as 64 bits do, where all are small numbers or all are booleans. */
function packed(cx: Context, items: readonly Val[], index: Node, at: number): Leaf[] | undefined {
  const { b } = cx;
  const [first] = items;
  if (first?.kind !== 'num' && first?.kind !== 'bool') return undefined;
  const values: bigint[] = [];
  for (const item of items) {
    if (item.kind !== first.kind || item.node.op !== 'const') return undefined;
    values.push(item.node.value);
  }
  const width = [1, 2, 4, 8, 16, 32].find((bits) => values.every((v) => v >= 0n && v < 1n << BigInt(bits)));
  if (width === undefined) return undefined;
  const each = 64 / width;
  const leaves: Leaf[] = [];
  for (let from = 0; from < values.length; from += each) {
    let word = 0n;
    for (const [i, value] of values.slice(from, from + each).entries()) word |= value << BigInt(i * width);
    const read = (): Val => {
      const place = b.emit('and', 'num', [index, b.num(each - 1)], at);
      const by = b.emit('mul', 'num', [place, b.num(width)], at);
      const node = part(cx, b.constant('big', word), by, width, at);
      if (first.kind === 'num') return { kind: 'num', node };
      return { kind: 'bool', node: b.emit('ne', 'bool', [node, b.num(0)], at) };
    };
    leaves.push({ from, read });
  }
  return leaves;
}

/** `width` bits of a word. */
function part(cx: Context, word: Node, by: Node, width: number, at: number): Node {
  const { b } = cx;
  const shifted = b.emit('sar', 'big', [word, b.emit('tobig', 'big', [by], at)], at);
  const mask = b.constant('big', (1n << BigInt(width)) - 1n);
  return b.emit('tonum', 'num', [b.emit('and', 'big', [shifted, mask], at)], at);
}
