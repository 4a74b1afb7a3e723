import {
  type Command,
  type CommandGroup,
  type CommandNode,
  everywhere,
  type Option,
  type OptionTable,
  type Positional,
  walk,
} from './table.ts';
import { widthOf, wrap } from './text.ts';

/** The help page of a command or group, as lines joined by newlines. */
export function helpPage(
  root: CommandGroup,
  path: readonly string[],
  node: CommandNode,
  width: number,
): string {
  const lines = [...wrap(`${[root.name, ...path].join(' ')}: ${node.summary}`, width), ''];
  lines.push('Usage:', ...usageLines(root, path, node).map((line) => `  ${line}`));
  for (const paragraph of node.description ?? []) lines.push('', ...wrap(paragraph, width));
  if (node.type === 'group') lines.push(...groupPart(root, path, node, width));
  else lines.push(...commandPart(node, width));
  return `${lines.join('\n')}\n`;
}

/** `barewire count [OPTION...] INTERFACE`. */
export function usageLines(root: CommandGroup, path: readonly string[], node: CommandNode): string[] {
  const start = [root.name, ...path].join(' ');
  if (node.type === 'group') return [`${start} COMMAND [OPTION...]`];
  return [[start, '[OPTION...]', ...node.positionals.map(showPositional)].join(' ')];
}

export function showPositional(positional: Positional): string {
  const name = positional.name.toUpperCase() + (positional.rest ? '...' : '');
  return positional.optional ? `[${name}]` : name;
}

/** `-i, --interval DURATION`. */
export function showOption(name: string, option: Option): string {
  const names = [
    ...(option.short === undefined ? [] : [`-${option.short}`]),
    ...[name, ...(option.aliases ?? [])].map((long) => `--${long}`),
  ].join(', ');
  return option.kind === 'flag' ? names : `${names} ${option.placeholder ?? option.kind.placeholder}`;
}

/** Summary, then what the table knows beside it: choices, default, whether it repeats. */
export function explainOption(option: Option): string {
  if (option.kind === 'flag') return option.summary;
  const { completion } = option.kind;
  const facts = [
    ...(completion.from === 'words' ? [completion.words.join(', ')] : []),
    ...(option.default === undefined ? [] : [`default ${option.default}`]),
    ...(option.required ? ['needed'] : []),
    ...(option.repeated ? ['may be repeated'] : []),
  ];
  return facts.length === 0 ? option.summary : `${option.summary} (${facts.join('; ')})`;
}

function groupPart(root: CommandGroup, path: readonly string[], node: CommandGroup, width: number): string[] {
  const rows: [string, string][] = [];
  for (const { path: below, node: child } of walk(node)) {
    if (child.type === 'command') rows.push([below.join(' '), child.summary]);
  }
  const more = [root.name, 'help', ...path, 'COMMAND'].join(' ');
  return [
    '',
    'Commands:',
    ...twoColumns(rows, width),
    '',
    'Options everywhere:',
    ...optionRows(everywhere, width),
    '',
    `${more} tells more about one command.`,
  ];
}

function commandPart(node: Command, width: number): string[] {
  const lines: string[] = [];
  if (node.positionals.length > 0) {
    const rows = node.positionals.map(({ name, summary, kind }): [string, string] => {
      const choices = kind.completion.from === 'words' ? ` (${kind.completion.words.join(', ')})` : '';
      return [name.toUpperCase(), summary + choices];
    });
    lines.push('', 'Arguments:', ...twoColumns(rows, width));
  }
  if (Object.keys(node.options).length > 0) lines.push('', 'Options:', ...optionRows(node.options, width));
  lines.push('', 'Options everywhere:', ...optionRows(everywhere, width));
  if (node.examples !== undefined && node.examples.length > 0) {
    lines.push('', 'Examples:');
    for (const { line, does } of node.examples) {
      lines.push(...wrap(`${does}:`, width - 2).map((text) => `  ${text}`), `    ${line}`);
    }
  }
  return lines;
}

function optionRows(table: OptionTable, width: number): string[] {
  return twoColumns(
    Object.entries(table).map(([name, option]): [string, string] => {
      const shown = showOption(name, option);
      return [option.short === undefined ? `    ${shown}` : shown, explainOption(option)];
    }),
    width,
  );
}

/** Terms on the left, explanations wrapped on the right; a term too long for its column gets a line of its own. */
function twoColumns(rows: readonly (readonly [string, string])[], width: number): string[] {
  const column = Math.min(Math.max(0, ...rows.map(([term]) => widthOf(term))), Math.max(12, width >> 1), 34);
  const indent = ' '.repeat(column + 4);
  return rows.flatMap(([term, explanation]) => {
    const lines = wrap(explanation, Math.max(20, width - indent.length)).map((line) => indent + line);
    if (widthOf(term) > column) return [`  ${term}`, ...lines];
    return [`  ${term.padEnd(column)}  ${(lines[0] ?? '').trimStart()}`, ...lines.slice(1)];
  });
}
