import type * as syntax from 'acorn';
import type { Node } from '../middle/ir.ts';
import { asNumber, boolToNum, fraction, whole } from './coerce.ts';
import type { Context, Exit } from './context.ts';
import { inline } from './inline.ts';
import { assignMember, readMember } from './member.ts';
import { callMethod } from './method.ts';
import { arithmetic, equality, order } from './operator.ts';
import { describeVal, type Val } from './value.ts';

/** Lowers an expression; with `discard`, for its effect alone. */
export function evaluate(cx: Context, node: syntax.Expression | syntax.Super, discard = false): Val {
  switch (node.type) {
    case 'Literal':
      return literal(cx, node);
    case 'TemplateLiteral':
      throw cx.fault(node, 'strings exist only as verdicts', "Write a verdict such as 'pass'.");
    case 'Identifier':
      return identifier(cx, node);
    case 'ParenthesizedExpression':
      return evaluate(cx, node.expression, discard);
    case 'UnaryExpression':
      return unary(cx, node);
    case 'BinaryExpression':
      return binary(cx, node);
    case 'LogicalExpression':
      return logical(cx, node);
    case 'ConditionalExpression':
      return conditional(cx, node);
    case 'AssignmentExpression':
      return assign(cx, node, discard);
    case 'UpdateExpression':
      return update(cx, node, discard);
    case 'MemberExpression':
      return member(cx, node);
    case 'CallExpression':
      return call(cx, node);
    case 'ArrayExpression':
      return {
        kind: 'tuple',
        items: node.elements.map((element) => {
          if (element === null || element.type === 'SpreadElement') {
            throw cx.fault(
              element ?? node,
              'holes and spreads are not part of the language',
              'Write each element.',
            );
          }
          return evaluate(cx, element);
        }),
      };
    case 'ObjectExpression':
      return objectLiteral(cx, node);
    case 'SequenceExpression':
      if (!discard)
        throw cx.fault(node, 'the comma operator is not part of the language', 'Write two statements.');
      for (const expression of node.expressions) evaluate(cx, expression, true);
      return { kind: 'undefined' };
    case 'ArrowFunctionExpression':
    case 'FunctionExpression':
      throw cx.fault(node, 'functions cannot be made inside a program', 'Put the helper function into env.');
    case 'ChainExpression':
      throw cx.fault(
        node,
        'optional chaining is not part of the language',
        'Write if (!x) return … and then x.field.',
      );
    case 'NewExpression':
      throw cx.fault(node, 'programs create no objects', 'Keep state in maps and numbers in variables.');
    case 'AwaitExpression':
    case 'YieldExpression':
      throw cx.fault(node, 'a program cannot wait', 'Decide on the packet at once.');
    case 'ThisExpression':
      throw cx.fault(node, "'this' means nothing inside a program", 'Pass what you need through env.');
    default:
      throw cx.fault(
        node,
        `${node.type} is not part of the language`,
        'See docs/xdp-in-typescript.md for what is.',
      );
  }
}

function literal(cx: Context, node: syntax.Literal): Val {
  const { value } = node;
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) {
      const reason = Number.isInteger(value)
        ? `${node.raw} is beyond 2^53`
        : `${node.raw} is no whole number`;
      throw cx.fault(node, reason, 'Write a whole number below 2^53, or a bigint such as 1n.');
    }
    return { kind: 'num', node: cx.b.num(value) };
  }
  if (typeof value === 'bigint') {
    if (value >= 1n << 64n)
      throw cx.fault(node, `${node.raw} is beyond 64 bits`, 'Write a bigint below 2^64.');
    return { kind: 'big', node: cx.b.constant('big', value) };
  }
  if (typeof value === 'boolean') return { kind: 'bool', node: cx.b.constant('bool', value ? 1 : 0) };
  if (typeof value === 'string') return { kind: 'string', text: value };
  if (node.raw === 'null') return { kind: 'undefined' };
  throw cx.fault(
    node,
    `${node.raw ?? 'this literal'} is not part of the language`,
    'Write numbers, bigints or booleans.',
  );
}

function identifier(cx: Context, node: syntax.Identifier): Val {
  const variable = cx.frame.scope.find(node.name);
  if (variable === undefined) {
    if (node.name === 'undefined') return { kind: 'undefined' };
    if (['Math', 'BigInt', 'Number', 'Boolean'].includes(node.name)) {
      return { kind: 'global', name: node.name as 'Math' };
    }
    if (node.name === 'NaN' || node.name === 'Infinity') {
      throw cx.fault(node, `${node.name} is no whole number`, 'Compare with a whole number instead.');
    }
    const { syntax: own } = cx.frame.parsed;
    if ('id' in own && own.id?.name === node.name) {
      throw cx.fault(node, `${node.name} calls itself`, 'Write a loop: programs have no recursion.');
    }
    throw cx.fault(
      node,
      `'${node.name}' comes from outside the function`,
      `Put ${node.name} into env and take it from the first parameter.`,
    );
  }
  const val = cx.state.vars.get(variable);
  if (val === undefined) {
    throw cx.fault(node, `'${node.name}' has no value here`, 'Give it one where it is declared.');
  }
  if (val.kind === 'mixed') {
    throw cx.fault(node, `'${node.name}' may be ${val.what}`, 'Keep to one kind of value in a variable.');
  }
  return val;
}

function objectLiteral(cx: Context, node: syntax.ObjectExpression): Val {
  const fields = new Map<string, Val>();
  for (const property of node.properties) {
    if (property.type !== 'Property' || property.computed || property.kind !== 'init' || property.method) {
      throw cx.fault(property, 'only plain fields belong into an object', 'Write { name: value }.');
    }
    const { key } = property;
    const name = key.type === 'Identifier' ? key.name : key.type === 'Literal' ? String(key.value) : '';
    fields.set(name, evaluate(cx, property.value));
  }
  return { kind: 'object', fields };
}

function unary(cx: Context, node: syntax.UnaryExpression): Val {
  const at = cx.at(node);
  if (node.operator === '!') return { kind: 'bool', node: fromCondition(cx, node) };
  if (node.operator === 'void' || node.operator === 'typeof' || node.operator === 'delete') {
    throw cx.fault(node, `'${node.operator}' is not part of the language`, deleteHint(node.operator));
  }
  const val = evaluate(cx, node.argument);
  if (node.operator === '-') {
    if (val.kind === 'big') {
      return { kind: 'big', node: cx.b.emit('sub', 'big', [cx.b.constant('big', 0), val.node], at) };
    }
    const x = asNumber(cx, val, node.argument);
    return { kind: 'num', node: cx.b.emit('sub', 'num', [cx.b.num(0), x], at) };
  }
  if (node.operator === '~') {
    if (val.kind === 'big') {
      return { kind: 'big', node: cx.b.emit('xor', 'big', [val.node, cx.b.constant('big', -1)], at) };
    }
    if (val.kind === 'quotient')
      return { kind: 'num', node: cx.b.emit('xor', 'num', [whole(cx, val), cx.b.num(-1)], at) };
    return {
      kind: 'num',
      node: cx.b.emit('xor', 'num', [asNumber(cx, val, node.argument), cx.b.num(-1)], at),
    };
  }
  if (val.kind === 'bool') return { kind: 'num', node: boolToNum(cx, val.node, at) };
  return { kind: 'num', node: asNumber(cx, val, node.argument) };
}

function deleteHint(operator: string): string {
  return operator === 'delete' ? 'Write map.delete(key).' : 'Leave it out.';
}

function binary(cx: Context, node: syntax.BinaryExpression): Val {
  if (node.left.type === 'PrivateIdentifier')
    throw cx.fault(node, 'programs have no classes', 'Write a function.');
  const { operator } = node;
  if (operator === '==' || operator === '!=') {
    const sides = [node.left, node.right];
    if (!sides.some((s) => s.type === 'Literal' && s.raw === 'null')) {
      throw cx.fault(node, `'${operator}' is not part of the language`, `Write '${operator}='.`);
    }
  }
  const left = evaluate(cx, node.left);
  const right = evaluate(cx, node.right);
  if (!cx.b.live) return { kind: 'undefined' };
  if (operator === '===' || operator === '!==' || operator === '==' || operator === '!=') {
    return equality(cx, node, left, right, operator.startsWith('!'));
  }
  if (operator === '<' || operator === '<=' || operator === '>' || operator === '>=') {
    return order(cx, node, left, right, operator);
  }
  return arithmetic(cx, operator, left, right, node, node.left, node.right);
}

/** The two ways out of a condition. */
export interface Ways {
  readonly yes: Exit[];
  readonly no: Exit[];
}

/** Lowers an expression whose truth decides where the program goes on. */
export function condition(cx: Context, node: syntax.Expression): Ways {
  if (node.type === 'ParenthesizedExpression') return condition(cx, node.expression);
  if (node.type === 'UnaryExpression' && node.operator === '!') {
    const { yes, no } = condition(cx, node.argument);
    return { yes: no, no: yes };
  }
  if (node.type === 'LogicalExpression' && node.operator !== '??') {
    const first = condition(cx, node.left);
    const and = node.operator === '&&';
    cx.join(and ? first.yes : first.no, cx.at(node));
    if (!cx.b.live) return first;
    const second = condition(cx, node.right);
    if (and) return { yes: second.yes, no: [...first.no, ...second.no] };
    return { yes: [...first.yes, ...second.yes], no: second.no };
  }
  const val = evaluate(cx, node);
  if (!cx.b.live) return { yes: [], no: [] };
  return truth(cx, val, node);
}

function truth(cx: Context, val: Val, node: syntax.Expression): Ways {
  const at = cx.at(node);
  const test = truthNode(cx, val, node);
  const exit = (): Exit[] => {
    const exits: Exit[] = [];
    cx.leave(exits);
    return exits;
  };
  if (test.op === 'const') return test.value !== 0n ? { yes: exit(), no: [] } : { yes: [], no: exit() };
  let cond = test;
  let negated = false;
  while (cond.op === 'not') {
    cond = cond.args[0]!;
    negated = !negated;
  }
  const state = cx.state;
  const pointer = nullTest(cond);
  if (pointer !== undefined && state.nonNull.has(pointer.ptr)) {
    const isTrue = (cond.op === 'ne') !== negated;
    return isTrue ? { yes: exit(), no: [] } : { yes: [], no: exit() };
  }
  const { then, otherwise } = cx.b.branch(cond, at);
  const thenState = cx.cloneState();
  if (pointer !== undefined) (cond.op === 'ne' ? thenState : state).nonNull.add(pointer.ptr);
  const whenTrue: Exit = { block: then, state: thenState };
  const whenFalse: Exit = { block: otherwise, state };
  return negated ? { yes: [whenFalse], no: [whenTrue] } : { yes: [whenTrue], no: [whenFalse] };
}

function nullTest(cond: Node): { ptr: Node } | undefined {
  if (cond.op !== 'eq' && cond.op !== 'ne') return undefined;
  const [a, b] = cond.args;
  return a!.type === 'ptr' && b!.op === 'const' ? { ptr: a! } : undefined;
}

function truthNode(cx: Context, val: Val, node: syntax.Expression): Node {
  const at = cx.at(node);
  switch (val.kind) {
    case 'bool':
      return val.node;
    case 'num':
    case 'big':
      return cx.b.emit('ne', 'bool', [val.node, cx.b.constant(val.kind, 0)], at);
    case 'view':
      return val.off === 0 && val.layout === val.map.value
        ? cx.b.emit('ne', 'bool', [val.ptr, cx.b.constant('ptr', 0)], at)
        : cx.b.constant('bool', 1);
    case 'undefined':
      return cx.b.constant('bool', 0);
    case 'quotient':
      throw fraction(cx, node);
    case 'verdict':
    case 'string':
      throw cx.fault(node, 'a verdict is always true', 'Keep a boolean of your own.');
    default:
      return cx.b.constant('bool', 1);
  }
}

/** A condition as a value. */
function fromCondition(cx: Context, node: syntax.Expression): Node {
  if (
    node.type === 'UnaryExpression' &&
    node.operator === '!' &&
    node.argument.type !== 'LogicalExpression'
  ) {
    const inner = truthNode(cx, evaluate(cx, node.argument), node.argument);
    return cx.b.emit('not', 'bool', [inner], cx.at(node));
  }
  const { yes, no } = condition(cx, node);
  const at = cx.at(node);
  if (no.length === 0 || yes.length === 0) {
    cx.join(no.length === 0 ? yes : no, at);
    return cx.b.constant('bool', no.length === 0 ? 1 : 0);
  }
  const both: Exit[] = [];
  cx.join(yes, at);
  cx.leave(both);
  cx.join(no, at);
  cx.leave(both);
  cx.join(both, at);
  return cx.b.phi(cx.b.current!, 'bool', [cx.b.constant('bool', 1), cx.b.constant('bool', 0)], at);
}

/** `a && b`, `a || b` as values: what JavaScript gives, where both sides are of one kind. */
function logical(cx: Context, node: syntax.LogicalExpression): Val {
  const at = cx.at(node);
  if (node.operator === '??') {
    throw cx.fault(node, "'??' is not part of the language", 'Write x === undefined ? a : b.');
  }
  const left = evaluate(cx, node.left);
  if (!cx.b.live) return left;
  const { yes, no } = truth(cx, left, node.left);
  const goOn = node.operator === '&&' ? yes : no;
  const decided = node.operator === '&&' ? no : yes;
  cx.join(goOn, at);
  if (!cx.b.live) {
    cx.join(decided, at);
    return left;
  }
  const right = evaluate(cx, node.right);
  if (decided.length === 0) return right;
  return meet(cx, [...decided.map((exit) => ({ exit, val: left })), ...open(cx, right)], node);
}

function conditional(cx: Context, node: syntax.ConditionalExpression): Val {
  const { yes, no } = condition(cx, node.test);
  const results: { exit: Exit; val: Val }[] = [];
  for (const [exits, branch] of [
    [yes, node.consequent],
    [no, node.alternate],
  ] as const) {
    cx.join(exits, cx.at(node));
    if (!cx.b.live) continue;
    const val = evaluate(cx, branch);
    results.push(...open(cx, val));
  }
  return meet(cx, results, node);
}

function open(cx: Context, val: Val): { exit: Exit; val: Val }[] {
  if (cx.b.current === undefined) return [];
  const exit = { block: cx.b.current, state: cx.state };
  cx.b.current = undefined;
  return [{ exit, val }];
}

/** Goes on where paths meet that each bring a value. */
function meet(cx: Context, results: { exit: Exit; val: Val }[], node: { start: number }): Val {
  const at = cx.at(node);
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
  if (val.kind === 'mixed') {
    throw cx.fault(node, `this may be ${val.what}`, 'Give both ways the same kind of value.');
  }
  return val;
}

function assign(cx: Context, node: syntax.AssignmentExpression, discard: boolean): Val {
  const { left, operator } = node;
  if (operator === '&&=' || operator === '||=' || operator === '??=') {
    throw cx.fault(node, `'${operator}' is not part of the language`, 'Write an if statement.');
  }
  const op = operator.slice(0, -1);
  if (left.type === 'MemberExpression') return assignMember(cx, node, left, op, discard);
  if (left.type === 'ArrayPattern' && op === '') {
    const right = evaluate(cx, node.right);
    left.elements.forEach((element, i) => {
      if (element?.type !== 'Identifier' || right.kind !== 'tuple') {
        throw cx.fault(node, 'only [a, b] = [x, y] is part of the language', 'Assign one after the other.');
      }
      assignVariable(cx, element, right.items[i] ?? { kind: 'undefined' });
    });
    return right;
  }
  if (left.type !== 'Identifier') {
    throw cx.fault(left, 'this cannot be assigned to', 'Assign to a variable or a field.');
  }
  let val: Val;
  if (op === '') {
    val = evaluate(cx, node.right);
  } else {
    const before = identifier(cx, left);
    val = arithmetic(cx, op, before, evaluate(cx, node.right), node, left, node.right);
    if (val.kind === 'quotient') throw fraction(cx, node);
  }
  if (cx.b.live) assignVariable(cx, left, val);
  return val;
}

function assignVariable(cx: Context, target: syntax.Identifier, val: Val): void {
  const variable = cx.frame.scope.find(target.name);
  if (variable === undefined) {
    throw cx.fault(
      target,
      `'${target.name}' comes from outside the function`,
      'Declare it inside, or keep the value in a map.',
    );
  }
  if (variable.constant) {
    throw cx.fault(target, `'${target.name}' is a constant`, 'Declare it with let.');
  }
  cx.state.vars.set(variable, val);
}

function update(cx: Context, node: syntax.UpdateExpression, discard: boolean): Val {
  const by = (val: Val): Val =>
    val.kind === 'big' ? { kind: 'big', node: cx.b.constant('big', 1) } : { kind: 'num', node: cx.b.num(1) };
  const operator = node.operator === '++' ? '+' : '-';
  if (node.argument.type === 'MemberExpression') {
    return assignMember(cx, node, node.argument, operator, discard);
  }
  if (node.argument.type !== 'Identifier')
    throw cx.fault(node, 'this cannot be counted', 'Count a variable.');
  const before = identifier(cx, node.argument);
  const after = arithmetic(cx, operator, before, by(before), node, node.argument, node);
  assignVariable(cx, node.argument, after);
  return node.prefix ? after : before;
}

function member(cx: Context, node: syntax.MemberExpression): Val {
  const of = evaluate(cx, node.object);
  if (!cx.b.live) return of;
  return readMember(cx, of, node);
}

function call(cx: Context, node: syntax.CallExpression): Val {
  if (node.optional) throw cx.fault(node, 'optional calls are not part of the language', 'Call it plainly.');
  const callee = evaluate(cx, node.callee);
  const args = node.arguments.map((arg) => {
    if (arg.type === 'SpreadElement')
      throw cx.fault(arg, 'spreads are not part of the language', 'Write each argument.');
    return arg;
  });
  if (callee.kind === 'function') {
    return inline(
      cx,
      node,
      callee,
      args.map((arg) => evaluate(cx, arg)),
    );
  }
  if (callee.kind === 'method' || callee.kind === 'global') return callMethod(cx, node, callee, args);
  throw cx.fault(
    node,
    `${describeVal(callee)} cannot be called`,
    'Call a helper function of env or a method.',
  );
}
