import type { Rule } from './rule.ts';
import type { TableName } from './table.ts';

/** What a filter does with what no rule decides. */
export interface Settings {
  /** What no rule decides. Default is `allow`. */
  readonly default: 'allow' | 'deny';
  /** Fragments after the first, which carry no ports, where no rule for addresses decides. Default is `pass`. */
  readonly fragments: 'pass' | 'drop';
  /** Frames that say IP and are cut short or contradict themselves, as far as they had to be read. Default is `drop`. */
  readonly malformed: 'pass' | 'drop';
  /** Default is `pass`. */
  readonly arp: 'pass' | 'drop';
  /** Neighbour discovery of IPv6 (RFC 4861): passed before any rule, or like everything else. Default is `pass`. */
  readonly nd: 'pass' | 'filter';
  /** Neither IP nor ARP. Default is `pass`. */
  readonly other: 'pass' | 'drop';
  /** Whether drops are told to whoever watches: one each tick and CPU at most. Default is true. */
  readonly events: boolean;
  /** How many entries a table of addresses or prefixes takes. Default is 2,097,152. */
  readonly capacity: number;
  /** How many sources limits keep count of; the longest silent makes room. Default is 65,536. */
  readonly sources: number;
}

export const DEFAULT_SETTINGS: Settings = Object.freeze({
  default: 'allow',
  fragments: 'pass',
  malformed: 'drop',
  arp: 'pass',
  nd: 'pass',
  other: 'pass',
  events: true,
  capacity: 2_097_152,
  sources: 65_536,
});

/** What a filter is, but for the entries of its tables. */
export interface Policy {
  readonly settings: Settings;
  /** Those that become code: whatever says more than one address or prefix. */
  readonly rules: readonly Rule[];
  /** Names of the lists that entries are on, by their bits: `manual` and `config`, then feeds. */
  readonly lists: readonly string[];
  /** Tables that have entries, or had. */
  readonly tables: readonly TableName[];
}

/** Entries that were added one by one, and those of the configuration file. */
export const MANUAL = 0;
export const CONFIG = 1;
/** A bit each in an entry. */
export const MOST_LISTS = 16;

export const EMPTY_POLICY: Policy = Object.freeze({
  settings: DEFAULT_SETTINGS,
  rules: [],
  lists: ['manual', 'config'],
  tables: [],
});
