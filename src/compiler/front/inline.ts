import type * as syntax from 'acorn';
import { type Context, type Frame, Scope } from './context.ts';
import { bind } from './pattern.ts';
import type { Val } from './value.ts';

/** Puts a helper function of env in place of its call. */
export function inline(
  cx: Context,
  node: syntax.CallExpression,
  callee: Val & { kind: 'function' },
  vals: readonly Val[],
  own = false,
): Val {
  const parsed = callee.parsed();
  if (cx.frames.some((frame) => frame.parsed.origin === parsed.origin)) {
    throw cx.fault(node, `${callee.name} calls itself`, 'Write a loop: programs have no recursion.');
  }
  if (!cx.b.live) return { kind: 'undefined' };
  const at = cx.at(node);
  const { syntax: fn } = parsed;
  const frame: Frame = {
    parsed,
    returns: [],
    scope: new Scope(undefined),
    targets: [],
    ...(own ? { site: at } : {}),
  };
  cx.frames.push(frame);
  for (const [i, param] of fn.params.entries()) bind(cx, param, vals[i] ?? { kind: 'undefined' }, false);
  if (fn.body.type === 'BlockStatement') {
    cx.block(fn.body.body);
    if (cx.b.current !== undefined) {
      frame.returns!.push({ exit: { block: cx.b.current, state: cx.state }, val: { kind: 'undefined' } });
      cx.b.current = undefined;
    }
  } else {
    const val = cx.evaluate(fn.body);
    if (cx.b.current !== undefined) {
      frame.returns!.push({ exit: { block: cx.b.current, state: cx.state }, val });
      cx.b.current = undefined;
    }
  }
  cx.frames.pop();
  const results = frame.returns!;
  cx.join(
    results.map((r) => r.exit),
    at,
  );
  if (results.length === 0) return { kind: 'undefined' };
  if (results.length === 1) return results[0]!.val;
  const val = cx.merge(
    results.map((r) => r.val),
    cx.b.current!,
    at,
  );
  if (val.kind === 'mixed')
    throw cx.fault(node, `${callee.name} may return ${val.what}`, 'Return one kind of value.');
  return val;
}
