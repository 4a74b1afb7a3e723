import { parseDuration } from '../duration.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { nearest } from '../nearest.ts';
import { checkRule, isAddressRule, type RuleParts } from './make-rule.ts';
import {
  makeRate,
  parseByteRate,
  parsePacketRate,
  parsePer,
  parsePorts,
  parseProtocol,
  parseTarget,
} from './parse.ts';
import { DEFAULT_SETTINGS, type Settings } from './policy.ts';
import { PRESETS, presetRule } from './presets.ts';
import type { AddressRule } from './rule.ts';

/** A filter's configuration file. */
export interface FilterConfig extends Partial<Settings> {
  /** The interface, where the command does not name it. */
  readonly interface?: string;
  /** Passes, whatever denies it. */
  readonly allow?: readonly RuleConfig[];
  /** Is dropped. */
  readonly deny?: readonly RuleConfig[];
  /** What is beyond them is dropped. */
  readonly limits?: readonly LimitConfig[];
  /** Presets by name, with their own rates or others: `syn-flood: true`, `udp-flood: 2000/s`. */
  readonly protect?: Readonly<Record<string, boolean | string>>;
  /** Lists in files. */
  readonly lists?: readonly ListConfig[];
}

/** An address, a prefix, or conditions that must all hold. */
export type RuleConfig = string | RuleObject;

export interface RuleObject {
  /** One or several addresses or prefixes. */
  readonly source?: string | readonly string[];
  readonly destination?: string | readonly string[];
  /** Name or number. */
  readonly protocol?: string | number;
  /** `53`, `80,443`, `27015-27030`. */
  readonly ports?: Ports;
  readonly sourcePorts?: Ports;
  readonly segment?: 'syn' | 'established';
  /** A moment (`2026-12-01T00:00:00Z`) or a duration from when it is applied (`10m`). */
  readonly expires?: string;
  readonly reason?: string;
}

type Ports = number | string | readonly (number | string)[];

export interface LimitConfig extends RuleObject {
  /** `200/s`, `10k/s`, `30/min`. */
  readonly packets?: string | number;
  /** `1MB/s`, `10Mbit/s`. */
  readonly bytes?: string;
  /** Packets at once after a pause. Default is what a second brings. */
  readonly burst?: number;
  /** Bytes at once after a pause. Default is what a second brings. */
  readonly byteBurst?: number;
  /** Whom it counts together: `source`, `all`, `/24,/64`. Default is `source`. */
  readonly per?: string;
  /** What becomes of packets that keep to it. Default is `continue`. */
  readonly within?: 'continue' | 'allow';
}

export interface ListConfig {
  /** As it is shown. */
  readonly name: string;
  /** Path, from the configuration file's folder. */
  readonly file: string;
  /** Default is to tell it from the content. */
  readonly format?: string;
  /** Default is `deny`. */
  readonly action?: 'allow' | 'deny';
  /** Default is `source`. */
  readonly side?: 'source' | 'destination';
  /** How long its entries hold from when it is applied. Default is for ever. */
  readonly expires?: string;
  /** For entries that bring none. Default is the list's name. */
  readonly reason?: string;
  /** Leave lines out that are wrong. Default is false: nothing is applied. */
  readonly skipBad?: boolean;
}

/** What a configuration says, checked. */
export interface CheckedConfig {
  readonly interface: string | undefined;
  readonly settings: Partial<Settings>;
  readonly entries: readonly AddressRule[];
  readonly rules: readonly RuleParts[];
  readonly lists: readonly ListConfig[];
}

/** Something in a configuration is wrong; the message begins with its place. `code` is `BW_CONFIG`. */
export class ConfigError extends BarewireError {
  /** As in `deny[2].ports`. */
  readonly path: string;

  constructor(path: string, problem: string, hint?: string) {
    super(
      'BW_CONFIG',
      `${path === '' ? 'the configuration' : path}: ${problem}`,
      hint === undefined ? {} : { hint },
    );
    this.path = path;
  }
}

const WORDS: { readonly [K in keyof Settings]?: readonly string[] } = {
  default: ['allow', 'deny'],
  fragments: ['pass', 'drop'],
  malformed: ['pass', 'drop'],
  arp: ['pass', 'drop'],
  nd: ['pass', 'filter'],
  other: ['pass', 'drop'],
};
const SETTINGS = Object.keys(DEFAULT_SETTINGS) as (keyof Settings)[];
const KEYS = ['interface', 'allow', 'deny', 'limits', 'protect', 'lists', ...SETTINGS];
const RULE_KEYS = [
  'source',
  'destination',
  'protocol',
  'ports',
  'sourcePorts',
  'segment',
  'expires',
  'reason',
];
const LIMIT_KEYS = [...RULE_KEYS, 'packets', 'bytes', 'burst', 'byteBurst', 'per', 'within'];
const LIST_KEYS = ['name', 'file', 'format', 'action', 'side', 'expires', 'reason', 'skipBad'];

/**
 * Checks a configuration, whatever was parsed from the file.
 *
 * @param now In ms since 1970; durations count from it.
 * @throws ConfigError that names the place, and for an unknown key the nearest one.
 */
export function checkConfig(given: unknown, now: number): CheckedConfig {
  const config = object(given, '', KEYS);
  const entries: AddressRule[] = [];
  const rules: RuleParts[] = [];
  const take = (rule: RuleParts, path: string): void => {
    const checked = at(path, () => checkRule(rule));
    const { action, source, destination, expires, reason } = checked;
    const prefix = source ?? destination;
    if (action === 'limit' || prefix === undefined || !isAddressRule(checked)) {
      rules.push(checked);
      return;
    }
    entries.push({ action, side: source === undefined ? 'destination' : 'source', prefix, expires, reason });
  };
  for (const action of ['allow', 'deny'] as const) {
    for (const [i, rule] of list(config[action], action).entries()) {
      const path = `${action}[${i}]`;
      for (const each of rulesOf(rule, path, RULE_KEYS, now)) take({ ...each, action }, path);
    }
  }
  for (const [i, given] of list(config.limits, 'limits').entries()) {
    const path = `limits[${i}]`;
    const limit = limitOf(object(given, path, LIMIT_KEYS), path);
    for (const each of rulesOf(given, path, LIMIT_KEYS, now)) take({ ...each, action: 'limit', limit }, path);
  }
  rules.push(...presets(config.protect));
  const { interface: name } = config;
  if (name !== undefined && typeof name !== 'string') throw new ConfigError('interface', 'is not a name');
  return { interface: name, settings: settingsOf(config), entries, rules, lists: listsOf(config.lists) };
}

function settingsOf(config: Readonly<Record<string, unknown>>): Partial<Settings> {
  const settings: Record<string, unknown> = {};
  for (const key of SETTINGS) {
    const value = config[key];
    if (value === undefined) continue;
    const words = WORDS[key];
    if (words !== undefined) settings[key] = word(value, key, words);
    else if (key === 'events') {
      if (typeof value !== 'boolean') throw new ConfigError(key, 'is neither true nor false');
      settings[key] = value;
    } else {
      const number = typeof value === 'number' && Number.isInteger(value) ? value : Number.NaN;
      if (!(number >= 16 && number <= 2 ** 28)) {
        throw new ConfigError(key, `${String(value)} is not a whole number from 16 to 268435456`);
      }
      settings[key] = number;
    }
  }
  return settings as Partial<Settings>;
}

/** A rule for each of its addresses; ports and the like are theirs all. */
function rulesOf(
  given: unknown,
  path: string,
  keys: readonly string[],
  now: number,
): Omit<RuleParts, 'action'>[] {
  if (typeof given === 'string') return [{ source: at(path, () => parseTarget(given)) }];
  const rule = object(given, path, keys);
  if (Object.keys(rule).length === 0) throw new ConfigError(path, 'says nothing');
  const field = <T>(name: string, parse: (text: string) => T): T | undefined => {
    const value = rule[name];
    if (value === undefined) return undefined;
    const text = Array.isArray(value) ? value.join(',') : value;
    if (typeof text !== 'string' && typeof text !== 'number') {
      throw new ConfigError(`${path}.${name}`, 'is neither text nor a number');
    }
    return at(`${path}.${name}`, () => parse(String(text)));
  };
  const prefixes = (name: string): (ReturnType<typeof parseTarget> | undefined)[] => {
    const value = rule[name];
    if (value === undefined) return [undefined];
    const all = Array.isArray(value) ? value : [value];
    if (all.length === 0) throw new ConfigError(`${path}.${name}`, 'names no address');
    return all.map((each: unknown, i) => {
      const where = Array.isArray(value) ? `${path}.${name}[${i}]` : `${path}.${name}`;
      if (typeof each !== 'string') throw new ConfigError(where, 'is not an address in text');
      return at(where, () => parseTarget(each));
    });
  };
  const parts: Omit<RuleParts, 'action'> = {
    protocol: field('protocol', parseProtocol),
    ports: field('ports', parsePorts),
    sourcePorts: field('sourcePorts', parsePorts),
    segment:
      rule.segment === undefined
        ? undefined
        : word(rule.segment, `${path}.segment`, ['syn', 'established'] as const),
    expires: field('expires', (text) => moment(text, now)),
    reason: field('reason', (text) => text),
  };
  return prefixes('source').flatMap((source) =>
    prefixes('destination').map((destination) => ({ ...parts, source, destination })),
  );
}

function limitOf(given: Readonly<Record<string, unknown>>, path: string): RuleParts['limit'] {
  const number = (name: string): number | undefined => {
    const value = given[name];
    if (value !== undefined && typeof value !== 'number')
      throw new ConfigError(`${path}.${name}`, 'is not a number');
    return value;
  };
  const burst = number('burst');
  const byteBurst = number('byteBurst');
  const { packets, bytes, per = 'source', within = 'continue' } = given;
  return {
    packets:
      packets === undefined
        ? undefined
        : at(`${path}.packets`, () => makeRate(parsePacketRate(String(packets)), burst, 1)),
    bytes:
      bytes === undefined
        ? undefined
        : at(`${path}.bytes`, () => makeRate(parseByteRate(String(bytes)), byteBurst, 1514)),
    per: at(`${path}.per`, () => parsePer(String(per))),
    within: word(within, `${path}.within`, ['continue', 'allow'] as const),
  };
}

function presets(given: unknown): RuleParts[] {
  if (given === undefined) return [];
  const chosen = object(given, 'protect', Object.keys(PRESETS));
  return Object.entries(chosen).flatMap(([name, value]) => {
    const preset = PRESETS[name]!;
    if (value === false) return [];
    if (value === true) return [presetRule(preset, undefined)];
    return [at(`protect.${name}`, () => presetRule(preset, parsePacketRate(String(value))))];
  });
}

function listsOf(given: unknown): ListConfig[] {
  const names = new Set<string>(['manual', 'config']);
  return list(given, 'lists').map((value, i) => {
    const path = `lists[${i}]`;
    const one = object(value, path, LIST_KEYS);
    for (const key of ['name', 'file'] as const) {
      if (typeof one[key] !== 'string' || one[key] === '')
        throw new ConfigError(`${path}.${key}`, 'is missing');
    }
    const name = one.name as string;
    if (names.has(name)) throw new ConfigError(`${path}.name`, `there is a list '${name}' already`);
    names.add(name);
    if (one.action !== undefined) word(one.action, `${path}.action`, ['allow', 'deny']);
    if (one.side !== undefined) word(one.side, `${path}.side`, ['source', 'destination']);
    if (one.expires !== undefined) at(`${path}.expires`, () => parseDuration(String(one.expires)));
    return one as unknown as ListConfig;
  });
}

/** A moment, or a duration from now. */
export function moment(text: string, now: number): number {
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : now + parseDuration(text);
  if (Number.isNaN(time)) {
    throw new ArgumentError(`'${text}' is not a moment`, {
      hint: 'Write 2026-12-01T00:00:00Z, or a duration such as 10m.',
    });
  }
  if (time <= now) throw new ArgumentError(`'${text}' has passed`);
  return time;
}

function object(value: unknown, path: string, keys: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ConfigError(path, 'is not a set of keys and values');
  }
  for (const key of Object.keys(value)) {
    if (keys.includes(key)) continue;
    const near = nearest(key, keys, 1)[0];
    throw new ConfigError(
      path === '' ? key : `${path}.${key}`,
      'there is no such key',
      near === undefined ? `There are: ${keys.join(', ')}.` : `Did you mean ${near}?`,
    );
  }
  return value as Readonly<Record<string, unknown>>;
}

function list(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new ConfigError(path, 'is not a list');
  return value;
}

function word<const W extends readonly string[]>(value: unknown, path: string, words: W): W[number] {
  if (typeof value === 'string' && words.includes(value)) return value;
  const near = typeof value === 'string' ? nearest(value, words, 1)[0] : undefined;
  throw new ConfigError(
    path,
    `'${String(value)}' is not one of ${words.join(', ')}`,
    near === undefined ? undefined : `Did you mean ${near}?`,
  );
}

/** Says where an argument is wrong. */
function at<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    throw new ConfigError(path, error.message, error.hint);
  }
}
