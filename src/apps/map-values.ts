import { ArgumentError } from '../error.ts';

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
