import { ArgumentError, CodecError } from '../error.ts';
import { Attributes, align4 } from './attribute.ts';

/*
 * struct nlmsghdr (linux/netlink.h); one datagram carries one message or several, each padded to four bytes.
 *
 *   0        4      6       8          12       16
 *   | length | type | flags | sequence | port   | payload ...
 */
export const MESSAGE_HEADER_BYTES = 16;

const FORMAT = 'netlink message';

/** Message types below 16 are netlink's own, in every protocol. */
export const NLMSG = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const;

export const NLM_F = {
  REQUEST: 0x001,
  /** More of the same answer follows, up to DONE. */
  MULTI: 0x002,
  /** Answer with an ERROR message even when there was none. */
  ACK: 0x004,
  ECHO: 0x008,
  /** What was dumped changed meanwhile: entries may be missing or double. */
  DUMP_INTR: 0x010,
  DUMP_FILTERED: 0x020,
  /** With GET requests: everything that matches. */
  DUMP: 0x300,
  /** With NEW requests. */
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  /** In ERROR messages: the request that failed was not repeated in full. */
  CAPPED: 0x100,
  /** In ERROR and DONE messages: extended ack attributes follow. */
  ACK_TLVS: 0x200,
} as const;

/** One netlink message. */
export interface Message {
  readonly type: number;
  /** `NLM_F` bits. */
  readonly flags: number;
  /** Ties an answer to its request; 0 for notifications. */
  readonly sequence: number;
  /** The port (socket) it is for, or from; 0 is the kernel. */
  readonly port: number;
  /** Without the header; when decoded, a view on the received bytes. */
  readonly payload: Uint8Array;
}

/** How the kernel answered: an ERROR message, or the end of a dump. */
export interface Acknowledgement {
  /** 0 for success, else a positive errno. */
  readonly errno: number;
  /** The sequence number of the request, where the answer repeats it. */
  readonly sequence: number | undefined;
  readonly extended: ExtendedAck;
}

/** What the kernel adds to an error, `enum nlmsgerr_attrs`. */
export interface ExtendedAck {
  /** The kernel's own words. */
  readonly message: string | undefined;
  /** Where the attribute at fault starts, in bytes from the start of the request's header. */
  readonly offset: number | undefined;
  readonly cookie: Uint8Array | undefined;
  /** What the attribute at fault should have been. */
  readonly policy: AttributePolicy | undefined;
  /** The type of an attribute that should have been there. */
  readonly missingType: number | undefined;
  /** Where the attribute starts in which it is missing; absent when it is missing in the message itself. */
  readonly missingNestOffset: number | undefined;
}

/** What the kernel takes for an attribute, `enum netlink_policy_type_attr`. */
export interface AttributePolicy {
  readonly type: AttributePolicyType;
  readonly minValue: bigint | undefined;
  readonly maxValue: bigint | undefined;
  /** In bytes. */
  readonly minLength: number | undefined;
  /** In bytes. */
  readonly maxLength: number | undefined;
  readonly mask: bigint | undefined;
}

export type AttributePolicyType = (typeof POLICY_TYPES)[number];

/** `enum netlink_attribute_type`, in its order. */
const POLICY_TYPES = [
  'invalid',
  'flag',
  'u8',
  'u16',
  'u32',
  'u64',
  's8',
  's16',
  's32',
  's64',
  'binary',
  'string',
  'nul-string',
  'nested',
  'nested-array',
  'bitfield32',
  'sint',
  'uint',
] as const;

export function encodeMessage(message: Message): Uint8Array {
  const length = MESSAGE_HEADER_BYTES + message.payload.length;
  const bytes = new Uint8Array(align4(length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, field('type', message.type, 16), true);
  view.setUint16(6, field('flags', message.flags, 16), true);
  view.setUint32(8, field('sequence', message.sequence, 32), true);
  view.setUint32(12, field('port', message.port, 32), true);
  bytes.set(message.payload, MESSAGE_HEADER_BYTES);
  return bytes;
}

/**
 * The messages of one datagram.
 *
 * @throws CodecError when a header or a message is cut off; nothing else, whatever the bytes.
 */
export function decodeMessages(datagram: Uint8Array): Message[] {
  const messages: Message[] = [];
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length);
  let offset = 0;
  while (offset < datagram.length) {
    const left = datagram.length - offset;
    if (left < MESSAGE_HEADER_BYTES) {
      throw new CodecError(FORMAT, offset, `${left} bytes are left, a header takes 16`);
    }
    const length = view.getUint32(offset, true);
    if (length < MESSAGE_HEADER_BYTES || length > left) {
      throw new CodecError(FORMAT, offset, `the length says ${length}, it must be 16 to ${left}`);
    }
    messages.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      port: view.getUint32(offset + 12, true),
      payload: datagram.subarray(offset + MESSAGE_HEADER_BYTES, offset + length),
    });
    offset += align4(length);
  }
  return messages;
}

/**
 * What an ERROR or DONE message says.
 *
 * @throws CodecError when the message is cut off or of another type.
 */
export function decodeAcknowledgement(message: Message): Acknowledgement {
  const { payload } = message;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  if (message.type === NLMSG.DONE) {
    // Some families end a dump without a result.
    if (payload.length < 4) return { errno: 0, sequence: undefined, extended: NO_EXTENDED_ACK };
    const result = view.getInt32(0, true);
    // A positive result is a length, not an error.
    return {
      errno: Math.max(0, -result),
      sequence: undefined,
      extended: decodeExtendedAck(message, 4),
    };
  }
  if (message.type !== NLMSG.ERROR) {
    throw new CodecError(FORMAT, 4, `type ${message.type} is neither ERROR nor DONE`);
  }
  // struct nlmsgerr: the result, then the request's header, then the rest of it unless capped.
  if (payload.length < 4 + MESSAGE_HEADER_BYTES) {
    throw new CodecError(
      FORMAT,
      MESSAGE_HEADER_BYTES,
      `an ERROR message has ${payload.length} bytes, not 20`,
    );
  }
  const requestBytes = (message.flags & NLM_F.CAPPED) !== 0 ? MESSAGE_HEADER_BYTES : view.getUint32(4, true);
  return {
    errno: Math.max(0, -view.getInt32(0, true)),
    sequence: view.getUint32(12, true),
    extended: decodeExtendedAck(message, 4 + requestBytes),
  };
}

const NO_EXTENDED_ACK: ExtendedAck = {
  message: undefined,
  offset: undefined,
  cookie: undefined,
  policy: undefined,
  missingType: undefined,
  missingNestOffset: undefined,
};

/** `enum nlmsgerr_attrs`. */
export const NLMSGERR_ATTR = { MSG: 1, OFFS: 2, COOKIE: 3, POLICY: 4, MISS_TYPE: 5, MISS_NEST: 6 } as const;

/** `enum netlink_policy_type_attr`. */
const POLICY_ATTR = {
  TYPE: 1,
  MIN_VALUE_S: 2,
  MAX_VALUE_S: 3,
  MIN_VALUE_U: 4,
  MAX_VALUE_U: 5,
  MIN_LENGTH: 6,
  MAX_LENGTH: 7,
  MASK: 12,
} as const;

/** @param offset Where the attributes start in the payload, not yet aligned. */
function decodeExtendedAck(message: Message, offset: number): ExtendedAck {
  if ((message.flags & NLM_F.ACK_TLVS) === 0) return NO_EXTENDED_ACK;
  // Not align4: a hostile length near 2^32 would wrap.
  const start = Math.ceil(offset / 4) * 4;
  if (start > message.payload.length) {
    throw new CodecError(FORMAT, MESSAGE_HEADER_BYTES, 'the repeated request is longer than the message');
  }
  const attributes = Attributes.decode(message.payload.subarray(start), MESSAGE_HEADER_BYTES + start);
  const cookie = attributes.bytes(NLMSGERR_ATTR.COOKIE);
  const policy = attributes.nested(NLMSGERR_ATTR.POLICY);
  return {
    message: attributes.string(NLMSGERR_ATTR.MSG),
    offset: attributes.u32(NLMSGERR_ATTR.OFFS),
    cookie: cookie && Uint8Array.from(cookie),
    policy: policy && decodePolicy(policy),
    missingType: attributes.u32(NLMSGERR_ATTR.MISS_TYPE),
    missingNestOffset: attributes.u32(NLMSGERR_ATTR.MISS_NEST),
  };
}

function decodePolicy(policy: Attributes): AttributePolicy {
  const signed = (type: number): bigint | undefined => {
    const value = policy.u64(type);
    return value === undefined ? undefined : BigInt.asIntN(64, value);
  };
  return {
    type: POLICY_TYPES[policy.u32(POLICY_ATTR.TYPE) ?? 0] ?? 'invalid',
    minValue: policy.u64(POLICY_ATTR.MIN_VALUE_U) ?? signed(POLICY_ATTR.MIN_VALUE_S),
    maxValue: policy.u64(POLICY_ATTR.MAX_VALUE_U) ?? signed(POLICY_ATTR.MAX_VALUE_S),
    minLength: policy.u32(POLICY_ATTR.MIN_LENGTH),
    maxLength: policy.u32(POLICY_ATTR.MAX_LENGTH),
    mask: policy.u64(POLICY_ATTR.MASK),
  };
}

function field(name: string, value: number, bits: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits) {
    throw new ArgumentError(`message ${name} ${value} is not a whole number of 0 to ${2 ** bits - 1}`);
  }
  return value;
}
