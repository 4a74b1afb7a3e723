/** What a piece of a program stands for; pieces of one kind can take each other's place. */
export type Kind = 'num' | 'big' | 'bool' | 'verdict' | 'statement' | 'block' | 'other';

/** A piece of source text with smaller pieces in it: all that printing and shrinking need to know of a program. */
export interface Tree {
  readonly kind: Kind;
  readonly parts: readonly (string | Tree)[];
}

export function tree(kind: Kind, ...parts: readonly (string | Tree)[]): Tree {
  return { kind, parts };
}

/** Several statements. */
export function block(statements: readonly Tree[]): Tree {
  return { kind: 'block', parts: statements };
}

/** The source text, indented by its braces. */
export function print(root: Tree): string {
  let depth = 0;
  return flat(root)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => {
      if (/^[}\])]/.test(line)) depth--;
      const indented = '  '.repeat(Math.max(0, depth)) + line;
      if (/[{[(]$/.test(line)) depth++;
      return indented;
    })
    .join('\n');
}

function flat(node: Tree): string {
  const texts = node.parts.map((part) => (typeof part === 'string' ? part : flat(part)));
  return node.kind === 'block' ? `\n${texts.join('\n')}\n` : texts.join('');
}

/** How much a tree holds. */
export function size(node: Tree): number {
  return node.parts.reduce((sum, part) => sum + (typeof part === 'string' ? part.length / 8 : size(part)), 1);
}

/** Every tree that is one step simpler, the boldest steps first. */
export function* simpler(root: Tree): Generator<Tree> {
  for (const step of steps(root)) if (size(step) < size(root)) yield step;
}

function* steps(node: Tree): Generator<Tree> {
  if (node.kind === 'block') yield* fewer(node);
  else yield* replacements(node);
  for (const [i, part] of node.parts.entries()) {
    if (typeof part === 'string') continue;
    for (const step of steps(part)) yield { ...node, parts: node.parts.with(i, step) };
  }
}

/** A block with statements left out: halves, quarters, … one by one; then with one replaced by what it holds. */
function* fewer(node: Tree): Generator<Tree> {
  const { parts } = node;
  for (let chunk = parts.length; chunk >= 1; chunk = chunk === 1 ? 0 : Math.ceil(chunk / 2)) {
    for (let from = 0; from < parts.length; from += chunk) {
      yield block([...parts.slice(0, from), ...parts.slice(from + chunk)] as Tree[]);
    }
  }
  for (const [i, part] of parts.entries()) {
    for (const inner of descendants(part as Tree, 'block')) {
      yield block([...parts.slice(0, i), ...inner.parts, ...parts.slice(i + 1)] as Tree[]);
    }
  }
}

const SMALLEST: Partial<Record<Kind, readonly string[]>> = {
  num: ['0', '1', '255'],
  big: ['0n', '1n', '255n'],
  bool: ['false', 'true'],
  verdict: ["'pass'", "'drop'"],
};

function* replacements(node: Tree): Generator<Tree> {
  const smallest = SMALLEST[node.kind];
  if (smallest === undefined) return;
  for (const text of smallest) yield tree(node.kind, text);
  for (const part of node.parts) {
    if (typeof part !== 'string') yield* descendants(part, node.kind);
  }
}

function* descendants(node: Tree, kind: Kind): Generator<Tree> {
  if (node.kind === kind) yield node;
  for (const part of node.parts) if (typeof part !== 'string') yield* descendants(part, kind);
}
