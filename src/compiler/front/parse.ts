import { type Expression, parseExpressionAt, type Function as SyntaxFunction } from 'acorn';
import { Fault } from '../error.ts';
import { walk } from './walk.ts';

/** A function's text, parsed, with its place among all texts of one compilation. */
export interface ParsedFunction {
  readonly name: string;
  readonly text: string;
  /** What is added to a position within `text` to get a position of the compilation. */
  readonly base: number;
  readonly syntax: SyntaxFunction;
  /** The function object it came from, whose definition site the loader may know. */
  readonly origin: object;
}

/** All texts of one compilation; positions run through them like through one file. */
export class Sources {
  readonly functions: ParsedFunction[] = [];
  #next = 0;

  /** @throws Fault for whatever is no function of the language. */
  add(name: string, fn: (...args: never[]) => unknown): ParsedFunction {
    const known = this.functions.find((f) => f.origin === fn);
    if (known !== undefined) return known;
    const text = Function.prototype.toString.call(fn);
    const base = this.#next;
    this.#next += text.length + 1;
    const placeholder = { name, text, base, syntax: undefined as unknown as SyntaxFunction, origin: fn };
    const index = this.functions.push(placeholder) - 1;
    const parsed: ParsedFunction = { ...placeholder, syntax: parseFunction(name, text, base) };
    this.functions[index] = parsed;
    return parsed;
  }

  /** The text that a position lies in. */
  of(position: number): ParsedFunction {
    let found = this.functions[0]!;
    for (const fn of this.functions) if (fn.base <= position) found = fn;
    return found;
  }
}

function parseFunction(name: string, text: string, base: number): SyntaxFunction {
  if (/\{\s*\[native code\]\s*\}\s*$/.test(text)) {
    throw new Fault(
      base,
      `${name} has no source text: it is a native or bound function`,
      'Pass the function itself, written in place, without bind().',
    );
  }
  const suspect = manipulated(text);
  let expression: Expression;
  try {
    expression = parseText(text);
  } catch (error) {
    if (suspect !== undefined) throw new Fault(base, suspect.reason, suspect.instead);
    const at = (error as { pos?: number }).pos ?? 0;
    throw new Fault(
      base + at,
      `this is no JavaScript function: ${(error as Error).message}`,
      'Pass an arrow function or a function expression.',
    );
  }
  if (expression.type === 'ObjectExpression') {
    const property = expression.properties[0];
    if (property?.type === 'Property' && property.value.type === 'FunctionExpression')
      expression = property.value;
  }
  if (expression.type !== 'ArrowFunctionExpression' && expression.type !== 'FunctionExpression') {
    throw new Fault(base, `${name} is no function`, 'Pass an arrow function or a function expression.');
  }
  if (expression.async === true || expression.generator === true) {
    throw new Fault(
      base,
      `${name} is ${expression.async === true ? 'asynchronous' : 'a generator'}`,
      'Write a plain function: a packet is decided on at once.',
    );
  }
  if (suspect !== undefined) throw new Fault(base, suspect.reason, suspect.instead);
  return expression;
}

function parseText(text: string): Expression {
  const options = { ecmaVersion: 2023, sourceType: 'module' } as const;
  try {
    return parseExpressionAt(text, 0, options);
  } catch (error) {
    // A method of an object literal is no expression by itself; its positions are two too far then.
    const open = '({';
    try {
      const expression = parseExpressionAt(`${open}${text}})`, 0, options);
      shift(expression, open.length);
      return expression;
    } catch {
      throw error;
    }
  }
}

/** Moves all positions back by what was put in front of the text. */
function shift(expression: Expression, by: number): void {
  walk(expression, (node) => {
    node.start -= by;
    node.end -= by;
  });
}

/** Why the text is not what its author wrote, if it is not. */
function manipulated(text: string): { reason: string; instead: string } | undefined {
  const instead = 'Compile it ahead of time with `barewire compile` and load the artefact it makes.';
  if (/\bcov_[0-9a-z]{6,}|__cov_|__coverage__|\$_\$wf\(|_\$jscoverage/i.test(text)) {
    return { reason: 'a coverage tool has instrumented this function', instead };
  }
  const lines = text.split('\n').length;
  const dense = text.length / lines > 160 && (text.match(/\s/g)?.length ?? 0) / text.length < 0.1;
  if (dense || /[^\w]!0\b|[^\w]!1\b|\bvoid 0\b/.test(text)) {
    return { reason: 'a minifier has rewritten this function', instead };
  }
  return undefined;
}
