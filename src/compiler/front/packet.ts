import type { HeaderField } from '../../packet/headers.ts';
import type { Node } from '../middle/ir.ts';
import { asBig, asNumber } from './coerce.ts';
import type { Context, Exit } from './context.ts';
import { type BytesVal, type Chunk, describeVal, type HeaderVal, type Val } from './value.ts';

/** A place in the packet that a check has proved to exist. */
export interface Place {
  readonly ptr: Node;
  readonly off: number;
}

/** Offsets of more than this lie in no packet: the largest one that every verifier follows, less room to read. */
export const MAX_OFFSET = 0xefff;

/** The largest displacement that an instruction holds. */
const MAX_DISPLACEMENT = 0x7fff;

/** Checks that `size` bytes lie at `offset + ahead` and gives their place. */
export function place(cx: Context, offset: Node, ahead: number, size: number, at: number): Place {
  const { data, end } = cx.state;
  if (offset.op === 'const') {
    const off = Number(offset.value) + ahead;
    if (offset.value < 0n || off + size > MAX_OFFSET) {
      throw cx.fault(at, `no packet has a byte at ${off}`, `Offsets run from 0 to ${MAX_OFFSET}.`);
    }
    if (off + size <= MAX_DISPLACEMENT) {
      cx.b.emit('check', 'void', [data, end], at, { size: off + size });
      return { ptr: data, off };
    }
  }
  const ptr = cx.b.emit('offptr', 'ptr', [data, offset], at);
  cx.b.emit('check', 'void', [ptr, end], at, { size: ahead + size });
  return { ptr, off: ahead };
}

/** Whether `size` bytes lie at `offset`, as a condition that later accesses build on. */
export function within(cx: Context, offset: Node, size: number, at: number): Node {
  const { data, end } = cx.state;
  const { b } = cx;
  if (offset.op === 'const') {
    const last = Number(offset.value) + size;
    if (offset.value < 0n || last > MAX_OFFSET) return b.constant('bool', 0);
    return b.emit('within', 'bool', [data, end], at, { size: last });
  }
  const no: Exit[] = [];
  for (const [left, right] of [
    [b.num(0), offset],
    [offset, b.num(MAX_OFFSET)],
  ] as const) {
    const { then, otherwise } = b.branch(b.emit('le', 'bool', [left, right], at), at);
    no.push({ block: otherwise, state: cx.cloneState() });
    b.current = then;
  }
  const ptr = b.emit('offptr', 'ptr', [data, offset], at);
  const answer = b.emit('within', 'bool', [ptr, end], at, { size });
  cx.join([{ block: b.current!, state: cx.state }, ...no], at);
  return b.phi(b.current!, 'bool', [answer, b.constant('bool', 0), b.constant('bool', 0)], at);
}

/** Loads bytes as they lie in memory. */
export function loadRaw(cx: Context, from: Place, ahead: number, size: number, at: number): Node {
  const type = size === 8 ? 'big' : 'num';
  return cx.b.emit('load', type, [from.ptr], at, { off: from.off + ahead, size, region: 'packet' });
}

/** Loads an unsigned number in network order. */
export function loadBig(cx: Context, from: Place, ahead: number, size: number, at: number): Node {
  if (size === 6) {
    const hi = loadBig(cx, from, ahead, 4, at);
    const lo = loadBig(cx, from, ahead + 4, 2, at);
    return cx.b.emit('concat', 'num', [hi, lo], at, { size: 16 });
  }
  const raw = loadRaw(cx, from, ahead, size, at);
  if (size === 1) return raw;
  return cx.b.emit('swap', raw.type, [raw], at, { size: size * 8 });
}

/** Stores the low bytes of a number in network order. */
export function storeBig(cx: Context, to: Place, ahead: number, size: number, value: Node, at: number): void {
  const { b } = cx;
  if (size === 6) {
    storeBig(cx, to, ahead + 4, 2, value, at);
    // The upper 32 of 48 bits; the division by 2^16 is a shift that keeps what lies above bit 31.
    const hi = b.emit('sar', 'big', [b.emit('tobig', 'big', [value], at), b.constant('big', 16)], at);
    const raw = b.emit('swap', 'num', [hi], at, { size: 32 });
    b.emit('store', 'void', [to.ptr, raw], at, { off: to.off + ahead, size: 4, region: 'packet' });
    return;
  }
  const raw = size === 1 ? value : b.emit('swap', value.type, [value], at, { size: size * 8 });
  b.emit('store', 'void', [to.ptr, raw], at, { off: to.off + ahead, size, region: 'packet' });
}

/** Loads `size` bytes into registers. */
export function loadBytes(cx: Context, from: Place, ahead: number, size: number, at: number): BytesVal {
  const chunks: Chunk[] = [];
  for (const { off, size: part } of split(size)) {
    chunks.push({ off, size: part, node: loadRaw(cx, from, ahead + off, part, at) });
  }
  return { kind: 'bytes', size, chunks };
}

export function storeBytes(cx: Context, to: Place, ahead: number, value: BytesVal, at: number): void {
  for (const chunk of value.chunks) {
    const attributes = { off: to.off + ahead + chunk.off, size: chunk.size, region: 'packet' } as const;
    cx.b.emit('store', 'void', [to.ptr, chunk.node], at, attributes);
  }
}

/** Bytes in the largest pieces: eights, then a four, a two and a one. */
export function split(size: number): { off: number; size: 1 | 2 | 4 | 8 }[] {
  const parts: { off: number; size: 1 | 2 | 4 | 8 }[] = [];
  let off = 0;
  for (const part of [8, 4, 2, 1] as const) {
    while (size - off >= part) {
      parts.push({ off, size: part });
      off += part;
    }
  }
  return parts;
}

/** A field of a header, as `pkt.ipv4(off).ttl` reads it. */
export function readField(cx: Context, of: HeaderVal, field: HeaderField, at: number): Val {
  requireFresh(cx, of, at);
  const from = place(cx, of.base, field.offset, field.size, at);
  const at0 = from.off;
  const base = { ptr: from.ptr, off: at0 };
  if (field.kind === 'ipv6') return loadBytes(cx, base, 0, field.size, at);
  let value = loadBig(cx, base, 0, field.size, at);
  const { b } = cx;
  const { shift = 0, width = field.size * 8, scale = 1 } = field;
  if (field.kind === 'flag') {
    const bit = b.emit('and', 'num', [value, b.num(1 << shift)], at);
    return { kind: 'bool', node: b.emit('ne', 'bool', [bit, b.num(0)], at) };
  }
  if (shift > 0) value = b.emit('shr', 'num', [value, b.num(shift)], at);
  if (shift + width < field.size * 8) value = b.emit('and', 'num', [value, b.num(2 ** width - 1)], at);
  if (scale > 1) value = b.emit('mul', 'num', [value, b.num(scale)], at);
  return { kind: 'num', node: value };
}

/** Writes a field of a header; what does not fit is cut off, as DataView does. */
export function writeField(
  cx: Context,
  of: HeaderVal,
  field: HeaderField,
  val: Val,
  node: { start: number },
): void {
  const at = cx.at(node);
  requireFresh(cx, of, at);
  const { b } = cx;
  const { shift = 0, width = field.size * 8, scale = 1 } = field;
  if (field.kind === 'ipv6') {
    if (val.kind !== 'bytes' || val.size !== field.size) {
      throw cx.fault(
        node,
        `${describeVal(val)} is no address of ${field.size} bytes`,
        'Assign another address.',
      );
    }
    storeBytes(cx, place(cx, of.base, field.offset, field.size, at), 0, val, at);
    return;
  }
  let value: Node;
  if (field.kind === 'flag') {
    if (val.kind !== 'bool')
      throw cx.fault(node, `${describeVal(val)} is no boolean`, 'Assign true or false.');
    const to = place(cx, of.base, field.offset, field.size, at);
    const old = loadBig(cx, to, 0, field.size, at);
    const cleared = b.emit('and', 'num', [old, b.num(~(1 << shift) & (2 ** (field.size * 8) - 1))], at);
    const bit = flagBit(cx, val.node, shift, at);
    storeBig(cx, to, 0, field.size, b.emit('or', 'num', [cleared, bit], at), at);
    return;
  }
  value = asNumber(cx, val, node);
  const to = place(cx, of.base, field.offset, field.size, at);
  if (scale > 1) value = b.emit('sar', 'num', [value, b.num(Math.log2(scale))], at);
  if (width < field.size * 8) {
    const mask = 2 ** width - 1;
    const old = loadBig(cx, to, 0, field.size, at);
    const kept = 2 ** (field.size * 8) - 1 - mask * 2 ** shift;
    const cleared = b.emit('and', 'num', [old, b.num(kept | 0)], at);
    let bits = b.emit('and', 'num', [value, b.num(mask)], at);
    if (shift > 0) bits = b.emit('shl', 'num', [bits, b.num(shift)], at);
    value = b.emit('or', 'num', [cleared, bits], at);
  }
  storeBig(cx, to, 0, field.size, value, at);
}

/** A boolean as the bit `shift` of a number. */
function flagBit(cx: Context, flag: Node, shift: number, at: number): Node {
  if (flag.op === 'const') return cx.b.num(flag.value === 0n ? 0 : 1 << shift);
  const { then, otherwise } = cx.b.branch(flag, at);
  cx.join(
    [
      { block: then, state: cx.state },
      { block: otherwise, state: cx.cloneState() },
    ],
    at,
  );
  return cx.b.phi(cx.b.current!, 'num', [cx.b.num(1 << shift), cx.b.num(0)], at);
}

function requireFresh(cx: Context, of: HeaderVal, at: number): void {
  if (of.epoch === cx.state.epoch) return;
  throw cx.fault(
    at,
    `this view of the ${of.name} header is from before the packet's ends moved`,
    `Take a new one: pkt.${of.name}(offset).`,
  );
}

/** The width, order and type that a name such as `be16` stands for. */
export function accessOf(name: string): { size: 1 | 2 | 4 | 8; order: 'big' | 'little' } | undefined {
  const match = /^(?:u8|(be|le)(16|32|64))$/.exec(name);
  if (match === null) return undefined;
  if (match[1] === undefined) return { size: 1, order: 'big' };
  return { size: (Number(match[2]) / 8) as 2 | 4 | 8, order: match[1] === 'be' ? 'big' : 'little' };
}

/** `pkt.be16(offset)` and its like. */
export function readNumber(cx: Context, name: string, offset: Node, at: number): Val {
  const { size, order } = accessOf(name)!;
  const from = place(cx, offset, 0, size, at);
  const node = order === 'big' ? loadBig(cx, from, 0, size, at) : loadRaw(cx, from, 0, size, at);
  return { kind: size === 8 ? 'big' : 'num', node };
}

/** `pkt.store.be16(offset, value)` and its like. */
export function writeNumber(
  cx: Context,
  name: string,
  offset: Node,
  val: Val,
  node: { start: number },
): void {
  const { size, order } = accessOf(name)!;
  const at = cx.at(node);
  const value = size === 8 ? asBig(cx, val, node) : asNumber(cx, val, node);
  const to = place(cx, offset, 0, size, at);
  if (order === 'big') storeBig(cx, to, 0, size, value, at);
  else cx.b.emit('store', 'void', [to.ptr, value], at, { off: to.off, size, region: 'packet' });
}
