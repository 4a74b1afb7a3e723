import type * as syntax from 'acorn';
import type { Layout } from '../../layout/index.ts';
import type { MapSpec } from '../../spec/index.ts';
import type { Node } from '../middle/ir.ts';
import { replaceChecksum } from './checksum.ts';
import { asBig, asNumber, boolToNum, number } from './coerce.ts';
import { type Context, type Exit, verdictOf } from './context.ts';
import { fibLookup } from './fib.ts';
import { inline } from './inline.ts';
import { CHECKSUM } from './library.ts';
import { type Destination, headerLayout, PACKET_HEADERS, writeLayout } from './member.ts';
import { accessOf, loadBytes, place, readNumber, storeBytes, within, writeNumber } from './packet.ts';
import { type BytesVal, describeVal, type Val } from './value.ts';

type Args = readonly syntax.Expression[];

/** Helper functions of the kernel, by their numbers in linux/bpf.h. */
const HELPER = {
  mapLookup: 1,
  mapUpdate: 2,
  mapDelete: 3,
  ktime: 5,
  random: 7,
  cpu: 8,
  tailCall: 12,
  redirect: 23,
  adjustHead: 44,
  redirectMap: 51,
  adjustMeta: 54,
  adjustTail: 65,
  fibLookup: 69,
  ticks: 118,
  bootTime: 125,
  ringbufOutput: 130,
  coarseTime: 160,
  loadBytes: 189,
  storeBytes: 190,
} as const;

/** Lowers `callee(...args)` where the callee belongs to the packet, a map, the kernel or the language. */
export function callMethod(
  cx: Context,
  node: syntax.CallExpression,
  callee: Val & { kind: 'method' | 'global' },
  args: Args,
): Val {
  if (callee.kind === 'global') return convert(cx, node, callee.name, args);
  const { of, name } = callee;
  switch (of.kind) {
    case 'packet':
      return packetMethod(cx, node, name, args);
    case 'store':
      return storeMethod(cx, node, name, args);
    case 'whole':
      return wholeMethod(cx, node, of.store, name, args);
    case 'map':
      return mapMethod(cx, node, of.spec, of.key, name, args);
    case 'kernel':
      return kernelMethod(cx, node, name, args);
    case 'global':
      return globalMethod(cx, node, of.name, name, args);
    case 'tuple':
      return includes(cx, node, of, args);
    default:
      throw cx.fault(node, `${describeVal(of)} has no methods`, 'Call a method of pkt, kernel or a map.');
  }
}

function need(
  cx: Context,
  node: syntax.CallExpression,
  args: Args,
  least: number,
  most: number = least,
): void {
  if (args.length >= least && args.length <= most) return;
  const wanted = least === most ? `${least}` : `${least} to ${most}`;
  throw cx.fault(
    node,
    `${args.length} arguments stand where ${wanted} are needed`,
    'Compare with the declaration.',
  );
}

/** A size that must be known when the program is compiled. */
function constantSize(cx: Context, node: syntax.Expression, most: number): number {
  const value = number(cx, node);
  if (value.op !== 'const' || value.value < 1n || value.value > BigInt(most)) {
    throw cx.fault(node, `the length must be a constant from 1 to ${most}`, 'Write the number.');
  }
  return Number(value.value);
}

function packetMethod(cx: Context, node: syntax.CallExpression, name: string, args: Args): Val {
  const at = cx.at(node);
  if (accessOf(name) !== undefined) {
    need(cx, node, args, 1);
    const offset = number(cx, args[0]!);
    return readNumber(cx, name, offset, at);
  }
  if (PACKET_HEADERS.has(name)) {
    need(cx, node, args, 0, 1);
    const base = args.length === 0 ? cx.b.num(0) : number(cx, args[0]!);
    return { kind: 'header', name, layout: headerLayout(name), base, epoch: cx.state.epoch };
  }
  switch (name) {
    case 'bytes': {
      need(cx, node, args, 2);
      const offset = number(cx, args[0]!);
      const size = constantSize(cx, args[1]!, 64);
      return loadBytes(cx, place(cx, offset, 0, size, at), 0, size, at);
    }
    case 'has': {
      need(cx, node, args, 2);
      const offset = number(cx, args[0]!);
      const size = constantSize(cx, args[1]!, 2048);
      return { kind: 'bool', node: within(cx, offset, size, at) };
    }
    case 'checksum':
      need(cx, node, args, 2);
      return library(cx, node, 'checksum', CHECKSUM, [
        { kind: 'packet' },
        cx.evaluate(args[0]!),
        cx.evaluate(args[1]!),
      ]);
    case 'adjustHead':
      return adjust(cx, node, HELPER.adjustHead, args);
    case 'adjustTail':
      return adjust(cx, node, HELPER.adjustTail, args);
    default:
      return adjust(cx, node, HELPER.adjustMeta, args);
  }
}

/** Moves an end of the packet; every view of it is stale from here on. */
function adjust(cx: Context, node: syntax.CallExpression, helper: number, args: Args): Val {
  need(cx, node, args, 1);
  const at = cx.at(node);
  const delta = number(cx, args[0]!);
  const result = cx.b.emit('call', 'num', [cx.ctx, delta], at, { off: helper });
  const ok = cx.b.emit('eq', 'bool', [result, cx.b.num(0)], at);
  cx.reloadEnds(at);
  return { kind: 'bool', node: ok };
}

function storeMethod(cx: Context, node: syntax.CallExpression, name: string, args: Args): Val {
  need(cx, node, args, 2);
  const offset = number(cx, args[0]!);
  const val = cx.evaluate(args[1]!);
  if (!cx.b.live) return { kind: 'undefined' };
  if (name === 'bytes') {
    if (val.kind !== 'bytes') {
      throw cx.fault(
        args[1]!,
        `${describeVal(val)} is no range of bytes`,
        'Give what pkt.bytes or a field holds.',
      );
    }
    storeBytes(cx, place(cx, offset, 0, val.size, cx.at(node)), 0, val, cx.at(node));
    return { kind: 'undefined' };
  }
  if (accessOf(name) === undefined) {
    throw cx.fault(
      node,
      `pkt.store has no '${name}'`,
      'There are: u8, be16, be32, be64, le16, le32, le64, bytes.',
    );
  }
  writeNumber(cx, name, offset, val, node);
  return { kind: 'undefined' };
}

/** `pkt.whole.be16(off)`: through the kernel, wherever in the packet's buffers the bytes lie. */
function wholeMethod(
  cx: Context,
  node: syntax.CallExpression,
  store: boolean,
  name: string,
  args: Args,
): Val {
  const at = cx.at(node);
  const access = accessOf(name);
  if (access === undefined) {
    throw cx.fault(node, `pkt.whole has no '${name}'`, 'There are: u8, be16, be32, be64, le16, le32, le64.');
  }
  need(cx, node, args, store ? 2 : 1);
  const offset = number(cx, args[0]!);
  const { size, order } = access;
  const type = size === 8 ? 'big' : 'num';
  const slot = cx.scratch(0, 8);
  const buffer = cx.b.emit('stack', 'ptr', [], at, { off: slot });
  if (store) {
    const val = cx.evaluate(args[1]!);
    const value = size === 8 ? asBig(cx, val, node) : asNumber(cx, val, node);
    const raw =
      order === 'big' && size > 1 ? cx.b.emit('swap', type, [value], at, { size: size * 8 }) : value;
    cx.b.emit('stackstore', 'void', [raw], at, { off: slot, size });
    const done = cx.b.emit('call', 'num', [cx.ctx, offset, buffer, cx.b.num(size)], at, {
      off: HELPER.storeBytes,
    });
    shortUnlessZero(cx, done, at);
    reloadQuietly(cx, at);
    return { kind: 'undefined' };
  }
  const done = cx.b.emit('call', 'num', [cx.ctx, offset, buffer, cx.b.num(size)], at, {
    off: HELPER.loadBytes,
  });
  shortUnlessZero(cx, done, at);
  const raw = cx.b.emit('stackload', type, [], at, { off: slot, size });
  if (order === 'little' || size === 1) return { kind: type, node: raw };
  return { kind: type, node: cx.b.emit('swap', type, [raw], at, { size: size * 8 }) };
}

/** The kernel forgets what it knew of the packet's pointers, though nothing has moved. */
function reloadQuietly(cx: Context, at: number): void {
  const { epoch } = cx.state;
  cx.reloadEnds(at);
  cx.state.epoch = epoch;
}

function shortUnlessZero(cx: Context, result: Node, at: number): void {
  const ok = cx.b.emit('eq', 'bool', [result, cx.b.num(0)], at);
  const { then, otherwise } = cx.b.branch(ok, at);
  cx.b.current = otherwise;
  cx.b.return(cx.b.constant('verdict', cx.options.onShort), at);
  cx.b.current = then;
}

function mapMethod(
  cx: Context,
  node: syntax.CallExpression,
  map: MapSpec,
  envKey: string,
  name: string,
  args: Args,
): Val {
  const at = cx.at(node);
  const kinds = MAP_KINDS[name] ?? [];
  if (!kinds.includes(map.type)) {
    throw cx.fault(
      node,
      `${map.name} is a ${map.type}, which has no ${name}`,
      `It has: ${methodsOf(map).join(', ')}.`,
    );
  }
  const ref = (): Node => cx.b.emit('mapref', 'ptr', [], at, { map: envKey });
  switch (name) {
    case 'get':
    case 'has': {
      need(cx, node, args, 1);
      const key = onStack(cx, map.key, cx.evaluate(args[0]!), args[0]!, 0);
      const ptr = cx.b.emit('call', 'ptr', [ref(), key.address], at, { off: HELPER.mapLookup });
      if (name === 'has') {
        return { kind: 'bool', node: cx.b.emit('ne', 'bool', [ptr, cx.b.constant('ptr', 0)], at) };
      }
      const cell = map.value.kind !== 'struct';
      return { kind: 'view', ptr, off: 0, layout: map.value, map, cell };
    }
    case 'set':
    case 'insert':
    case 'update': {
      need(cx, node, args, 2);
      // Both are worked out before either is put into scratch memory, which their own calls may use.
      const [keyVal, valueVal] = [cx.evaluate(args[0]!), cx.evaluate(args[1]!)];
      const key = onStack(cx, map.key, keyVal, args[0]!, 0);
      const value = onStack(cx, map.value, valueVal, args[1]!, key.end);
      const flags = cx.b.num(name === 'set' ? 0 : name === 'insert' ? 1 : 2);
      const result = cx.b.emit('call', 'num', [ref(), key.address, value.address, flags], at, {
        off: HELPER.mapUpdate,
      });
      cx.outdate(map.name);
      return { kind: 'bool', node: cx.b.emit('eq', 'bool', [result, cx.b.num(0)], at) };
    }
    case 'delete': {
      need(cx, node, args, 1);
      const key = onStack(cx, map.key, cx.evaluate(args[0]!), args[0]!, 0);
      const result = cx.b.emit('call', 'num', [ref(), key.address], at, { off: HELPER.mapDelete });
      cx.outdate(map.name);
      return { kind: 'bool', node: cx.b.emit('eq', 'bool', [result, cx.b.num(0)], at) };
    }
    case 'output': {
      need(cx, node, args, 1);
      const value = onStack(cx, map.value, cx.evaluate(args[0]!), args[0]!, 0);
      const size = cx.b.num(map.value.size);
      const result = cx.b.emit('call', 'num', [ref(), value.address, size, cx.b.num(0)], at, {
        off: HELPER.ringbufOutput,
      });
      return { kind: 'bool', node: cx.b.emit('eq', 'bool', [result, cx.b.num(0)], at) };
    }
    case 'redirect': {
      need(cx, node, args, 1, 2);
      const key = number(cx, args[0]!);
      const fallback = args[1] === undefined ? cx.b.constant('verdict', 0) : verdict(cx, args[1]);
      const result = cx.b.emit('call', 'verdict', [ref(), key, fallback], at, { off: HELPER.redirectMap });
      return { kind: 'verdict', node: result };
    }
    default: {
      need(cx, node, args, 1, 2);
      const index = number(cx, args[0]!);
      const fallback = args[1] === undefined ? cx.b.constant('verdict', 0) : verdict(cx, args[1]);
      cx.b.emit('call', 'void', [cx.ctx, ref(), index], at, { off: HELPER.tailCall });
      return { kind: 'verdict', node: fallback };
    }
  }
}

const TABLES = ['hash', 'array', 'percpu_hash', 'percpu_array', 'lru_hash', 'lru_percpu_hash', 'lpm_trie'];
const HASHES = ['hash', 'percpu_hash', 'lru_hash', 'lru_percpu_hash', 'lpm_trie'];
const MAP_KINDS: Readonly<Record<string, readonly string[]>> = {
  get: TABLES,
  has: TABLES,
  set: TABLES,
  insert: HASHES,
  update: TABLES,
  delete: HASHES,
  output: ['ringbuf'],
  redirect: ['xskmap', 'devmap', 'devmap_hash', 'cpumap'],
  tailCall: ['prog_array'],
};

function methodsOf(map: MapSpec): string[] {
  return Object.entries(MAP_KINDS)
    .filter(([, kinds]) => kinds.includes(map.type))
    .map(([name]) => name);
}

function verdict(cx: Context, node: syntax.Expression): Node {
  const result = verdictOf(cx, cx.evaluate(node));
  if (result === undefined || (result.op === 'const' && result.value === 4n)) {
    throw cx.fault(node, 'this is no verdict to fall back on', "Write 'pass', 'drop', 'tx' or 'aborted'.");
  }
  return result;
}

/** Puts a key or a value into scratch memory and gives its address. */
function onStack(
  cx: Context,
  layout: Layout,
  val: Val,
  node: syntax.Expression,
  from: number,
): { address: Node; end: number } {
  const off = cx.scratch(from, layout.size);
  const to: Destination = { ptr: undefined, base: off, region: 'stack' };
  if (cx.b.live) {
    if (cx.loops > 0 && layout.align < 8) clearScratch(cx, off, layout.size, cx.at(node));
    writeLayout(cx, to, layout, val, node);
  }
  return { address: cx.b.emit('stack', 'ptr', [], cx.at(node), { off }), end: off + layout.size };
}

/**
 * Only what is written in eights counts as overwritten: without, a verifier would hold what lay there in the iteration
 * before against what lay there in all others.
 */
function clearScratch(cx: Context, off: number, size: number, at: number): void {
  for (let i = 0; i < size; i += 8)
    cx.b.emit('stackstore', 'void', [cx.b.constant('big', 0)], at, { off: off + i, size: 8 });
}

function kernelMethod(cx: Context, node: syntax.CallExpression, name: string, args: Args): Val {
  const at = cx.at(node);
  const plain = (helper: number, type: 'num' | 'big'): Val => {
    need(cx, node, args, 0);
    return { kind: type, node: cx.b.emit('call', type, [], at, { off: helper }) };
  };
  switch (name) {
    case 'ktime':
      return plain(HELPER.ktime, 'big');
    case 'bootTime':
      return plain(HELPER.bootTime, 'big');
    case 'ticks':
      return plain(HELPER.ticks, 'big');
    case 'coarseTime':
      return plain(HELPER.coarseTime, 'big');
    case 'random':
      return plain(HELPER.random, 'num');
    case 'cpu':
      return plain(HELPER.cpu, 'num');
    case 'redirect': {
      need(cx, node, args, 1);
      const ifindex = number(cx, args[0]!);
      return {
        kind: 'verdict',
        node: cx.b.emit('call', 'verdict', [ifindex, cx.b.num(0)], at, { off: HELPER.redirect }),
      };
    }
    case 'equal':
      need(cx, node, args, 2);
      return equalBytes(cx, node, cx.evaluate(args[0]!), cx.evaluate(args[1]!));
    case 'csumReplace16':
    case 'csumReplace32': {
      need(cx, node, args, 3);
      const [checksum, from, to] = args.map((arg) => number(cx, arg)) as [Node, Node, Node];
      if (!cx.b.live) return { kind: 'undefined' };
      const bits = name === 'csumReplace16' ? 16 : 32;
      return { kind: 'num', node: replaceChecksum(cx, bits, [checksum, from, to], at) };
    }
    default:
      need(cx, node, args, 1);
      return fibLookup(cx, node, cx.evaluate(args[0]!), HELPER.fibLookup);
  }
}

/** Calls a function of the compiler's own library, which is written in its language. */
function library(
  cx: Context,
  node: syntax.CallExpression,
  name: string,
  fn: (...args: never[]) => unknown,
  vals: readonly Val[],
): Val {
  if (!cx.b.live) return { kind: 'undefined' };
  const parsed = () => cx.sources.add(name, fn);
  return inline(cx, node, { kind: 'function', name, parsed }, vals, true);
}

function equalBytes(cx: Context, node: syntax.CallExpression, a: Val, b: Val): Val {
  if (a.kind !== 'bytes' || b.kind !== 'bytes' || a.size !== b.size) {
    throw cx.fault(
      node,
      `${describeVal(a)} and ${describeVal(b)} cannot be compared`,
      'Compare bytes of one length.',
    );
  }
  const at = cx.at(node);
  const no: Exit[] = [];
  a.chunks.forEach((chunk, i) => {
    const other = (b as BytesVal).chunks[i]!;
    const cond = cx.b.emit('eq', 'bool', [chunk.node, other.node], at);
    if (cond.op === 'const') return;
    const { then, otherwise } = cx.b.branch(cond, at);
    no.push({ block: otherwise, state: cx.cloneState() });
    cx.b.current = then;
  });
  const yes = { block: cx.b.current!, state: cx.state };
  cx.join([yes, ...no], at);
  if (no.length === 0) return { kind: 'bool', node: cx.b.constant('bool', 1) };
  const values = [cx.b.constant('bool', 1), ...no.map(() => cx.b.constant('bool', 0))];
  return { kind: 'bool', node: cx.b.phi(cx.b.current!, 'bool', values, at) };
}

/** `BigInt(x)`, `Number(x)`, `Boolean(x)`. */
function convert(cx: Context, node: syntax.CallExpression, name: string, args: Args): Val {
  need(cx, node, args, 1);
  const val = cx.evaluate(args[0]!);
  const at = cx.at(node);
  if (name === 'BigInt') {
    if (val.kind === 'big') return val;
    const x = val.kind === 'bool' ? boolToNum(cx, val.node, at) : asNumber(cx, val, args[0]!);
    return { kind: 'big', node: cx.b.emit('tobig', 'big', [x], at) };
  }
  if (name === 'Number') {
    if (val.kind === 'num') return val;
    if (val.kind === 'bool') return { kind: 'num', node: boolToNum(cx, val.node, at) };
    return { kind: 'num', node: cx.b.emit('tonum', 'num', [asBig(cx, val, args[0]!)], at) };
  }
  if (name === 'Boolean' && (val.kind === 'num' || val.kind === 'big')) {
    return { kind: 'bool', node: cx.b.emit('ne', 'bool', [val.node, cx.b.constant(val.kind, 0)], at) };
  }
  throw cx.fault(
    node,
    `${name}(x) is not part of the language here`,
    'Compare explicitly, as in x !== undefined.',
  );
}

function globalMethod(cx: Context, node: syntax.CallExpression, of: string, name: string, args: Args): Val {
  const at = cx.at(node);
  const full = `${of}.${name}`;
  switch (full) {
    case 'Math.floor':
    case 'Math.trunc': {
      need(cx, node, args, 1);
      const val = cx.evaluate(args[0]!);
      if (val.kind === 'quotient') {
        const op = name === 'floor' ? 'divfloor' : 'div';
        return { kind: 'num', node: cx.b.emit(op, 'num', [val.a, val.b], val.at) };
      }
      return { kind: 'num', node: asNumber(cx, val, args[0]!) };
    }
    case 'Math.ceil': {
      need(cx, node, args, 1);
      const val = cx.evaluate(args[0]!);
      if (val.kind !== 'quotient') return { kind: 'num', node: asNumber(cx, val, args[0]!) };
      return { kind: 'num', node: cx.b.emit('divceil', 'num', [val.a, val.b], val.at) };
    }
    case 'Math.min':
    case 'Math.max': {
      if (args.length === 0) need(cx, node, args, 1, 9);
      const [first, ...rest] = args.map((arg) => number(cx, arg));
      let best = first!;
      for (const x of rest) best = choose(cx, best, x, name === 'min', at);
      return { kind: 'num', node: best };
    }
    case 'Math.abs': {
      need(cx, node, args, 1);
      const x = number(cx, args[0]!);
      return { kind: 'num', node: choose(cx, x, cx.b.emit('sub', 'num', [cx.b.num(0), x], at), false, at) };
    }
    case 'BigInt.asUintN': {
      need(cx, node, args, 2);
      const bits = number(cx, args[0]!);
      if (bits.op !== 'const' || ![8n, 16n, 32n, 64n].includes(bits.value)) {
        throw cx.fault(args[0]!, 'the width must be 8, 16, 32 or 64', 'Write BigInt.asUintN(64, x).');
      }
      const x = asBig(cx, cx.evaluate(args[1]!), args[1]!);
      return { kind: 'big', node: cx.b.emit('wrap', 'big', [x], at, { size: Number(bits.value) }) };
    }
    default:
      throw cx.fault(
        node,
        `${full} is not part of the language`,
        'There are: Math.floor, trunc, ceil, min, max, abs and BigInt.asUintN.',
      );
  }
}

function choose(cx: Context, a: Node, b: Node, smaller: boolean, at: number): Node {
  const cond = cx.b.emit('le', 'bool', smaller ? [a, b] : [b, a], at);
  if (cond.op === 'const') return cond.value === 1n ? a : b;
  const { then, otherwise } = cx.b.branch(cond, at);
  const exits: Exit[] = [
    { block: then, state: cx.state },
    { block: otherwise, state: cx.cloneState() },
  ];
  cx.join(exits, at);
  return cx.b.phi(cx.b.current!, 'num', [a, b], at);
}

/** `list.includes(x)` over an array that is known when the program is compiled. */
function includes(cx: Context, node: syntax.CallExpression, of: Val & { kind: 'tuple' }, args: Args): Val {
  need(cx, node, args, 1);
  const at = cx.at(node);
  const x = cx.evaluate(args[0]!);
  if (x.kind !== 'num' && x.kind !== 'big') {
    throw cx.fault(args[0]!, `${describeVal(x)} cannot be looked for`, 'Look for a number or a bigint.');
  }
  const yes: Exit[] = [];
  const seen = new Set<bigint>();
  for (const item of of.items) {
    if (item.kind !== x.kind)
      throw cx.fault(node, 'the array holds values of another kind', 'Look for one of them.');
    if (item.node.op === 'const') {
      if (seen.has(item.node.value)) continue;
      seen.add(item.node.value);
    }
    const cond = cx.b.emit('eq', 'bool', [x.node, item.node], at);
    if (cond.op === 'const') {
      if (cond.value === 0n) continue;
      // Whichever way led here, the answer is known.
      cx.join([...yes, { block: cx.b.current!, state: cx.state }], at);
      return { kind: 'bool', node: cx.b.constant('bool', 1) };
    }
    const { then, otherwise } = cx.b.branch(cond, at);
    yes.push({ block: then, state: cx.cloneState() });
    cx.b.current = otherwise;
  }
  if (yes.length === 0) return { kind: 'bool', node: cx.b.constant('bool', 0) };
  const no = { block: cx.b.current!, state: cx.state };
  cx.join([...yes, no], at);
  const values = [...yes.map(() => cx.b.constant('bool', 1)), cx.b.constant('bool', 0)];
  return { kind: 'bool', node: cx.b.phi(cx.b.current!, 'bool', values, at) };
}
