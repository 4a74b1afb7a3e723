import type { Completion } from '../kinds.ts';
import { type CommandGroup, type CommandNode, type Option, walk } from '../table.ts';
import { optionsAt, optionWords } from './options.ts';

/** A completion script for zsh: a file named `_barewire` in a folder of `$fpath`, or sourced. */
export function zshCompletion(root: CommandGroup): string {
  const functions = [...walk(root)].map(({ path, node }) => commandFunction(root, path, node));
  const name = root.name;
  return `#compdef ${name}
# zsh completion for ${name}, made by: ${name} completion zsh

__${name}_interfaces() {
  local -a names
  local netns=\${opt_args[--netns]:-}
  if [[ -n $netns ]]; then
    names=(\${\${\${(f)"$(ip -n "$netns" -br link 2>/dev/null)"}%% *}%%@*})
  else
    names=(/sys/class/net/*/ifindex(N:h:t))
  fi
  compadd -a names
}

__${name}_namespaces() {
  local -a names
  names=(/run/netns/*(N:t))
  compadd -a names
}

__${name}_labs() {
  local -a names
  names=(/run/barewire/labs/*.json(N:t:r))
  compadd -a names
}

${functions.join('\n')}
if [[ $funcstack[1] == _${name} ]]; then
  _${name} "$@"
else
  compdef _${name} ${name}
fi
`;
}

function commandFunction(root: CommandGroup, path: readonly string[], node: CommandNode): string {
  const lines = Object.entries(optionsAt(node)).map(([name, option]) => optionSpec(root, name, option));
  const name = ['', root.name, ...path].join('_');
  if (node.type === 'command') {
    node.positionals.forEach((positional, index) => {
      const place = positional.rest ? '*' : `${index + 1}`;
      const gap = positional.optional ? '::' : ':';
      lines.push(quote(`${place}${gap}${positional.name}:${action(root, positional.kind.completion)}`));
    });
    return `${name}() {
  _arguments -s -S \\
${lines.map((line) => `    ${line}`).join(' \\\n')}
}
`;
  }
  const commands = node.commands.map((child) => quote(`${child.name}:${child.summary}`));
  return `${name}() {
  local curcontext=$curcontext state line
  typeset -A opt_args
  # What stands behind the command is the command's.
  _arguments -C -s -A '-*' \\
${lines.map((line) => `    ${line}`).join(' \\\n')} \\
    '1: :->command' '*:: :->rest'
  case $state in
    command)
      local -a commands
      commands=(
${commands.map((line) => `        ${line}`).join('\n')}
      )
      _describe command commands
      ;;
    rest)
      (( $+functions[${name}_$words[1]] )) && ${name}_$words[1]
      ;;
  esac
}
`;
}

function optionSpec(root: CommandGroup, name: string, option: Option): string {
  const words = optionWords(name, option);
  const once =
    option.kind !== 'flag' && option.repeated ? '*' : words.length > 1 ? `(${words.join(' ')})` : '';
  const explained = `[${option.summary.replace(/([[\]\\:])/g, '\\$1')}]`;
  const value =
    option.kind === 'flag'
      ? ''
      : `:${option.placeholder ?? option.kind.placeholder}:${action(root, option.kind.completion)}`;
  return words
    .map((word) => {
      // `--option=` takes its value behind = or as the next word, `-o+` in the same word or the next.
      const form = value === '' ? word : word.startsWith('--') ? `${word}=` : `${word}+`;
      return quote(`${once}${form}${explained}${value}`);
    })
    .join(' ');
}

function action(root: CommandGroup, completion: Completion): string {
  switch (completion.from) {
    case 'nowhere':
      return ' ';
    case 'words':
      return `(${completion.words.join(' ')})`;
    case 'commands':
      return `(${root.commands.map((child) => child.name).join(' ')})`;
    case 'files':
      return '_files';
    case 'interfaces':
    case 'namespaces':
    case 'labs':
      return `__${root.name}_${completion.from}`;
  }
}

function quote(text: string): string {
  return `'${text.replace(/'/g, `'\\''`)}'`;
}
