import { ArgumentError } from '../error.ts';
import { nearest } from '../nearest.ts';
import { UsageError } from './errors.ts';
import {
  type Command,
  type CommandGroup,
  type CommandNode,
  camel,
  type Option,
  type OptionTable,
  optionsOf,
  walk,
} from './table.ts';

/** What a command line asks for. */
export type Request =
  | {
      readonly action: 'run';
      readonly path: readonly string[];
      readonly command: Command;
      readonly options: Readonly<Record<string, unknown>>;
      readonly args: Readonly<Record<string, unknown>>;
    }
  | { readonly action: 'help'; readonly path: readonly string[]; readonly asked: boolean }
  | { readonly action: 'version' };

/**
 * Reads a command line by the table.
 *
 * Options and arguments may come in any order, options also before the command's name; `--` ends the options.
 *
 * @param argv Without the interpreter and the script.
 * @throws UsageError
 */
export function parse(root: CommandGroup, argv: readonly string[]): Request {
  const asked = askedFor(argv);
  const found = findCommand(root, argv);
  if (asked === 'help') return { action: 'help', path: found.path, asked: true };
  if (asked === 'version') return { action: 'version' };
  if (found.command === undefined) return { action: 'help', path: found.path, asked: false };
  const { command, path, rest } = found;
  return { action: 'run', command, path, ...parseCommand(root, command, path, rest) };
}

/** The command of a path of names. @throws UsageError when there is none. */
export function findPath(root: CommandGroup, names: readonly string[]): CommandNode {
  let node: CommandNode = root;
  const path: string[] = [];
  for (const name of names) {
    if (node.type === 'command') {
      throw new UsageError(`${path.join(' ')} has no command '${name}' below it`, see(root, path));
    }
    node = childOf(node, path, name);
    path.push(name);
  }
  return node;
}

/** `barewire count --help`, for the end of a message. */
function see(root: CommandGroup, path: readonly string[]): string {
  return `see ${[root.name, ...path, '--help'].join(' ')}`;
}

/** Help and version win over whatever else is wrong with a command's options and arguments. */
function askedFor(argv: readonly string[]): 'help' | 'version' | undefined {
  const end = argv.indexOf('--');
  const words = end === -1 ? argv : argv.slice(0, end);
  if (words.includes('--help') || words.includes('-h')) return 'help';
  return words.includes('--version') ? 'version' : undefined;
}

interface Found {
  readonly path: readonly string[];
  /** Nothing if the line ends before a command. */
  readonly command: Command | undefined;
  /** What is left for the command: options that came before its name, then the rest. */
  readonly rest: readonly string[];
}

function findCommand(root: CommandGroup, argv: readonly string[]): Found {
  const path: string[] = [];
  const early: string[] = [];
  let node: CommandNode = root;
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (word === '--') continue;
    if (!isOption(word)) {
      const usual = usualOf(node as CommandGroup, word);
      if (usual !== undefined) {
        return { path: [...path, usual.name], command: usual, rest: [...early, ...argv.slice(i)] };
      }
      node = childOf(node as CommandGroup, path, word);
      path.push(node.name);
      if (node.type === 'command') return { path, command: node, rest: [...early, ...argv.slice(i + 1)] };
      continue;
    }
    early.push(word);
    if (word.includes('=')) continue;
    const option = optionBelow(node as CommandGroup, word);
    if (option === undefined) throw unknownOption(root, path, word, namesBelow(node as CommandGroup));
    if (option.kind !== 'flag' && i + 1 < argv.length) early.push(argv[++i]!);
  }
  return { path, command: undefined, rest: early };
}

/** The command that takes a word which names none. */
function usualOf({ commands, usual }: CommandGroup, word: string): Command | undefined {
  if (usual === undefined || commands.some(({ name }) => name === word)) return undefined;
  return commands.find((child): child is Command => child.type === 'command' && child.name === usual);
}

function childOf(node: CommandGroup, path: readonly string[], name: string): CommandNode {
  const child = node.commands.find((candidate) => candidate.name === name);
  if (child !== undefined) return child;
  const names = node.commands.map((candidate) => candidate.name);
  throw new UsageError(
    `there is no command '${[...path, name].join(' ')}'`,
    didYouMean(nearest(name, names)) ?? `the commands are ${names.join(', ')}`,
  );
}

/** An option of any command below, to know whether the next word is its value. */
function optionBelow(node: CommandGroup, word: string): Option | undefined {
  for (const { node: below } of walk(node)) {
    if (below.type !== 'command') continue;
    const found = lookUp(optionsOf(below), word.startsWith('--') ? word.slice(2) : word.slice(1, 2));
    if (found !== undefined) return found.option;
  }
  return undefined;
}

function namesBelow(node: CommandGroup): Set<string> {
  const names = new Set<string>();
  for (const { node: below } of walk(node)) {
    if (below.type === 'command') for (const name of namesOf(optionsOf(below))) names.add(name);
  }
  return names;
}

function parseCommand(
  root: CommandGroup,
  command: Command,
  path: readonly string[],
  words: readonly string[],
): { options: Record<string, unknown>; args: Record<string, unknown> } {
  const table = optionsOf(command);
  const given = new Map<string, unknown[]>();
  const operands: string[] = [];
  let ended = false;
  let next = 0;

  const unknown = (word: string): UsageError => unknownOption(root, path, word, namesOf(table));
  const put = (name: string, value: unknown): void => {
    const values = given.get(name);
    if (values === undefined) given.set(name, [value]);
    else values.push(value);
  };
  const take = (name: string, option: Option, shown: string, inline: string | undefined): void => {
    if (option.kind === 'flag') {
      if (inline !== undefined) throw new UsageError(`${shown} takes no value`, `write just ${shown}`);
      put(name, true);
      return;
    }
    const { kind } = option;
    let value = inline;
    if (value === undefined) {
      const following = words[next];
      if (following === undefined || (isOption(following) && !/^-[\d.]/.test(following))) {
        throw new UsageError(`${shown} needs a value`, `give ${kind.accepts}`);
      }
      value = following;
      next++;
    }
    put(
      name,
      readValue(root, path, shown, () => kind.parse(value)),
    );
  };

  while (next < words.length) {
    const word = words[next++]!;
    if (ended || !isOption(word)) {
      operands.push(word);
    } else if (word === '--') {
      ended = true;
    } else if (word.startsWith('--')) {
      const [name, inline] = splitOnce(word.slice(2));
      const found = lookUp(table, name);
      if (found === undefined) throw unknown(word);
      take(found.name, found.option, `--${name}`, inline);
    } else if (/^-\d/.test(word) && lookUp(table, word[1]!) === undefined) {
      operands.push(word);
    } else {
      takeShort(word);
    }
  }

  /** `-v`, `-vi2s`, `-i=2s`: flags in a row, the last one may take what is left as its value. */
  function takeShort(word: string): void {
    for (let at = 1; at < word.length; at++) {
      const letter = word[at]!;
      const found = lookUp(table, letter);
      if (found === undefined)
        throw unknown(word.length === 2 || lookUp(table, word.slice(1)) ? word : `-${letter}`);
      const left = word.slice(at + 1).replace(/^=/, '');
      if (found.option.kind === 'flag') {
        take(found.name, found.option, `-${letter}`, undefined);
      } else {
        take(found.name, found.option, `-${letter}`, left === '' ? undefined : left);
        return;
      }
    }
  }

  return {
    options: completeOptions(root, path, command.options, given),
    args: readOperands(root, command, path, operands),
  };
}

function completeOptions(
  root: CommandGroup,
  path: readonly string[],
  table: OptionTable,
  given: ReadonlyMap<string, unknown[]>,
): Record<string, unknown> {
  const options: Record<string, unknown> = { verbose: given.has('verbose') };
  for (const [name, option] of Object.entries(table)) {
    const values = given.get(name);
    if (option.kind === 'flag') {
      options[camel(name)] = values !== undefined;
      continue;
    }
    if (values === undefined && option.required) {
      throw new UsageError(`--${name} is needed`, `give ${option.kind.accepts}`);
    }
    const { kind } = option;
    const usual = option.default;
    const all =
      values ?? (usual === undefined ? [] : [readValue(root, path, `--${name}`, () => kind.parse(usual))]);
    options[camel(name)] = option.repeated ? all : all.at(-1);
  }
  return options;
}

function readOperands(
  root: CommandGroup,
  command: Command,
  path: readonly string[],
  operands: readonly string[],
): Record<string, unknown> {
  const args: Record<string, unknown> = {};
  let next = 0;
  for (const positional of command.positionals) {
    const shown = positional.name.toUpperCase();
    const words = positional.rest ? operands.slice(next) : operands.slice(next, next + 1);
    next += words.length;
    if (words.length === 0 && !positional.optional) {
      throw new UsageError(`${path.join(' ')} needs ${shown} (${positional.kind.accepts})`, see(root, path));
    }
    const values = words.map((word) => readValue(root, path, shown, () => positional.kind.parse(word)));
    args[camel(positional.name)] = positional.rest ? values : values[0];
  }
  if (next < operands.length) {
    throw new UsageError(
      `'${operands[next]}' is one argument too many for ${path.join(' ')}`,
      see(root, path),
    );
  }
  return args;
}

/** Reads one value; what is wrong with it becomes an error that names the option. */
function readValue(root: CommandGroup, path: readonly string[], shown: string, read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    throw new UsageError(`${shown}: ${error.message}`, error.hint ?? see(root, path));
  }
}

function lookUp(table: OptionTable, name: string): { name: string; option: Option } | undefined {
  if (name === '') return undefined;
  for (const [long, option] of Object.entries(table)) {
    if (long === name || option.short === name || option.aliases?.includes(name))
      return { name: long, option };
  }
  return undefined;
}

function namesOf(table: OptionTable): string[] {
  return Object.entries(table).flatMap(([name, option]) => [name, ...(option.aliases ?? [])]);
}

function unknownOption(
  root: CommandGroup,
  path: readonly string[],
  word: string,
  names: Iterable<string>,
): UsageError {
  const [typed] = splitOnce(word.replace(/^--?/, ''));
  const near = typed.length > 1 ? nearest(typed, names).map((name) => `--${name}`) : [];
  const where = path.length === 0 ? root.name : path.join(' ');
  return new UsageError(`${where} has no option ${splitOnce(word)[0]}`, didYouMean(near) ?? see(root, path));
}

function didYouMean(names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  if (names.length === 1) return `did you mean ${names[0]}?`;
  return `did you mean ${names.slice(0, -1).join(', ')} or ${names.at(-1)}?`;
}

function isOption(word: string): boolean {
  return word.length > 1 && word.startsWith('-');
}

function splitOnce(word: string): [name: string, value: string | undefined] {
  const at = word.indexOf('=');
  return at === -1 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}
