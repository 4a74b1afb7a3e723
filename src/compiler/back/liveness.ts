import { defined, eachEndUse, eachUse, FP, type MachineProgram, successorsOf } from './machine.ts';

/** A set of registers as bits. */
export type Bits = Uint32Array;

export function has(bits: Bits, i: number): boolean {
  return (bits[i >>> 5]! & (1 << (i & 31))) !== 0;
}

export function add(bits: Bits, i: number): void {
  bits[i >>> 5]! |= 1 << (i & 31);
}

export function remove(bits: Bits, i: number): void {
  bits[i >>> 5]! &= ~(1 << (i & 31));
}

/** Calls `visit` with every member. */
export function each(bits: Bits, visit: (i: number) => void): void {
  for (let w = 0; w < bits.length; w++) {
    let word = bits[w]!;
    while (word !== 0) {
      const bit = 31 - Math.clz32(word & -word);
      visit(w * 32 + bit);
      word &= word - 1;
    }
  }
}

/** The registers that are alive where each block ends, before its end's own uses. */
export function liveOut(program: MachineProgram): Bits[] {
  const words = (program.registers + 31) >>> 5;
  const { blocks } = program;
  const index = new Map(blocks.map((block, i) => [block, i]));
  const uses = blocks.map(() => new Uint32Array(words));
  const defs = blocks.map(() => new Uint32Array(words));
  const ins = blocks.map(() => new Uint32Array(words));
  const outs = blocks.map(() => new Uint32Array(words));
  blocks.forEach((block, i) => {
    const use = (r: number): void => {
      if (r !== FP && !has(defs[i]!, r)) add(uses[i]!, r);
    };
    for (const inst of block.insts) {
      eachUse(inst, use);
      const d = defined(inst);
      if (d >= 0) add(defs[i]!, d);
    }
    eachEndUse(block.end, use);
  });
  let changed = true;
  while (changed) {
    changed = false;
    for (let i = blocks.length - 1; i >= 0; i--) {
      const out = outs[i]!;
      const inn = ins[i]!;
      for (const succ of successorsOf(blocks[i]!)) {
        const from = ins[index.get(succ)!]!;
        for (let w = 0; w < words; w++) out[w]! |= from[w]!;
      }
      for (let w = 0; w < words; w++) {
        const next = (uses[i]![w]! | (out[w]! & ~defs[i]![w]!)) >>> 0;
        if (next !== inn[w]) {
          inn[w] = next;
          changed = true;
        }
      }
    }
  }
  return outs;
}
