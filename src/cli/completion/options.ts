import { type CommandNode, everywhere, type Option, type OptionTable, optionsOf, walk } from '../table.ts';

/** The options that may stand behind a command; before one, those of every command below it. */
export function optionsAt(node: CommandNode): OptionTable {
  if (node.type === 'command') return optionsOf(node);
  const all: Record<string, Option> = {};
  for (const { node: below } of walk(node)) {
    if (below.type === 'command')
      for (const [name, option] of Object.entries(below.options)) all[name] ??= option;
  }
  return { ...all, ...everywhere };
}

/** An option as it is typed: `--interval`, its aliases, `-i`. */
export function optionWords(name: string, option: Option): string[] {
  return [
    ...[name, ...(option.aliases ?? [])].map((long) => `--${long}`),
    ...(option.short === undefined ? [] : [`-${option.short}`]),
  ];
}
