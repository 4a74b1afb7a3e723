import { be16, be32, bytes, type Layout, struct, u8, u16, u32 } from '../../layout/index.ts';
import type { Node } from '../middle/ir.ts';
import type { Context } from './context.ts';
import { type Destination, writeLayout } from './member.ts';
import { describeVal, type Val } from './value.ts';

const AF_INET = 2;
const AF_INET6 = 10;

/** `struct bpf_fib_lookup` in linux/bpf.h; the unions as their widest members. */
const layoutOf = (address: Layout): Layout =>
  struct('bpf_fib_lookup', {
    family: u8,
    protocol: u8,
    sourcePort: be16,
    destinationPort: be16,
    length: u16,
    ifindex: u32,
    tos: u32,
    source: address,
    destination: address,
    vlan: u32,
    smac: bytes(6),
    dmac: bytes(6),
  });

/** An IPv4 address takes the first of four words. */
const IPV4: Layout = layoutOf(struct('in_addr_padded', { address: be32, a: u32, b: u32, c: u32 }));
const IPV6: Layout = layoutOf(bytes(16));
const SMAC = 52;
const DMAC = 58;
const IFINDEX = 8;

/** `kernel.fibLookup({ … })`: the kernel's routing decision. */
export function fibLookup(cx: Context, node: { start: number }, val: Val, helper: number): Val {
  if (val.kind !== 'object') {
    throw cx.fault(node, `${describeVal(val)} is no query`, 'Write { source, destination, ifindex }.');
  }
  const at = cx.at(node);
  const { b } = cx;
  const zero: Val = { kind: 'num', node: b.num(0) };
  const noMac: Val = {
    kind: 'bytes',
    size: 6,
    chunks: [
      { off: 0, size: 4, node: b.num(0) },
      { off: 4, size: 2, node: b.num(0) },
    ],
  };
  const source = val.fields.get('source');
  const six = source?.kind === 'bytes';
  const fields = new Map<string, Val>([
    ...['protocol', 'sourcePort', 'destinationPort', 'length'].map((name) => [name, zero] as const),
    ...val.fields,
    ['family', { kind: 'num', node: b.num(six ? AF_INET6 : AF_INET) }],
    ['tos', zero],
    ['vlan', zero],
    ['smac', noMac],
    ['dmac', noMac],
  ]);
  if (!six) {
    for (const name of ['source', 'destination']) {
      const address = fields.get(name);
      if (address?.kind !== 'num')
        throw cx.fault(node, `${name} is no address`, 'Give both addresses of one kind.');
      const parts = new Map<string, Val>([
        ['address', address],
        ['a', zero],
        ['b', zero],
        ['c', zero],
      ]);
      fields.set(name, { kind: 'object', fields: parts });
    }
  }
  const layout = six ? IPV6 : IPV4;
  const off = cx.scratch(0, layout.size);
  const to: Destination = { ptr: undefined, base: off, region: 'stack' };
  writeLayout(cx, to, layout, { kind: 'object', fields }, node);
  const buffer = b.emit('stack', 'ptr', [], at, { off });
  const code = b.emit('call', 'num', [cx.ctx, buffer, b.num(layout.size), b.num(0)], at, { off: helper });
  const load = (place: number, size: number): Node =>
    b.emit('stackload', 'num', [], at, { off: off + place, size });
  const swapped = (place: number, size: number): Node =>
    b.emit('swap', 'num', [load(place, size)], at, { size: size * 8 });
  const halves = (place: number, at2: readonly [number, number]): Node => {
    // Six bytes at an even place: words where they are aligned, as the stack asks.
    const parts = at2.map((size, i) => swapped(place + (i === 0 ? 0 : at2[0]), size));
    return b.emit('concat', 'num', [parts[0]!, parts[1]!], at, { size: at2[1] * 8 });
  };
  const result = new Map<string, Val>([
    ['code', { kind: 'num', node: code }],
    ['ifindex', { kind: 'num', node: load(IFINDEX, 4) }],
    ['source', { kind: 'num', node: halves(SMAC, [4, 2]) }],
    ['destination', { kind: 'num', node: halves(DMAC, [2, 4]) }],
  ]);
  return { kind: 'object', fields: result };
}
