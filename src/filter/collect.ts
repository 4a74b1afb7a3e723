import { BarewireError } from '../error.ts';
import { Blocks, type EntryDefaults, type PackedBlock } from '../policy/block.ts';
import { type ListFormat, type ReadList, readList } from '../policy/list.ts';
import { type AddressAction, type Side, type Table, tableOf } from '../policy/table.ts';
import type { Clock } from './clock.ts';
import { fittingReason, requireReason } from './reasons.ts';

/** What a list's entries are, where the list itself does not say it. */
export interface CollectOptions {
  readonly format?: ListFormat | undefined;
  /** Default is `deny`. */
  readonly action?: AddressAction | undefined;
  /** Default is `source`. */
  readonly side?: Side | undefined;
  /** In ms since 1970; undefined for never. */
  readonly expires?: number | undefined;
  readonly reason?: string | undefined;
  /** What to do with bits beyond a prefix's length. Default is `reject`. */
  readonly hostBits?: 'reject' | 'clear' | undefined;
}

/** A list as entries for tables; reasons still by place in `reasons`, lists still 0. */
export interface Collected {
  readonly blocks: readonly PackedBlock[];
  /** What it says to be off it. */
  readonly deleted: readonly PackedBlock[];
  /** By the number that entries carry; the first one is none. */
  readonly reasons: readonly string[];
  readonly read: ReadList;
}

/** Reads a list into packed entries: a million without an object for each. */
export function collect(text: Uint8Array, options: CollectOptions, clock: Clock): Collected {
  const { action = 'deny', side = 'source' } = options;
  if (options.reason !== undefined) requireReason(options.reason);
  const reasons = ['', ...(options.reason === undefined ? [] : [options.reason])];
  const numbers = new Map(reasons.map((text, number) => [text, number]));
  const blocks = new Blocks();
  const deleted = new Blocks();
  const common: EntryDefaults = {
    deadline: options.expires === undefined ? 0n : clock.deadline(options.expires),
    added: Math.floor(clock.now / 1000),
    reason: reasons.length - 1,
    lists: 0,
  };
  // The table for each prefix length, found once.
  const tables: Record<4 | 6, Table[]> = { 4: [], 6: [] };
  const read = readList(
    text,
    (address, version, length, more) => {
      if (more === undefined) {
        const known = tables[version][length];
        const table = known ?? tableOf(action, side, version, length);
        if (known === undefined) tables[version][length] = table;
        blocks.add(table, address, 0, length, common);
        return;
      }
      const table = tableOf(more.action ?? action, more.side ?? side, version, length);
      if (more.deleted === true) {
        deleted.add(table, address, 0, length, common);
        return;
      }
      let { reason, deadline } = common;
      if (more.reason !== undefined && more.reason !== '') {
        const fitting = fittingReason(more.reason);
        let number = numbers.get(fitting);
        if (number === undefined) {
          number = reasons.push(fitting) - 1;
          if (number > 0xffff) throw tooManyReasons();
          numbers.set(fitting, number);
        }
        reason = number;
      }
      if (more.expires !== undefined) deadline = clock.deadline(more.expires);
      blocks.add(table, address, 0, length, { ...common, reason, deadline });
    },
    { format: options.format, hostBits: options.hostBits, now: clock.now },
  );
  return { blocks: blocks.blocks(), deleted: deleted.blocks(), reasons, read };
}

function tooManyReasons(): BarewireError {
  return new BarewireError('BW_LIMIT', 'the list gives more than 65,535 different reasons', {
    hint: 'Give the whole list one: --reason TEXT.',
  });
}
