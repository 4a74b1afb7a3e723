import { ArgumentError, CodecError } from '../error.ts';
import { decodeName, emitName, NameTable, skipName } from './dns-name.ts';
import {
  type DnsRecord,
  type DnsType,
  decodeRdata,
  dnsTypeCode,
  dnsTypeName,
  emitRdata,
} from './dns-record.ts';
import { inside, PacketView, refusal, requireField, requireRoom } from './view.ts';
import { copyBytes, putU16, putU32, u16At, u32At } from './wire.ts';

/** The header of a DNS message (RFC 1035, section 4.1.1). */
export const DNS_LENGTH = 12;

/** Response codes (IANA). */
export const DnsResponseCode = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;

const OPT = 41;
const IN = 1;

export interface DnsQuestion {
  readonly name: string;
  readonly type: DnsType;
  /** Default is 1, IN. */
  readonly class?: number;
}

/** What the OPT record of a message says (EDNS(0), RFC 6891). */
export interface DnsEdns {
  /** The largest UDP payload the sender takes, in bytes. Default is 1232. */
  readonly udpPayloadSize?: number;
  /** Default is 0. */
  readonly version?: number;
  /** Default is false. */
  readonly dnssecOk?: boolean;
  /** Default is none. */
  readonly options?: readonly DnsEdnsOption[];
}

/** IANA: 3 is NSID, 8 client subnet, 10 cookie, 12 padding, 15 extended error. */
export interface DnsEdnsOption {
  readonly code: number;
  readonly data: Uint8Array;
}

/** A whole message as plain data. Flags left out are false, sections left out are empty. */
export interface DnsMessage {
  readonly id: number;
  readonly response?: boolean;
  /** Default is 0, a standard query. */
  readonly opcode?: number;
  readonly authoritative?: boolean;
  readonly truncated?: boolean;
  readonly recursionDesired?: boolean;
  readonly recursionAvailable?: boolean;
  readonly authenticData?: boolean;
  readonly checkingDisabled?: boolean;
  /** `DnsResponseCode`: up to 15, with `edns` up to 4095. Default is 0. */
  readonly responseCode?: number;
  readonly questions?: readonly DnsQuestion[];
  readonly answers?: readonly DnsRecord[];
  readonly authorities?: readonly DnsRecord[];
  /** Without the OPT record, which is `edns`. */
  readonly additionals?: readonly DnsRecord[];
  readonly edns?: DnsEdns;
}

/** A message as {@link decodeDns} gives it: nothing left out but `edns`, where there was no OPT record. */
export type DecodedDnsMessage = Required<Omit<DnsMessage, 'edns'>> & Pick<DnsMessage, 'edns'>;

/** The header of a message: enough to match an answer with its query without decoding it. */
export class DnsView extends PacketView {
  /** @throws CodecError if fewer than 12 bytes are there. */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) throw refusal('dns', bytes, offset, end, DNS_LENGTH);
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, DNS_LENGTH)) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  /** Where the questions begin. */
  get payloadOffset(): number {
    return this.offset + DNS_LENGTH;
  }

  get id(): number {
    return u16At(this.bytes, this.offset);
  }
  set id(value: number) {
    putU16(this.bytes, this.offset, value);
  }

  get response(): boolean {
    return this.#flag(2, 0x80);
  }
  set response(value: boolean) {
    this.#setFlag(2, 0x80, value);
  }

  get opcode(): number {
    return (this.bytes[this.offset + 2]! >>> 3) & 0x0f;
  }
  set opcode(value: number) {
    this.bytes[this.offset + 2] = (this.bytes[this.offset + 2]! & 0x87) | ((value & 0x0f) << 3);
  }

  get authoritative(): boolean {
    return this.#flag(2, 0x04);
  }
  set authoritative(value: boolean) {
    this.#setFlag(2, 0x04, value);
  }

  get truncated(): boolean {
    return this.#flag(2, 0x02);
  }
  set truncated(value: boolean) {
    this.#setFlag(2, 0x02, value);
  }

  get recursionDesired(): boolean {
    return this.#flag(2, 0x01);
  }
  set recursionDesired(value: boolean) {
    this.#setFlag(2, 0x01, value);
  }

  get recursionAvailable(): boolean {
    return this.#flag(3, 0x80);
  }
  set recursionAvailable(value: boolean) {
    this.#setFlag(3, 0x80, value);
  }

  get authenticData(): boolean {
    return this.#flag(3, 0x20);
  }
  set authenticData(value: boolean) {
    this.#setFlag(3, 0x20, value);
  }

  get checkingDisabled(): boolean {
    return this.#flag(3, 0x10);
  }
  set checkingDisabled(value: boolean) {
    this.#setFlag(3, 0x10, value);
  }

  /** The four bits in the header; an OPT record may hold eight more. */
  get responseCode(): number {
    return this.bytes[this.offset + 3]! & 0x0f;
  }
  set responseCode(value: number) {
    this.bytes[this.offset + 3] = (this.bytes[this.offset + 3]! & 0xf0) | (value & 0x0f);
  }

  get questionCount(): number {
    return u16At(this.bytes, this.offset + 4);
  }
  set questionCount(value: number) {
    putU16(this.bytes, this.offset + 4, value);
  }

  get answerCount(): number {
    return u16At(this.bytes, this.offset + 6);
  }
  set answerCount(value: number) {
    putU16(this.bytes, this.offset + 6, value);
  }

  get authorityCount(): number {
    return u16At(this.bytes, this.offset + 8);
  }
  set authorityCount(value: number) {
    putU16(this.bytes, this.offset + 8, value);
  }

  get additionalCount(): number {
    return u16At(this.bytes, this.offset + 10);
  }
  set additionalCount(value: number) {
    putU16(this.bytes, this.offset + 10, value);
  }

  #flag(byte: number, mask: number): boolean {
    return (this.bytes[this.offset + byte]! & mask) !== 0;
  }

  #setFlag(byte: number, mask: number, value: boolean): void {
    const old = this.bytes[this.offset + byte]!;
    this.bytes[this.offset + byte] = value ? old | mask : old & ~mask;
  }
}

/**
 * A message as plain data.
 *
 * @throws CodecError if a section is cut short, a name or the data of a known type is malformed, or there is more
 * than one OPT record. Bytes behind the last section are ignored, as resolvers do.
 */
export function decodeDns(bytes: Uint8Array, offset = 0, end: number = bytes.length): DecodedDnsMessage {
  const view = new DnsView().at(bytes, offset, end);
  const questions: DnsQuestion[] = [];
  let at = view.payloadOffset;
  for (let i = 0; i < view.questionCount; i++) {
    const after = skipName(bytes, at, end);
    if (after + 4 > end) throw new CodecError('dns', after, 'a question is cut short');
    const name = decodeName(bytes, offset, at, end);
    questions.push({ name, type: dnsTypeName(u16At(bytes, after)), class: u16At(bytes, after + 2) });
    at = after + 4;
  }
  const reader: RecordReader = { bytes, start: offset, at, end, edns: undefined, extendedCode: 0 };
  const answers = readRecords(reader, view.answerCount, false);
  const authorities = readRecords(reader, view.authorityCount, false);
  const additionals = readRecords(reader, view.additionalCount, true);
  return {
    id: view.id,
    response: view.response,
    opcode: view.opcode,
    authoritative: view.authoritative,
    truncated: view.truncated,
    recursionDesired: view.recursionDesired,
    recursionAvailable: view.recursionAvailable,
    authenticData: view.authenticData,
    checkingDisabled: view.checkingDisabled,
    responseCode: view.responseCode | (reader.extendedCode << 4),
    questions,
    answers,
    authorities,
    additionals,
    ...(reader.edns === undefined ? {} : { edns: reader.edns }),
  };
}

/**
 * Writes a message, names compressed where RFC 3597 allows it.
 *
 * @returns the offset behind it.
 * @throws ArgumentError if a field is out of range or the buffer is too small.
 */
export function emitDns(out: Uint8Array, offset: number, message: DnsMessage): number {
  const { questions = [], answers = [], authorities = [], additionals = [], edns } = message;
  const { id, opcode = 0, responseCode = 0 } = message;
  requireRoom('dns', out, offset, DNS_LENGTH);
  requireField('dns id', id, 0xffff);
  requireField('dns opcode', opcode, 0x0f);
  requireField('dns responseCode', responseCode, edns === undefined ? 0x0f : 0xfff);
  const additionalCount = additionals.length + (edns === undefined ? 0 : 1);
  const counts = [questions.length, answers.length, authorities.length, additionalCount];
  putU16(out, offset, id);
  putU16(out, offset + 2, flagsOf(message) | (opcode << 11) | (responseCode & 0x0f));
  for (const [i, count] of counts.entries()) {
    requireField('dns count', count, 0xffff);
    putU16(out, offset + 4 + 2 * i, count);
  }
  const table = new NameTable(offset);
  let at = offset + DNS_LENGTH;
  for (const question of questions) {
    at = emitName(out, at, question.name, table);
    at = emitTypeAndClass(out, at, dnsTypeCode(question.type), question.class ?? IN);
  }
  for (const record of answers) at = emitRecord(out, at, record, table);
  for (const record of authorities) at = emitRecord(out, at, record, table);
  // Before the others: a transaction signature must stay the last record (RFC 8945, section 5.1).
  if (edns !== undefined) at = emitOpt(out, at, edns, responseCode >>> 4);
  for (const record of additionals) at = emitRecord(out, at, record, table);
  return at;
}

interface RecordReader {
  readonly bytes: Uint8Array;
  readonly start: number;
  at: number;
  readonly end: number;
  edns: DnsEdns | undefined;
  extendedCode: number;
}

function readRecords(reader: RecordReader, count: number, additional: boolean): DnsRecord[] {
  const { bytes, start, end } = reader;
  const records: DnsRecord[] = [];
  for (let i = 0; i < count; i++) {
    const fixed = skipName(bytes, reader.at, end);
    const data = fixed + 10;
    const after = data <= end ? data + u16At(bytes, fixed + 8) : Number.POSITIVE_INFINITY;
    if (after > end) throw new CodecError('dns', reader.at, 'a record is cut short');
    const code = u16At(bytes, fixed);
    if (code === OPT && additional) {
      readOpt(reader, fixed, after);
    } else {
      records.push({
        name: decodeName(bytes, start, reader.at, end),
        class: u16At(bytes, fixed + 2),
        ttl: u32At(bytes, fixed + 4),
        ...decodeRdata(code, bytes, start, data, after),
      } as DnsRecord);
    }
    reader.at = after;
  }
  return records;
}

/** The OPT record's fixed part at `fixed` uses class and TTL for its own fields (RFC 6891, section 6.1.3). */
function readOpt(reader: RecordReader, fixed: number, end: number): void {
  const { bytes } = reader;
  if (reader.edns !== undefined) throw new CodecError('dns', reader.at, 'a second OPT record');
  const options: DnsEdnsOption[] = [];
  for (let at = fixed + 10; at < end; ) {
    const after = at + 4 <= end ? at + 4 + u16At(bytes, at + 2) : Number.POSITIVE_INFINITY;
    if (after > end) throw new CodecError('dns', at, 'an EDNS option is cut short');
    options.push({ code: u16At(bytes, at), data: copyBytes(bytes, at + 4, after) });
    at = after;
  }
  reader.extendedCode = bytes[fixed + 4]!;
  reader.edns = {
    udpPayloadSize: u16At(bytes, fixed + 2),
    version: bytes[fixed + 5]!,
    dnssecOk: (bytes[fixed + 6]! & 0x80) !== 0,
    options,
  };
}

function flagsOf(message: DnsMessage): number {
  let flags = 0;
  if (message.response === true) flags |= 0x8000;
  if (message.authoritative === true) flags |= 0x0400;
  if (message.truncated === true) flags |= 0x0200;
  if (message.recursionDesired === true) flags |= 0x0100;
  if (message.recursionAvailable === true) flags |= 0x0080;
  if (message.authenticData === true) flags |= 0x0020;
  if (message.checkingDisabled === true) flags |= 0x0010;
  return flags;
}

function emitTypeAndClass(out: Uint8Array, offset: number, type: number, klass: number): number {
  requireRoom('dns', out, offset, 4);
  requireField('dns class', klass, 0xffff);
  putU16(out, offset, type);
  putU16(out, offset + 2, klass);
  return offset + 4;
}

function emitRecord(out: Uint8Array, offset: number, record: DnsRecord, table: NameTable): number {
  if ((record.type as string) === 'OPT') {
    throw new ArgumentError('an OPT record is given as edns, not among the additionals');
  }
  const name = emitName(out, offset, record.name, table);
  const fixed = emitTypeAndClass(out, name, dnsTypeCode(record.type), record.class ?? IN);
  requireRoom('dns', out, fixed, 6);
  requireField('dns ttl', record.ttl, 0xffffffff);
  putU32(out, fixed, record.ttl);
  const end = emitRdata(out, fixed + 6, record, table);
  requireField('dns data length', end - fixed - 6, 0xffff);
  putU16(out, fixed + 4, end - fixed - 6);
  return end;
}

function emitOpt(out: Uint8Array, offset: number, edns: DnsEdns, extendedCode: number): number {
  const { udpPayloadSize = 1232, version = 0, dnssecOk = false, options = [] } = edns;
  const length = options.reduce((sum, { data }) => sum + 4 + data.length, 0);
  requireRoom('dns edns', out, offset, 11 + length);
  requireField('dns edns udpPayloadSize', udpPayloadSize, 0xffff);
  requireField('dns edns version', version, 0xff);
  requireField('dns edns length', length, 0xffff);
  out[offset] = 0;
  emitTypeAndClass(out, offset + 1, OPT, udpPayloadSize);
  out[offset + 5] = extendedCode;
  out[offset + 6] = version;
  putU16(out, offset + 7, dnssecOk ? 0x8000 : 0);
  putU16(out, offset + 9, length);
  let at = offset + 11;
  for (const { code, data } of options) {
    requireField('dns edns option code', code, 0xffff);
    putU16(out, at, code);
    putU16(out, at + 2, data.length);
    out.set(data, at + 4);
    at += 4 + data.length;
  }
  return at;
}
