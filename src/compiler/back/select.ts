import { MAX_OFFSET } from '../front/packet.ts';
import type { Block, Graph, Loop, Node } from '../middle/ir.ts';
import { fits, INT32, type Ranges, UINT32 } from '../middle/ranges.ts';
import { VerifierBounds } from './known.ts';
import {
  type AluName,
  type Condition,
  FIRST_VIRTUAL,
  FP,
  type Inst,
  type MachineBlock,
  type MachineProgram,
  MIRRORED,
  negate,
} from './machine.ts';

/** Chooses machine instructions for a graph. */
export function select(graph: Graph, ranges: Ranges): MachineProgram {
  return new Selector(graph, ranges).run();
}

/** A comparison as the machine makes it. */
interface Comparison {
  readonly cond: Condition;
  readonly a: number;
  readonly b: number;
  readonly imm: bigint;
  readonly narrow: boolean;
}

class Selector {
  readonly #graph: Graph;
  readonly #ranges: Ranges;
  readonly #bounds = new VerifierBounds();
  readonly #registers = new Map<Node, number>();
  readonly #blocks = new Map<Block, MachineBlock>();
  /** Nodes that something other than a branch needs in a register. */
  readonly #wanted = new Set<Node>();
  /** Loops in which verifiers must not learn from conditions. */
  readonly #tangled = new Set<Loop>();
  #long = false;
  #thoroughly = false;
  #current: Block;
  readonly #program: MachineProgram;
  #block: MachineBlock;

  constructor(graph: Graph, ranges: Ranges) {
    this.#graph = graph;
    this.#ranges = ranges;
    this.#program = {
      blocks: [],
      registers: FIRST_VIRTUAL,
      scratch: graph.scratch,
      short: graph.short,
      usesShort: false,
    };
    for (const block of graph.order) {
      const machine: MachineBlock = {
        id: block.order,
        source: block,
        insts: [],
        end: { kind: 'exit', at: -1 },
        depth: block.loop?.depth ?? 0,
        liveOut: new Set(),
      };
      this.#blocks.set(block, machine);
      this.#program.blocks.push(machine);
    }
    this.#block = this.#blocks.get(graph.entry)!;
    this.#current = graph.entry;
  }

  run(): MachineProgram {
    this.#findWanted();
    for (const loop of this.#graph.loops) {
      if (loop.free) {
        this.#long = true;
        continue;
      }
      if (isTangled(loop, 60n)) this.#tangled.add(loop);
      if (isTangled(loop, 200n)) this.#thoroughly = true;
      // A verifier goes through a long loop once for every state that it may be entered with.
      if (totalTrips(loop) >= 200n) this.#long = true;
    }
    for (const block of this.#graph.order) {
      for (const phi of block.phis) this.#registers.set(phi, this.#fresh());
    }
    for (const block of this.#graph.order) {
      this.#block = this.#blocks.get(block)!;
      if (block.loop?.header === block && block.loop.free) this.#emit('maygoto', block.loop.at, {});
      for (const node of block.nodes) this.#node(node);
      this.#finish(block);
    }
    return this.#program;
  }

  /** Comparisons that only branches use are made where the branch is. */
  #findWanted(): void {
    for (const block of this.#graph.order) {
      for (const phi of block.phis) for (const arg of phi.args) this.#wanted.add(arg);
      for (const node of block.nodes) for (const arg of node.args) this.#wanted.add(arg);
      if (block.term.kind === 'return') this.#wanted.add(block.term.value);
    }
  }

  #fresh(): number {
    return this.#program.registers++;
  }

  #emit(op: Inst['op'], at: number, parts: Partial<Inst>): Inst {
    const inst: Inst = {
      op,
      dst: -1,
      src: -1,
      left: -1,
      imm: 0n,
      off: 0,
      size: 0,
      narrow: false,
      alu: 'add',
      cond: 'eq',
      map: '',
      args: 0,
      at,
      ...parts,
    };
    this.#block.insts.push(inst);
    return inst;
  }

  /** The register that holds a node's value. */
  #use(node: Node, at: number): number {
    if (node.op === 'const') {
      const dst = this.#fresh();
      this.#emit('movi', at, { dst, imm: signed64(node.value) });
      return dst;
    }
    if (node.op === 'stack') {
      const dst = this.#fresh();
      this.#emit('stackaddr', at, { dst, imm: BigInt(node.off - this.#program.scratch) });
      return dst;
    }
    if (node.op === 'mapref') {
      const dst = this.#fresh();
      this.#emit('mapref', at, { dst, map: node.map });
      return dst;
    }
    const register = this.#registers.get(node);
    if (register === undefined) throw new Error(`node ${node.id} (${node.op}) has no register`);
    return register;
  }

  /** A fresh register with a copy of a node's value, to be computed on. */
  #copy(node: Node, at: number): number {
    if (node.op === 'const') return this.#use(node, at);
    const dst = this.#fresh();
    this.#emit('mov', at, { dst, src: this.#use(node, at) });
    return dst;
  }

  #alui(dst: number, alu: AluName, imm: bigint, at: number, narrow = false): void {
    this.#emit('alui', at, { dst, alu, imm, narrow });
  }

  #side(cond: Condition, a: number, b: number, imm: bigint, at: number): void {
    this.#program.usesShort = true;
    this.#emit('side', at, { cond, dst: a, src: b, imm });
  }

  #node(node: Node): void {
    const { at } = node;
    switch (node.op) {
      case 'const':
      case 'stack':
      case 'mapref':
        return;
      case 'ctx': {
        const dst = this.#define(node);
        this.#emit('mov', at, { dst, src: 1 });
        return;
      }
      case 'ctxload':
        this.#emit('load', at, {
          dst: this.#define(node),
          src: this.#use(node.args[0]!, at),
          off: node.off,
          size: 4,
        });
        return;
      case 'length': {
        const dst = this.#copy(node.args[1]!, at);
        this.#emit('alu', at, { dst, src: this.#use(node.args[0]!, at), alu: 'sub' });
        this.#registers.set(node, dst);
        return;
      }
      case 'offptr':
        this.#offsetPointer(node);
        return;
      case 'check': {
        const [ptr, end] = node.args;
        const sum = this.#copy(ptr!, at);
        this.#alui(sum, 'add', BigInt(node.size), at);
        this.#side('gt', sum, this.#use(end!, at), 0n, at);
        return;
      }
      case 'load': {
        const src = this.#use(node.args[0]!, at);
        const dst = this.#define(node);
        this.#emit('load', at, { dst, src, off: node.off, size: node.size });
        if (node.signed && node.size < 8) {
          const bits = BigInt(64 - node.size * 8);
          this.#alui(dst, 'lsh', bits, at);
          this.#alui(dst, 'arsh', bits, at);
        }
        return;
      }
      case 'stackload':
        this.#emit('load', at, {
          dst: this.#define(node),
          src: FP,
          off: node.off - this.#program.scratch,
          size: node.size,
        });
        return;
      case 'store':
        this.#store(this.#use(node.args[0]!, at), node.off, node.size, node.args[1]!, at);
        return;
      case 'stackstore':
        this.#store(FP, node.off - this.#program.scratch, node.size, node.args[0]!, at);
        return;
      case 'atomic': {
        const dst = this.#use(node.args[0]!, at);
        this.#emit('atomic', at, { dst, src: this.#use(node.args[1]!, at), off: node.off, size: node.size });
        return;
      }
      case 'elemptr':
        this.#element(node);
        return;
      case 'visible': {
        const value = node.args[0]!;
        const dst = this.#copy(value, at);
        this.#registers.set(node, dst);
        // What a verifier learns of the copy at each of the loop's exits must not split the value itself, which another
        // loop may use again: a shift, even by nothing, parts the two.
        const around = node.block.loop;
        const older = around === undefined ? this.#graph.loops.length > 1 : !around.blocks.has(value.block);
        if (older) this.#alui(dst, 'lsh', 0n, at);
        const bound = this.#bounds.of(value);
        if (node.signed || bound === undefined || bound > BigInt(node.limit))
          this.#side(node.lo < 0n ? 'sgt' : 'gt', dst, -1, BigInt(node.limit), at);
        return;
      }
      case 'forget': {
        const dst = this.#copy(node.args[0]!, at);
        const unknown = this.#use(node.args[1]!, at);
        for (let i = 0; i < 2; i++) this.#emit('alu', at, { dst, src: unknown, alu: 'xor' });
        this.#registers.set(node, dst);
        return;
      }
      case 'call':
        this.#call(node);
        return;
      case 'eq':
      case 'ne':
      case 'lt':
      case 'le':
      case 'within':
        if (this.#wanted.has(node)) {
          const { cond, a, b, imm, narrow } = this.#compare(node, node.block, at);
          this.#emit('set', at, { dst: this.#define(node), left: a, src: b, imm, cond, narrow });
        }
        return;
      case 'not':
        if (this.#wanted.has(node)) {
          const dst = this.#copy(node.args[0]!, at);
          this.#alui(dst, 'xor', 1n, at);
          this.#registers.set(node, dst);
        }
        return;
      case 'tobig':
      case 'tonum':
      case 'index':
        this.#registers.set(node, this.#use(node.args[0]!, at));
        return;
      case 'swap': {
        const dst = this.#copy(node.args[0]!, at);
        this.#emit('swap', at, { dst, size: node.size });
        this.#registers.set(node, dst);
        return;
      }
      case 'concat': {
        const dst = this.#copy(node.args[0]!, at);
        this.#alui(dst, 'lsh', BigInt(node.size), at);
        this.#emit('alu', at, { dst, src: this.#use(node.args[1]!, at), alu: 'or' });
        this.#registers.set(node, dst);
        return;
      }
      default:
        this.#arithmetic(node);
    }
  }

  #define(node: Node): number {
    const dst = this.#fresh();
    this.#registers.set(node, dst);
    return dst;
  }

  #store(base: number, off: number, size: number, value: Node, at: number): void {
    if (value.op === 'const') {
      const imm = BigInt.asIntN(size * 8, value.value);
      if (fitsImm(imm)) {
        this.#emit('storei', at, { dst: base, off, size, imm });
        return;
      }
    }
    this.#emit('store', at, { dst: base, src: this.#use(value, at), off, size });
  }

  #offsetPointer(node: Node): void {
    const [data, offset] = node.args;
    const { at } = node;
    const dst = this.#copy(offset!, at);
    const bound = this.#bounds.of(offset!);
    if (bound === undefined || bound > BigInt(MAX_OFFSET)) this.#side('gt', dst, -1, BigInt(MAX_OFFSET), at);
    this.#emit('alu', at, { dst, src: this.#use(data!, at), alu: 'add' });
    this.#registers.set(node, dst);
  }

  #element(node: Node): void {
    const [base, index] = node.args;
    const { at } = node;
    const dst = this.#copy(index!, at);
    const bound = this.#bounds.of(index!);
    if (bound === undefined || bound >= BigInt(node.limit))
      this.#side('gt', dst, -1, BigInt(node.limit - 1), at);
    this.#multiply(dst, BigInt(node.size), at);
    this.#emit('alu', at, { dst, src: this.#use(base!, at), alu: 'add' });
    this.#registers.set(node, dst);
  }

  #call(node: Node): void {
    const { at } = node;
    const values = node.args.map((arg) =>
      arg.op === 'const' || arg.op === 'stack' || arg.op === 'mapref' ? -1 : this.#use(arg, at),
    );
    node.args.forEach((arg, i) => {
      const dst = i + 1;
      if (arg.op === 'const') this.#emit('movi', at, { dst, imm: signed64(arg.value) });
      else if (arg.op === 'stack') {
        this.#emit('stackaddr', at, { dst, imm: BigInt(arg.off - this.#program.scratch) });
      } else if (arg.op === 'mapref') this.#emit('mapref', at, { dst, map: arg.map });
      else this.#emit('mov', at, { dst, src: values[i]! });
    });
    this.#emit('call', at, { imm: BigInt(node.off), args: node.args.length });
    if (node.type === 'void') return;
    const dst = this.#define(node);
    this.#emit('mov', at, { dst, src: 0 });
    if (RETURNS_INT.has(node.off)) {
      // An int: some kernels leave the upper half of r0 undefined.
      this.#alui(dst, 'lsh', 32n, at);
      this.#alui(dst, 'arsh', 32n, at);
    }
  }

  #arithmetic(node: Node): void {
    const { at, block } = node;
    const [a, b] = node.args;
    const x = a === undefined ? INT32 : this.#ranges.at(a, block);
    const y = b === undefined ? INT32 : this.#ranges.at(b, block);
    const big = node.type === 'big';
    switch (node.op) {
      case 'add':
      case 'sub':
        this.#binary(node, node.op);
        return;
      case 'mul': {
        const [from, by] = a!.op === 'const' ? [b!, a!] : [a!, b!];
        if (by.op === 'const') {
          const dst = this.#copy(from, at);
          this.#multiply(dst, by.value, at);
          this.#registers.set(node, dst);
          return;
        }
        this.#binary(node, 'mul');
        return;
      }
      case 'div':
      case 'mod':
        this.#divide(node, node.op, a!, b!, x.hi, y.hi);
        return;
      case 'and':
      case 'or':
      case 'xor': {
        const dst = this.#binary(node, node.op);
        const closed = big || (fits(x, INT32) && fits(y, INT32));
        const masked =
          node.op === 'and' && ((x.lo >= 0n && x.hi <= INT32.hi) || (y.lo >= 0n && y.hi <= INT32.hi));
        if (!closed && !masked) this.#signExtend(dst, at);
        return;
      }
      case 'shl':
        this.#shiftLeft(node, a!, b!, big);
        return;
      case 'sar': {
        const dst = this.#copy(a!, at);
        const unsigned = big ? x.lo >= 0n : false;
        if (!big && !fits(x, INT32)) this.#signExtend(dst, at);
        this.#shift(
          dst,
          unsigned || (x.lo >= 0n && fits(x, INT32)) ? 'rsh' : 'arsh',
          b!,
          y,
          big ? 63n : 31n,
          at,
          false,
        );
        this.#registers.set(node, dst);
        return;
      }
      case 'shr': {
        const dst = this.#copy(a!, at);
        const narrow = !fits(x, UINT32);
        if (b!.op === 'const' && (b!.value & 31n) === 0n) {
          if (narrow) this.#emit('mov', at, { dst, src: dst, narrow: true });
        } else {
          this.#shift(dst, 'rsh', b!, y, 31n, at, narrow);
        }
        this.#registers.set(node, dst);
        return;
      }
      case 'wrap': {
        const dst = this.#copy(a!, at);
        const top = (1n << BigInt(node.size)) - 1n;
        if (!(x.lo >= 0n && x.hi <= top) && node.size < 64) {
          if (node.size === 32) this.#emit('mov', at, { dst, src: dst, narrow: true });
          else this.#alui(dst, 'and', top, at);
        }
        this.#registers.set(node, dst);
        return;
      }
      default:
        throw new Error(`no instructions for ${node.op}`);
    }
  }

  /** `a op b` in two-operand form, an immediate where it fits. */
  #binary(node: Node, alu: AluName): number {
    const { at } = node;
    let [a, b] = node.args as [Node, Node];
    if (a.op === 'const' && alu !== 'sub') [a, b] = [b, a];
    const dst = this.#copy(a, at);
    this.#registers.set(node, dst);
    if (b.op === 'const') {
      let imm = signed64(b.value);
      let op = alu;
      if (op === 'sub') {
        imm = -imm;
        op = 'add';
      }
      if (op === 'and' && imm === 0xffff_ffffn) {
        this.#emit('mov', at, { dst, src: dst, narrow: true });
        return dst;
      }
      if (fitsImm(imm)) {
        this.#alui(dst, op, imm, at);
        return dst;
      }
    }
    this.#emit('alu', at, { dst, src: this.#use(b, at), alu });
    return dst;
  }

  #multiply(dst: number, by: bigint, at: number): void {
    if (by === 1n) return;
    if (by > 0n && (by & (by - 1n)) === 0n) {
      this.#alui(dst, 'lsh', BigInt(by.toString(2).length - 1), at);
    } else if (fitsImm(by)) {
      this.#alui(dst, 'mul', by, at);
    } else {
      const src = this.#fresh();
      this.#emit('movi', at, { dst: src, imm: signed64(by) });
      this.#emit('alu', at, { dst, src, alu: 'mul' });
    }
  }

  /** Sign-extends the lower half, as JavaScript's int32 operations do. */
  #signExtend(dst: number, at: number): void {
    this.#alui(dst, 'lsh', 32n, at);
    this.#alui(dst, 'arsh', 32n, at);
  }

  #shiftLeft(node: Node, a: Node, b: Node, big: boolean): void {
    const { at, block } = node;
    const x = this.#ranges.at(a, block);
    const y = this.#ranges.at(b, block);
    const dst = this.#copy(a, at);
    this.#registers.set(node, dst);
    if (big) {
      this.#shift(dst, 'lsh', b, y, 63n, at, false);
      return;
    }
    const exact =
      fits(x, INT32) && y.lo >= 0n && y.hi <= 31n && fits({ lo: x.lo << y.hi, hi: x.hi << y.hi }, INT32);
    if (exact) {
      this.#shift(dst, 'lsh', b, y, 31n, at, false);
      return;
    }
    if (b.op === 'const') {
      this.#alui(dst, 'lsh', 32n + (b.value & 31n), at);
      this.#alui(dst, 'arsh', 32n, at);
      return;
    }
    this.#shift(dst, 'lsh', b, y, 31n, at, true);
    this.#signExtend(dst, at);
  }

  #shift(
    dst: number,
    alu: AluName,
    by: Node,
    range: { lo: bigint; hi: bigint },
    most: bigint,
    at: number,
    narrow: boolean,
  ): void {
    if (by.op === 'const') {
      const count = by.value & most;
      if (count !== 0n) this.#alui(dst, alu, count, at, narrow);
      return;
    }
    let count = this.#use(by, at);
    // The oldest verifier wants to see the bound of a shift, and JavaScript masks the count.
    const bound = this.#bounds.of(by);
    if (range.lo < 0n || range.hi > most || bound === undefined || bound > most) {
      const masked = this.#fresh();
      this.#emit('mov', at, { dst: masked, src: count });
      this.#alui(masked, 'and', most, at);
      count = masked;
    }
    this.#emit('alu', at, { dst, src: count, alu, narrow });
  }

  #divide(node: Node, op: 'div' | 'mod', a: Node, b: Node, most: bigint, mostBy: bigint): void {
    const { at } = node;
    const dst = this.#copy(a, at);
    this.#registers.set(node, dst);
    const narrow = most <= UINT32.hi && mostBy <= UINT32.hi;
    if (b.op !== 'const') {
      this.#emit('alu', at, { dst, src: this.#use(b, at), alu: op, narrow });
      return;
    }
    const by = b.value;
    if ((by & (by - 1n)) === 0n) {
      const shift = BigInt(by.toString(2).length - 1);
      if (op === 'div') {
        if (shift > 0n) this.#alui(dst, 'rsh', shift, at);
      } else if (fitsImm(by - 1n)) {
        this.#alui(dst, 'and', by - 1n, at);
      } else {
        const src = this.#fresh();
        this.#emit('movi', at, { dst: src, imm: by - 1n });
        this.#emit('alu', at, { dst, src, alu: 'and' });
      }
      return;
    }
    const magic = reciprocal(by, most);
    if (magic !== undefined) {
      const quotient = op === 'div' ? dst : this.#fresh();
      if (op === 'mod') this.#emit('mov', at, { dst: quotient, src: dst });
      this.#multiply(quotient, magic.multiplier, at);
      this.#alui(quotient, 'rsh', magic.shift, at);
      if (op === 'mod') {
        this.#multiply(quotient, by, at);
        this.#emit('alu', at, { dst, src: quotient, alu: 'sub' });
      }
      return;
    }
    if (fitsImm(by)) {
      this.#alui(dst, op, by, at, narrow);
    } else {
      this.#emit('alu', at, { dst, src: this.#use(b, at), alu: op, narrow });
    }
  }

  /** A comparison node as operands and a condition. */
  #compare(node: Node, block: Block, at: number): Comparison {
    let [a, b] = node.args as [Node, Node];
    if (node.op === 'within') {
      const sum = this.#copy(a, at);
      this.#alui(sum, 'add', BigInt(node.size), at);
      return { cond: 'le', a: sum, b: this.#use(b, at), imm: 0n, narrow: false };
    }
    let x = this.#ranges.at(a, block);
    let y = this.#ranges.at(b, block);
    const unsigned = a.type === 'ptr' || (x.lo >= 0n && y.lo >= 0n);
    let cond: Condition =
      node.op === 'eq' || node.op === 'ne'
        ? node.op
        : node.op === 'lt'
          ? unsigned
            ? 'lt'
            : 'slt'
          : unsigned
            ? 'le'
            : 'sle';
    // Before Linux 6.8 a verifier decides a comparison only by a right operand that it knows: a loop's counter it does,
    // what limits the counter it does not.
    if (b.op !== 'const' && (a.op === 'const' || (counts(a, block) && !counts(b, block)))) {
      [a, b, x, y] = [b, a, y, x];
      cond = MIRRORED[cond];
    }
    const hide = this.#hides(node, block);
    this.#current = block;
    const left = hide ? this.#hidden(a, at) : this.#use(a, at);
    if (b.op === 'const') {
      const imm = signed64(b.value);
      if (fitsImm(imm)) return { cond, a: left, b: -1, imm, narrow: false };
      const both32 = fits(x, UINT32) && fits(y, UINT32);
      if (both32) return { cond, a: left, b: -1, imm: BigInt.asIntN(32, imm), narrow: true };
    }
    return { cond, a: left, b: hide ? this.#hidden(b, at) : this.#use(b, at), imm: 0n, narrow: false };
  }

  /** Whether what a comparison tells is better kept from the verifier; what ends a loop it must know. */
  #hides(node: Node, block: Block): boolean {
    if (node.args[0]!.type === 'ptr') return false;
    const { loop } = block;
    if (!this.#long && (loop === undefined || !this.#tangled.has(loop))) return false;
    if (loop === undefined) return true;
    const { term } = block;
    const leaves = term.kind === 'branch' && !(loop.blocks.has(term.then) && loop.blocks.has(term.otherwise));
    return !(leaves && node.args.some((arg) => isCounter(arg, loop)));
  }

  /** A copy that the verifier does not link with the original: an operation, even an empty one, ends that. */
  #hidden(node: Node, at: number): number {
    if (!this.#thoroughly && !outlives(node, this.#current)) return this.#use(node, at);
    const dst = this.#copy(node, at);
    if (node.op !== 'const') this.#alui(dst, 'or', 0n, at);
    return dst;
  }

  #finish(block: Block): void {
    const { term } = block;
    const machine = this.#block;
    switch (term.kind) {
      case 'jump':
        this.#phiCopies(block, term.to, term.at);
        machine.end = { kind: 'jump', to: this.#blocks.get(term.to)! };
        return;
      case 'return': {
        const { value } = term;
        if (value.op === 'const') this.#emit('movi', term.at, { dst: 0, imm: value.value });
        else this.#emit('mov', term.at, { dst: 0, src: this.#use(value, term.at) });
        machine.end = { kind: 'exit', at: term.at };
        return;
      }
      case 'branch': {
        let cond = term.cond;
        let negated = false;
        while (cond.op === 'not') {
          cond = cond.args[0]!;
          negated = !negated;
        }
        let comparison: Comparison;
        if (['eq', 'ne', 'lt', 'le', 'within'].includes(cond.op))
          comparison = this.#compare(cond, block, term.at);
        else comparison = { cond: 'ne', a: this.#use(cond, term.at), b: -1, imm: 0n, narrow: false };
        machine.end = {
          kind: 'branch',
          ...comparison,
          cond: negated ? negate(comparison.cond) : comparison.cond,
          taken: this.#blocks.get(term.then)!,
          otherwise: this.#blocks.get(term.otherwise)!,
          at: term.at,
        };
        return;
      }
      default:
        throw new Error('a block was left open');
    }
  }

  /** Gives the phis of the next block their values, all at once. */
  #phiCopies(from: Block, to: Block, at: number): void {
    const index = to.preds.indexOf(from);
    const moves: { dst: number; src: number }[] = [];
    const constants: { dst: number; node: Node }[] = [];
    for (const phi of to.phis) {
      const dst = this.#registers.get(phi)!;
      const arg = phi.args[index]!;
      if (arg.op === 'const' || arg.op === 'stack' || arg.op === 'mapref') constants.push({ dst, node: arg });
      else {
        const src = this.#use(arg, at);
        if (src !== dst) moves.push({ dst, src });
      }
    }
    while (moves.length > 0) {
      const free = moves.findIndex((m) => !moves.some((other) => other !== m && other.src === m.dst));
      if (free >= 0) {
        const [move] = moves.splice(free, 1);
        this.#emit('mov', at, move!);
        continue;
      }
      const cyclic = moves[0]!;
      const temporary = this.#fresh();
      this.#emit('mov', at, { dst: temporary, src: cyclic.src });
      const { src } = cyclic;
      for (const move of moves) if (move.src === src) move.src = temporary;
    }
    for (const { dst, node } of constants) {
      if (node.op === 'const') this.#emit('movi', at, { dst, imm: signed64(node.value) });
      else this.#emit('mov', at, { dst, src: this.#use(node, at) });
    }
  }
}

/**
 * Whether a loop has so many conditions that a verifier, which follows every combination of what they tell, may not
 * come to an end.
 */
function isTangled(loop: Loop, least: bigint): boolean {
  let conditions = 0;
  for (const block of loop.blocks) if (block.term.kind === 'branch') conditions++;
  return conditions >= 6 && totalTrips(loop) * BigInt(conditions) >= least;
}

/** How often a loop's body runs in all, with the loops around it. */
function totalTrips(loop: Loop): bigint {
  let trips = 1n;
  for (let l: Loop | undefined = loop; l !== undefined; l = l.parent) trips *= l.trips ?? 1n;
  return trips;
}

/** Whether a value is older than the iteration in which it is looked at, so that what is learnt of it lasts. */
function outlives(node: Node, block: Block): boolean {
  let value = node;
  while (value.op === 'tobig' || value.op === 'tonum') value = value.args[0]!;
  return (
    value.op === 'phi' ||
    value.op === 'forget' ||
    block.loop === undefined ||
    !block.loop.blocks.has(value.block)
  );
}

/** Whether a value is a variable of the loop that steps from iteration to iteration, or what it runs up to. */
function isCounter(node: Node, loop: Loop, depth = 0): boolean {
  let value = node;
  while (value.op === 'add' || value.op === 'sub') value = value.args[0]!;
  if (value.op === 'visible') return true;
  if (value.op !== 'phi' || !loop.blocks.has(value.block) || depth > 8) return false;
  return value.block === loop.header || value.args.some((arg) => isCounter(arg, loop, depth + 1));
}

/** Whether a value is the counter of a loop around, and not what limits it. */
function counts(node: Node, block: Block): boolean {
  if (node.op === 'visible') return false;
  for (let { loop } = block; loop !== undefined; loop = loop.parent) if (isCounter(node, loop)) return true;
  return false;
}

/** Helpers that return an int: errors are negative. */
const RETURNS_INT: ReadonlySet<number> = new Set<number>();

function signed64(value: bigint): bigint {
  return BigInt.asIntN(64, value);
}

export function fitsImm(value: bigint): boolean {
  return value >= -0x8000_0000n && value <= 0x7fff_ffffn;
}

/** A multiplication and a shift that divide every number up to `most` (Granlund and Montgomery, 1994). */
function reciprocal(by: bigint, most: bigint): { multiplier: bigint; shift: bigint } | undefined {
  if (most >= 1n << 32n || by <= 1n) return undefined;
  for (let shift = 16n; shift < 64n; shift++) {
    const power = 1n << shift;
    const multiplier = (power + by - 1n) / by;
    const error = multiplier * by - power;
    if (error * most >= power) continue;
    if (multiplier * most >= 1n << 64n || !fitsImm(multiplier)) return undefined;
    return { multiplier, shift };
  }
  return undefined;
}
