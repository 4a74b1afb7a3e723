import type * as syntax from 'acorn';
import type { Layout } from '../../layout/index.ts';
import { type HeaderName, headerLayouts } from '../../packet/headers.ts';
import { isPerCpu } from '../../spec/index.ts';
import type { Node } from '../middle/ir.ts';
import { asBig, asNumber } from './coerce.ts';
import { type Context, MOVING } from './context.ts';
import { arithmetic } from './operator.ts';
import { readField, split, writeField } from './packet.ts';
import { lookUp, lookUpByte } from './table.ts';
import { type BytesVal, describeVal, isArray, isStruct, type Val, type ViewVal } from './value.ts';

/** The headers that `pkt` offers. */
export const PACKET_HEADERS: ReadonlySet<string> = new Set(Object.keys(headerLayouts));

const PACKET_METHODS = new Set([
  ...['u8', 'be16', 'be32', 'be64', 'le16', 'le32', 'le64', 'bytes', 'has', 'checksum'],
  ...['adjustHead', 'adjustTail', 'adjustMeta'],
]);

const KERNEL_METHODS = new Set([
  ...[
    'ktime',
    'bootTime',
    'coarseTime',
    'ticks',
    'random',
    'cpu',
    'redirect',
    'equal',
    'csumReplace16',
    'csumReplace32',
    'fibLookup',
  ],
]);

const MAP_METHODS = new Set([
  'get',
  'has',
  'set',
  'insert',
  'update',
  'delete',
  'output',
  'redirect',
  'tailCall',
]);

function propertyName(cx: Context, node: syntax.MemberExpression): string {
  if (node.optional) {
    throw cx.fault(
      node,
      'optional chaining is not part of the language',
      'Write if (!x) return … and then x.field.',
    );
  }
  if (!node.computed && node.property.type === 'Identifier') return node.property.name;
  throw cx.fault(node.property, 'this member must have a plain name', 'Write x.name.');
}

/** Reads `of.name` or `of[index]`. */
export function readMember(cx: Context, of: Val, node: syntax.MemberExpression): Val {
  const at = cx.at(node.property);
  switch (of.kind) {
    case 'packet': {
      const name = propertyName(cx, node);
      if (name === 'length') return { kind: 'num', node: lengthOf(cx, at) };
      if (name === 'ingressIfindex') return { kind: 'num', node: contextField(cx, 12, at) };
      if (name === 'rxQueue') return { kind: 'num', node: contextField(cx, 16, at) };
      if (name === 'store') return { kind: 'store' };
      if (name === 'whole') return { kind: 'whole', store: false };
      if (PACKET_METHODS.has(name) || PACKET_HEADERS.has(name)) return { kind: 'method', of, name };
      throw unknown(cx, node, 'pkt', name, [
        ...PACKET_METHODS,
        ...PACKET_HEADERS,
        'length',
        'store',
        'rxQueue',
      ]);
    }
    case 'store':
      return { kind: 'method', of, name: propertyName(cx, node) };
    case 'whole': {
      const name = propertyName(cx, node);
      if (name === 'store') return { kind: 'whole', store: true };
      return { kind: 'method', of, name };
    }
    case 'kernel': {
      const name = propertyName(cx, node);
      if (!KERNEL_METHODS.has(name)) throw unknown(cx, node, 'kernel', name, [...KERNEL_METHODS]);
      return { kind: 'method', of, name };
    }
    case 'map': {
      const name = propertyName(cx, node);
      if (!MAP_METHODS.has(name)) throw unknown(cx, node, `map ${of.spec.name}`, name, [...MAP_METHODS]);
      return { kind: 'method', of, name };
    }
    case 'global':
      return { kind: 'method', of, name: propertyName(cx, node) };
    case 'header': {
      const name = propertyName(cx, node);
      const field = of.layout.fields[name];
      if (field === undefined) {
        throw unknown(cx, node, `the ${of.name} header`, name, Object.keys(of.layout.fields));
      }
      return readField(cx, of, field, at);
    }
    case 'view':
      return readView(cx, select(cx, of, node), at, node);
    case 'object': {
      const name = propertyName(cx, node);
      const field = of.fields.get(name);
      if (field === undefined) throw unknown(cx, node, 'the object', name, [...of.fields.keys()]);
      return field;
    }
    case 'tuple':
      return readTuple(cx, of, node);
    case 'bytes': {
      const name = node.computed ? '' : propertyName(cx, node);
      if (name === 'length') return { kind: 'num', node: cx.b.num(of.size) };
      return readByte(cx, of, node);
    }
    case 'undefined':
      throw cx.fault(node, 'this is undefined here', 'Check it first.');
    default:
      throw cx.fault(node, `${describeVal(of)} has no members`, 'Use the value itself.');
  }
}

function unknown(
  cx: Context,
  node: syntax.MemberExpression,
  of: string,
  name: string,
  known: string[],
): Error {
  return cx.fault(node.property, `${of} has no '${name}'`, `There are: ${known.join(', ')}.`);
}

export function lengthOf(cx: Context, at: number): Node {
  if (cx.options.frags) {
    // bpf_xdp_get_buff_len: the linear part is not the whole packet.
    return cx.b.emit('call', 'num', [cx.ctx], at, { off: 188 });
  }
  return cx.b.emit('length', 'num', [cx.state.data, cx.state.end], at);
}

function contextField(cx: Context, off: number, at: number): Node {
  return cx.b.emit('ctxload', 'num', [cx.ctx], at, { off });
}

function readTuple(cx: Context, of: Val & { kind: 'tuple' }, node: syntax.MemberExpression): Val {
  if (!node.computed) {
    const name = propertyName(cx, node);
    if (name === 'length') return { kind: 'num', node: cx.b.num(of.items.length) };
    if (name === 'includes') return { kind: 'method', of, name };
    throw unknown(cx, node, 'the array', name, ['length', 'includes']);
  }
  const index = asNumber(cx, cx.evaluate(node.property as syntax.Expression), node.property);
  if (index.op !== 'const') {
    return lookUp(cx, of.items, index, cx.at(node.property));
  }
  const item = of.items[Number(index.value)];
  if (item === undefined) {
    throw cx.fault(
      node.property,
      `the array has no element ${index.value}`,
      `It has ${of.items.length} elements.`,
    );
  }
  return item;
}

function readByte(cx: Context, of: BytesVal, node: syntax.MemberExpression): Val {
  const index = asNumber(cx, cx.evaluate(node.property as syntax.Expression), node.property);
  if (index.op !== 'const') return lookUpByte(cx, of, index, cx.at(node.property));
  if (index.value < 0n || index.value >= BigInt(of.size)) {
    throw cx.fault(
      node.property,
      `there is no byte ${index.value} among ${of.size}`,
      `Write a number from 0 to ${of.size - 1}.`,
    );
  }
  const i = Number(index.value);
  const chunk = of.chunks.find((c) => i >= c.off && i < c.off + c.size)!;
  const at = cx.at(node);
  const big = cx.b.emit('tobig', 'big', [chunk.node], at);
  const shifted = cx.b.emit('sar', 'big', [big, cx.b.constant('big', (i - chunk.off) * 8)], at);
  const byte = cx.b.emit('wrap', 'big', [shifted], at, { size: 8 });
  return { kind: 'num', node: cx.b.emit('tonum', 'num', [byte], at) };
}

/** A part of a map's value that is not read yet. */
interface Selected {
  readonly view: ViewVal;
}

/** Which part of a map value `view.name` or `view[index]` is. */
function select(cx: Context, of: ViewVal, node: syntax.MemberExpression): Selected {
  requireNonNull(cx, of, node);
  const { layout } = of;
  if (of.cell) {
    const name = propertyName(cx, node);
    if (name === 'value') return { view: { ...of, cell: false } };
    throw unknown(cx, node, `a value of map ${of.map.name}`, name, ['value']);
  }
  if (isStruct(layout)) {
    const name = propertyName(cx, node);
    const field = layout.fields.find((f) => f.name === name);
    if (field === undefined) {
      throw unknown(
        cx,
        node,
        `struct ${layout.name}`,
        name,
        layout.fields.map((f) => f.name),
      );
    }
    return { view: { ...of, off: of.off + field.offset, layout: field.layout } };
  }
  if (isArray(layout) && node.computed) {
    const index = asNumber(cx, cx.evaluate(node.property as syntax.Expression), node.property);
    if (index.op === 'const') {
      if (index.value < 0n || index.value >= BigInt(layout.length)) {
        throw cx.fault(
          node.property,
          `index ${index.value} lies outside the array`,
          `It has ${layout.length} elements.`,
        );
      }
      const off = of.off + Number(index.value) * layout.element.size;
      return { view: { ...of, off, layout: layout.element } };
    }
    const at = cx.at(node.property);
    const ptr = cx.b.emit('elemptr', 'ptr', [of.ptr, index], at, {
      size: layout.element.size,
      limit: layout.length,
    });
    cx.state.nonNull.add(ptr);
    return { view: { ...of, ptr, layout: layout.element } };
  }
  throw cx.fault(node, `this part of map ${of.map.name} has no members`, 'Use the value itself.');
}

function requireNonNull(cx: Context, of: ViewVal, node: { start: number }): void {
  if (of.stale === true) {
    throw cx.fault(
      node,
      `this entry of map ${of.map.name} is from before the map was written, and may be another's by now`,
      'Get it again after set, insert, update or delete.',
    );
  }
  if (cx.state.nonNull.has(of.ptr)) return;
  throw cx.fault(
    node,
    `this entry of map ${of.map.name} may be missing`,
    "Check it first: if (!entry) return 'pass';",
  );
}

function readView(cx: Context, { view }: Selected, at: number, node: syntax.MemberExpression): Val {
  const { layout, ptr, off } = view;
  if (isArray(layout)) return view;
  if (isStruct(layout)) return view;
  return readLayout(cx, ptr, off, layout, at, node);
}

function readLayout(
  cx: Context,
  ptr: Node,
  off: number,
  layout: Layout,
  at: number,
  node: { start: number },
): Val {
  const { b } = cx;
  if (layout.kind === 'bytes') {
    const chunks = split(layout.size).map((part) => ({
      ...part,
      node: b.emit('load', part.size === 8 ? 'big' : 'num', [ptr], at, {
        off: off + part.off,
        size: part.size,
        region: 'value',
      }),
    }));
    return { kind: 'bytes', size: layout.size, chunks };
  }
  if (layout.kind !== 'int')
    throw cx.fault(node, 'only numbers and bytes can be read at once', 'Read a field of it.');
  const kind = layout.size === 8 ? 'big' : 'num';
  const raw = b.emit('load', kind, [ptr], at, {
    off,
    size: layout.size,
    signed: layout.signed,
    region: 'value',
  });
  if (layout.order === 'host' || layout.size === 1) return { kind, node: raw };
  return { kind, node: b.emit('swap', kind, [raw], at, { size: layout.size * 8 }) };
}

/** `of.name = value`, `of.name += value`, `of.name++`. */
export function assignMember(
  cx: Context,
  node: syntax.AssignmentExpression | syntax.UpdateExpression,
  target: syntax.MemberExpression,
  operator: string,
  discard: boolean,
): Val {
  const of = cx.evaluate(target.object);
  const right = (like: Val | undefined): Val => {
    if (node.type === 'AssignmentExpression') return cx.evaluate(node.right);
    return like?.kind === 'big'
      ? { kind: 'big', node: cx.b.constant('big', 1) }
      : { kind: 'num', node: cx.b.num(1) };
  };
  const rightNode = node.type === 'AssignmentExpression' ? node.right : node;
  if (!discard && node.type === 'UpdateExpression') {
    throw cx.fault(node, 'counting a field gives no value here', 'Count it in a statement of its own.');
  }
  if (of.kind === 'header') {
    const name = propertyName(cx, target);
    const field = of.layout.fields[name];
    if (field === undefined)
      throw unknown(cx, target, `the ${of.name} header`, name, Object.keys(of.layout.fields));
    let val: Val;
    if (operator === '') val = right(undefined);
    else {
      const before = readField(cx, of, field, cx.at(target.property));
      val = arithmetic(cx, operator, before, right(before), node, target, rightNode);
    }
    if (cx.b.live) writeField(cx, of, field, val, node);
    return val;
  }
  if (of.kind !== 'view') {
    throw cx.fault(
      target,
      `${describeVal(of)} cannot be written to`,
      'Write fields of headers and of map values.',
    );
  }
  const { view } = select(cx, of, target);
  const at = cx.at(node);
  const { writes } = cx;
  const unmoved = (): void => {
    if (cx.writes === writes || !MOVING.has(of.map.type)) return;
    throw cx.fault(
      node,
      `map ${of.map.name} may be written before this assignment to its entry`,
      'Work the value out first, then get the entry.',
    );
  };
  if (operator === '') {
    const val = right(undefined);
    unmoved();
    if (cx.b.live)
      writeLayout(cx, { ptr: view.ptr, base: view.off, region: 'value' }, view.layout, val, node);
    return val;
  }
  const { layout } = view;
  const addition = operator === '+' || operator === '-';
  const shared = !isPerCpu(view.map.type);
  if (addition && shared) {
    if (layout.kind !== 'int' || layout.size < 4 || layout.order !== 'host') {
      throw cx.fault(
        node,
        `'${operator}=' on a shared value is one atomic addition, which this field is too small for or in the wrong order`,
        'Use u32, u64, i32 or i64 in host order, or write x.field = x.field + n and accept lost updates.',
      );
    }
    if (!discard) {
      throw cx.fault(node, 'an atomic addition gives no value', 'Write it as a statement of its own.');
    }
    const like: Val = { kind: layout.size === 8 ? 'big' : 'num', node: cx.b.num(0) };
    const amount = right(like);
    unmoved();
    if (!cx.b.live) return amount;
    let by = layout.size === 8 ? asBig(cx, amount, rightNode) : asNumber(cx, amount, rightNode);
    if (operator === '-') by = cx.b.emit('sub', by.type, [cx.b.constant(by.type, 0), by], at);
    cx.b.emit('atomic', 'void', [view.ptr, by], at, { off: view.off, size: layout.size, region: 'value' });
    return amount;
  }
  const before = readView(cx, { view }, at, target);
  const val = arithmetic(cx, operator, before, right(before), node, target, rightNode);
  unmoved();
  if (cx.b.live) writeLayout(cx, { ptr: view.ptr, base: view.off, region: 'value' }, layout, val, node);
  return val;
}

/** Memory that a value is written to: behind a pointer, or a place on the stack. */
export interface Destination {
  /** Absent for the stack. */
  readonly ptr: Node | undefined;
  readonly base: number;
  readonly region: 'value' | 'stack';
}

/** Writes a value in the given layout, padding as zeros where it is a whole struct. */
export function writeLayout(
  cx: Context,
  to: Destination,
  layout: Layout,
  val: Val,
  node: { start: number },
): void {
  const at = cx.at(node);
  switch (layout.kind) {
    case 'int': {
      const value = layout.size === 8 ? asBig(cx, val, node) : asNumber(cx, boolAsNumber(cx, val), node);
      const swapped =
        layout.order === 'big' && layout.size > 1
          ? cx.b.emit('swap', value.type, [value], at, { size: layout.size * 8 })
          : value;
      storeAt(cx, to, 0, layout.size, swapped, at);
      return;
    }
    case 'bytes': {
      if (val.kind === 'num' && (layout.size === 4 || layout.size === 6)) {
        // An IPv4 or a MAC address, in network order.
        if (layout.size === 4) {
          storeAt(cx, to, 0, 4, cx.b.emit('swap', 'num', [val.node], at, { size: 32 }), at);
          return;
        }
        const big = cx.b.emit('tobig', 'big', [val.node], at);
        const hi = cx.b.emit('sar', 'big', [big, cx.b.constant('big', 16)], at);
        storeAt(cx, to, 0, 4, cx.b.emit('swap', 'num', [hi], at, { size: 32 }), at);
        storeAt(cx, to, 4, 2, cx.b.emit('swap', 'num', [val.node], at, { size: 16 }), at);
        return;
      }
      if (val.kind !== 'bytes' || val.size !== layout.size) {
        throw cx.fault(
          node,
          `${describeVal(val)} stands where ${layout.size} bytes are needed`,
          'Give as many bytes.',
        );
      }
      for (const chunk of val.chunks) storeAt(cx, to, chunk.off, chunk.size, chunk.node, at);
      return;
    }
    case 'array': {
      if (val.kind === 'view') {
        copyView(cx, to, layout, val, node);
        return;
      }
      if (val.kind !== 'tuple' || val.items.length !== layout.length) {
        throw cx.fault(
          node,
          `${describeVal(val)} stands where an array of ${layout.length} is needed`,
          'Write an array literal of that length.',
        );
      }
      val.items.forEach((item, i) => {
        writeLayout(cx, { ...to, base: to.base + i * layout.element.size }, layout.element, item, node);
      });
      return;
    }
    case 'struct': {
      if (val.kind === 'view') {
        copyView(cx, to, layout, val, node);
        return;
      }
      if (val.kind !== 'object') {
        throw cx.fault(
          node,
          `${describeVal(val)} stands where struct ${layout.name} is needed`,
          `Write { ${layout.fields.map((f) => f.name).join(', ')} }.`,
        );
      }
      let end = 0;
      for (const field of layout.fields) {
        zero(cx, to, end, field.offset, at);
        const part = val.fields.get(field.name);
        if (part === undefined) {
          throw cx.fault(
            node,
            `field ${field.name} of struct ${layout.name} is missing`,
            'Give every field a value.',
          );
        }
        writeLayout(cx, { ...to, base: to.base + field.offset }, field.layout, part, node);
        end = field.offset + field.layout.size;
      }
      zero(cx, to, end, layout.size, at);
      return;
    }
  }
}

function boolAsNumber(cx: Context, val: Val): Val {
  if (val.kind === 'bool' && val.node.op === 'const') return { kind: 'num', node: cx.b.num(val.node.value) };
  return val;
}

function copyView(cx: Context, to: Destination, layout: Layout, val: ViewVal, node: { start: number }): void {
  requireNonNull(cx, val, node);
  if (val.layout !== layout) {
    throw cx.fault(node, 'the two values have different layouts', 'Write out the fields.');
  }
  const at = cx.at(node);
  for (const part of alignedParts(layout.size, layout.align)) {
    const type = part.size === 8 ? 'big' : 'num';
    const attributes = { off: val.off + part.off, size: part.size, region: 'value' } as const;
    storeAt(cx, to, part.off, part.size, cx.b.emit('load', type, [val.ptr], at, attributes), at);
  }
}

function alignedParts(size: number, align: number): { off: number; size: 1 | 2 | 4 | 8 }[] {
  const parts: { off: number; size: 1 | 2 | 4 | 8 }[] = [];
  for (let off = 0; off < size; off += align) parts.push({ off, size: align as 1 | 2 | 4 | 8 });
  return parts;
}

function zero(cx: Context, to: Destination, from: number, end: number, at: number): void {
  let off = from;
  while (off < end) {
    const size = [8, 4, 2, 1].find((s) => (to.base + off) % s === 0 && off + s <= end) as 1 | 2 | 4 | 8;
    storeAt(cx, to, off, size, cx.b.num(0), at);
    off += size;
  }
}

/** One store; on the stack, where places must be aligned, in as many parts as that takes. */
function storeAt(cx: Context, to: Destination, off: number, size: number, value: Node, at: number): void {
  const { b } = cx;
  if (to.ptr !== undefined) {
    b.emit('store', 'void', [to.ptr, value], at, { off: to.base + off, size, region: 'value' });
    return;
  }
  const place = to.base + off;
  if (place % size === 0) {
    b.emit('stackstore', 'void', [value], at, { off: place, size });
    return;
  }
  const half = size / 2;
  storeAt(cx, to, off, half, value, at);
  const big = value.type === 'big' ? value : b.emit('tobig', 'big', [value], at);
  const high = b.emit('sar', 'big', [big, b.constant('big', half * 8)], at);
  storeAt(cx, to, off + half, half, high, at);
}

/** The header that `pkt.name` views. */
export function headerLayout(name: string): (typeof headerLayouts)[HeaderName] {
  return headerLayouts[name as HeaderName];
}
