import { tryParseIp } from '../address/index.ts';
import { parseDuration } from '../duration.ts';
import { ArgumentError } from '../error.ts';
import { nearest } from '../nearest.ts';

/** A kind of value on the command line: how it is read, named, explained and completed. */
export interface Kind<T> {
  /** What help shows in its place, in capitals. */
  readonly placeholder: string;
  /** What is accepted, as a phrase for the manual. */
  readonly accepts: string;
  readonly completion: Completion;
  /** @throws ArgumentError whose message goes on from the option's name, as in `'5' has no unit`. */
  parse(text: string): T;
}

/** Where a shell finds candidates for a value. */
export type Completion =
  | { readonly from: 'nowhere' }
  | { readonly from: 'words'; readonly words: readonly string[] }
  | { readonly from: 'interfaces' }
  | { readonly from: 'namespaces' }
  | { readonly from: 'commands' }
  | { readonly from: 'labs' }
  | { readonly from: 'files' };

/** Any text that is not empty. */
export function text(placeholder = 'TEXT'): Kind<string> {
  return {
    placeholder,
    accepts: 'any text',
    completion: { from: 'nowhere' },
    parse(given) {
      if (given === '') throw new ArgumentError('the value is empty');
      return given;
    },
  };
}

/** A whole number, also in hexadecimal (`0x1f`) and with `_` between digits. */
export function integer(range: { min?: number; max?: number; placeholder?: string } = {}): Kind<number> {
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = range;
  const accepts = `a whole number${describeRange(range.min, range.max)}`;
  return {
    placeholder: range.placeholder ?? 'N',
    accepts,
    completion: { from: 'nowhere' },
    parse(given) {
      if (!/^-?(0x[0-9a-f]+|\d+(_\d+)*)$/i.test(given)) {
        throw new ArgumentError(`'${given}' is not a whole number`, { hint: `Give ${accepts}.` });
      }
      const digits = given.replace(/_/g, '');
      const value = digits.startsWith('-') ? -Number(digits.slice(1)) : Number(digits);
      if (value < min || value > max) {
        throw new ArgumentError(`${given} is out of range`, { hint: `Give ${accepts}.` });
      }
      return value;
    },
  };
}

/** One of a closed set of words. */
export function oneOf<const W extends readonly string[]>(placeholder: string, words: W): Kind<W[number]> {
  return {
    placeholder,
    accepts: words.join(', '),
    completion: { from: 'words', words },
    parse(given) {
      if ((words as readonly string[]).includes(given)) return given;
      const near = nearest(given, words, 1)[0];
      throw new ArgumentError(`'${given}' is not known`, {
        hint: near === undefined ? `Choose one of ${words.join(', ')}.` : `Did you mean ${near}?`,
      });
    },
  };
}

/** A span of time, in ms: `500ms`, `2s`, `1.5s`, `10m`, `1h30m`, `7d`. */
export function duration(range: { min?: string; max?: string } = {}): Kind<number> {
  const min = range.min === undefined ? 0 : parseDuration(range.min);
  const max = range.max === undefined ? Number.MAX_SAFE_INTEGER : parseDuration(range.max);
  const limits = describeRange(range.min, range.max);
  const accepts = `a duration such as 500ms, 2s, 10m or 1h30m${limits === '' ? '' : `,${limits}`}`;
  return {
    placeholder: 'DURATION',
    accepts,
    completion: { from: 'nowhere' },
    parse(given) {
      const value = parseDuration(given);
      if (value < min || value > max) {
        throw new ArgumentError(`${given} is out of range`, {
          hint: `Give a duration${limits}.`,
        });
      }
      return value;
    },
  };
}

/** Packets per second: `1000`, `10k`, `2.5M`, also with `pps` or `/s` behind. */
export function packetRate(): Kind<number> {
  return {
    placeholder: 'RATE',
    accepts: 'packets per second, such as 1000, 10k or 2.5M',
    completion: { from: 'nowhere' },
    parse(given) {
      const match = /^(\d+(?:\.\d+)?)([kKMG]?)(?:pps|\/s)?$/.exec(given);
      const value =
        match === null ? 0 : Number(match[1]) * { '': 1, k: 1e3, K: 1e3, M: 1e6, G: 1e9 }[match[2]!]!;
      if (value <= 0) {
        throw new ArgumentError(`'${given}' is not a rate above 0`, {
          hint: 'Give packets per second, such as 1000, 10k or 2.5M.',
        });
      }
      return value;
    },
  };
}

/** An IP address as it was written, without prefix length or zone. */
export function address(version?: 4 | 6): Kind<string> {
  const name = version === undefined ? 'an IPv4 or IPv6 address' : `an IPv${version} address`;
  const example = version === 6 ? '2001:db8::1' : version === 4 ? '192.0.2.1' : '192.0.2.1 or 2001:db8::1';
  return {
    placeholder: 'ADDRESS',
    accepts: `${name}, such as ${example}`,
    completion: { from: 'nowhere' },
    parse(given) {
      const found = tryParseIp(given)?.version;
      if (found === undefined || (version !== undefined && found !== version)) {
        throw new ArgumentError(`'${given}' is not ${name}`, { hint: `Write one such as ${example}.` });
      }
      return given;
    },
  };
}

/**
 * The name of a network interface. Only its form is checked here (`dev_valid_name`, net/core/dev.c): whether it
 * exists is for the command to see, in the namespace it works in.
 */
export function interfaceName(): Kind<string> {
  return {
    placeholder: 'INTERFACE',
    accepts: 'the name of a network interface',
    completion: { from: 'interfaces' },
    parse(given) {
      const bytes = Buffer.byteLength(given);
      if (bytes === 0 || bytes > 15 || given === '.' || given === '..' || /[/:\s]/.test(given)) {
        throw new ArgumentError(`'${given}' cannot be the name of an interface`, {
          hint: 'Names have 1 to 15 bytes without spaces, slashes and colons; barewire doctor lists those here.',
        });
      }
      return given;
    },
  };
}

/** A network namespace by its name under /run/netns, or the path of its file. */
export function namespaceName(): Kind<string> {
  return {
    placeholder: 'NAME',
    accepts: 'a name that ip netns list shows, or the path of a namespace file',
    completion: { from: 'namespaces' },
    parse(given) {
      if (given === '' || given === '.' || given === '..' || given.includes('\0')) {
        throw new ArgumentError(`'${given}' cannot be the name of a network namespace`, {
          hint: 'ip netns list shows those that are there.',
        });
      }
      return given;
    },
  };
}

/** A lab by its name. */
export function labName(): Kind<string> {
  return { ...text('NAME'), accepts: 'the name of a lab', completion: { from: 'labs' } };
}

/** The path of a file. */
export function file(): Kind<string> {
  return { ...text('FILE'), accepts: 'a file', completion: { from: 'files' } };
}

function describeRange(min: number | string | undefined, max: number | string | undefined): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  if (max !== undefined) return ` of at most ${max}`;
  return '';
}
