import { ArgumentError, CodecError } from '../error.ts';
import { requireRange, requireRoom } from './view.ts';

/**
 * Domain names on the wire (RFC 1035, sections 3.1 and 4.1.4) and as text.
 *
 * Text has no dot at its end, except the root, which is `.`; in a label `.` and `\` are written `\.` and `\\`, and
 * what is not printable ASCII as `\DDD` (RFC 1035, section 5.1). Case is kept.
 */

/** A name takes at most 255 bytes, uncompressed, its closing zero included. */
const MAXIMUM_NAME = 255;
const MAXIMUM_LABEL = 63;
const POINTER = 0xc0;
/** A pointer has 14 bits. */
const POINTER_REACH = 0x4000;

/**
 * The offset behind a name, which a compression pointer ends as the root label does. Pointers are not followed.
 *
 * @throws CodecError if the name runs past `end`.
 */
export function skipName(bytes: Uint8Array, offset: number, end: number): number {
  requireRange('dns', bytes, offset, end);
  let at = offset;
  while (at < end) {
    const length = bytes[at]!;
    if (length === 0) return at + 1;
    if (length >= POINTER) {
      if (at + 2 > end) break;
      return at + 2;
    }
    if (length > MAXIMUM_LABEL) throw new CodecError('dns', at, `label type ${length >>> 6}`);
    at += length + 1;
  }
  throw new CodecError('dns', offset, 'a name runs past its end');
}

/**
 * The name at `offset` as text, compression followed.
 *
 * A pointer must lead back to before the labels it was found behind, so every chain of them ends.
 *
 * @param start Where the message begins, from which pointers count.
 * @throws CodecError if the name leaves `start` to `end`, is over 255 bytes, or a pointer leads forward.
 */
export function decodeName(bytes: Uint8Array, start: number, offset: number, end: number): string {
  requireRange('dns', bytes, start, end);
  requireRange('dns', bytes, offset, end);
  let text = '';
  let at = offset;
  let segment = offset;
  let size = 1;
  for (;;) {
    if (at >= end) throw new CodecError('dns', at, 'a name runs past its end');
    const length = bytes[at]!;
    if (length === 0) return text === '' ? '.' : text;
    if (length >= POINTER) {
      if (at + 2 > end) throw new CodecError('dns', at, 'a name runs past its end');
      const target = start + ((length & 0x3f) << 8) + bytes[at + 1]!;
      if (target >= segment) throw new CodecError('dns', at, 'a compression pointer leads forward');
      at = target;
      segment = target;
      continue;
    }
    if (length > MAXIMUM_LABEL) throw new CodecError('dns', at, `label type ${length >>> 6}`);
    size += length + 1;
    if (size > MAXIMUM_NAME) throw new CodecError('dns', offset, `a name of more than ${MAXIMUM_NAME} bytes`);
    if (at + 1 + length > end) throw new CodecError('dns', at, 'a name runs past its end');
    text += text === '' ? labelText(bytes, at + 1, length) : `.${labelText(bytes, at + 1, length)}`;
    at += length + 1;
  }
}

/** Where the names of a message that is being written lie, so that later ones can point at them. */
export class NameTable {
  /** Where the message begins in its buffer. */
  readonly start: number;
  readonly #offsets: Map<string, number> = new Map();

  constructor(start: number) {
    this.start = start;
  }

  /** The offset, from the start of the message, at which a name's wire form was written. */
  find(key: string): number | undefined {
    return this.#offsets.get(key);
  }

  add(key: string, offset: number): void {
    if (offset < POINTER_REACH) this.#offsets.set(key, offset);
  }
}

/**
 * Writes a name, pointing at an earlier one for its end where `table` knows one.
 *
 * @param table Left out where compression is not allowed: the name is then written in full and not remembered.
 * @returns the offset behind it.
 * @throws ArgumentError if the text is no name, or the buffer is too small.
 */
export function emitName(out: Uint8Array, offset: number, name: string, table?: NameTable): number {
  const labels = parseLabels(name);
  let at = offset;
  for (let i = 0; i < labels.length; i++) {
    if (table !== undefined) {
      const key = keyOf(labels, i);
      const known = table.find(key);
      if (known !== undefined) {
        requireRoom('dns name', out, at, 2);
        out[at] = POINTER | (known >>> 8);
        out[at + 1] = known;
        return at + 2;
      }
      table.add(key, at - table.start);
    }
    const label = labels[i]!;
    requireRoom('dns name', out, at, label.length + 1);
    out[at] = label.length;
    for (let j = 0; j < label.length; j++) out[at + 1 + j] = label.charCodeAt(j);
    at += label.length + 1;
  }
  requireRoom('dns name', out, at, 1);
  out[at] = 0;
  return at + 1;
}

/** Bytes that a name takes uncompressed. @throws ArgumentError if the text is no name. */
export function nameLength(name: string): number {
  return parseLabels(name).reduce((length, label) => length + label.length + 1, 1);
}

/** The wire form of the labels from `first` on: unlike any separator, a length cannot be part of a label. */
function keyOf(labels: readonly string[], first: number): string {
  let key = '';
  for (let i = first; i < labels.length; i++) key += String.fromCharCode(labels[i]!.length) + labels[i]!;
  return key;
}

/** The labels of a name, one character a byte. */
function parseLabels(name: string): string[] {
  if (name === '.') return [];
  const labels: string[] = [];
  let label = '';
  let size = 1;
  const close = (): void => {
    if (label === '' || label.length > MAXIMUM_LABEL) {
      throw new ArgumentError(`'${name}' has a label of ${label.length} bytes`, {
        hint: `A label has 1 to ${MAXIMUM_LABEL} bytes; the root is written '.'.`,
      });
    }
    size += label.length + 1;
    labels.push(label);
    label = '';
  };
  for (let i = 0; i < name.length; i++) {
    const character = name[i]!;
    if (character === '.') {
      close();
    } else if (character === '\\') {
      const digits = /^\d{3}/.exec(name.slice(i + 1, i + 4));
      const code = digits === null ? name.charCodeAt(i + 1) : Number(digits[0]);
      if (!(code <= 0xff)) throw new ArgumentError(`'${name}' has an escape that stands for no byte`);
      label += String.fromCharCode(code);
      i += digits === null ? 1 : 3;
    } else {
      if (character > '\x7f') {
        throw new ArgumentError(`'${name}' is not ASCII`, {
          hint: 'Internationalised names go on the wire in their xn-- form; single bytes as \\DDD.',
        });
      }
      label += character;
    }
  }
  if (label !== '' || labels.length === 0) close();
  if (size > MAXIMUM_NAME) {
    throw new ArgumentError(`'${name}' takes ${size} bytes; a name has at most ${MAXIMUM_NAME}`);
  }
  return labels;
}

function labelText(bytes: Uint8Array, offset: number, length: number): string {
  let text = '';
  for (let i = offset; i < offset + length; i++) {
    const byte = bytes[i]!;
    if (byte === 0x2e || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`;
    else if (byte > 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else text += `\\${byte.toString().padStart(3, '0')}`;
  }
  return text;
}
