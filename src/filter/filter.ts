import type { Prefix } from '../address/index.ts';
import type { ModeRefusal } from '../bpf/attach.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { Netlink, type XdpMode } from '../netlink/index.ts';
import { Blocks, keyOf, type PackedBlock } from '../policy/block.ts';
import type { FilterConfig } from '../policy/config.ts';
import { ENTRY, type Entry } from '../policy/entry.ts';
import { checkRule, type RuleParts } from '../policy/make-rule.ts';
import { MANUAL, type Settings } from '../policy/policy.ts';
import { identityOf, type Rule } from '../policy/rule.ts';
import {
  type AddressAction,
  type Side,
  TABLES,
  type Table,
  type TableName,
  tableOf,
} from '../policy/table.ts';
import { withNetns } from '../sys/netns.ts';
import type { ApplyOptions, Changes } from './apply.ts';
import {
  mergeRules,
  requireAnotherWayIn,
  requireNoGuard,
  requireWayIn,
  withList,
  withoutEnded,
} from './change.ts';
import type { Clock } from './clock.ts';
import { keyAt, type Merge, type Put, putBlocks, removeEntry, requireRoom, writeEntry } from './edit.ts';
import { entriesOf, type FilterEntry, type FilterRule, prefixOf, rulesOf } from './entries.ts';
import type { FeedOptions, FeedReport } from './feed.ts';
import type { Generation } from './generation.ts';
import type { Imported, ImportOptions } from './import.ts';
import { type GuardState, type Live, Session } from './live.ts';
import type { LogRecord } from './log.ts';
import { type Drop, dropsOf, type Explanation, explain, type OutcomeTally, outcomesOf } from './look.ts';
import type { AdminPeer } from './peer.ts';
import { type Place, placeOf, type Roots } from './place.ts';
import { requireReason } from './reasons.ts';
import type { OnStep } from './switch.ts';
import type { Trial } from './try.ts';

/** Which filter is meant. */
export interface FilterPlace {
  /** The interface's name. */
  readonly interface: string;
  /** Its namespace, by name or path. Default is the caller's. */
  readonly netns?: string | undefined;
  /** Where pins and files are kept. */
  readonly roots?: Roots | undefined;
}

export interface AttachFilterOptions extends FilterPlace {
  /** Default is `auto`: driver mode, and generic mode where the driver refuses. */
  readonly mode?: XdpMode | 'auto';
  /** Evict another owner's program. Default is false. */
  readonly replace?: boolean;
  /** What differs from what is saved, or from the defaults. */
  readonly settings?: Partial<Settings> | undefined;
  /** Somebody who must not be locked out, as the caller of an SSH session. */
  readonly peer?: AdminPeer | undefined;
  /** Take the filter off again unless it is confirmed within so many ms; the kernel holds to it. */
  readonly confirm?: number | undefined;
  /** Told before each step. */
  readonly onStep?: OnStep | undefined;
}

export interface Attached {
  readonly mode: XdpMode;
  /** Better modes that were refused, and why. */
  readonly refusals: readonly ModeRefusal[];
  /** Entries that were saved, and are in force again. */
  readonly restored: number;
}

/** What holds for one entry. */
export interface EntryOptions {
  /** Which end of the packet. Default is `source`. */
  readonly side?: Side | undefined;
  /** When it ends: a moment, or ms from now. Default is never. */
  readonly expires?: Date | number | undefined;
  /** One line, at most 95 bytes. */
  readonly reason?: string | undefined;
}

export interface AddEntry extends EntryOptions {
  readonly action: AddressAction;
  readonly prefix: string | Prefix;
}

export interface FilterStatus {
  readonly interface: string;
  readonly netns: string | undefined;
  /** Where the program runs; undefined when the interface cannot be asked. */
  readonly mode: XdpMode | undefined;
  readonly guard: GuardState;
  /** When a pending guard gives way. */
  readonly guardUntil?: Date | undefined;
  readonly settings: Settings;
  readonly tables: readonly TableFill[];
  readonly lists: readonly string[];
  readonly since: Date;
}

export interface TableFill {
  readonly table: TableName;
  readonly entries: number;
  readonly capacity: number;
}

/**
 * A filter on an interface.
 *
 * It lives in the kernel and on disk, not in this object: every method opens what it needs and lets it go again, so
 * any number of processes may work on one filter, and none of them has to stay.
 */
export class Filter {
  readonly place: Place;
  /** What is waited for before the next change of this process: a lock keeps only other processes out. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(where: FilterPlace) {
    this.place = placeOf('filter', where.interface, where.netns, where.roots);
  }

  /** Whether a list of it is saved on disk. */
  get saved(): boolean {
    using session = Session.peek(this.place);
    return session.saved.current !== undefined;
  }

  /** Whether it is on its interface. */
  get attached(): boolean {
    using session = Session.read(this.place);
    return session.live !== undefined;
  }

  /**
   * Puts the filter on its interface, with what is saved of it.
   *
   * @throws BarewireError `BW_EXISTS` when it is there already; OccupiedError for another owner's program.
   */
  attach(options: Omit<AttachFilterOptions, keyof FilterPlace> = {}): Promise<Attached> {
    return this.change(async (session) => {
      if (session.live !== undefined) {
        throw new BarewireError('BW_EXISTS', `a filter is attached to ${this.place.key} already`, {
          hint: '`filter apply` changes it without a gap; `filter detach` takes it off.',
        });
      }
      const { attachFilter } = await import('./attach.ts');
      return attachFilter(session, options);
    });
  }

  /**
   * Takes the filter off its interface. Its list stays on disk, for the next {@link attach}.
   *
   * @param options `forget` removes that too.
   * @returns Whether there was a filter.
   */
  detach(options: { readonly forget?: boolean } = {}): Promise<boolean> {
    return this.change(async (session) => {
      const there = session.pins.generations().length > 0;
      session.pins.detach();
      session.pins.removeAll();
      const saved = session.saved.current !== undefined;
      if (options.forget === true) session.saved.remove();
      return there || (options.forget === true && saved);
    }, 'of whatever version');
  }

  /** Denies an address or a prefix. */
  deny(prefix: string | Prefix, options: EntryOptions = {}): Promise<Put> {
    return this.add([{ action: 'deny', prefix, ...options }]);
  }

  /** Allows an address or a prefix, whatever denies it. */
  allow(prefix: string | Prefix, options: EntryOptions = {}): Promise<Put> {
    return this.add([{ action: 'allow', prefix, ...options }]);
  }

  /** Adds entries: all of them, or none. One that is there gets what is given here. */
  add(entries: readonly AddEntry[]): Promise<Put> {
    // Everything that can be wrong is found before anything is touched.
    const parsed = entries.map((entry) => {
      const prefix = prefixOf(entry.prefix);
      const table = tableOf(entry.action, entry.side ?? 'source', prefix.version, prefix.length);
      if (entry.reason !== undefined) requireReason(entry.reason);
      return { ...entry, prefix, table };
    });
    return this.change(async (session) => {
      const live = await this.prepare(
        session,
        parsed.map(({ table }) => table.name),
      );
      const records: LogRecord[] = [];
      const blocks = new Blocks();
      const added = Math.floor(session.clock.now / 1000);
      for (const { table, prefix, expires, reason } of parsed) {
        blocks.add(table, prefix.bytes, 0, prefix.length, {
          deadline: deadlineOf(expires, session.clock),
          added,
          reason: live.generation.reasons.number(reason, (id, text) =>
            records.push({ type: 'reason', id, text }),
          ),
          lists: 1 << MANUAL,
        });
      }
      return this.put(session, blocks.blocks(), 'replace', records);
    });
  }

  /** Removes an entry from every list. */
  remove(
    action: AddressAction,
    given: string | Prefix,
    options: { readonly side?: Side | undefined } = {},
  ): Promise<boolean> {
    const prefix = prefixOf(given);
    const table = tableOf(action, options.side ?? 'source', prefix.version, prefix.length);
    return this.change(async (session) => {
      const { generation } = session.require();
      if (action === 'allow') requireAnotherWayIn(generation, table);
      const key = keyOf(table, prefix.bytes, prefix.length);
      return this.take(session, table, [key], 0xffff) > 0;
    });
  }

  /**
   * Adds rules that say more than one address: protocol, ports, both ends, limits. They become code, so a program that
   * has them takes the place of the one before, in one step. A rule that is there already gets what is given here.
   */
  addRules(given: readonly RuleParts[]): Promise<Put> {
    const checked = given.map((rule) => {
      if (rule.reason !== undefined) requireReason(rule.reason);
      return checkRule(rule);
    });
    return this.change(async (session) => {
      const live = session.require();
      requireNoGuard(live, this.place);
      const { policy } = live.generation.record;
      const added = checked.map((rule): Rule => {
        if (rule.expires !== undefined && rule.expires <= session.clock.now) throw inThePast();
        return { ...rule, added: session.clock.now, list: MANUAL };
      });
      const { rules, fresh } = mergeRules(withoutEnded(policy.rules, session.clock), added);
      const { switchPolicy } = await import('./attach.ts');
      switchPolicy(session, { ...policy, rules });
      return { added: fresh, changed: added.length - fresh };
    });
  }

  /** Removes a rule that {@link addRules} or a configuration made; whether it was there. */
  removeRule(given: RuleParts): Promise<boolean> {
    const identity = identityOf(checkRule({ ...given, limit: given.limit }));
    return this.change(async (session) => {
      const live = session.require();
      const { policy } = live.generation.record;
      const rules = policy.rules.filter((rule) => identityOf(rule) !== identity);
      if (rules.length === policy.rules.length) return false;
      requireNoGuard(live, this.place);
      requireWayIn({ ...policy, rules }, live.generation);
      const { switchPolicy } = await import('./attach.ts');
      switchPolicy(session, { ...policy, rules: withoutEnded(rules, session.clock) });
      return true;
    });
  }

  /** Every rule that has become code, with its counts. */
  rules(): FilterRule[] {
    using session = Session.read(this.place);
    return rulesOf(session.require().generation, session.clock);
  }

  /** Every entry that has not ended. */
  *entries(): Generator<FilterEntry> {
    using session = Session.read(this.place);
    yield* entriesOf(session.require().generation, session.clock);
  }

  /** What has become of packets since the filter was attached. */
  outcomes(): OutcomeTally[] {
    using session = Session.read(this.place);
    return outcomesOf(session.require().generation);
  }

  /** What the filter does with packets from and to an address, and why. */
  explain(address: string): Explanation[] {
    using session = Session.read(this.place);
    return explain(session.require().generation, address, session.clock);
  }

  /**
   * Drops as they happen, until the signal aborts: one for each tick and CPU at most, which says how many it stands
   * for. Of several who watch one filter, each sees a part.
   */
  async *drops(options: { readonly signal?: AbortSignal | undefined } = {}): AsyncGenerator<Drop> {
    using session = Session.read(this.place);
    yield* dropsOf(session.require().generation, session.clock, options);
  }

  /** The filter's program to be run on given frames; with a configuration, the program that it would make. */
  async trial(config?: FilterConfig): Promise<Trial> {
    const { Trial } = await import('./try.ts');
    using session = Session.read(this.place);
    if (config === undefined) return Trial.ofGeneration(session.require().generation, session.clock);
    const { checkConfig } = await import('../policy/config.ts');
    return Trial.ofConfig(checkConfig(config, session.clock.now), session.clock);
  }

  /** Follows a list in a file or at a URL, until the signal aborts. */
  async *follow(options: FeedOptions): AsyncGenerator<FeedReport> {
    const { followFeed } = await import('./feed.ts');
    yield* followFeed(this, options);
  }

  /** @throws BarewireError `BW_NOT_ATTACHED`. */
  status(): FilterStatus {
    using session = Session.read(this.place);
    const { generation, guard } = session.require();
    const { record } = generation;
    return {
      interface: this.place.interface,
      netns: this.place.netns,
      mode: modeOf(this.place),
      guard,
      guardUntil: guard === 'none' || record.guard === undefined ? undefined : new Date(record.guard.until),
      settings: record.policy.settings,
      tables: generation.tables.map((table) => ({
        table: table.name,
        entries: generation.fill.of(table),
        capacity: generation.capacity(table.name),
      })),
      lists: record.policy.lists,
      since: new Date(record.made),
    };
  }

  /**
   * Makes the filter what a configuration says, without a gap.
   *
   * @param config As parsed from a file; checked before anything else.
   * @throws ConfigError, ListError; `BW_LOCKED_OUT` for one that would deny everything; in each case nothing changed.
   */
  async apply(config: FilterConfig, options: ApplyOptions = {}): Promise<Changes> {
    const { checkConfig } = await import('../policy/config.ts');
    const { applyConfig } = await import('./apply.ts');
    const checked = checkConfig(config, Date.now());
    return this.change(async (session) => applyConfig(session, checked, options));
  }

  /** Confirms an {@link apply} or {@link attach} with a guard. @throws BarewireError `BW_NO_GUARD`. */
  async confirm(options: { readonly onStep?: OnStep | undefined } = {}): Promise<void> {
    const { confirmGuard } = await import('./apply.ts');
    return this.change(async (session) => confirmGuard(session, options.onStep));
  }

  /** Adds the entries of a list: of a file, a feed, another tool. */
  async import(text: Uint8Array, options: ImportOptions = {}): Promise<Imported> {
    const { importList } = await import('./import.ts');
    return importList(this, text, options);
  }

  /** Puts packed entries into the tables of whatever decides now or may decide again, and writes them down. */
  put(session: Session, blocks: readonly PackedBlock[], merge: Merge, before: readonly LogRecord[]): Put {
    const { generation, previous } = session.require();
    requireRoom(generation, blocks, session.clock);
    const apart = blocks.filter(
      ({ table }) => previous?.has(table.name) && !sharesTable(generation, previous, table),
    );
    if (previous !== undefined) requireRoom(previous, apart, session.clock);
    const both = [generation, ...(previous === undefined ? [] : [previous])];
    for (const { fill } of both) fill.dirty = true;
    const result = putBlocks(generation, blocks, merge);
    if (previous !== undefined) putBlocks(previous, apart, merge);
    const records = [...before, ...blocks.map((block): LogRecord => ({ type: 'put', block }))];
    for (const each of both) session.saved.append(each, records, session.clock);
    if (previous !== undefined) shareFill(generation, previous);
    for (const { fill } of both) fill.dirty = false;
    for (const each of both) if (session.saved.isLong(each)) session.save(each);
    return result;
  }

  /** Takes keys of one table off lists (a bit each), wherever they may decide, and writes that down. How many were on them. */
  take(session: Session, table: Table, keys: readonly Uint8Array[], lists: number): number {
    const { generation, previous } = session.require();
    let taken = 0;
    for (const each of [generation, previous]) {
      if (each === undefined || !each.has(table.name)) continue;
      const records: LogRecord[] = [];
      each.fill.dirty = true;
      // A table of both has lost them already; its file has not.
      const shared = each === previous && sharesTable(generation, previous, table);
      for (const key of keys) {
        const result = shared
          ? { removal: 'removed', records: [recordOf(generation, table, key)] }
          : removeEntry(each, table, key, lists);
        records.push(...result.records);
        if (each === generation && result.removal !== 'absent') taken++;
      }
      if (records.length > 0) session.saved.append(each, records, session.clock);
      if (each === previous) shareFill(generation, previous);
      each.fill.dirty = false;
    }
    return taken;
  }

  /**
   * Makes sure that these tables exist and are looked at, and that a list has its bit: with the first entry of its
   * kind a table comes into being.
   */
  async prepare(session: Session, names: readonly TableName[], list?: string): Promise<Live> {
    const live = session.require();
    const { policy } = live.generation.record;
    const missing = [...new Set(names)].filter((name) => !live.generation.has(name));
    const newList = list !== undefined && !policy.lists.includes(list);
    if (missing.length === 0 && !newList) return live;
    requireNoGuard(live, this.place);
    const tables = TABLES.map(({ name }) => name).filter(
      (name) => policy.tables.includes(name) || missing.includes(name),
    );
    const lists = newList ? withList(policy.lists, list) : policy.lists;
    const { switchPolicy } = await import('./attach.ts');
    return switchPolicy(session, { ...policy, tables, lists });
  }

  /** Runs a change alone: one at a time in this process, and under the lock that keeps other processes out. */
  change<T>(
    task: (session: Session) => Promise<T>,
    tolerance: 'of this version' | 'of whatever version' = 'of this version',
  ): Promise<T> {
    const turn = this.#turn.then(async () => {
      using session = Session.change(this.place, tolerance);
      return await task(session);
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

function sharesTable(a: Generation, b: Generation, { name }: Table): boolean {
  return b.has(name) && a.has(name) && a.table(name).info().id === b.table(name).info().id;
}

/** Two generations that share tables count them alike. */
function shareFill(from: Generation, to: Generation): void {
  for (const table of to.tables) if (sharesTable(from, to, table)) to.fill.set(table, from.fill.of(table));
}

/** What a key has come to, to be written down. */
function recordOf(generation: Generation, table: Table, key: Uint8Array): LogRecord {
  const entry = generation.table(table.name).get(keyAt(table, key, 0)) as Entry | undefined;
  if (entry === undefined) return { type: 'delete', block: { table, count: 1, keys: key } };
  const values = new Uint8Array(ENTRY.size);
  writeEntry(values, entry);
  return { type: 'put', block: { table, count: 1, keys: key, values } };
}

function inThePast(): ArgumentError {
  return new ArgumentError('an entry cannot end in the past');
}

/** `expires` as a deadline. */
function deadlineOf(expires: Date | number | undefined, clock: Clock): bigint {
  if (expires === undefined) return 0n;
  const time = expires instanceof Date ? expires.getTime() : clock.now + expires;
  if (!Number.isFinite(time) || time <= clock.now) {
    throw inThePast();
  }
  return clock.deadline(time);
}

function modeOf({ interface: name, netns }: Place): XdpMode | undefined {
  return withNetns(netns, () => {
    using net = new Netlink();
    return net.links.get(name).xdp[0]?.mode;
  });
}
