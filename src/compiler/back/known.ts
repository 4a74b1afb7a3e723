import type { Node } from '../middle/ir.ts';
import { max, min } from '../middle/ranges.ts';

/**
 * What the oldest verifier (Linux 6.1) knows of a value without any help from conditions: the largest unsigned
 * value, or `undefined` for nothing. It forgets after a byte swap, a division, a subtraction and a call.
 */
export class VerifierBounds {
  readonly #memo = new Map<Node, bigint | undefined>();

  of(node: Node): bigint | undefined {
    if (this.#memo.has(node)) return this.#memo.get(node);
    this.#memo.set(node, undefined);
    const bound = this.#compute(node);
    const result = bound !== undefined && bound < 1n << 32n ? bound : undefined;
    this.#memo.set(node, result);
    return result;
  }

  #compute(node: Node): bigint | undefined {
    const [a, b] = node.args;
    switch (node.op) {
      case 'const':
        return node.value >= 0n ? node.value : undefined;
      case 'load':
      case 'stackload':
        return node.signed || node.size === 8 ? undefined : (1n << BigInt(node.size * 8)) - 1n;
      case 'ctxload':
        return node.type === 'num' ? 0xffff_ffffn : undefined;
      case 'tobig':
      case 'tonum':
      case 'index':
        return this.of(a!);
      case 'wrap':
        return node.size === 64 ? undefined : (1n << BigInt(node.size)) - 1n;
      case 'and': {
        const bounds = [this.of(a!), this.of(b!)].filter((x) => x !== undefined);
        if (bounds.length === 0) return undefined;
        return bounds.reduce(min);
      }
      case 'or':
      case 'xor':
      case 'add':
      case 'mul': {
        const x = this.of(a!);
        const y = this.of(b!);
        if (x === undefined || y === undefined) return undefined;
        if (node.op === 'add') return x + y;
        // Of any other operation with a register it forgets the result.
        if (a!.op !== 'const' && b!.op !== 'const') return undefined;
        if (node.op === 'mul') return x * y;
        return (1n << BigInt(max(x, y).toString(2).length)) - 1n;
      }
      case 'shl': {
        const x = this.of(a!);
        return x === undefined || b!.op !== 'const' || x << b!.value > 0x7fff_ffffn
          ? undefined
          : x << b!.value;
      }
      case 'shr':
      case 'sar': {
        const x = this.of(a!);
        if (x === undefined || b!.op !== 'const') return undefined;
        return x >> b!.value;
      }
      case 'phi':
        return this.#phi(node);
      default:
        return undefined;
    }
  }

  /** How much a loop's variable grows in one iteration, where the verifier can follow it. */
  #step(value: Node, phi: Node, depth: number): bigint | undefined {
    if (value === phi) return 0n;
    if (depth > 16) return undefined;
    if (value.op === 'add') {
      const before = this.#step(value.args[0]!, phi, depth + 1);
      const by = this.of(value.args[1]!);
      return before === undefined || by === undefined ? undefined : before + by;
    }
    if (value.op !== 'phi' || value.block.loop?.header === value.block) return undefined;
    let most = 0n;
    for (const arg of value.args) {
      const by = this.#step(arg, phi, depth + 1);
      if (by === undefined) return undefined;
      most = max(most, by);
    }
    return most;
  }

  #phi(node: Node): bigint | undefined {
    const loop = node.block.loop;
    if (loop !== undefined && loop.header === node.block) {
      if (loop.free) return undefined;
      // A counter from a constant in constant steps: the verifier follows every iteration.
      const back = node.block.preds.indexOf(loop.latch);
      const step = node.args[back]!;
      const init = node.args[1 - back]!;
      const start = this.of(init);
      const by = start === undefined || loop.counted === undefined ? undefined : this.#step(step, node, 0);
      if (start !== undefined && by !== undefined && loop.counted !== undefined)
        return start + by * loop.counted;
      const counts =
        init.op === 'const' &&
        init.value >= 0n &&
        step.op === 'add' &&
        step.args[0] === node &&
        step.args[1]!.op === 'const';
      return counts && loop.trips !== undefined && step.args[1]!.value > 0n ? node.hi : undefined;
    }
    let most = 0n;
    for (const arg of node.args) {
      const bound = this.of(arg);
      if (bound === undefined) return undefined;
      if (bound > most) most = bound;
    }
    return most;
  }
}
