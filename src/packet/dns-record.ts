import { formatIPv6 } from '../address/index.ts';
import { ArgumentError, CodecError } from '../error.ts';
import { ipv4Text, putIpv4, putIpv6 } from './address.ts';
import { decodeName, emitName, type NameTable, skipName } from './dns-name.ts';
import { requireField, requireRoom } from './view.ts';
import { copyBytes, putU16, putU32, u16At, u32At } from './wire.ts';

/**
 * What the data of a resource record is made of. One table describes every type, and drives types, decoder and
 * emitter alike.
 *
 * - `u8`, `u16`, `u32`: unsigned numbers
 * - `ipv4`, `ipv6`: an address as text
 * - `name`: a name; `compressed`: one that may be compressed when emitted (RFC 3597, section 4)
 * - `text`: up to 255 bytes behind their length, one character a byte; `texts`: all of those up to the end
 * - `rest`: all bytes up to the end; `restText`: the same, one character a byte
 * - `counted`: up to 255 bytes behind their length
 * - `types`: a bitmap of record types (RFC 4034, section 4.1.2)
 * - `parameters`: of a service binding (RFC 9460, section 2.2)
 */
const RDATA = {
  A: { code: 1, fields: { address: 'ipv4' } },
  NS: { code: 2, fields: { host: 'compressed' } },
  CNAME: { code: 5, fields: { target: 'compressed' } },
  SOA: {
    code: 6,
    fields: {
      primary: 'compressed',
      mailbox: 'compressed',
      serial: 'u32',
      refresh: 'u32',
      retry: 'u32',
      expire: 'u32',
      minimum: 'u32',
    },
  },
  PTR: { code: 12, fields: { target: 'compressed' } },
  HINFO: { code: 13, fields: { cpu: 'text', os: 'text' } },
  MX: { code: 15, fields: { preference: 'u16', exchange: 'compressed' } },
  TXT: { code: 16, fields: { texts: 'texts' } },
  RP: { code: 17, fields: { mailbox: 'name', text: 'name' } },
  AFSDB: { code: 18, fields: { subtype: 'u16', host: 'name' } },
  AAAA: { code: 28, fields: { address: 'ipv6' } },
  SRV: { code: 33, fields: { priority: 'u16', weight: 'u16', port: 'u16', target: 'name' } },
  NAPTR: {
    code: 35,
    fields: {
      order: 'u16',
      preference: 'u16',
      flags: 'text',
      services: 'text',
      regexp: 'text',
      replacement: 'name',
    },
  },
  DNAME: { code: 39, fields: { target: 'name' } },
  DS: { code: 43, fields: { keyTag: 'u16', algorithm: 'u8', digestType: 'u8', digest: 'rest' } },
  SSHFP: { code: 44, fields: { algorithm: 'u8', fingerprintType: 'u8', fingerprint: 'rest' } },
  RRSIG: {
    code: 46,
    fields: {
      typeCovered: 'u16',
      algorithm: 'u8',
      labels: 'u8',
      originalTtl: 'u32',
      expiration: 'u32',
      inception: 'u32',
      keyTag: 'u16',
      signer: 'name',
      signature: 'rest',
    },
  },
  NSEC: { code: 47, fields: { next: 'name', types: 'types' } },
  DNSKEY: { code: 48, fields: { flags: 'u16', protocol: 'u8', algorithm: 'u8', key: 'rest' } },
  NSEC3: {
    code: 50,
    fields: {
      algorithm: 'u8',
      flags: 'u8',
      iterations: 'u16',
      salt: 'counted',
      nextHash: 'counted',
      types: 'types',
    },
  },
  NSEC3PARAM: {
    code: 51,
    fields: { algorithm: 'u8', flags: 'u8', iterations: 'u16', salt: 'counted' },
  },
  TLSA: { code: 52, fields: { usage: 'u8', selector: 'u8', matchingType: 'u8', data: 'rest' } },
  SVCB: { code: 64, fields: { priority: 'u16', target: 'name', parameters: 'parameters' } },
  HTTPS: { code: 65, fields: { priority: 'u16', target: 'name', parameters: 'parameters' } },
  URI: { code: 256, fields: { priority: 'u16', weight: 'u16', target: 'restText' } },
  CAA: { code: 257, fields: { flags: 'u8', tag: 'text', value: 'restText' } },
} as const;

/** The record types whose data has fields; all others are `TYPE` and their number (RFC 3597, section 5). */
export type DnsKnownType = keyof typeof RDATA;
export type DnsType = DnsKnownType | 'OPT' | 'AXFR' | 'ANY' | `TYPE${number}`;

interface FieldValues {
  u8: number;
  u16: number;
  u32: number;
  ipv4: string;
  ipv6: string;
  name: string;
  compressed: string;
  text: string;
  texts: readonly string[];
  rest: Uint8Array;
  restText: string;
  counted: Uint8Array;
  types: readonly DnsType[];
  parameters: readonly DnsServiceParameter[];
}

/** One parameter of an SVCB or HTTPS record; keys ascend (IANA: 1 is alpn, 3 port, 4 ipv4hint …). */
export interface DnsServiceParameter {
  readonly key: number;
  readonly value: Uint8Array;
}

export interface DnsRecordHead {
  readonly name: string;
  /** Default is 1, IN. Multicast DNS sets its top bit for "flush the cache". */
  readonly class?: number;
  /** In seconds. */
  readonly ttl: number;
}

type FieldsOf<T extends DnsKnownType> = {
  readonly [F in keyof (typeof RDATA)[T]['fields']]: FieldValues[(typeof RDATA)[T]['fields'][F] &
    keyof FieldValues];
};

/** A resource record: its head, its type, and the fields that the type has. */
export type DnsRecord =
  | { [T in DnsKnownType]: DnsRecordHead & { readonly type: T } & FieldsOf<T> }[DnsKnownType]
  | (DnsRecordHead & { readonly type: `TYPE${number}`; readonly data: Uint8Array });

/** Types that occur in questions or as numbers only. */
const QUESTION_TYPES = { OPT: 41, AXFR: 252, ANY: 255 } as const;

const CODES = new Map<string, number>(Object.entries(QUESTION_TYPES));
const NAMES = new Map<number, DnsType>();
for (const [name, { code }] of Object.entries(RDATA)) CODES.set(name, code);
for (const [name, code] of CODES) NAMES.set(code, name as DnsType);

/** The number of a record type (IANA). @throws ArgumentError if there is none of that name. */
export function dnsTypeCode(type: string): number {
  const code = CODES.get(type) ?? (/^TYPE\d{1,5}$/.test(type) ? Number(type.slice(4)) : -1);
  if (code < 0 || code > 0xffff) {
    throw new ArgumentError(`'${type}' is not a DNS record type`, {
      hint: 'Types are written as A, AAAA, MX …, or TYPE and the number.',
    });
  }
  return code;
}

/** The name of a record type: `TYPE` and the number where it has none here. */
export function dnsTypeName(code: number): DnsType {
  return NAMES.get(code) ?? `TYPE${code}`;
}

/**
 * The type of a record and the fields in its data.
 *
 * Data of a type without fields stays bytes; so does empty data, with which a dynamic update deletes (RFC 2136,
 * section 2.5).
 *
 * @param start Where the message begins, from which compression pointers count.
 * @throws CodecError if the fields do not fill the data from `offset` to `end` exactly.
 */
export function decodeRdata(
  code: number,
  bytes: Uint8Array,
  start: number,
  offset: number,
  end: number,
): Record<string, unknown> {
  const type = dnsTypeName(code);
  const fields = fieldsOf(type);
  if (fields === undefined || offset === end) {
    return { type: `TYPE${code}`, data: copyBytes(bytes, offset, end) };
  }
  const values: Record<string, unknown> = { type };
  let at = offset;
  for (const [name, kind] of fields) {
    const after = fieldEnd(kind, bytes, at, end);
    if (after > end) throw new CodecError('dns', at, `the data of ${type} is cut short`);
    values[name] = readField(kind, bytes, start, at, after);
    at = after;
  }
  if (at !== end) throw new CodecError('dns', at, `${end - at} bytes too many in the data of ${type}`);
  return values;
}

/** Writes the data of a record, without its length. @returns the offset behind it. */
export function emitRdata(out: Uint8Array, offset: number, record: DnsRecord, table: NameTable): number {
  const fields = fieldsOf(record.type);
  const values = record as unknown as Record<string, unknown>;
  if (fields === undefined) return putBytes(out, offset, values.data as Uint8Array);
  let at = offset;
  for (const [name, kind] of fields) {
    const value = values[name];
    if (value === undefined) throw new ArgumentError(`dns ${record.type} needs '${name}'`);
    at = writeField(kind, out, at, `dns ${record.type} ${name}`, value, table);
  }
  return at;
}

type FieldName = keyof FieldValues;

const FIELDS = new Map<string, readonly (readonly [string, FieldName])[]>(
  Object.entries(RDATA).map(([type, { fields }]) => [type, Object.entries(fields) as [string, FieldName][]]),
);

function fieldsOf(type: DnsType): readonly (readonly [string, FieldName])[] | undefined {
  return FIELDS.get(type);
}

/** The offset behind a field, which the caller compares with `end`. */
function fieldEnd(kind: FieldName, bytes: Uint8Array, at: number, end: number): number {
  switch (kind) {
    case 'u8':
      return at + 1;
    case 'u16':
      return at + 2;
    case 'u32':
    case 'ipv4':
      return at + 4;
    case 'ipv6':
      return at + 16;
    case 'name':
    case 'compressed':
      return skipName(bytes, at, end);
    case 'text':
    case 'counted':
      return at < end ? at + 1 + bytes[at]! : Number.POSITIVE_INFINITY;
    default:
      return end;
  }
}

/** A field whose bytes, from `at` to `end`, are all there. */
function readField(kind: FieldName, bytes: Uint8Array, start: number, at: number, end: number): unknown {
  switch (kind) {
    case 'u8':
      return bytes[at]!;
    case 'u16':
      return u16At(bytes, at);
    case 'u32':
      return u32At(bytes, at);
    case 'ipv4':
      return ipv4Text(u32At(bytes, at));
    case 'ipv6':
      return formatIPv6(bytes, at);
    case 'name':
    case 'compressed':
      return decodeName(bytes, start, at, end);
    case 'text':
      return textOf(bytes, at + 1, end);
    case 'texts':
      return readTexts(bytes, at, end);
    case 'rest':
      return copyBytes(bytes, at, end);
    case 'restText':
      return textOf(bytes, at, end);
    case 'counted':
      return copyBytes(bytes, at + 1, end);
    case 'types':
      return readTypes(bytes, at, end);
    case 'parameters':
      return readParameters(bytes, at, end);
  }
}

function writeField(
  kind: FieldName,
  out: Uint8Array,
  at: number,
  name: string,
  value: unknown,
  table: NameTable,
): number {
  switch (kind) {
    case 'u8':
      requireField(name, value as number, 0xff);
      requireRoom(name, out, at, 1);
      out[at] = value as number;
      return at + 1;
    case 'u16':
      requireField(name, value as number, 0xffff);
      requireRoom(name, out, at, 2);
      putU16(out, at, value as number);
      return at + 2;
    case 'u32':
      requireField(name, value as number, 0xffffffff);
      requireRoom(name, out, at, 4);
      putU32(out, at, value as number);
      return at + 4;
    case 'ipv4':
      requireRoom(name, out, at, 4);
      putIpv4(out, at, value as string);
      return at + 4;
    case 'ipv6':
      requireRoom(name, out, at, 16);
      putIpv6(out, at, value as string);
      return at + 16;
    case 'name':
      return emitName(out, at, value as string);
    case 'compressed':
      return emitName(out, at, value as string, table);
    case 'text':
      return putCounted(out, at, name, bytesOf(name, value as string));
    case 'texts':
      return (value as readonly string[]).reduce(
        (offset, text) => putCounted(out, offset, name, bytesOf(name, text)),
        at,
      );
    case 'rest':
      return putBytes(out, at, value as Uint8Array);
    case 'restText':
      return putBytes(out, at, bytesOf(name, value as string));
    case 'counted':
      return putCounted(out, at, name, value as Uint8Array);
    case 'types':
      return writeTypes(out, at, value as readonly DnsType[]);
    case 'parameters':
      return writeParameters(out, at, value as readonly DnsServiceParameter[]);
  }
}

function readTexts(bytes: Uint8Array, offset: number, end: number): string[] {
  const texts: string[] = [];
  for (let at = offset; at < end; ) {
    const after = at + 1 + bytes[at]!;
    if (after > end) throw new CodecError('dns', at, 'a text runs past its record');
    texts.push(textOf(bytes, at + 1, after));
    at = after;
  }
  return texts;
}

/** Windows of up to 32 bytes, a bit for each type (RFC 4034, section 4.1.2). */
function readTypes(bytes: Uint8Array, offset: number, end: number): DnsType[] {
  const types: DnsType[] = [];
  let previous = -1;
  for (let at = offset; at < end; ) {
    const window = bytes[at]!;
    const length = at + 1 < end ? bytes[at + 1]! : 0;
    if (window <= previous || length < 1 || length > 32 || at + 2 + length > end) {
      throw new CodecError('dns', at, 'a malformed bitmap of types');
    }
    for (let bit = 0; bit < 8 * length; bit++) {
      if ((bytes[at + 2 + (bit >>> 3)]! & (0x80 >>> (bit & 7))) !== 0) {
        types.push(dnsTypeName(window * 256 + bit));
      }
    }
    previous = window;
    at += 2 + length;
  }
  return types;
}

function writeTypes(out: Uint8Array, offset: number, types: readonly DnsType[]): number {
  const windows = new Map<number, Uint8Array>();
  const codes = types.map(dnsTypeCode).sort((a, b) => a - b);
  for (const code of codes) {
    const window = windows.get(code >>> 8) ?? new Uint8Array(32);
    windows.set(code >>> 8, window);
    window[(code & 0xff) >>> 3]! |= 0x80 >>> (code & 7);
  }
  let at = offset;
  for (const [number, window] of windows) {
    const length = window.findLastIndex((byte) => byte !== 0) + 1;
    at = putBytes(out, at, Uint8Array.of(number, length));
    at = putBytes(out, at, window.subarray(0, length));
  }
  return at;
}

function readParameters(bytes: Uint8Array, offset: number, end: number): DnsServiceParameter[] {
  const parameters: DnsServiceParameter[] = [];
  let previous = -1;
  for (let at = offset; at < end; ) {
    const key = at + 4 <= end ? u16At(bytes, at) : -1;
    const after = at + 4 <= end ? at + 4 + u16At(bytes, at + 2) : Number.POSITIVE_INFINITY;
    if (after > end || key <= previous) throw new CodecError('dns', at, 'malformed service parameters');
    parameters.push({ key, value: copyBytes(bytes, at + 4, after) });
    previous = key;
    at = after;
  }
  return parameters;
}

function writeParameters(
  out: Uint8Array,
  offset: number,
  parameters: readonly DnsServiceParameter[],
): number {
  let at = offset;
  for (const { key, value } of parameters.toSorted((a, b) => a.key - b.key)) {
    requireField('dns service parameter key', key, 0xffff);
    requireField('dns service parameter length', value.length, 0xffff);
    requireRoom('dns service parameter', out, at, 4);
    putU16(out, at, key);
    putU16(out, at + 2, value.length);
    at = putBytes(out, at + 4, value);
  }
  return at;
}

function putBytes(out: Uint8Array, offset: number, data: Uint8Array): number {
  requireRoom('dns data', out, offset, data.length);
  out.set(data, offset);
  return offset + data.length;
}

function putCounted(out: Uint8Array, offset: number, name: string, data: Uint8Array): number {
  requireField(`${name} length`, data.length, 0xff);
  requireRoom(name, out, offset, 1);
  out[offset] = data.length;
  return putBytes(out, offset + 1, data);
}

/** One character a byte: what a text holds is not known to be UTF-8. */
function textOf(bytes: Uint8Array, offset: number, end: number): string {
  let text = '';
  for (let i = offset; i < end; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}

function bytesOf(name: string, text: string): Uint8Array {
  const data = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    requireField(`${name}, a character of it`, code, 0xff);
    data[i] = code;
  }
  return data;
}
