import { explainOption, showOption, usageLines } from './help.ts';
import { type Command, type CommandGroup, everywhere, type OptionTable, walk } from './table.ts';

/** `docs/cli.md`: the manual of every command, made from the table. */
export function manual(root: CommandGroup): string {
  const commands = [...walk(root)].flatMap(({ path, node }) =>
    node.type === 'command' ? [{ path, node }] : [],
  );
  const out = [
    `# The \`${root.name}\` command`,
    '',
    '<!-- Made from the command table by `npm run docs`; edit src/cli/commands instead. -->',
    '',
    ...paragraphs(root.description),
    '| Command | What it does |',
    '|---|---|',
    ...commands.map(
      ({ path, node }) => `| [\`${path.join(' ')}\`](#${[root.name, ...path].join('-')}) | ${node.summary} |`,
    ),
    '',
    'Options that every command takes:',
    '',
    ...optionTable(everywhere),
    '## Values',
    '',
    'Options and arguments may come in any order, options also before the name of the command. A value follows its',
    'option as the next word or after `=`; short options may be put together (`-vi2s`); `--` ends the options.',
    '',
    '## Output',
    '',
    'Tables are for people: columns are cut to the width of the terminal, and only there. With `--json` a command',
    'prints one JSON object a line and nothing else on its standard output; counters are exact whatever their size.',
    'Notes and errors go to the standard error output. Colours appear on a terminal only, and never with `NO_COLOR`',
    'set. When the reader of a pipe goes away, the command ends quietly with 0.',
    '',
    '## Exit codes',
    '',
    '| Code | Meaning |',
    '|---|---|',
    '| 0 | Done. |',
    '| 1 | It failed; one line on the standard error output says what and what to do. With `-v`, everything known. |',
    '| 2 | The command line cannot be what was meant; the line says what is near. |',
    '| 129, 130, 143 | Ended by SIGHUP, SIGINT (Ctrl-C) or SIGTERM, after everything was detached and closed: the process ends by that very signal, so that shells and service managers see the truth. |',
    '',
  ];
  for (const { path, node } of commands) out.push(...commandSection(root, path, node));
  return out.join('\n');
}

function commandSection(root: CommandGroup, path: readonly string[], node: Command): string[] {
  const out = [
    `## ${[root.name, ...path].join(' ')}`,
    '',
    `${node.summary}.`,
    '',
    '```',
    ...usageLines(root, path, node),
    '```',
    '',
    ...paragraphs(node.description),
  ];
  if (node.positionals.length > 0) {
    out.push('| Argument | Meaning | Accepts |', '|---|---|---|');
    for (const positional of node.positionals) {
      const count = positional.rest ? ', several' : '';
      const optional = positional.optional ? ', may be left out' : '';
      out.push(
        `| \`${positional.name.toUpperCase()}\` | ${cell(positional.summary)} | ${cell(positional.kind.accepts)}${count}${optional} |`,
      );
    }
    out.push('');
  }
  if (Object.keys(node.options).length > 0) out.push(...optionTable(node.options));
  if (node.examples !== undefined && node.examples.length > 0) {
    for (const { line, does } of node.examples) out.push(`${does}:`, '', '```', line, '```', '');
  }
  return out;
}

function optionTable(table: OptionTable): string[] {
  const out = ['| Option | Meaning | Accepts |', '|---|---|---|'];
  for (const [name, option] of Object.entries(table)) {
    const accepts = option.kind === 'flag' ? '' : option.kind.accepts;
    const explained = explainOption(option).replace(`(${accepts})`, '').replace(`(${accepts}; `, '(').trim();
    out.push(`| \`${showOption(name, option)}\` | ${cell(explained)} | ${cell(accepts)} |`);
  }
  out.push('');
  return out;
}

function paragraphs(texts: readonly string[] | undefined): string[] {
  return (texts ?? []).flatMap((text) => [text, '']);
}

function cell(text: string): string {
  return text.replace(/\|/g, '\\|');
}
