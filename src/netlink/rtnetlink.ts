import { ArgumentError, CodecError } from '../error.ts';
import { codecOf, i32, type Layout, struct, u8, u16, u32 } from '../layout/index.ts';
import { Attributes, align4 } from './attribute.ts';
import { MESSAGE_HEADER_BYTES, type Message } from './message.ts';

/** Message types (linux/rtnetlink.h). */
export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  SETLINK: 19,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWNEIGH: 28,
  DELNEIGH: 29,
  GETNEIGH: 30,
  NEWRULE: 32,
  DELRULE: 33,
  GETRULE: 34,
  NEWNSID: 88,
  DELNSID: 89,
  GETNSID: 90,
  NEWLINKPROP: 108,
  DELLINKPROP: 109,
} as const;

/** Address families (linux/socket.h). */
export const AF = { UNSPEC: 0, INET: 2, BRIDGE: 7, INET6: 10, MPLS: 28 } as const;

/** `struct ifinfomsg`. */
export const ifinfomsg: Layout<{
  family: number;
  pad: number;
  type: number;
  index: number;
  flags: number;
  change: number;
}> = struct('ifinfomsg', { family: u8, pad: u8, type: u16, index: i32, flags: u32, change: u32 });

/** `struct ifaddrmsg`. */
export const ifaddrmsg: Layout<{
  family: number;
  prefixLength: number;
  flags: number;
  scope: number;
  index: number;
}> = struct('ifaddrmsg', { family: u8, prefixLength: u8, flags: u8, scope: u8, index: u32 });

/** `struct rtmsg`. */
export const rtmsg: Layout<{
  family: number;
  destinationLength: number;
  sourceLength: number;
  tos: number;
  table: number;
  protocol: number;
  scope: number;
  type: number;
  flags: number;
}> = struct('rtmsg', {
  family: u8,
  destinationLength: u8,
  sourceLength: u8,
  tos: u8,
  table: u8,
  protocol: u8,
  scope: u8,
  type: u8,
  flags: u32,
});

/** `struct fib_rule_hdr` (linux/fib_rules.h). */
export const fibRuleHeader: Layout<{
  family: number;
  destinationLength: number;
  sourceLength: number;
  tos: number;
  table: number;
  reserved1: number;
  reserved2: number;
  action: number;
  flags: number;
}> = struct('fib_rule_hdr', {
  family: u8,
  destinationLength: u8,
  sourceLength: u8,
  tos: u8,
  table: u8,
  reserved1: u8,
  reserved2: u8,
  action: u8,
  flags: u32,
});

/** `struct ndmsg` (linux/neighbour.h). */
export const ndmsg: Layout<{
  family: number;
  pad1: number;
  pad2: number;
  index: number;
  state: number;
  flags: number;
  type: number;
}> = struct('ndmsg', { family: u8, pad1: u8, pad2: u16, index: i32, state: u16, flags: u8, type: u8 });

/** `struct rtgenmsg`, padded to the four bytes it takes up. */
export const rtgenmsg: Layout<{ family: number; pad1: number; pad2: number }> = struct('rtgenmsg', {
  family: u8,
  pad1: u8,
  pad2: u16,
});

/**
 * A message's fixed part and its attributes.
 *
 * @throws CodecError when either is cut off.
 */
export function decodeBody<T>(
  layout: Layout<T>,
  message: Message,
): { readonly header: T; readonly attributes: Attributes } {
  const { payload } = message;
  if (payload.length < layout.size) {
    const problem = `${layout.kind === 'struct' ? layout.name : 'the fixed part'} takes ${layout.size} bytes`;
    throw new CodecError('rtnetlink', MESSAGE_HEADER_BYTES, `${problem}, ${payload.length} are there`);
  }
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const start = Math.min(align4(layout.size), payload.length);
  return {
    header: codecOf(layout).read(view, 0),
    attributes: Attributes.decode(payload.subarray(start), MESSAGE_HEADER_BYTES + start),
  };
}

/** The names of the set bits; bits without a name are left out. */
export function flagNames<Name extends string>(bits: number, table: Readonly<Record<Name, number>>): Name[] {
  const names: Name[] = [];
  for (const name in table) if ((bits & table[name]) !== 0) names.push(name);
  return names;
}

/** The name of a number in a table, or as in `protocol-99` where it has none. */
export function nameIn<Name extends string, Prefix extends string>(
  table: Readonly<Record<Name, number>>,
  value: number,
  prefix: Prefix,
): Name | `${Prefix}-${number}` {
  for (const name in table) if (table[name] === value) return name;
  return `${prefix}-${value}`;
}

/**
 * The number of a name in a table, or of one as in `protocol-99`: the inverse of {@link nameIn}.
 *
 * @param what What the name is of, for the message when there is no such name.
 */
export function numberIn(what: string, table: Readonly<Record<string, number>>, name: string): number {
  const number = Object.hasOwn(table, name) ? table[name]! : Number(/^[a-z]+-(\d{1,3})$/.exec(name)?.[1]);
  if (!(number <= 0xffff)) {
    throw new ArgumentError(`'${name}' is not a ${what}`, {
      hint: `There are: ${Object.keys(table).join(', ')}.`,
    });
  }
  return number;
}
