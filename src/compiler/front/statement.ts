import type * as syntax from 'acorn';
import type { Block } from '../middle/ir.ts';
import {
  type Context,
  type Exit,
  Scope,
  type Statement,
  type Target,
  type Variable,
  verdictOf,
} from './context.ts';
import { condition, evaluate } from './expression.ts';
import { assignedNames, bodySize, countTrips, writtenMaps } from './loop.ts';
import { bind } from './pattern.ts';
import { describeVal, isScalar, type Val } from './value.ts';

/** Lowers statements in order; what follows a return is dead and left out. */
export function lowerBlock(cx: Context, body: readonly Statement[]): void {
  const outer = cx.frame.scope;
  cx.frame.scope = new Scope(outer);
  for (const statement of body) {
    if (!cx.b.live) break;
    lowerStatement(cx, statement);
  }
  cx.frame.scope = outer;
}

function lowerStatement(cx: Context, node: Statement, label?: string): void {
  switch (node.type) {
    case 'EmptyStatement':
      return;
    case 'BlockStatement':
      lowerBlock(cx, node.body);
      return;
    case 'VariableDeclaration':
      lowerDeclaration(cx, node);
      return;
    case 'ExpressionStatement':
      evaluate(cx, node.expression, true);
      return;
    case 'IfStatement':
      lowerIf(cx, node);
      return;
    case 'ReturnStatement':
      lowerReturn(cx, node);
      return;
    case 'ForStatement':
      lowerFor(cx, node, label);
      return;
    case 'WhileStatement':
      lowerLoop(cx, node, { test: node.test, body: node.body, first: true }, label);
      return;
    case 'DoWhileStatement':
      lowerLoop(cx, node, { test: node.test, body: node.body, first: false }, label);
      return;
    case 'ForOfStatement':
      lowerForOf(cx, node, label);
      return;
    case 'SwitchStatement':
      lowerSwitch(cx, node, label);
      return;
    case 'BreakStatement':
    case 'ContinueStatement':
      lowerJump(cx, node);
      return;
    case 'LabeledStatement':
      lowerStatement(cx, node.body, node.label.name);
      return;
    default:
      throw cx.fault(
        node,
        `${node.type} is not part of the language`,
        'See docs/xdp-in-typescript.md for what is.',
      );
  }
}

function lowerDeclaration(cx: Context, node: syntax.VariableDeclaration): void {
  if (node.kind === 'var') {
    throw cx.fault(node, "'var' is not part of the language", "Write 'let' or 'const'.");
  }
  for (const { id, init } of node.declarations) {
    let val: Val;
    if (init === null || init === undefined) {
      val = { kind: 'undefined' };
    } else {
      val = evaluate(cx, init);
    }
    bind(cx, id, val, node.kind === 'const');
  }
}

function lowerIf(cx: Context, node: syntax.IfStatement): void {
  const { yes, no } = condition(cx, node.test);
  const done: Exit[] = [];
  cx.join(yes, cx.at(node));
  if (cx.b.live) lowerBlock(cx, [node.consequent]);
  cx.leave(done);
  cx.join(no, cx.at(node));
  if (cx.b.live && node.alternate != null) lowerBlock(cx, [node.alternate]);
  cx.leave(done);
  cx.join(done, cx.at(node));
}

function lowerReturn(cx: Context, node: syntax.ReturnStatement): void {
  const { returns } = cx.frame;
  const at = cx.at(node);
  if (returns !== undefined) {
    const val: Val = node.argument == null ? { kind: 'undefined' } : evaluate(cx, node.argument);
    if (cx.b.current === undefined) return;
    returns.push({ exit: { block: cx.b.current, state: cx.state }, val });
    cx.b.current = undefined;
    return;
  }
  if (node.argument == null) {
    throw cx.fault(node, 'the program returns no verdict here', "Write return 'pass' or another verdict.");
  }
  returnVerdict(cx, node.argument, at);
}

/** Ends the program with the verdict of an expression. */
export function returnVerdict(cx: Context, node: syntax.Expression, at: number): void {
  if (node.type === 'ConditionalExpression') {
    const { yes, no } = condition(cx, node.test);
    cx.join(yes, at);
    if (cx.b.live) returnVerdict(cx, node.consequent, at);
    cx.join(no, at);
    if (cx.b.live) returnVerdict(cx, node.alternate, at);
    return;
  }
  const val = evaluate(cx, node);
  if (!cx.b.live) return;
  const verdict = verdictOf(cx, val);
  if (verdict === undefined) {
    throw cx.fault(
      node,
      `${describeVal(val)} is no verdict`,
      "Return 'pass', 'drop', 'tx', 'aborted' or what a redirect gives.",
    );
  }
  cx.b.return(verdict, at);
}

interface LoopParts {
  readonly test: syntax.Expression | null;
  readonly update?: syntax.Expression | null;
  readonly body: syntax.Statement;
  /** Whether the test comes before the first iteration. */
  readonly first: boolean;
}

function lowerFor(cx: Context, node: syntax.ForStatement, label: string | undefined): void {
  const outer = cx.frame.scope;
  cx.frame.scope = new Scope(outer);
  if (node.init != null) {
    if (node.init.type === 'VariableDeclaration') lowerDeclaration(cx, node.init);
    else evaluate(cx, node.init, true);
  }
  const parts: LoopParts = {
    test: node.test ?? null,
    update: node.update ?? null,
    body: node.body,
    first: true,
  };
  const trips = countTrips(cx, node);
  const { unroll } = cx.options;
  if (trips !== undefined && trips <= unroll && trips * bodySize(node.body) <= unroll * 24) {
    unrollLoop(cx, node, parts, trips, label);
  } else {
    lowerLoop(cx, node, parts, label);
  }
  cx.frame.scope = outer;
}

function unrollLoop(
  cx: Context,
  node: syntax.Node,
  parts: LoopParts,
  trips: number,
  label: string | undefined,
): void {
  const out: Exit[] = [];
  const at = cx.at(node);
  for (let i = 0; i <= trips && cx.b.live; i++) {
    if (parts.test !== null) {
      const { yes, no } = condition(cx, parts.test);
      out.push(...no);
      cx.join(yes, at);
    }
    if (!cx.b.live) break;
    const target: Target = { label, breaks: out, continues: [] };
    cx.frame.targets.push(target);
    lowerBlock(cx, [parts.body]);
    cx.frame.targets.pop();
    cx.leave(target.continues!);
    cx.join(target.continues!, at);
    if (cx.b.live && parts.update != null) evaluate(cx, parts.update, true);
  }
  cx.leave(out);
  cx.join(out, at);
}

/**
 * A loop that stays one, rotated: the test stands before the first iteration and again at the end of each.
 */
function lowerLoop(cx: Context, node: syntax.Node, parts: LoopParts, label: string | undefined): void {
  const at = cx.at(node);
  const out: Exit[] = [];
  if (parts.first && parts.test !== null) {
    const { yes, no } = condition(cx, parts.test);
    out.push(...no);
    cx.join(yes, at);
    if (!cx.b.live) {
      cx.join(out, at);
      return;
    }
  }
  const header = cx.b.graph.block();
  cx.b.graph.loopAt.set(header, at);
  const pre = cx.b.current!;
  cx.b.jump(pre, header, at);
  cx.b.current = header;
  const pieces = [parts.test, parts.update, parts.body];
  const phis = openLoop(cx, pieces, header, at);
  for (const map of writtenMaps(cx, pieces)) cx.outdate(map);
  const epoch = cx.state.epoch;
  cx.loops++;
  const target: Target = { label, breaks: out, continues: [] };
  cx.frame.targets.push(target);
  lowerBlock(cx, [parts.body]);
  cx.frame.targets.pop();
  cx.leave(target.continues!);
  cx.join(target.continues!, at);
  if (cx.b.live && parts.update != null) evaluate(cx, parts.update, true);
  if (cx.b.live && parts.test !== null) {
    const { yes, no } = condition(cx, parts.test);
    out.push(...no);
    cx.join(yes, at);
  }
  cx.loops--;
  if (cx.b.live) {
    if (cx.state.epoch !== epoch) {
      throw cx.fault(
        node,
        "the packet's ends move inside a loop that is not unrolled",
        'Move adjustHead, adjustTail and adjustMeta out of the loop, or give it a short constant bound.',
      );
    }
    closeLoop(cx, phis, header, node);
  }
  cx.join(out, at);
}

interface LoopVariable {
  readonly variable: Variable;
  readonly val: Val;
}

/** Gives a phi to every variable that the loop assigns. */
function openLoop(
  cx: Context,
  parts: readonly (syntax.Node | null | undefined)[],
  header: Block,
  at: number,
): LoopVariable[] {
  const names = assignedNames(parts);
  const opened: LoopVariable[] = [];
  const state = cx.cloneState();
  for (const name of names) {
    const variable = cx.frame.scope.find(name);
    const before = variable === undefined ? undefined : state.vars.get(variable);
    if (variable === undefined || before === undefined) continue;
    let val = before;
    if (before.kind === 'string') {
      const node = verdictOf(cx, before);
      if (node !== undefined) val = { kind: 'verdict', node };
    }
    val = openVal(cx, val, header, at);
    state.vars.set(variable, val);
    opened.push({ variable, val });
  }
  cx.state = state;
  return opened;
}

function openVal(cx: Context, val: Val, header: Block, at: number): Val {
  if (isScalar(val)) return { ...val, node: cx.b.phi(header, val.kind, [val.node], at) };
  if (val.kind === 'view') return { ...val, ptr: cx.b.phi(header, 'ptr', [val.ptr], at) };
  if (val.kind === 'header') return { ...val, base: cx.b.phi(header, 'num', [val.base], at) };
  if (val.kind === 'tuple') return { ...val, items: val.items.map((item) => openVal(cx, item, header, at)) };
  if (val.kind === 'object') {
    return { ...val, fields: new Map([...val.fields].map(([n, v]) => [n, openVal(cx, v, header, at)])) };
  }
  return val;
}

function closeLoop(cx: Context, opened: LoopVariable[], header: Block, node: syntax.Node): void {
  const latch = cx.b.current!;
  for (const { variable, val } of opened) closeVal(cx, val, cx.state.vars.get(variable), variable.name, node);
  cx.b.jump(latch, header, cx.at(node));
  cx.b.current = undefined;
}

function closeVal(cx: Context, open: Val, last: Val | undefined, name: string, node: syntax.Node): void {
  const end = open.kind === 'verdict' && last?.kind === 'string' ? verdictVal(cx, last) : last;
  if (end !== undefined && isScalar(open) && isScalar(end) && open.kind === end.kind) {
    open.node.args.push(end.node);
    return;
  }
  if (end !== undefined && open.kind === 'view') {
    if (end.kind === 'view' && end.layout === open.layout && end.off === open.off) {
      open.ptr.args.push(end.ptr);
      return;
    }
    if (end.kind === 'undefined') {
      open.ptr.args.push(cx.b.constant('ptr', 0));
      return;
    }
  }
  if (
    open.kind === 'header' &&
    end?.kind === 'header' &&
    end.layout === open.layout &&
    end.epoch === open.epoch
  ) {
    open.base.args.push(end.base);
    return;
  }
  if (open.kind === 'tuple' && end?.kind === 'tuple' && end.items.length === open.items.length) {
    for (const [i, item] of open.items.entries()) closeVal(cx, item, end.items[i], name, node);
    return;
  }
  if (open.kind === 'object' && end?.kind === 'object' && end.fields.size === open.fields.size) {
    for (const [field, item] of open.fields) closeVal(cx, item, end.fields.get(field), name, node);
    return;
  }
  if (end === open || (open.kind === 'undefined' && end?.kind === 'undefined')) return;
  throw cx.fault(
    node,
    `${name} is ${describeVal(open)} when the loop begins and ${end === undefined ? 'nothing' : describeVal(end)} after an iteration`,
    `Give ${name} a value of one kind before the loop, or declare it inside.`,
  );
}

function verdictVal(cx: Context, val: Val): Val {
  const node = verdictOf(cx, val);
  return node === undefined ? val : { kind: 'verdict', node };
}

function lowerForOf(cx: Context, node: syntax.ForOfStatement, label: string | undefined): void {
  const list = evaluate(cx, node.right);
  if (list.kind !== 'tuple') {
    throw cx.fault(
      node.right,
      `${describeVal(list)} cannot be iterated over`,
      'Iterate over an array of env or an array literal.',
    );
  }
  if (node.left.type !== 'VariableDeclaration') {
    throw cx.fault(node.left, 'the loop declares no variable', 'Write for (const x of …).');
  }
  const pattern = node.left.declarations[0]!.id;
  const out: Exit[] = [];
  const outer = cx.frame.scope;
  for (const item of list.items) {
    if (!cx.b.live) break;
    cx.frame.scope = new Scope(outer);
    bind(cx, pattern, item, node.left.kind === 'const');
    const target: Target = { label, breaks: out, continues: [] };
    cx.frame.targets.push(target);
    lowerBlock(cx, [node.body]);
    cx.frame.targets.pop();
    cx.leave(target.continues!);
    cx.join(target.continues!, cx.at(node));
    cx.frame.scope = outer;
  }
  cx.leave(out);
  cx.join(out, cx.at(node));
}

function lowerSwitch(cx: Context, node: syntax.SwitchStatement, label: string | undefined): void {
  const subject = evaluate(cx, node.discriminant);
  if (subject.kind !== 'num' && subject.kind !== 'big') {
    throw cx.fault(
      node.discriminant,
      `switch cannot tell apart ${describeVal(subject)}`,
      'Switch on a number or a bigint.',
    );
  }
  const at = cx.at(node);
  const out: Exit[] = [];
  const target: Target = { label, breaks: out, continues: undefined };
  /** The paths that enter each case from the tests. */
  const entries: Exit[][] = node.cases.map(() => []);
  let fallback = -1;
  node.cases.forEach((clause, i) => {
    if (clause.test == null) {
      fallback = i;
      return;
    }
    if (!cx.b.live) return;
    const test = evaluate(cx, clause.test);
    if (test.kind !== subject.kind) {
      throw cx.fault(
        clause.test,
        `${describeVal(test)} never equals ${describeVal(subject)}`,
        'Write cases of the same type.',
      );
    }
    const cond = cx.b.emit('eq', 'bool', [subject.node, test.node], cx.at(clause.test));
    if (cond.op === 'const') {
      if (cond.value === 1n) cx.leave(entries[i]!);
      return;
    }
    const state = cx.state;
    const { then, otherwise } = cx.b.branch(cond, cx.at(clause.test));
    entries[i]!.push({ block: then, state: cx.cloneState() });
    cx.state = state;
    cx.b.current = otherwise;
  });
  if (fallback >= 0) cx.leave(entries[fallback]!);
  else cx.leave(out);
  const outer = cx.frame.scope;
  cx.frame.scope = new Scope(outer);
  cx.frame.targets.push(target);
  node.cases.forEach((clause, i) => {
    const entering = entries[i]!;
    cx.leave(entering);
    cx.join(entering, at);
    for (const statement of clause.consequent) {
      if (!cx.b.live) break;
      lowerStatement(cx, statement);
    }
  });
  cx.frame.targets.pop();
  cx.frame.scope = outer;
  cx.leave(out);
  cx.join(out, at);
}

function lowerJump(cx: Context, node: syntax.BreakStatement | syntax.ContinueStatement): void {
  const name = node.label?.name;
  for (let i = cx.frame.targets.length - 1; i >= 0; i--) {
    const target = cx.frame.targets[i]!;
    if (name !== undefined && target.label !== name) continue;
    const exits = node.type === 'BreakStatement' ? target.breaks : target.continues;
    if (exits === undefined) continue;
    cx.leave(exits);
    return;
  }
  throw cx.fault(node, 'there is nothing to leave here', 'Write it inside a loop.');
}
