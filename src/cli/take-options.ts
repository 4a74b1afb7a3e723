import type { Driver } from '../xsk/driver.ts';
import { duration, integer, type Kind, oneOf } from './kinds.ts';
import { matchOptions } from './match-options.ts';
import { json, netns } from './standard-options.ts';
import type { FlagOption, ValueOption } from './table.ts';

/** Options of all commands that take packets from the host over AF_XDP. */
export const takeOptions: typeof matchOptions & {
  readonly queue: ValueOption & { readonly kind: Kind<number>; readonly repeated: true };
  readonly mode: ValueOption & {
    readonly kind: Kind<'auto' | 'driver' | 'generic'>;
    readonly default: 'auto';
  };
  readonly driver: ValueOption & { readonly kind: Kind<Driver>; readonly default: 'nap' };
  readonly replace: FlagOption;
  readonly 'check-frames': FlagOption;
  readonly count: ValueOption & { readonly kind: Kind<number> };
  readonly duration: ValueOption & { readonly kind: Kind<number> };
  readonly interval: ValueOption & { readonly kind: Kind<number>; readonly default: '1s' };
  readonly netns: ValueOption & { readonly kind: Kind<string> };
  readonly json: FlagOption;
} = {
  ...matchOptions,
  queue: {
    kind: integer({ min: 0, max: 65_535 }),
    short: 'q',
    repeated: true,
    summary: 'Only this queue; the packets of others go to the host',
  },
  mode: {
    kind: oneOf('MODE', ['auto', 'driver', 'generic']),
    default: 'auto',
    summary: 'Where the program runs: auto takes the best that the driver grants',
  },
  driver: {
    kind: oneOf('DRIVER', ['nap', 'spin', 'immediate', 'event']),
    default: 'nap',
    summary:
      'How packets are waited for: looking every 100 or 200 microseconds, all the time, each turn, or asleep',
  },
  replace: { kind: 'flag', summary: "Evict another owner's program from the interface" },
  'check-frames': {
    kind: 'flag',
    summary: 'Check at every step who owns each frame of memory, and count all of them in the reports',
  },
  count: { kind: integer({ min: 1 }), short: 'n', summary: 'End after so many packets' },
  duration: { kind: duration({ min: '1ms' }), short: 'd', summary: 'End after so long' },
  interval: {
    kind: duration({ min: '10ms', max: '1d' }),
    short: 'i',
    default: '1s',
    summary: 'Time between reports',
  },
  netns: { ...netns, summary: 'The network namespace of the interface' },
  json,
};
