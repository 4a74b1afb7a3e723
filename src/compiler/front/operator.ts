import type * as syntax from 'acorn';
import type { Op } from '../middle/ir.ts';
import { asBig, asNumber, fraction, whole } from './coerce.ts';
import type { Context } from './context.ts';
import { describeVal, isScalar, type Scalar, type Val } from './value.ts';

const ARITHMETIC: Readonly<Record<string, Op>> = {
  '+': 'add',
  '-': 'sub',
  '*': 'mul',
  '/': 'div',
  '%': 'mod',
  '&': 'and',
  '|': 'or',
  '^': 'xor',
  '<<': 'shl',
  '>>': 'sar',
  '>>>': 'shr',
};

/** An operation of arithmetic on two values, as `+` or `+=` asks for it. */
export function arithmetic(
  cx: Context,
  operator: string,
  left: Val,
  right: Val,
  node: { start: number },
  leftNode: { start: number },
  rightNode: { start: number },
): Val {
  const at = cx.at(node);
  const op = ARITHMETIC[operator];
  if (op === undefined) {
    throw cx.fault(node, `'${operator}' is not part of the language`, powerHint(operator));
  }
  if (left.kind === 'big' || right.kind === 'big') {
    const a = asBig(cx, left, leftNode);
    const b = asBig(cx, right, rightNode);
    if (op === 'shr') throw cx.fault(node, 'bigints have no >>>', 'Write >>.');
    return { kind: 'big', node: cx.b.emit(op, 'big', [a, b], at) };
  }
  if (left.kind === 'string' || right.kind === 'string') {
    throw cx.fault(node, 'strings exist only as verdicts', 'Compute with numbers.');
  }
  const bitwise = ['and', 'or', 'xor', 'shl', 'sar', 'shr'].includes(op);
  const a = bitwise && left.kind === 'quotient' ? whole(cx, left) : asNumber(cx, left, leftNode);
  const b = bitwise && right.kind === 'quotient' ? whole(cx, right) : asNumber(cx, right, rightNode);
  if (op === 'div') {
    if (a.op === 'const' && b.op === 'const' && b.value !== 0n && a.value % b.value === 0n) {
      return { kind: 'num', node: cx.b.num(a.value / b.value) };
    }
    return { kind: 'quotient', a, b, at };
  }
  return { kind: 'num', node: cx.b.emit(op, 'num', [a, b], at) };
}

function powerHint(operator: string): string {
  return operator === '**' ? 'Write 1 << n, or multiply.' : 'See docs/xdp-in-typescript.md for what is.';
}

/** `===`, `!==` and the comparisons with null by `==`. */
export function equality(
  cx: Context,
  node: syntax.BinaryExpression,
  left: Val,
  right: Val,
  negated: boolean,
): Val {
  const at = cx.at(node);
  const op = negated ? 'ne' : 'eq';
  if (left.kind === 'undefined' || right.kind === 'undefined') {
    const other = left.kind === 'undefined' ? right : left;
    if (other.kind === 'undefined') return { kind: 'bool', node: cx.b.constant('bool', negated ? 0 : 1) };
    if (other.kind !== 'view') return { kind: 'bool', node: cx.b.constant('bool', negated ? 1 : 0) };
    return { kind: 'bool', node: cx.b.emit(op, 'bool', [other.ptr, cx.b.constant('ptr', 0)], at) };
  }
  if (left.kind === 'quotient' || right.kind === 'quotient') throw fraction(cx, node);
  if (left.kind !== right.kind || !isScalar(left) || left.kind === 'verdict') {
    throw cx.fault(
      node,
      `${describeVal(left)} and ${describeVal(right)} cannot be compared`,
      left.kind === 'bytes'
        ? 'Write kernel.equal(a, b).'
        : 'Compare numbers with numbers and bigints with bigints.',
    );
  }
  return { kind: 'bool', node: cx.b.emit(op, 'bool', [left.node, (right as Scalar).node], at) };
}

/** `<`, `<=`, `>`, `>=`. */
export function order(
  cx: Context,
  node: syntax.BinaryExpression,
  left: Val,
  right: Val,
  operator: string,
): Val {
  let [l, r] = [left, right];
  if (l.kind === 'num' && r.kind === 'big')
    l = { kind: 'big', node: cx.b.emit('tobig', 'big', [l.node], cx.at(node)) };
  if (l.kind === 'big' && r.kind === 'num')
    r = { kind: 'big', node: cx.b.emit('tobig', 'big', [r.node], cx.at(node)) };
  if (l.kind === 'quotient' || r.kind === 'quotient') throw fraction(cx, node);
  if (l.kind !== r.kind || (l.kind !== 'num' && l.kind !== 'big') || !isScalar(r)) {
    throw cx.fault(
      node,
      `${describeVal(l)} and ${describeVal(r)} cannot be ordered`,
      'Compare numbers or bigints.',
    );
  }
  const swapped = operator === '>' || operator === '>=';
  const op = operator === '<' || operator === '>' ? 'lt' : 'le';
  const args = swapped ? [r.node, l.node] : [l.node, r.node];
  return { kind: 'bool', node: cx.b.emit(op, 'bool', args, cx.at(node)) };
}
