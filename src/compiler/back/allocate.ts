import { add, type Bits, each, liveOut, remove } from './liveness.ts';
import {
  defined,
  eachEndUse,
  eachUse,
  FIRST_VIRTUAL,
  FP,
  type Inst,
  type MachineBlock,
  type MachineProgram,
} from './machine.ts';

/** Colours in the order of preference: those that calls do not preserve come first. */
const COLOURS = [0, 2, 3, 4, 5, 1, 6, 7, 8, 9] as const;
const K = COLOURS.length;

/** A program whose registers are the machine's. */
export interface Allocated {
  readonly program: MachineProgram;
  /** Bytes of stack in all. */
  readonly stack: number;
}

/**
 * Puts every virtual register into one of the ten of the machine, or onto the stack: iterated register coalescing
 * (George and Appel, 1996). Constants and addresses are computed anew rather than spilled.
 */
export function allocate(program: MachineProgram): Allocated {
  let spills = 0;
  const temporary = new Set<number>();
  for (;;) {
    const graph = new Interference(program, temporary);
    const { colours, spilled } = graph.colour();
    if (spilled.length === 0) {
      rename(program, colours);
      return { program, stack: program.scratch + spills * 8 };
    }
    spills += spill(program, spilled, spills, temporary);
  }
}

function rename(program: MachineProgram, colours: Int32Array): void {
  const name = (r: number): number => (r < FIRST_VIRTUAL ? r : colours[r]!);
  for (const block of program.blocks) {
    for (const inst of block.insts) {
      inst.dst = name(inst.dst);
      inst.src = name(inst.src);
      inst.left = name(inst.left);
    }
    block.insts = block.insts.filter((i) => !(i.op === 'mov' && !i.narrow && i.dst === i.src));
    if (block.end.kind === 'branch') {
      block.end.a = name(block.end.a);
      block.end.b = name(block.end.b);
    }
  }
}

/** Keeps registers on the stack, or computes them again before each use; gives the number of slots taken. */
function spill(
  program: MachineProgram,
  spilled: readonly Spilled[],
  taken: number,
  temporary: Set<number>,
): number {
  const definitions = new Map<number, Inst | undefined>();
  for (const block of program.blocks) {
    for (const inst of block.insts) {
      const d = defined(inst);
      if (d >= FIRST_VIRTUAL) definitions.set(d, definitions.has(d) ? undefined : inst);
    }
  }
  const slots = new Map<number, number>();
  const again = new Map<number, Inst>();
  /** One slot for all that were coalesced: they are never alive at once. */
  const groups = new Map<number, number>();
  for (const { register, root } of spilled) {
    const definition = definitions.get(register);
    if (definition !== undefined && ['movi', 'mapref', 'stackaddr'].includes(definition.op)) {
      again.set(register, definition);
      continue;
    }
    const slot = groups.get(root) ?? -(program.scratch + (taken + groups.size + 1) * 8);
    groups.set(root, slot);
    slots.set(register, slot);
  }
  for (const block of program.blocks) rewriteBlock(program, block, slots, again, temporary);
  return groups.size;
}

function rewriteBlock(
  program: MachineProgram,
  block: MachineBlock,
  slots: Map<number, number>,
  again: Map<number, Inst>,
  temporary: Set<number>,
): void {
  const result: Inst[] = [];
  let kept: { register: number; temporary: number; store: Inst } | undefined;
  const fetch = (register: number, at: number): number => {
    const definition = again.get(register);
    const off = slots.get(register);
    if (definition === undefined && off === undefined) return register;
    const dst = program.registers++;
    temporary.add(dst);
    if (definition !== undefined) result.push({ ...definition, dst, at });
    else result.push(memory('load', dst, FP, off!, at));
    return dst;
  };
  for (const inst of block.insts) {
    const d = defined(inst);
    if (d >= 0 && again.has(d)) continue;
    if (inst.op === 'mov' && !inst.narrow && slots.has(d) && slots.get(inst.src) === slots.get(d)) continue;
    const renamed = new Map<number, number>();
    const slot = d >= 0 ? slots.get(d) : undefined;
    // What the instruction before has just put away is still in its register.
    const held = kept;
    kept = undefined;
    eachUse(inst, (r) => {
      if (renamed.has(r) || !(again.has(r) || slots.has(r))) return;
      if (held?.register !== r) {
        renamed.set(r, fetch(r, inst.at));
        return;
      }
      renamed.set(r, held.temporary);
      if (d === r && result[result.length - 1] === held.store) result.pop();
    });
    if (slot !== undefined && !renamed.has(d)) {
      const fresh = program.registers++;
      temporary.add(fresh);
      renamed.set(d, fresh);
    }
    if (renamed.size > 0) {
      inst.dst = renamed.get(inst.dst) ?? inst.dst;
      inst.src = renamed.get(inst.src) ?? inst.src;
      inst.left = renamed.get(inst.left) ?? inst.left;
    }
    if (inst.op === 'side' && held !== undefined && result[result.length - 1] === held.store) {
      // What lies on the stack is put there once it has been checked: Linux 6.1 does not link it with its register.
      result.splice(-1, 0, inst);
      kept = held;
      continue;
    }
    result.push(inst);
    if (slot !== undefined) {
      const store = memory('store', FP, renamed.get(d)!, slot, inst.at);
      result.push(store);
      kept = { register: d, temporary: renamed.get(d)!, store };
    }
  }
  const { end } = block;
  if (end.kind === 'branch') {
    const a = fetch(end.a, end.at);
    const b = end.b === end.a ? a : end.b >= 0 ? fetch(end.b, end.at) : -1;
    end.a = a;
    end.b = b;
  }
  block.insts = result;
}

function memory(op: 'load' | 'store', dst: number, src: number, off: number, at: number): Inst {
  const rest = { left: -1, imm: 0n, narrow: false, alu: 'add', cond: 'eq', map: '', args: 0 } as const;
  return { op, dst, src, off, size: 8, at, ...rest };
}

/** A register without a colour, and the one that its coalesced group goes by. */
interface Spilled {
  readonly register: number;
  readonly root: number;
}

interface Move {
  readonly a: number;
  readonly b: number;
  readonly weight: number;
  state: 'work' | 'active' | 'done';
}

class Interference {
  readonly #program: MachineProgram;
  readonly #count: number;
  readonly #matrix: Uint32Array;
  readonly #words: number;
  readonly #adjacent: number[][];
  readonly #degree: Int32Array;
  readonly #moves: Move[] = [];
  readonly #movesOf: number[][];
  readonly #alias: Int32Array;
  readonly #cost: Float64Array;
  /** 'initial' until it is on the stack or coalesced. */
  readonly #gone: Uint8Array;
  readonly #used: Uint8Array;
  readonly #stack: number[] = [];

  constructor(program: MachineProgram, temporary: Set<number>) {
    this.#program = program;
    const n = program.registers;
    this.#count = n;
    this.#words = (n + 31) >>> 5;
    this.#matrix = new Uint32Array(n * this.#words);
    this.#adjacent = Array.from({ length: n }, () => []);
    this.#degree = new Int32Array(n);
    this.#movesOf = Array.from({ length: n }, () => []);
    this.#alias = Int32Array.from({ length: n }, (_, i) => i);
    this.#cost = new Float64Array(n);
    this.#gone = new Uint8Array(n);
    this.#used = new Uint8Array(n);
    this.#build(temporary);
  }

  #build(temporary: Set<number>): void {
    for (let a = 0; a < FP; a++) for (let b = 0; b < a; b++) this.#edge(a, b);
    const outs = liveOut(this.#program);
    for (const [i, block] of this.#program.blocks.entries()) this.#scan(block, outs[i]!);
    for (const r of temporary) if (r < this.#count) this.#cost[r] = Number.POSITIVE_INFINITY;
  }

  #scan(block: MachineBlock, live: Bits): void {
    const weight = 10 ** Math.min(block.depth, 6);
    const use = (r: number): void => {
      if (r === FP) return;
      add(live, r);
      this.#used[r] = 1;
      this.#cost[r]! += weight;
    };
    eachEndUse(block.end, use);
    for (let i = block.insts.length - 1; i >= 0; i--) {
      const inst = block.insts[i]!;
      const d = defined(inst);
      if (inst.op === 'mov' && !inst.narrow && inst.src !== FP) {
        remove(live, inst.src);
        const index = this.#moves.push({ a: inst.dst, b: inst.src, weight, state: 'work' }) - 1;
        this.#movesOf[inst.dst]!.push(index);
        if (inst.src !== inst.dst) this.#movesOf[inst.src]!.push(index);
      }
      if (d >= 0) {
        this.#used[d] = 1;
        this.#cost[d]! += weight;
        each(live, (l) => this.#edge(l, d));
        if (inst.op === 'call') {
          for (let c = 1; c <= 5; c++) each(live, (l) => this.#edge(l, c));
        }
        if (inst.op === 'set') {
          this.#edge(d, inst.left);
          if (inst.src >= 0) this.#edge(d, inst.src);
        }
        remove(live, d);
        if (inst.op === 'call') for (let c = 1; c <= 5; c++) remove(live, c);
      }
      eachUse(inst, use);
    }
  }

  #edge(a: number, b: number): void {
    if (a === b || this.#interferes(a, b)) return;
    add(this.#matrix.subarray(a * this.#words, (a + 1) * this.#words), b);
    add(this.#matrix.subarray(b * this.#words, (b + 1) * this.#words), a);
    this.#adjacent[a]!.push(b);
    this.#adjacent[b]!.push(a);
    this.#degree[a]!++;
    this.#degree[b]!++;
  }

  #interferes(a: number, b: number): boolean {
    return (this.#matrix[a * this.#words + (b >>> 5)]! & (1 << (b & 31))) !== 0;
  }

  #find(r: number): number {
    let x = r;
    while (this.#alias[x] !== x) x = this.#alias[x]!;
    return x;
  }

  /** Neighbours that are still in the graph. */
  #neighbours(r: number): number[] {
    return this.#adjacent[r]!.filter((n) => this.#gone[n] === 0);
  }

  #isMoveRelated(r: number): boolean {
    return this.#movesOf[r]!.some((m) => this.#moves[m]!.state !== 'done');
  }

  colour(): { colours: Int32Array; spilled: Spilled[] } {
    const pending = new Set<number>();
    for (let r = FIRST_VIRTUAL; r < this.#count; r++) {
      if (this.#used[r] === 1) pending.add(r);
      else this.#gone[r] = 1;
    }
    this.#moves.sort((a, b) => b.weight - a.weight);
    for (const list of this.#movesOf) list.length = 0;
    this.#moves.forEach((move, i) => {
      this.#movesOf[move.a]!.push(i);
      if (move.a !== move.b) this.#movesOf[move.b]!.push(i);
    });
    while (pending.size > 0) {
      if (this.#simplify(pending)) continue;
      if (this.#coalesce(pending)) continue;
      if (this.#freeze(pending)) continue;
      this.#chooseSpill(pending);
    }
    return this.#select();
  }

  #push(r: number, pending: Set<number>): void {
    pending.delete(r);
    this.#gone[r] = 1;
    this.#stack.push(r);
    for (const n of this.#neighbours(r)) this.#degree[n]!--;
  }

  #simplify(pending: Set<number>): boolean {
    let any = false;
    for (const r of pending) {
      if (this.#degree[r]! < K && !this.#isMoveRelated(r)) {
        this.#push(r, pending);
        any = true;
      }
    }
    return any;
  }

  #coalesce(pending: Set<number>): boolean {
    for (const move of this.#moves) {
      if (move.state !== 'work') continue;
      let a = this.#find(move.a);
      let b = this.#find(move.b);
      if (b < FIRST_VIRTUAL) [a, b] = [b, a];
      if (a === b) {
        move.state = 'done';
        return true;
      }
      if (b < FIRST_VIRTUAL || this.#interferes(a, b) || this.#gone[a] === 1 || this.#gone[b] === 1) {
        move.state = 'done';
        return true;
      }
      const safe = a < FIRST_VIRTUAL ? this.#george(a, b) : this.#briggs(a, b);
      if (!safe) {
        move.state = 'active';
        continue;
      }
      move.state = 'done';
      this.#combine(a, b, pending);
      return true;
    }
    return false;
  }

  #george(a: number, b: number): boolean {
    return this.#neighbours(b).every(
      (n) => n < FIRST_VIRTUAL || this.#degree[n]! < K || this.#interferes(n, a),
    );
  }

  #briggs(a: number, b: number): boolean {
    const seen = new Set<number>();
    let significant = 0;
    for (const r of [a, b]) {
      for (const n of this.#neighbours(r)) {
        if (seen.has(n)) continue;
        seen.add(n);
        const shared = this.#interferes(n, a) && this.#interferes(n, b);
        const degree = this.#degree[n]! - (shared ? 1 : 0);
        if (n < FIRST_VIRTUAL || degree >= K) significant++;
      }
    }
    return significant < K;
  }

  #combine(a: number, b: number, pending: Set<number>): void {
    pending.delete(b);
    this.#gone[b] = 1;
    this.#alias[b] = a;
    this.#cost[a]! += this.#cost[b]!;
    for (const n of this.#neighbours(b)) {
      // The edge to b goes; one to a takes its place unless there is one.
      this.#degree[n]!--;
      this.#edge(a, n);
    }
    for (const m of this.#movesOf[b]!) {
      if (!this.#movesOf[a]!.includes(m)) this.#movesOf[a]!.push(m);
    }
    this.#wake(a);
    for (const n of this.#neighbours(a)) if (n >= FIRST_VIRTUAL) this.#wake(n);
  }

  /** Moves that were unsafe may have become safe. */
  #wake(r: number): void {
    for (const m of this.#movesOf[r]!) if (this.#moves[m]!.state === 'active') this.#moves[m]!.state = 'work';
  }

  #freeze(pending: Set<number>): boolean {
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (const r of pending) {
      if (this.#degree[r]! >= K) continue;
      const weight = this.#movesOf[r]!.reduce(
        (sum, m) => sum + (this.#moves[m]!.state === 'done' ? 0 : this.#moves[m]!.weight),
        0,
      );
      if (weight < least) {
        least = weight;
        best = r;
      }
    }
    if (best < 0) return false;
    for (const m of this.#movesOf[best]!) this.#moves[m]!.state = 'done';
    return true;
  }

  #chooseSpill(pending: Set<number>): void {
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (const r of pending) {
      const price = this.#cost[r]! / Math.max(1, this.#degree[r]!);
      if (best < 0 || price < least) {
        best = r;
        least = price;
      }
    }
    for (const m of this.#movesOf[best]!) this.#moves[m]!.state = 'done';
    this.#push(best, pending);
  }

  #select(): { colours: Int32Array; spilled: Spilled[] } {
    const colours = new Int32Array(this.#count).fill(-1);
    for (let r = 0; r < FIRST_VIRTUAL; r++) colours[r] = r;
    const failed: number[] = [];
    while (this.#stack.length > 0) {
      const r = this.#stack.pop()!;
      const taken = new Set<number>();
      for (const n of this.#adjacent[r]!) {
        const c = colours[this.#find(n)]!;
        if (c >= 0) taken.add(c);
      }
      const colour = this.#hint(r, colours, taken) ?? COLOURS.find((c) => !taken.has(c));
      if (colour === undefined) failed.push(r);
      else colours[r] = colour;
    }
    const spilled: Spilled[] = [];
    for (let r = FIRST_VIRTUAL; r < this.#count; r++) {
      const root = this.#find(r);
      if (root !== r) colours[r] = colours[root]!;
      if (this.#used[r] === 1 && failed.includes(root)) spilled.push({ register: r, root });
    }
    return { colours, spilled };
  }

  /** A colour that makes a move vanish after all. */
  #hint(r: number, colours: Int32Array, taken: Set<number>): number | undefined {
    for (const m of this.#movesOf[r]!) {
      const move = this.#moves[m]!;
      const other = this.#find(move.a) === r ? this.#find(move.b) : this.#find(move.a);
      const c = colours[other]!;
      if (c >= 0 && c !== FP && !taken.has(c)) return c;
    }
    return undefined;
  }
}
