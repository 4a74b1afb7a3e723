import { parseDuration } from '../duration.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { clearHostBits, hasHostBits, readAddress } from './address-bytes.ts';

/** What a list of addresses may look like. */
export const LIST_FORMATS = ['plain', 'csv', 'nft', 'ipset', 'json', 'crowdsec'] as const;
export type ListFormat = (typeof LIST_FORMATS)[number];

/** Gets one entry: 4 or 16 bytes at the start of `address`, which is overwritten by the next one. */
export type TakeEntry = (
  address: Uint8Array,
  version: 4 | 6,
  length: number,
  more: EntryExtra | undefined,
) => void;

/** What a list says of an entry beside its address. */
export interface EntryExtra {
  /** In ms since 1970. */
  readonly expires?: number | undefined;
  readonly reason?: string | undefined;
  readonly action?: 'allow' | 'deny' | undefined;
  readonly side?: 'source' | 'destination' | undefined;
  /** The list says that it is no longer on it. */
  readonly deleted?: true;
}

export interface ReadListOptions {
  /** Default is to tell it from the beginning of the text. */
  readonly format?: ListFormat | undefined;
  /** What to do with bits beyond a prefix's length. Default is `reject`: somebody has mistyped something. */
  readonly hostBits?: 'reject' | 'clear' | undefined;
  /** In ms since 1970; durations count from it. */
  readonly now: number;
}

export interface BadLine {
  /** From 1. */
  readonly line: number;
  readonly problem: string;
}

export interface ReadList {
  readonly format: ListFormat;
  readonly entries: number;
  /** The first hundred lines that are wrong. */
  readonly bad: readonly BadLine[];
  readonly badLines: number;
}

/** A list has lines that are wrong, and nothing of it was taken. `code` is `BW_LIST`. */
export class ListError extends BarewireError {
  readonly bad: readonly BadLine[];

  constructor(name: string, { bad, badLines }: ReadList) {
    const shown = bad.slice(0, 5).map(({ line, problem }) => `line ${line}: ${problem}`);
    const more = badLines > shown.length ? `; and ${badLines - shown.length} more` : '';
    super(
      'BW_LIST',
      `${name} has ${badLines === 1 ? 'a line that is' : `${badLines} lines that are`} wrong, and nothing was changed: ${shown.join('; ')}${more}`,
      { hint: '--skip-bad (skipBad: true) takes the other lines.' },
    );
    this.bad = bad;
  }
}

/** Reads a list. Lines that are wrong are counted and left out; what to make of them is the caller's. */
export function readList(text: Uint8Array, take: TakeEntry, options: ReadListOptions): ReadList {
  const format = options.format ?? guessFormat(text);
  const reader = new Reader(text, take, options);
  switch (format) {
    case 'plain':
      reader.plain();
      break;
    case 'csv':
      reader.csv();
      break;
    case 'nft':
      reader.nft();
      break;
    case 'ipset':
      reader.ipset();
      break;
    case 'json':
      reader.json();
      break;
    case 'crowdsec':
      reader.crowdsec();
      break;
  }
  return { format, entries: reader.entries, bad: reader.bad, badLines: reader.badLines };
}

/** Tells a format from the beginning of a text. */
export function guessFormat(text: Uint8Array): ListFormat {
  const start = new TextDecoder().decode(text.subarray(0, 4096)).trimStart();
  if (/^(\[|\{\s*"(new|deleted)")/.test(start) || start.startsWith('null')) return 'crowdsec';
  if (start.startsWith('{')) return 'json';
  const lines = start.split('\n').map((line) => line.trim());
  const first = lines.find((line) => line !== '' && !/^[#;]/.test(line)) ?? '';
  if (/^(create|add|flush)\s/.test(first)) return 'ipset';
  if (/^(table|set|elements|add element)\b/.test(first)) return 'nft';
  if (/^[^,;\t]*[,\t][^,\t]*/.test(first) || /^[^;]+;[^;]+;/.test(first)) return 'csv';
  return 'plain';
}

const NEWLINE = 10;
const SLASH = 0x2f;
const DASH = 0x2d;
const MOST_BAD = 100;

class Reader {
  entries = 0;
  readonly bad: BadLine[] = [];
  badLines = 0;
  readonly #text: Uint8Array;
  readonly #take: TakeEntry;
  readonly #clear: boolean;
  readonly #now: number;
  readonly #address = new Uint8Array(16);
  readonly #last = new Uint8Array(16);

  constructor(text: Uint8Array, take: TakeEntry, options: ReadListOptions) {
    this.#text = text;
    this.#take = take;
    this.#clear = options.hostBits === 'clear';
    this.#now = options.now;
  }

  /** An address, a prefix or an IPv4 range a line; behind it, and behind # or ;, whatever anybody likes. */
  plain(): void {
    const text = this.#text;
    const { length } = text;
    let line = 1;
    for (let at = 0; at < length; line++) {
      let start = at;
      while (start < length && (text[start] === 32 || text[start] === 9)) start++;
      let end = start;
      while (
        end < length &&
        text[end]! > 32 &&
        text[end] !== 0x23 &&
        text[end] !== 0x3b &&
        text[end] !== 0x2c
      )
        end++;
      if (end > start) this.#token(text, start, end, line, undefined);
      at = end;
      while (at < length && text[at] !== NEWLINE) at++;
      at++;
    }
  }

  /** Columns, by the names of the first line or else by what is in them. */
  csv(): void {
    let columns: Columns | undefined;
    for (const { line, text } of this.#lines()) {
      if (text === '' || text.startsWith('#')) continue;
      const fields = splitCsv(text);
      if (columns === undefined) {
        const named = namedColumns(fields);
        columns = named ?? {
          address: fields.findIndex((field) => this.#isTarget(field)),
          reason: -1,
          expires: -1,
        };
        if (named !== undefined) continue;
        if (columns.address < 0) {
          this.#wrong(line, 'there is no address in any column');
          columns = undefined;
          continue;
        }
      }
      const { address, reason, expires } = columns;
      this.#text16(fields[address] ?? '', line, () => ({
        ...(reason < 0 || !fields[reason] ? {} : { reason: fields[reason] }),
        ...(expires < 0 || !fields[expires] ? {} : { expires: moment(fields[expires], this.#now) }),
      }));
    }
  }

  /** What `nft list set` prints: `elements = { 192.0.2.1 timeout 1h, 198.51.100.0/24 comment "x" }`. */
  nft(): void {
    const text = new TextDecoder().decode(this.#text);
    const open = /(?:elements\s*=|add\s+element[^{]*)\s*\{/g;
    let found = false;
    for (let match = open.exec(text); match !== null; match = open.exec(text)) {
      found = true;
      const start = match.index + match[0].length;
      const end = text.indexOf('}', start);
      let line = text.slice(0, start).split('\n').length;
      for (const part of text.slice(start, end < 0 ? undefined : end).split(',')) {
        const element = part.trim();
        line += (part.slice(0, part.length - part.trimStart().length).match(/\n/g) ?? []).length;
        if (element !== '') {
          const timeout = /\bexpires\s+(\S+)/.exec(element)?.[1] ?? /\btimeout\s+(\S+)/.exec(element)?.[1];
          const reason = /\bcomment\s+"([^"]*)"/.exec(element)?.[1];
          this.#text16(element.split(/\s/, 1)[0]!, line, () => ({
            ...(timeout === undefined ? {} : { expires: this.#now + parseDuration(timeout) }),
            ...(reason === undefined ? {} : { reason }),
          }));
        }
        line += (part.trimStart().match(/\n/g) ?? []).length;
      }
    }
    if (!found) this.#wrong(1, 'there are no elements = { ... }');
  }

  /** What `ipset save` prints: `add NAME 192.0.2.1 timeout 600 comment "x"`. */
  ipset(): void {
    for (const { line, text } of this.#lines()) {
      if (text === '' || /^(create|flush|#)/.test(text)) continue;
      const match = /^add\s+\S+\s+(\S+)(.*)$/.exec(text);
      if (match === null) {
        this.#wrong(line, `'${text.slice(0, 40)}' is not a line of ipset save`);
        continue;
      }
      const [, target = '', more = ''] = match;
      const timeout = /\btimeout\s+(\d+)/.exec(more)?.[1];
      const reason = /\bcomment\s+"([^"]*)"/.exec(more)?.[1];
      this.#text16(target, line, () => ({
        // 0 is for ever.
        ...(timeout === undefined || timeout === '0' ? {} : { expires: this.#now + Number(timeout) * 1000 }),
        ...(reason === undefined ? {} : { reason }),
      }));
    }
  }

  /** An object a line, as `filter export` writes it. */
  json(): void {
    for (const { line, text } of this.#lines()) {
      if (text === '') continue;
      let value: Record<string, unknown>;
      try {
        value = JSON.parse(text) as Record<string, unknown>;
      } catch {
        this.#wrong(line, 'this is not JSON');
        continue;
      }
      if (typeof value !== 'object' || value === null) {
        this.#wrong(line, 'this is no object');
        continue;
      }
      const target = value.prefix ?? value.address ?? value.ip;
      if (typeof target !== 'string') {
        this.#wrong(line, 'there is no prefix in it');
        continue;
      }
      this.#text16(target, line, () => ({
        ...(typeof value.expires === 'string' ? { expires: moment(value.expires, this.#now) } : {}),
        ...(typeof value.reason === 'string' ? { reason: value.reason } : {}),
        ...(value.action === 'allow' || value.action === 'deny' ? { action: value.action } : {}),
        ...(value.side === 'source' || value.side === 'destination' ? { side: value.side } : {}),
      }));
    }
  }

  /** What CrowdSec's local API answers: decisions, or those that are new and deleted. Lines are decisions. */
  crowdsec(): void {
    let answer: unknown;
    try {
      answer = JSON.parse(new TextDecoder().decode(this.#text));
    } catch {
      this.#wrong(1, 'this is not JSON');
      return;
    }
    const stream = (Array.isArray(answer) || answer === null ? { new: answer } : answer) as Record<
      string,
      unknown
    >;
    let number = 0;
    for (const [list, deleted] of [
      [stream.deleted, true],
      [stream.new, false],
    ] as const) {
      for (const item of Array.isArray(list) ? (list as Record<string, unknown>[]) : []) {
        number++;
        const { value, scope, duration, scenario, type } = item ?? {};
        if (typeof value !== 'string' || typeof scope !== 'string') {
          this.#wrong(number, 'a decision without scope and value');
          continue;
        }
        // Countries and networks by number are not addresses; captchas are no bans.
        if (!/^(ip|range)$/i.test(scope) || (type !== undefined && type !== 'ban')) continue;
        this.#text16(value, number, () => ({
          ...(typeof scenario === 'string' ? { reason: scenario } : {}),
          ...(deleted || typeof duration !== 'string' ? {} : { expires: this.#now + goDuration(duration) }),
          ...(deleted ? { deleted: true as const } : {}),
        }));
      }
    }
  }

  *#lines(): Generator<{ line: number; text: string }> {
    let line = 0;
    for (const text of new TextDecoder().decode(this.#text).split('\n'))
      yield { line: ++line, text: text.trim() };
  }

  #isTarget(field: string): boolean {
    const bytes = new TextEncoder().encode(field.split(/[/-]/, 1)[0]);
    return readAddress(bytes, 0, bytes.length, this.#last) !== 0;
  }

  /** A target in text, with what is said of it. */
  #text16(target: string, line: number, extra: () => EntryExtra): void {
    let more: EntryExtra;
    try {
      more = extra();
    } catch (error) {
      if (!(error instanceof ArgumentError)) throw error;
      this.#wrong(line, error.message);
      return;
    }
    // An entry that has ended is not wrong, but nothing either.
    if (more.expires !== undefined && more.expires <= this.#now) return;
    const bytes = new TextEncoder().encode(target);
    this.#token(bytes, 0, bytes.length, line, more);
  }

  #token(text: Uint8Array, start: number, end: number, line: number, more: EntryExtra | undefined): void {
    const address = this.#address;
    let stop = end;
    let mark = 0;
    for (let i = start; i < end; i++) {
      if (text[i] === SLASH || text[i] === DASH) {
        stop = i;
        mark = text[i]!;
        break;
      }
    }
    const version = readAddress(text, start, stop, address);
    if (version === 0) {
      this.#wrong(line, `'${shown(text, start, end)}' is not an address or a prefix`);
      return;
    }
    if (mark === DASH) {
      this.#range(text, start, stop, end, version, line, more);
      return;
    }
    const size = version === 4 ? 4 : 16;
    let length = size * 8;
    if (mark === SLASH) {
      length = readLength(text, stop + 1, end);
      if (length < 0 || length > size * 8) {
        this.#wrong(line, `'${shown(text, start, end)}': the length of the prefix is not 0 to ${size * 8}`);
        return;
      }
      if (length < size * 8 && hasHostBits(address, size, length)) {
        if (!this.#clear) {
          this.#wrong(line, `'${shown(text, start, end)}' has bits set beyond its prefix length`);
          return;
        }
        clearHostBits(address, size, length);
      }
    }
    this.#take(address, version, length, more);
    this.entries++;
  }

  /** A range of addresses as the fewest prefixes that are it exactly. */
  #range(
    text: Uint8Array,
    start: number,
    dash: number,
    end: number,
    version: 4 | 6,
    line: number,
    more: EntryExtra | undefined,
  ): void {
    if (readAddress(text, dash + 1, end, this.#last) !== version) {
      this.#wrong(line, `'${shown(text, start, end)}' is not a range of addresses`);
      return;
    }
    const bits = version === 4 ? 32 : 128;
    let from = toNumber(this.#address, bits / 8);
    const to = toNumber(this.#last, bits / 8);
    if (from > to) {
      this.#wrong(line, `the range '${shown(text, start, end)}' runs backwards`);
      return;
    }
    while (from <= to) {
      let free = 0;
      while (free < bits && (from & (1n << BigInt(free))) === 0n && from + (2n << BigInt(free)) - 1n <= to)
        free++;
      fromNumber(from, this.#address, bits / 8);
      this.#take(this.#address, version, bits - free, more);
      this.entries++;
      from += 1n << BigInt(free);
    }
  }

  #wrong(line: number, problem: string): void {
    this.badLines++;
    if (this.bad.length < MOST_BAD) this.bad.push({ line, problem });
  }
}

interface Columns {
  readonly address: number;
  readonly reason: number;
  readonly expires: number;
}

function namedColumns(fields: readonly string[]): Columns | undefined {
  const find = (...names: string[]): number =>
    fields.findIndex((field) => names.includes(field.toLowerCase()));
  const address = find(
    'ip',
    'address',
    'ip_address',
    'cidr',
    'network',
    'prefix',
    'source',
    'range',
    'value',
    'indicator',
  );
  if (address < 0) return undefined;
  return {
    address,
    reason: find('reason', 'comment', 'scenario', 'description', 'note'),
    expires: find('expires', 'expire', 'expiration', 'until', 'valid_until'),
  };
}

/** Fields between commas, semicolons or tabs; those in quotation marks may hold them. */
function splitCsv(line: string): string[] {
  const separator = line.includes('\t') ? '\t' : line.includes(',') ? ',' : ';';
  const fields: string[] = [];
  let field = '';
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const character = line[i]!;
    if (quoted) {
      if (character !== '"') field += character;
      else if (line[i + 1] === '"') {
        field += '"';
        i++;
      } else quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === separator) {
      fields.push(field.trim());
      field = '';
    } else field += character;
  }
  fields.push(field.trim());
  return fields;
}

function moment(text: string, now: number): number {
  if (/^\d{9,11}$/.test(text)) return Number(text) * 1000;
  if (/^\d{4}-\d\d-\d\d/.test(text)) {
    const time = Date.parse(text);
    if (!Number.isNaN(time)) return time;
  }
  return now + parseDuration(text);
}

/** As Go prints it: `3h59m58.5s`, with a sign when it is over. */
function goDuration(text: string): number {
  if (text.startsWith('-')) return 0;
  let total = 0;
  for (const [, value, unit] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|µs|us|ns)/g)) {
    total += Number(value) * (GO_UNITS[unit!] ?? 0);
  }
  if (total === 0 && !/^0/.test(text)) throw new ArgumentError(`'${text}' is not a duration`);
  return total;
}

const GO_UNITS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

function readLength(text: Uint8Array, start: number, end: number): number {
  if (end - start < 1 || end - start > 3 || (end - start > 1 && text[start] === 0x30)) return -1;
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = text[i]! - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

function toNumber(bytes: Uint8Array, size: number): bigint {
  let value = 0n;
  for (let i = 0; i < size; i++) value = (value << 8n) | BigInt(bytes[i]!);
  return value;
}

function fromNumber(value: bigint, bytes: Uint8Array, size: number): void {
  let rest = value;
  for (let i = size - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
}

function shown(text: Uint8Array, start: number, end: number): string {
  const word = new TextDecoder().decode(text.subarray(start, Math.min(end, start + 48)));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is replaced
  return word.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
