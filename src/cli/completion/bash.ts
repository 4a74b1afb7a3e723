import type { Completion } from '../kinds.ts';
import { type CommandGroup, walk } from '../table.ts';
import { optionsAt, optionWords } from './options.ts';

/** A completion script for bash >= 4 that needs nothing else, not even the bash-completion package. */
export function bashCompletion(root: CommandGroup): string {
  const nodes = [...walk(root)];
  const names = {
    commands: [] as string[],
    options: [] as string[],
    values: [] as string[],
    operands: [] as string[],
  };
  for (const { path, node } of nodes) {
    const at = quote(path.join(' '));
    if (node.type === 'group') {
      names.commands.push(`    ${at}) REPLY='${node.commands.map((child) => child.name).join(' ')}' ;;`);
    } else {
      node.positionals.forEach((positional, index) => {
        const pattern = quote(`${path.join(' ')}:${index}`);
        const repeated = positional.rest ? `|${quote(`${path.join(' ')}:`)}*` : '';
        names.operands.push(
          `    ${pattern}${repeated}) REPLY=${quote(source(root, positional.kind.completion))} ;;`,
        );
      });
    }
    const words: string[] = [];
    for (const [name, option] of Object.entries(optionsAt(node))) {
      words.push(...optionWords(name, option));
      if (option.kind === 'flag') continue;
      const patterns = optionWords(name, option).map((word) => quote(`${path.join(' ')}:${word}`));
      names.values.push(`    ${patterns.join('|')}) REPLY=${quote(source(root, option.kind.completion))} ;;`);
    }
    names.options.push(`    ${at}) REPLY=${quote(words.join(' '))} ;;`);
  }
  return `# bash completion for ${root.name}, made by: ${root.name} completion bash

# The commands below the command path $1.
__${root.name}_commands() {
  REPLY=
  case $1 in
${names.commands.join('\n')}
  esac
}

# The options of the command path $1.
__${root.name}_options() {
  REPLY=
  case $1 in
${names.options.join('\n')}
  esac
}

# Where the value of option $2 of the command path $1 comes from; fails if it takes none.
__${root.name}_value() {
  REPLY=
  case $1:$2 in
${names.values.join('\n')}
    *) return 1 ;;
  esac
}

# Where argument number $2 of the command path $1 comes from.
__${root.name}_operand() {
  REPLY=
  case $1:$2 in
${names.operands.join('\n')}
  esac
}

# Candidates are compared here and not by compgen -W, which would run what a name like $(...) says.
__${root.name}_offer() {
  local word
  for word in "$@"; do
    [[ $word == "$cur"* ]] && COMPREPLY+=("$prefix$word")
  done
}

__${root.name}_candidates() {
  local path name
  case $1 in
    words:*)
      local -a list
      read -ra list <<<"\${1#words:}"
      __${root.name}_offer "\${list[@]}"
      ;;
    interfaces)
      if [[ -n $netns ]]; then
        while read -r name _; do
          __${root.name}_offer "\${name%%@*}"
        done < <(ip -n "$netns" -br link 2>/dev/null)
      else
        for path in /sys/class/net/*; do
          [[ -e $path/ifindex ]] && __${root.name}_offer "\${path##*/}"
        done
      fi
      ;;
    namespaces)
      for path in /run/netns/*; do
        [[ -e $path ]] && __${root.name}_offer "\${path##*/}"
      done
      ;;
    labs)
      for path in /run/barewire/labs/*.json; do
        name=\${path##*/}
        [[ -e $path ]] && __${root.name}_offer "\${name%.json}"
      done
      ;;
    files)
      compopt -o filenames 2>/dev/null
      while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -f -- "$cur")
      ;;
  esac
}

_${root.name}() {
  local REPLY prefix= netns= path= option= ended= word i count=0
  local cur=\${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  # What stands before the cursor: the command path, how many arguments, and an option that waits for its value.
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ -n $option ]]; then
      [[ $word == '=' ]] && continue
      [[ $option == --netns ]] && netns=$word
      option=
    elif [[ -z $ended && $word == -- ]]; then
      ended=1
    elif [[ -z $ended && $word == --netns=* ]]; then
      netns=\${word#*=}
    elif [[ -z $ended && $word == -?* ]]; then
      __${root.name}_value "$path" "$word" && option=$word
    else
      __${root.name}_commands "$path"
      if [[ " $REPLY " == *" $word "* ]]; then
        path=\${path:+$path }$word
      elif [[ $word != '=' ]]; then
        count=$((count + 1))
      fi
    fi
  done
  # --option=value is three words unless COMP_WORDBREAKS was changed.
  if [[ $cur == '=' ]]; then
    cur=
  elif [[ -z $option && $cur == --*=* ]] && __${root.name}_value "$path" "\${cur%%=*}"; then
    option=\${cur%%=*} prefix=\${cur%%=*}= cur=\${cur#*=}
  fi
  if [[ -n $option ]]; then
    __${root.name}_value "$path" "$option"
    __${root.name}_candidates "$REPLY"
  elif [[ -z $ended && $cur == -* ]]; then
    __${root.name}_options "$path"
    __${root.name}_candidates "words:$REPLY"
  else
    __${root.name}_commands "$path"
    if [[ -n $REPLY ]]; then
      __${root.name}_candidates "words:$REPLY"
    else
      __${root.name}_operand "$path" "$count"
      __${root.name}_candidates "$REPLY"
    fi
  fi
}

complete -F _${root.name} ${root.name}
`;
}

function source(root: CommandGroup, completion: Completion): string {
  if (completion.from === 'words') return `words:${completion.words.join(' ')}`;
  if (completion.from === 'commands') return `words:${root.commands.map((child) => child.name).join(' ')}`;
  return completion.from === 'nowhere' ? '' : completion.from;
}

function quote(text: string): string {
  return `'${text.replace(/'/g, `'\\''`)}'`;
}
