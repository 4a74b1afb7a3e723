import type * as syntax from 'acorn';
import type { Node } from '../middle/ir.ts';
import type { Context, Exit } from './context.ts';
import { describeVal, type Val } from './value.ts';

/** The node of a number; anything else is a fault. */
export function number(cx: Context, node: syntax.Expression): Node {
  return asNumber(cx, cx.evaluate(node), node);
}

export function asNumber(cx: Context, val: Val, node: { start: number }): Node {
  if (val.kind === 'num') return val.node;
  if (val.kind === 'quotient') throw fraction(cx, node);
  throw cx.fault(node, `${describeVal(val)} stands where a number is needed`, numberHint(val));
}

function numberHint(val: Val): string {
  if (val.kind === 'big') return 'Write Number(x) where it is known to be at most 2^53 - 1.';
  if (val.kind === 'bool') return 'Write x ? 1 : 0.';
  return 'Write a number here.';
}

export function asBig(cx: Context, val: Val, node: { start: number }): Node {
  if (val.kind === 'big') return val.node;
  throw cx.fault(
    node,
    `${describeVal(val)} stands where a bigint is needed`,
    val.kind === 'num' ? 'Write BigInt(x), or a literal such as 1n.' : 'Write a bigint here.',
  );
}

export function asBoolean(cx: Context, val: Val, node: { start: number }): Node {
  if (val.kind === 'bool') return val.node;
  throw cx.fault(
    node,
    `${describeVal(val)} stands where a boolean is needed`,
    'Write a comparison, such as x !== 0.',
  );
}

export function fraction(cx: Context, node: { start: number }): Error {
  return cx.fault(
    node,
    'a quotient may have a fraction, and programs compute with whole numbers',
    'Write Math.floor(a / b) or (a / b) | 0.',
  );
}

/** The whole part of a quotient. */
export function whole(cx: Context, val: Val & { kind: 'quotient' }): Node {
  return cx.b.emit('div', 'num', [val.a, val.b], val.at);
}

/** A boolean as 1 or 0. */
export function boolToNum(cx: Context, node: Node, at: number): Node {
  if (node.op === 'const') return cx.b.num(node.value);
  const { then, otherwise } = cx.b.branch(node, at);
  const exits: Exit[] = [
    { block: then, state: cx.state },
    { block: otherwise, state: cx.cloneState() },
  ];
  cx.join(exits, at);
  return cx.b.phi(cx.b.current!, 'num', [cx.b.num(1), cx.b.num(0)], at);
}
