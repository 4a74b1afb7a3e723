import type * as syntax from 'acorn';
import type { Context } from './context.ts';
import type { Val } from './value.ts';
import { walk } from './walk.ts';

/** Names that some part of the loop assigns. */
export function assignedNames(parts: readonly (syntax.Node | null | undefined)[]): Set<string> {
  const names = new Set<string>();
  for (const part of parts) {
    if (part == null) continue;
    walk(part, (node) => {
      if (node.type === 'AssignmentExpression') collect(node.left, names);
      if (node.type === 'UpdateExpression') collect(node.argument, names);
    });
  }
  return names;
}

function collect(target: syntax.AnyNode, names: Set<string>): void {
  if (target.type === 'Identifier') names.add(target.name);
  if (target.type === 'ArrayPattern') for (const e of target.elements) if (e !== null) collect(e, names);
}

/** How much code the body is, in syntax nodes. */
export function bodySize(node: syntax.Node): number {
  let size = 0;
  walk(node, () => size++);
  return size;
}

/**
 * How often `for (let i = a; i < b; i += c)` runs at most, when a, b and c are constants here and the body leaves
 * `i` alone; further conditions joined by `&&` may end it earlier.
 */
export function countTrips(cx: Context, node: syntax.ForStatement): number | undefined {
  const { init, test, update, body } = node;
  if (test == null || update == null || init?.type !== 'VariableDeclaration') return undefined;
  const step = stepOf(cx, update);
  if (step === undefined || step.by === 0) return undefined;
  if (assignedNames([body, test]).has(step.name)) return undefined;
  const variable = cx.frame.scope.find(step.name);
  const start = variable === undefined ? undefined : cx.state.vars.get(variable);
  if (start?.kind !== 'num' || start.node.op !== 'const') return undefined;
  const bound = boundOf(cx, test, step.name);
  if (bound === undefined) return undefined;
  let i = Number(start.node.value);
  let trips = 0;
  while (holds(i, bound.operator, bound.limit)) {
    i += step.by;
    if (++trips > 4096) return undefined;
  }
  return trips;
}

function stepOf(cx: Context, update: syntax.Expression): { name: string; by: number } | undefined {
  if (update.type === 'UpdateExpression' && update.argument.type === 'Identifier') {
    return { name: update.argument.name, by: update.operator === '++' ? 1 : -1 };
  }
  if (update.type !== 'AssignmentExpression' || update.left.type !== 'Identifier') return undefined;
  const by = constantOf(cx, update.right);
  if (by === undefined) return undefined;
  if (update.operator === '+=') return { name: update.left.name, by };
  if (update.operator === '-=') return { name: update.left.name, by: -by };
  return undefined;
}

function boundOf(
  cx: Context,
  test: syntax.Expression,
  name: string,
): { operator: string; limit: number } | undefined {
  if (test.type === 'LogicalExpression' && test.operator === '&&') {
    return boundOf(cx, test.left, name) ?? boundOf(cx, test.right, name);
  }
  if (test.type !== 'BinaryExpression') return undefined;
  if (test.left.type === 'Identifier' && test.left.name === name) {
    const limit = constantOf(cx, test.right);
    return limit === undefined ? undefined : { operator: test.operator, limit };
  }
  return undefined;
}

function constantOf(cx: Context, node: syntax.Expression): number | undefined {
  if (node.type === 'Literal') return typeof node.value === 'number' ? node.value : undefined;
  if (node.type === 'UnaryExpression' && node.operator === '-') {
    const value = constantOf(cx, node.argument);
    return value === undefined ? undefined : -value;
  }
  if (node.type === 'Identifier') {
    const variable = cx.frame.scope.find(node.name);
    const val = variable === undefined ? undefined : cx.state.vars.get(variable);
    return variable?.constant === true && val?.kind === 'num' && val.node.op === 'const'
      ? Number(val.node.value)
      : undefined;
  }
  if (node.type === 'MemberExpression' && !node.computed && node.object.type === 'Identifier') {
    const variable = cx.frame.scope.find(node.object.name);
    const val = variable === undefined ? undefined : cx.state.vars.get(variable);
    const property = node.property.type === 'Identifier' ? node.property.name : '';
    if (val?.kind === 'tuple' && property === 'length') return val.items.length;
    if (val?.kind === 'object') {
      const field = val.fields.get(property);
      if (field?.kind === 'num' && field.node.op === 'const') return Number(field.node.value);
    }
  }
  return undefined;
}

function holds(i: number, operator: string, limit: number): boolean {
  switch (operator) {
    case '<':
      return i < limit;
    case '<=':
      return i <= limit;
    case '>':
      return i > limit;
    case '>=':
      return i >= limit;
    case '!==':
      return i !== limit;
    default:
      return false;
  }
}

/** Methods that write a map. */
const WRITES: ReadonlySet<string> = new Set(['set', 'insert', 'update', 'delete']);

const GLOBALS: ReadonlySet<string> = new Set(['BigInt', 'Number', 'Boolean']);

/**
 * The maps that parts of a program may write, helper functions that they call included; `undefined` among them where it
 * cannot be told which.
 */
export function writtenMaps(
  cx: Context,
  parts: readonly (syntax.Node | null | undefined)[],
): Set<string | undefined> {
  const maps = new Set<string | undefined>();
  const seen = new Set<object>();
  const valOf = (node: syntax.AnyNode, own: boolean): Val | undefined => {
    if (!own) return undefined;
    if (node.type === 'Identifier') {
      const variable = cx.frame.scope.find(node.name);
      return variable === undefined ? undefined : cx.state.vars.get(variable);
    }
    if (node.type !== 'MemberExpression' || node.property.type !== 'Identifier') return undefined;
    const of = valOf(node.object as syntax.AnyNode, own);
    return of?.kind === 'object' ? of.fields.get(node.property.name) : undefined;
  };
  const scan = (part: syntax.Node, own: boolean): void => {
    walk(part, (node) => {
      if (node.type !== 'CallExpression') return;
      const callee = node.callee as syntax.AnyNode;
      const called = valOf(callee, own);
      if (called?.kind === 'function') {
        const { syntax: fn, origin } = called.parsed();
        if (!seen.has(origin)) {
          seen.add(origin);
          // What its parameters stand for is not known here.
          scan(fn.body, false);
        }
        return;
      }
      // A function among the parameters may do anything.
      if (callee.type === 'Identifier' && called === undefined && !GLOBALS.has(callee.name))
        maps.add(undefined);
      if (callee.type !== 'MemberExpression' || callee.property.type !== 'Identifier') return;
      if (!WRITES.has(callee.property.name)) return;
      const of = valOf(callee.object as syntax.AnyNode, own);
      maps.add(of?.kind === 'map' ? of.spec.name : undefined);
    });
  };
  for (const part of parts) if (part != null) scan(part, true);
  return maps;
}
