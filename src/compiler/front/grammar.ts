import type * as syntax from 'acorn';
import { Fault } from '../error.ts';
import { walk } from './walk.ts';

/**
 * The grammar is closed: these are all the syntax nodes of the language. Everything else is refused wherever it
 * stands, also in code that constants of env leave out.
 */
const LANGUAGE: ReadonlySet<string> = new Set([
  ...['BlockStatement', 'EmptyStatement', 'ExpressionStatement', 'VariableDeclaration', 'VariableDeclarator'],
  ...[
    'IfStatement',
    'ReturnStatement',
    'ForStatement',
    'WhileStatement',
    'DoWhileStatement',
    'ForOfStatement',
  ],
  ...['SwitchStatement', 'SwitchCase', 'BreakStatement', 'ContinueStatement', 'LabeledStatement'],
  ...['Literal', 'Identifier', 'ParenthesizedExpression', 'UnaryExpression', 'BinaryExpression'],
  ...[
    'LogicalExpression',
    'ConditionalExpression',
    'AssignmentExpression',
    'UpdateExpression',
    'MemberExpression',
  ],
  ...['CallExpression', 'ArrayExpression', 'ObjectExpression', 'Property', 'ObjectPattern', 'ArrayPattern'],
  ...['SequenceExpression'],
]);

const INSTEAD: Readonly<Record<string, readonly [string, string]>> = {
  ArrowFunctionExpression: ['functions cannot be made inside a program', 'Put the helper function into env.'],
  FunctionExpression: ['functions cannot be made inside a program', 'Put the helper function into env.'],
  FunctionDeclaration: ['functions cannot be made inside a program', 'Put the helper function into env.'],
  ClassDeclaration: ['programs have no classes', 'Use functions and maps.'],
  ClassExpression: ['programs have no classes', 'Use functions and maps.'],
  NewExpression: ['programs create no objects', 'Keep state in maps and numbers in variables.'],
  ThrowStatement: ['programs throw nothing', "Return 'aborted' or another verdict."],
  TryStatement: ['programs catch nothing', 'A short packet gives onShort; everything else is a value.'],
  ForInStatement: ['there is nothing to enumerate', 'Write for (const x of list) over an array of env.'],
  TemplateLiteral: ['strings exist only as verdicts', "Write a verdict such as 'pass'."],
  TaggedTemplateExpression: ['strings exist only as verdicts', "Write a verdict such as 'pass'."],
  AwaitExpression: ['a program cannot wait', 'Decide on the packet at once.'],
  YieldExpression: ['a program cannot wait', 'Decide on the packet at once.'],
  ThisExpression: ["'this' means nothing inside a program", 'Pass what you need through env.'],
  Super: ['programs have no classes', 'Use functions and maps.'],
  ChainExpression: [
    'optional chaining is not part of the language',
    'Write if (!x) return … and then x.field.',
  ],
  SpreadElement: ['spreads are not part of the language', 'Write each element.'],
  RestElement: ['rest patterns are not part of the language', 'Write plain names.'],
  AssignmentPattern: ['default values are not part of the language', 'Pass the value.'],
  DebuggerStatement: [
    'the kernel has no debugger',
    'Leave it out; run the function in Node to step through it.',
  ],
  WithStatement: ["'with' is not part of the language", 'Write the fields out.'],
  ImportExpression: ['a program loads nothing', 'Pass what you need through env.'],
  MetaProperty: ['a program has no module of its own', 'Pass what you need through env.'],
};

/** @throws Fault at the first syntax node that the language does not have. */
export function validate(fn: syntax.Function, base: number): void {
  for (const part of [...fn.params, fn.body]) {
    walk(part, (node) => {
      if (LANGUAGE.has(node.type)) {
        literalOnly(node, base);
        return;
      }
      const [reason, instead] = INSTEAD[node.type] ?? [
        `${node.type} is not part of the language`,
        'See docs/xdp-in-typescript.md for what is.',
      ];
      throw new Fault(base + node.start, reason, instead);
    });
  }
}

function literalOnly(node: syntax.AnyNode, base: number): void {
  if (node.type === 'Literal' && node.regex !== undefined) {
    throw new Fault(base + node.start, 'there are no regular expressions', 'Compare bytes and numbers.');
  }
  if (node.type === 'VariableDeclaration' && node.kind === 'var') {
    throw new Fault(base + node.start, "'var' is not part of the language", "Write 'let' or 'const'.");
  }
}
