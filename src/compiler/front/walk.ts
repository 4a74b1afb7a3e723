import type * as syntax from 'acorn';

/** Visits a syntax tree from the top. */
export function walk(node: syntax.Node, visit: (node: syntax.AnyNode) => void): void {
  visit(node as syntax.AnyNode);
  const fields = node as unknown as Record<string, unknown>;
  for (const key in fields) {
    const child = fields[key];
    if (typeof child !== 'object' || child === null || key === 'regex') continue;
    if (Array.isArray(child)) {
      for (const item of child) if (isNode(item)) walk(item, visit);
    } else if (isNode(child)) {
      walk(child, visit);
    }
  }
}

function isNode(value: unknown): value is syntax.Node {
  return typeof value === 'object' && value !== null && 'type' in value;
}
