import type { Kind } from './kinds.ts';
import { namespaceName, oneOf } from './kinds.ts';
import type { FlagOption, ValueOption } from './table.ts';

// Options that mean the same wherever a command takes them.

export const json: FlagOption = { kind: 'flag', summary: 'Print JSON, one object a line' };

export const netns: ValueOption & { readonly kind: Kind<string> } = {
  kind: namespaceName(),
  summary: 'Work in this network namespace',
};

type Mode = 'auto' | 'driver' | 'generic' | 'offload';

export const mode: ValueOption & { readonly kind: Kind<Mode>; readonly default: 'auto' } = {
  kind: oneOf('MODE', ['auto', 'driver', 'generic', 'offload']),
  default: 'auto',
  summary: 'Where the program runs: auto takes the best that the driver grants',
};
