import type { Node } from '../middle/ir.ts';
import type { Context } from './context.ts';

/**
 * A checksum after some of the bits it covers change (RFC 1624, equation 3).
 *
 * A sum of ones' complement is the same in either byte order (RFC 1071, section 2), so all of it is computed as the
 * bytes lie in the packet, and what was read from there is never swapped.
 */
export function replaceChecksum(
  cx: Context,
  bits: 16 | 32,
  values: readonly [checksum: Node, from: Node, to: Node],
  at: number,
): Node {
  const { b } = cx;
  const [checksum, from, to] = values;
  const low = (x: Node): Node => b.emit('and', 'num', [x, b.num(0xffff)], at);
  const high = (x: Node): Node => b.emit('shr', 'num', [x, b.num(16)], at);
  const add = (x: Node, y: Node): Node => b.emit('add', 'num', [x, y], at);
  const not = (x: Node): Node => b.emit('xor', 'num', [x, b.num(0xffff)], at);
  const words = (x: Node): Node[] => {
    const raw = inNetworkOrder(cx, x, bits, at);
    return bits === 16 ? [raw] : [low(raw), high(raw)];
  };
  let sum = not(inNetworkOrder(cx, checksum, 16, at));
  for (const word of words(from)) sum = add(sum, not(word));
  for (const word of words(to)) sum = add(sum, word);
  for (let i = 0; i < 2; i++) sum = add(low(sum), high(sum));
  return b.emit('swap', 'num', [not(sum)], at, { size: 16 });
}

/** The low bits of a number as they lie in a packet. */
function inNetworkOrder(cx: Context, value: Node, bits: 16 | 32, at: number): Node {
  const { b } = cx;
  const [raw] = value.args;
  if (value.op === 'swap' && value.size === bits && raw!.op === 'load') return raw!;
  const cut =
    bits === 16
      ? b.emit('and', 'num', [value, b.num(0xffff)], at)
      : b.emit('shr', 'num', [value, b.num(0)], at);
  return b.emit('swap', 'num', [cut], at, { size: bits });
}
