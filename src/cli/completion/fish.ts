import type { Completion } from '../kinds.ts';
import { type CommandGroup, type Option, walk } from '../table.ts';
import { optionsAt, optionWords } from './options.ts';

/** A completion script for fish. */
export function fishCompletion(root: CommandGroup): string {
  const name = root.name;
  const paths: string[] = [];
  const values = new Set<string>();
  const lines: string[] = [];
  for (const { path, node } of walk(root)) {
    const at = path.join(' ');
    if (at !== '') paths.push(at);
    const when = `-n ${quote(`__${name}_at ${quote(at)}`)}`;
    for (const [long, option] of Object.entries(optionsAt(node))) {
      if (option.kind !== 'flag') for (const word of optionWords(long, option)) values.add(word);
      lines.push(`complete -c ${name} ${when} ${optionPart(root, long, option)}`);
    }
    if (node.type === 'group') {
      for (const child of node.commands) {
        lines.push(`complete -c ${name} ${when} -a ${child.name} -d ${quote(child.summary)}`);
      }
      continue;
    }
    node.positionals.forEach((positional, index) => {
      const here = positional.rest ? `__${name}_at ${quote(at)}` : `__${name}_at ${quote(at)} ${index}`;
      const candidates = valuePart(root, positional.kind.completion);
      if (candidates !== '') lines.push(`complete -c ${name} -n ${quote(here)} ${candidates}`);
    });
  }
  return `# fish completion for ${name}, made by: ${name} completion fish

# Whether the words before the cursor come to the command path $argv[1], and to $argv[2] arguments if that is given.
function __${name}_at
    set -l paths ${paths.map(quote).join(' ')}
    set -l valued ${[...values].map(quote).join(' ')}
    set -l path ''
    set -l count 0
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if string match -q -- '-*' $word
            contains -- $word $valued; and set skip 1
        else
            set -l below (string trim -- "$path $word")
            if contains -- $below $paths
                set path $below
            else
                set count (math $count + 1)
            end
        end
    end
    test "$path" = "$argv[1]"; or return 1
    test (count $argv) -lt 2; or test $count = $argv[2]
end

function __${name}_interfaces
    for path in /sys/class/net/*/ifindex
        basename (dirname $path)
    end
end

function __${name}_namespaces
    for path in /run/netns/*
        basename $path
    end
end

function __${name}_labs
    for path in /run/barewire/labs/*.json
        basename $path .json
    end
end

complete -c ${name} -f
${lines.join('\n')}
`;
}

function optionPart(root: CommandGroup, name: string, option: Option): string {
  const names = [
    ...(option.short === undefined ? [] : [`-s ${option.short}`]),
    ...[name, ...(option.aliases ?? [])].map((long) => `-l ${long}`),
  ].join(' ');
  const value = option.kind === 'flag' ? '' : ` -x ${valuePart(root, option.kind.completion)}`.trimEnd();
  return `${names}${value} -d ${quote(option.summary)}`;
}

function valuePart(root: CommandGroup, completion: Completion): string {
  switch (completion.from) {
    case 'nowhere':
      return '';
    case 'words':
      return `-a ${quote(completion.words.join(' '))}`;
    case 'commands':
      return `-a ${quote(root.commands.map((child) => child.name).join(' '))}`;
    case 'files':
      return '-F';
    case 'interfaces':
    case 'namespaces':
    case 'labs':
      return `-a '(__${root.name}_${completion.from})'`;
  }
}

/** In fish only the quote and the backslash are special between single quotes. */
function quote(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
