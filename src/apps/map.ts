import { setTimeout as sleep } from 'node:timers/promises';
import { ObjectMap } from '../bpf/index.ts';
import { ArgumentError } from '../error.ts';

/** Opens a map by its id, a path on bpffs, or its name. */
export function openMap(which: string): ObjectMap {
  return ObjectMap.open(/^\d+$/.test(which) ? Number(which) : which);
}

/** One difference between two looks at a map. */
export interface MapChange {
  readonly time: Date;
  readonly change: 'added' | 'changed' | 'deleted';
  readonly key: unknown;
  readonly value: unknown;
}

/** What changes in a map, looked at again and again; the entries that are there at first count as added. */
export async function* watchMap(
  map: ObjectMap,
  options: { readonly interval?: number; readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<MapChange> {
  const { interval = 1000, signal } = options;
  const stopped = (): boolean => signal?.aborted ?? false;
  let before = new Map<string, { key: unknown; value: unknown; bytes: string }>();
  for (;;) {
    const now = new Map<string, { key: unknown; value: unknown; bytes: string }>();
    for (const [key, value] of map) {
      const name = Buffer.from(map.encodeKey(key)).toString('hex');
      now.set(name, { key, value, bytes: Buffer.from(map.encodeValue(value)).toString('hex') });
    }
    const time = new Date();
    for (const [name, { key, value, bytes }] of now) {
      const old = before.get(name);
      if (old === undefined) yield { time, change: 'added', key, value };
      else if (old.bytes !== bytes) yield { time, change: 'changed', key, value };
    }
    for (const [name, { key, value }] of before) {
      if (!now.has(name)) yield { time, change: 'deleted', key, value };
    }
    before = now;
    if (stopped()) return;
    try {
      await sleep(interval, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      if (stopped()) return;
      throw error;
    }
  }
}

/**
 * A key or value as people type it: JSON, whose whole numbers may be of any length; bytes as `hex:0a1b`; other text as
 * it stands.
 *
 * @throws ArgumentError for hexadecimal digits that make no bytes.
 */
export function parseValue(given: string): unknown {
  if (given.startsWith('hex:')) {
    const digits = given.slice(4).replaceAll(/[\s:]/g, '');
    if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new ArgumentError(`'${given}' is no row of bytes`);
    return new Uint8Array(Buffer.from(digits, 'hex'));
  }
  if (/^0x[0-9a-f]+$/i.test(given)) return narrow(BigInt(given));
  if (/^-?\d+$/.test(given)) return narrow(BigInt(given));
  let parsed: unknown;
  try {
    // Numbers that a double does not hold are kept as text first.
    parsed = JSON.parse(
      given.replaceAll(/(?<=[[{:,]\s*)-?\d{16,}(?=\s*[,\]}])/g, (digits) => `"${ESCAPED}${digits}"`),
    );
  } catch {
    return given;
  }
  return revive(parsed);
}

const MARK = '\u0001';
/** The same as JSON spells it. */
const ESCAPED = '\\u0001';

function revive(value: unknown): unknown {
  if (typeof value === 'string' && value.startsWith(MARK)) return narrow(BigInt(value.slice(1)));
  if (typeof value === 'string' && value.startsWith('hex:')) return parseValue(value);
  if (Array.isArray(value)) return value.map(revive);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, revive(member)]));
  }
  return value;
}

function narrow(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : value;
}

/** A value for output: bytes as `hex:…`, which {@link parseValue} takes back. */
export function printableValue(value: unknown): unknown {
  if (value instanceof Uint8Array) return `hex:${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(printableValue);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, printableValue(member)]));
  }
  return value;
}
