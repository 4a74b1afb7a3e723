import { OptionCursor } from './option-cursor.ts';
import {
  emitPayload,
  inside,
  PacketView,
  type PayloadFields,
  refusal,
  requireField,
  requireRoom,
} from './view.ts';
import { copyBytes, putU16, u16At } from './wire.ts';

/**
 * PPP as PPPoE carries it (RFC 1661, section 2; RFC 2516, section 7): a two-byte protocol number, and the control
 * packets of LCP, IPCP, IPV6CP and their like (RFC 1661, section 5).
 */
export const PPP_LENGTH = 2;
export const PPP_CONTROL_LENGTH = 4;

/** Codes of LCP packets (RFC 1661, section 5; RFC 1570); the network control protocols use the first seven. */
export const PppCode = {
  configureRequest: 1,
  configureAck: 2,
  configureNak: 3,
  configureReject: 4,
  terminateRequest: 5,
  terminateAck: 6,
  codeReject: 7,
  protocolReject: 8,
  echoRequest: 9,
  echoReply: 10,
  discardRequest: 11,
  identification: 12,
  timeRemaining: 13,
} as const;

/** LCP configuration options (RFC 1661, section 6; RFC 1990). */
export const LcpOptionType = {
  mru: 1,
  accm: 2,
  authenticationProtocol: 3,
  qualityProtocol: 4,
  magicNumber: 5,
  protocolFieldCompression: 7,
  addressControlCompression: 8,
  /** Multilink (RFC 1990, section 5.1). */
  mrru: 17,
  endpointDiscriminator: 19,
} as const;

/** IPCP configuration options (RFC 1332, section 3; RFC 1877). */
export const IpcpOptionType = {
  /** Deprecated by RFC 1332 itself. */
  addresses: 1,
  compressionProtocol: 2,
  address: 3,
  primaryDns: 129,
  primaryNbns: 130,
  secondaryDns: 131,
  secondaryNbns: 132,
} as const;

/** IPV6CP configuration options (RFC 5072, section 4). */
export const Ipv6cpOptionType = { interfaceIdentifier: 1 } as const;

export interface PppFields extends PayloadFields {
  /** `PppProtocol`. */
  readonly protocol: number;
}

export class PppView extends PacketView {
  /** @throws CodecError if fewer than 2 bytes are there. */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) throw refusal('ppp', bytes, offset, end, PPP_LENGTH);
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, PPP_LENGTH)) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  get payloadOffset(): number {
    return this.offset + PPP_LENGTH;
  }

  get protocol(): number {
    return u16At(this.bytes, this.offset);
  }
  set protocol(value: number) {
    putU16(this.bytes, this.offset, value);
  }
}

/** Writes a PPP protocol number, and the payload if one is given. @returns the offset behind it. */
export function emitPpp(out: Uint8Array, offset: number, fields: PppFields): number {
  const payloadLength = emitPayload('ppp', out, offset, PPP_LENGTH, fields);
  const end = writePpp(out, offset, fields.protocol);
  return fields.payload === undefined ? end : end + payloadLength;
}

/** Writes a PPP protocol number. @returns the offset behind it. */
export function writePpp(out: Uint8Array, offset: number, protocol: number): number {
  requireRoom('ppp', out, offset, PPP_LENGTH);
  requireField('ppp protocol', protocol, 0xffff);
  putU16(out, offset, protocol);
  return offset + PPP_LENGTH;
}

/** One configuration option as plain data. */
export interface PppOption {
  /** `LcpOptionType`, `IpcpOptionType` … by the protocol. */
  readonly type: number;
  readonly data: Uint8Array;
}

export interface PppControlFields extends PayloadFields {
  /** `PppCode`, or that of the authentication protocol. */
  readonly code: number;
  readonly identifier: number;
  /** Of the configure packets. Default is none. */
  readonly options?: readonly PppOption[];
}

/** What every control packet begins with: code, identifier, length. */
export class PppControlView extends PacketView {
  /**
   * A packet whose `length` exceeds the bytes that are there is accepted and says so in `truncated`.
   *
   * @throws CodecError if fewer than 4 bytes are there or `length` is below 4.
   */
  at(bytes: Uint8Array, offset = 0, end: number = bytes.length): this {
    if (!this.tryAt(bytes, offset, end)) {
      throw refusal('ppp control', bytes, offset, end, PPP_CONTROL_LENGTH, 'a length below 4');
    }
    return this;
  }

  /** As {@link at}, but false instead of an error. */
  tryAt(bytes: Uint8Array, offset = 0, end: number = bytes.length): boolean {
    if (!inside(bytes, offset, end, PPP_CONTROL_LENGTH)) return false;
    if (u16At(bytes, offset + 2) < PPP_CONTROL_LENGTH) return false;
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    return true;
  }

  /** Where the options or other data begin. */
  get payloadOffset(): number {
    return this.offset + PPP_CONTROL_LENGTH;
  }

  /** Where they end by `length`; never past `end`. */
  get payloadEnd(): number {
    return Math.min(this.end, this.offset + this.length);
  }

  /** Whether `length` promises more bytes than are there. */
  get truncated(): boolean {
    return this.offset + this.length > this.end;
  }

  get code(): number {
    return this.bytes[this.offset]!;
  }
  set code(value: number) {
    this.bytes[this.offset] = value;
  }

  get identifier(): number {
    return this.bytes[this.offset + 1]!;
  }
  set identifier(value: number) {
    this.bytes[this.offset + 1] = value;
  }

  /** In bytes, these four included. */
  get length(): number {
    return u16At(this.bytes, this.offset + 2);
  }
  set length(value: number) {
    putU16(this.bytes, this.offset + 2, value);
  }
}

/**
 * Walks the configuration options of a control packet without allocating.
 *
 *     cursor.start(view.bytes, view.payloadOffset, view.payloadEnd);
 *     while (cursor.next()) if (cursor.type === LcpOptionType.magicNumber) …
 */
export class PppOptionCursor extends OptionCursor {
  constructor() {
    super('ppp control');
  }
}

/** The options in a range as plain data. @throws CodecError if they are malformed. */
export function decodePppOptions(bytes: Uint8Array, offset: number, end: number): PppOption[] {
  const cursor = new PppOptionCursor().start(bytes, offset, end);
  const options: PppOption[] = [];
  while (cursor.next()) {
    options.push({ type: cursor.type, data: copyBytes(bytes, cursor.dataOffset, cursor.dataEnd) });
  }
  return options;
}

/**
 * Writes a control packet: its header and options, or its header and the payload if one is given.
 *
 * @returns the offset behind what was written.
 */
export function emitPppControl(out: Uint8Array, offset: number, fields: PppControlFields): number {
  const payloadLength = emitPayload('ppp control', out, offset, pppControlLength(fields), fields);
  const end = writePppControl(out, offset, fields, payloadLength);
  return fields.payload === undefined ? end : end + payloadLength;
}

/** As {@link emitPppControl}, without the payload. @returns the end of the header and its options. */
export function writePppControl(
  out: Uint8Array,
  offset: number,
  fields: Omit<PppControlFields, keyof PayloadFields>,
  payloadLength: number,
): number {
  const { code, identifier, options = [] } = fields;
  requireRoom('ppp control', out, offset, pppControlLength(fields));
  requireField('ppp code', code, 0xff);
  requireField('ppp identifier', identifier, 0xff);
  let end = offset + PPP_CONTROL_LENGTH;
  for (const { type, data } of options) {
    requireField('ppp option type', type, 0xff);
    requireField('ppp option length', data.length + 2, 0xff);
    out[end] = type;
    out[end + 1] = data.length + 2;
    out.set(data, end + 2);
    end += data.length + 2;
  }
  const length = end - offset + payloadLength;
  requireField('ppp length', length, 0xffff);
  out[offset] = code;
  out[offset + 1] = identifier;
  putU16(out, offset + 2, length);
  return end;
}

/** Bytes of the header and options that {@link emitPppControl} would write. */
export function pppControlLength(fields: Pick<PppControlFields, 'options'>): number {
  return (fields.options ?? []).reduce((length, { data }) => length + 2 + data.length, PPP_CONTROL_LENGTH);
}

/** Whether the options in a range follow each other without a gap or an overrun; nothing is thrown. */
export function arePppOptions(bytes: Uint8Array, offset: number, end: number): boolean {
  let at = offset;
  while (at < end) {
    const length = at + 1 < end ? bytes[at + 1]! : 0;
    if (length < 2 || at + length > end) return false;
    at += length;
  }
  return at === end;
}
