import { parseDuration } from './duration.ts';
import { ArgumentError } from './error.ts';
import { nearest } from './nearest.ts';

/**
 * Reads plain data, as JSON and YAML give it, into a type: every key known, every value of its kind, and an error that
 * names the place (`users[2].rate`) otherwise.
 */
export type Reader<T> = (value: unknown, at: string) => T;

/** What a reader gives. */
export type Read<R> = R extends Reader<infer T> ? T : never;

type Fields = Readonly<Record<string, Reader<unknown>>>;
type Optional<F extends Fields> = { [K in keyof F]: undefined extends Read<F[K]> ? K : never }[keyof F];
/** An object of the fields' types; fields that may be missing are optional. */
export type Shape<F extends Fields> = {
  readonly [K in Exclude<keyof F, Optional<F>>]: Read<F[K]>;
} & { readonly [K in Optional<F>]?: Exclude<Read<F[K]>, undefined> };

/** An object with these keys and no others. */
export function object<const F extends Fields>(fields: F): Reader<Shape<F>> {
  const names = Object.keys(fields);
  return (value, at) => {
    const given = requireObject(value, at);
    for (const key of Object.keys(given)) {
      if (Object.hasOwn(fields, key)) continue;
      const near = nearest(key, names, 1)[0];
      throw new ArgumentError(`${place(at, key)}: there is no such key`, {
        hint: near === undefined ? `The keys here are ${names.join(', ')}.` : `Did you mean ${near}?`,
      });
    }
    const read: Record<string, unknown> = {};
    for (const [name, reader] of Object.entries(fields)) {
      const result = reader(given[name], place(at, name));
      if (result !== undefined) read[name] = result;
    }
    return read as Shape<F>;
  };
}

/** An object with keys of any name and values of one kind. */
export function dictionary<T>(reader: Reader<T>): Reader<Readonly<Record<string, T>>> {
  return (value, at) => {
    const given = requireObject(value, at);
    return Object.fromEntries(
      Object.entries(given).map(([key, entry]) => [key, reader(entry, place(at, key))]),
    );
  };
}

export function list<T>(reader: Reader<T>): Reader<readonly T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) throw wrong(value, at, 'a list');
    return value.map((entry, i) => reader(entry, `${at}[${i}]`));
  };
}

/** What may be missing, or `null` as YAML has an empty value. */
export function optional<T>(reader: Reader<T>): Reader<T | undefined> {
  return (value, at) => (value === undefined || value === null ? undefined : reader(value, at));
}

export function string(): Reader<string> {
  return (value, at) => {
    if (typeof value !== 'string' || value === '') throw wrong(value, at, 'a text');
    return value;
  };
}

export function boolean(): Reader<boolean> {
  return (value, at) => {
    if (typeof value !== 'boolean') throw wrong(value, at, 'true or false');
    return value;
  };
}

export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): Reader<number> {
  return (value, at) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      const limits = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
      throw wrong(value, at, `a whole number ${limits}`);
    }
    return value;
  };
}

/** In ms, from `10m`; see `parseDuration`. */
export function duration(): Reader<number> {
  return text('a duration such as 30s or 10m', parseDuration);
}

/** One of a closed set of words. */
export function oneOf<const W extends readonly string[]>(words: W): Reader<W[number]> {
  return (value, at) => {
    if (typeof value === 'string' && words.includes(value)) return value;
    const near = typeof value === 'string' ? nearest(value, words, 1)[0] : undefined;
    throw wrong(
      value,
      at,
      `one of ${words.join(', ')}`,
      near === undefined ? undefined : `Did you mean ${near}?`,
    );
  };
}

/**
 * A text that a parser makes something of; its error is given with the place.
 *
 * @param what What is accepted, for a value that is no text.
 */
export function text<T>(what: string, parse: (text: string) => T): Reader<T> {
  return (value, at) => {
    if (typeof value !== 'string') throw wrong(value, at, what);
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof ArgumentError)) throw error;
      throw new ArgumentError(
        `${at}: ${error.message}`,
        error.hint === undefined ? {} : { hint: error.hint },
      );
    }
  };
}

function requireObject(value: unknown, at: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong(value, at === '' ? 'the configuration' : at, 'an object with keys');
  }
  return value as Readonly<Record<string, unknown>>;
}

function wrong(value: unknown, at: string, wanted: string, hint?: string): ArgumentError {
  const found =
    value === undefined ? 'missing' : value === null ? 'empty' : (JSON.stringify(value) ?? typeof value);
  const shown = found.length > 60 ? `${found.slice(0, 60)}…` : found;
  return new ArgumentError(`${at}: ${shown} is not ${wanted}`, hint === undefined ? {} : { hint });
}

function place(at: string, key: string): string {
  return at === '' ? key : `${at}.${key}`;
}
