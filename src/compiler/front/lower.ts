import type { MapSpec } from '../../spec/index.ts';
import { Fault } from '../error.ts';
import type { Graph } from '../middle/ir.ts';
import { Context, type LowerOptions, Scope } from './context.ts';
import { evaluate } from './expression.ts';
import { validate } from './grammar.ts';
import type { Sources } from './parse.ts';
import { bind } from './pattern.ts';
import { lowerBlock, returnVerdict } from './statement.ts';
import type { Val } from './value.ts';

/** What lowering makes of a function. */
export interface Lowered {
  readonly graph: Graph;
  /** The maps of env, by their names there. */
  readonly maps: Readonly<Record<string, MapSpec>>;
}

/**
 * Turns a program's function into a graph.
 *
 * @throws Fault for whatever the language does not have.
 */
export function lower(
  name: string,
  env: object,
  fn: (...args: never[]) => unknown,
  sources: Sources,
  options: LowerOptions,
): Lowered {
  const parsed = sources.add(name, fn);
  const { syntax } = parsed;
  validate(syntax, parsed.base);
  const cx = new Context(sources, options, { evaluate, block: lowerBlock });
  cx.frames.push({ parsed, returns: undefined, scope: new Scope(undefined), targets: [] });
  const maps: Record<string, MapSpec> = {};
  const fields = new Map<string, Val>();
  for (const [key, value] of Object.entries(env)) fields.set(key, envVal(cx, `env.${key}`, value, maps));
  const values: Val[] = [{ kind: 'object', fields }, { kind: 'packet' }, { kind: 'kernel' }];
  syntax.params.forEach((param, i) => {
    const val = values[i];
    if (val === undefined) {
      throw cx.fault(param, 'a program has at most three parameters', 'They are env, pkt and kernel.');
    }
    bind(cx, param, val, true);
  });
  if (syntax.body.type === 'BlockStatement') {
    lowerBlock(cx, syntax.body.body);
    if (cx.b.live) {
      throw cx.fault(
        { start: syntax.body.end - 1 },
        'the function may end without a verdict',
        "Write return 'pass' or another verdict at the end.",
      );
    }
  } else {
    returnVerdict(cx, syntax.body, cx.at(syntax.body));
  }
  return { graph: cx.b.graph, maps };
}

/** What a value of env means inside the program. */
function envVal(cx: Context, path: string, value: unknown, maps: Record<string, MapSpec>): Val {
  const at = cx.frame.parsed.base;
  switch (typeof value) {
    case 'number':
      if (!Number.isSafeInteger(value)) {
        throw new Fault(
          at,
          `${path} is ${value}, no whole number below 2^53`,
          'Put whole numbers or bigints into env.',
        );
      }
      return { kind: 'num', node: cx.b.num(value) };
    case 'bigint':
      if (value >= 1n << 64n || value < -(1n << 63n)) {
        throw new Fault(at, `${path} does not fit into 64 bits`, 'Put a bigint below 2^64 into env.');
      }
      return { kind: 'big', node: cx.b.constant('big', value) };
    case 'boolean':
      return { kind: 'bool', node: cx.b.constant('bool', value ? 1 : 0) };
    case 'string':
      return { kind: 'string', text: value };
    case 'undefined':
      return { kind: 'undefined' };
    case 'function': {
      const fn = value as (...args: never[]) => unknown;
      const name = path.slice(4);
      return {
        kind: 'function',
        name,
        parsed: () => {
          const parsed = cx.sources.add(name, fn);
          validate(parsed.syntax, parsed.base);
          return parsed;
        },
      };
    }
    case 'object':
      break;
    default:
      throw new Fault(at, `${path} is a ${typeof value}`, 'Put maps, constants and functions into env.');
  }
  if (value === null) return { kind: 'undefined' };
  if (isMap(value)) {
    const key = path.slice(4);
    if (/[.[]/.test(key)) {
      throw new Fault(at, `${path} is a map inside another value`, 'Put maps directly into env.');
    }
    maps[key] = value;
    return { kind: 'map', spec: value, key };
  }
  if (ArrayBuffer.isView(value) && !(value instanceof DataView))
    value = Array.from(value as unknown as number[]);
  if (Array.isArray(value)) {
    return { kind: 'tuple', items: value.map((item, i) => envVal(cx, `${path}[${i}]`, item, maps)) };
  }
  const fields = new Map<string, Val>();
  for (const [key, item] of Object.entries(value as object))
    fields.set(key, envVal(cx, `${path}.${key}`, item, maps));
  return { kind: 'object', fields };
}

function isMap(value: object): value is MapSpec {
  return 'type' in value && 'maxEntries' in value && 'key' in value && 'value' in value;
}
