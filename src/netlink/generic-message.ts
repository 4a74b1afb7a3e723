import { CodecError } from '../error.ts';
import { Attributes } from './attribute.ts';
import { MESSAGE_HEADER_BYTES, type Message } from './message.ts';

/** `struct genlmsghdr` (linux/genetlink.h): command, version, two bytes reserved. */
export const GENERIC_HEADER_BYTES = 4;

/**
 * Command and attributes of a generic netlink message.
 *
 * @throws CodecError when either is cut off.
 */
export function decodeGenericBody(message: Message): {
  readonly command: number;
  readonly version: number;
  readonly attributes: Attributes;
} {
  const { payload } = message;
  if (payload.length < GENERIC_HEADER_BYTES) {
    const problem = `the header takes 4 bytes, ${payload.length} are there`;
    throw new CodecError('generic netlink', MESSAGE_HEADER_BYTES, problem);
  }
  const start = MESSAGE_HEADER_BYTES + GENERIC_HEADER_BYTES;
  return {
    command: payload[0]!,
    version: payload[1]!,
    attributes: Attributes.decode(payload.subarray(GENERIC_HEADER_BYTES), start),
  };
}
