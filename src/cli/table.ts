import type { Context } from './context.ts';
import type { Kind } from './kinds.ts';

/**
 * The command table: one description of every command that drives the parser, `--help`, shell completion and
 * `docs/cli.md`, and gives each handler its arguments with their types.
 */
export type CommandNode = Command | CommandGroup;

/** Commands under one word, as `lab up`, `lab list`, `lab down`. */
export interface CommandGroup {
  readonly type: 'group';
  readonly name: string;
  /** One line without a full stop. */
  readonly summary: string;
  /** Paragraphs for the help page. */
  readonly description?: readonly string[];
  readonly commands: readonly CommandNode[];
  /** The name of the one that is meant when a word follows that is none of them. */
  readonly usual?: string;
}

/** One command. Made by {@link command}, which checks the handler against the options. */
export interface Command {
  readonly type: 'command';
  readonly name: string;
  /** One line without a full stop. */
  readonly summary: string;
  /** Paragraphs for the help page. */
  readonly description?: readonly string[];
  readonly positionals: readonly Positional[];
  /** By long name, without the dashes. */
  readonly options: OptionTable;
  readonly examples?: readonly Example[];
  /** Resolves to the exit code; nothing means 0. */
  readonly run: (invocation: Invocation, context: Context) => Promise<number | undefined>;
}

export interface Example {
  /** The whole command line. */
  readonly line: string;
  /** What it does, as one phrase. */
  readonly does: string;
}

export type OptionTable = Readonly<Record<string, Option>>;
export type Option = FlagOption | ValueOption;

/** On or off; off unless given. */
export interface FlagOption {
  readonly kind: 'flag';
  readonly short?: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
}

/** An option with a value: `--interval 2s`, `--interval=2s`, `-i 2s` or `-i2s`. */
export interface ValueOption {
  readonly kind: Kind<unknown>;
  readonly short?: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
  /** As one would type it; help shows it as it stands. */
  readonly default?: string;
  readonly required?: true;
  /** May be given several times; the handler gets all values in order. */
  readonly repeated?: true;
  /** Shown instead of the kind's own placeholder. */
  readonly placeholder?: string;
}

/** An argument without a dash. */
export interface Positional {
  /** In lower case, words joined by dashes; help shows it in capitals. */
  readonly name: string;
  readonly kind: Kind<unknown>;
  readonly summary: string;
  readonly optional?: true;
  /** Takes everything that is left, at least one unless optional; only the last one may. */
  readonly rest?: true;
}

/** What a command line came to: values by name, in camel case. */
export interface Invocation<
  O extends OptionTable = OptionTable,
  P extends readonly Positional[] = readonly Positional[],
> {
  readonly options: OptionValues<O>;
  readonly args: PositionalValues<P>;
}

export type OptionValues<O extends OptionTable> = {
  readonly [N in keyof O & string as Camel<N>]: OptionValue<O[N]>;
};

export type PositionalValues<P extends readonly Positional[]> = {
  readonly [E in P[number] as Camel<E['name']>]: PositionalValue<E>;
};

type OptionValue<O extends Option> = O extends { readonly kind: Kind<infer T> }
  ? O extends { readonly repeated: true }
    ? readonly T[]
    : O extends { readonly default: string } | { readonly required: true }
      ? T
      : T | undefined
  : boolean;

type PositionalValue<P extends Positional> = P extends { readonly kind: Kind<infer T> }
  ? P extends { readonly rest: true }
    ? readonly T[]
    : P extends { readonly optional: true }
      ? T | undefined
      : T
  : never;

/** `max-entries` as `maxEntries`. */
export type Camel<S extends string> = S extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S;

/** What {@link command} takes: a command whose handler's arguments follow from its options and positionals. */
export interface CommandDefinition<O extends OptionTable, P extends readonly Positional[]> {
  readonly name: string;
  readonly summary: string;
  readonly description?: readonly string[];
  readonly positionals?: P;
  readonly options?: O;
  readonly examples?: readonly Example[];
  run(
    invocation: Invocation<O, P>,
    context: Context,
    // biome-ignore lint/suspicious/noConfusingVoidType: a handler without an exit code simply ends
  ): Promise<number | void>;
}

/** Describes one command. */
export function command<
  const O extends OptionTable = Record<never, never>,
  const P extends readonly Positional[] = readonly [],
>(definition: CommandDefinition<O, P>): Command {
  const { positionals, options, run, ...rest } = definition;
  return {
    ...rest,
    type: 'command',
    positionals: positionals ?? [],
    options: options ?? {},
    // The parser builds the invocation from this very table, so its values have the types the table says.
    run: async (invocation, context) =>
      (await run.call(definition, invocation as unknown as Invocation<O, P>, context)) ?? undefined,
  };
}

/** Puts commands under one word. */
export function group(definition: Omit<CommandGroup, 'type'>): CommandGroup {
  return { ...definition, type: 'group' };
}

/** Options that every command takes. */
export const everywhere: { readonly [N in 'verbose' | 'help' | 'version']: FlagOption } = {
  verbose: {
    kind: 'flag',
    short: 'v',
    summary: "Say more, and on failure show the stack and the verifier's log",
  },
  help: { kind: 'flag', short: 'h', summary: 'Show this help' },
  version: { kind: 'flag', summary: 'Show the version' },
};

/** All options of a command, its own first. */
export function optionsOf(target: Command): OptionTable {
  return { ...target.options, ...everywhere };
}

export function camel(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** Every command with its path from below the root, as `['lab', 'up']`, in the order of the table. */
export function* walk(
  root: CommandGroup,
  path: readonly string[] = [],
): Generator<{ path: readonly string[]; node: CommandNode }> {
  yield { path, node: root };
  for (const node of root.commands) {
    const below = [...path, node.name];
    if (node.type === 'group') yield* walk(node, below);
    else yield { path: below, node };
  }
}
