import type * as syntax from 'acorn';
import { Fault } from '../error.ts';
import type { Block, Node, Type } from '../middle/ir.ts';
import { Builder } from './builder.ts';
import type { ParsedFunction, Sources } from './parse.ts';
import { describeVal, isScalar, type Val } from './value.ts';

/** What a program may ask of the compiler. */
export interface LowerOptions {
  readonly onShort: number;
  readonly frags: boolean;
  /** Loops of up to this many iterations are unrolled when their bodies are small. */
  readonly unroll: number;
}

export interface Variable {
  readonly name: string;
  readonly constant: boolean;
}

/** What is known at one point of the program. */
export interface State {
  vars: Map<Variable, Val>;
  /** Pointers that are proved not to be null. */
  nonNull: Set<Node>;
  data: Node;
  end: Node;
  /** Counts what moved the packet's ends. */
  epoch: number;
}

/** A way out of a piece of code: the block that is still open, and what is known there. */
export interface Exit {
  readonly block: Block;
  readonly state: State;
}

/** Names of one block of source. */
export class Scope {
  readonly names: Map<string, Variable> = new Map();
  readonly parent: Scope | undefined;

  constructor(parent: Scope | undefined) {
    this.parent = parent;
  }

  find(name: string): Variable | undefined {
    return this.names.get(name) ?? this.parent?.find(name);
  }
}

/** Where `break` and `continue` lead. */
export interface Target {
  readonly label: string | undefined;
  readonly breaks: Exit[];
  /** Absent for `switch`. */
  readonly continues: Exit[] | undefined;
}

/** One function being lowered: the program itself or a helper put in its place. */
export interface Frame {
  readonly parsed: ParsedFunction;
  /** Where returns of a helper gather; absent for the program. */
  readonly returns: { exit: Exit; val: Val }[] | undefined;
  scope: Scope;
  targets: Target[];
  /** The call that a function of the compiler's own stands for: all of it is told under that place. */
  readonly site?: number;
}

export type Statement = syntax.Statement | syntax.ModuleDeclaration;

/** Where lowering begins: expressions nest in blocks, and blocks in expressions by the functions these call. */
export interface Lowering {
  evaluate(cx: Context, node: syntax.Expression | syntax.Super, discard?: boolean): Val;
  block(cx: Context, body: readonly Statement[]): void;
}

/** Everything lowering shares: the builder, the state, the frame and its entry points. */
export class Context {
  readonly b: Builder = new Builder();
  readonly sources: Sources;
  readonly options: LowerOptions;
  readonly ctx: Node;
  state: State;
  frames: Frame[] = [];
  /** How deep in real (not unrolled) loops we are. */
  loops = 0;
  /** Counts writes to maps. */
  writes = 0;
  readonly #lowering: Lowering;
  #epochs = 1;

  constructor(sources: Sources, options: LowerOptions, lowering: Lowering) {
    this.#lowering = lowering;
    this.sources = sources;
    this.options = options;
    const b = this.b;
    b.graph.short = options.onShort;
    this.ctx = b.emit('ctx', 'ptr', [], -1);
    this.state = {
      vars: new Map(),
      nonNull: new Set(),
      data: b.emit('ctxload', 'ptr', [this.ctx], -1, { off: 0 }),
      end: b.emit('ctxload', 'ptr', [this.ctx], -1, { off: 4 }),
      epoch: 0,
    };
  }

  /** Lowers an expression; with `discard`, for its effect alone. */
  evaluate(node: syntax.Expression | syntax.Super, discard = false): Val {
    return this.#lowering.evaluate(this, node, discard);
  }

  /** Lowers statements in a scope of their own. */
  block(body: readonly Statement[]): void {
    this.#lowering.block(this, body);
  }

  get frame(): Frame {
    return this.frames[this.frames.length - 1]!;
  }

  /** The position of a syntax node among all texts. */
  at(node: { start: number }): number {
    return this.frame.site ?? this.frame.parsed.base + node.start;
  }

  fault(node: { start: number } | number, reason: string, instead: string): Fault {
    return new Fault(typeof node === 'number' ? node : this.at(node), reason, instead);
  }

  newEpoch(): number {
    return this.#epochs++;
  }

  /** Reads the packet's ends again after something moved them. */
  reloadEnds(at: number): void {
    this.state.data = this.b.emit('ctxload', 'ptr', [this.ctx], at, { off: 0 });
    this.state.end = this.b.emit('ctxload', 'ptr', [this.ctx], at, { off: 4 });
    this.state.epoch = this.newEpoch();
  }

  /** Marks all views of a map's entries as older than a write to it; without a map, of all maps. */
  outdate(map?: string): void {
    const outdated = (val: Val): Val => {
      if (val.kind === 'view') {
        const moves = MOVING.has(val.map.type) && (map === undefined || val.map.name === map);
        return moves ? { ...val, stale: true } : val;
      }
      if (val.kind === 'tuple' && val.items.some(holdsView))
        return { kind: 'tuple', items: val.items.map(outdated) };
      if (val.kind === 'object' && [...val.fields.values()].some(holdsView))
        return { kind: 'object', fields: new Map([...val.fields].map(([name, v]) => [name, outdated(v)])) };
      return val;
    };
    for (const [variable, val] of this.state.vars) this.state.vars.set(variable, outdated(val));
    this.writes++;
  }

  /** Scratch memory on the stack; what lay there before may be overwritten. */
  scratch(from: number, size: number): number {
    const off = Math.ceil(from / 8) * 8;
    this.b.graph.scratch = Math.max(this.b.graph.scratch, Math.ceil((off + size) / 8) * 8);
    return off;
  }

  /** Leaves the current path open as an exit. */
  leave(exits: Exit[]): void {
    const block = this.b.current;
    if (block === undefined) return;
    exits.push({ block, state: this.state });
    this.b.current = undefined;
  }

  /** Goes on where all the exits meet; with none of them the path is dead. */
  join(exits: Exit[], at: number): void {
    if (exits.length === 0) {
      this.b.current = undefined;
      return;
    }
    const [only] = exits;
    if (exits.length === 1 && only !== undefined) {
      this.b.current = only.block;
      this.state = only.state;
      return;
    }
    const block = this.b.graph.block();
    for (const exit of exits) this.b.jump(exit.block, block, at);
    this.state = this.#meet(
      exits.map((e) => e.state),
      block,
      at,
    );
    this.b.current = block;
  }

  /** One value for what differs between the paths that meet in `block`. */
  merge(vals: readonly Val[], block: Block, at: number): Val {
    const first = vals[0]!;
    if (vals.every((v) => v === first)) return first;
    if (vals.every(isScalarVal)) {
      const kinds = new Set(vals.map((v) => v.kind));
      if (kinds.size > 1) return mixed(vals);
      const nodes = vals.map((v) => v.node);
      if (nodes.every((n) => n === nodes[0])) return first;
      const kind = (first as { kind: 'num' }).kind;
      return { kind, node: this.b.phi(block, kind as Type, nodes, at) };
    }
    if (vals.every((v) => v.kind === 'string')) {
      if (vals.every((v) => v.text === (first as { text: string }).text)) return first;
    }
    if (vals.every((v) => v.kind === 'string' || v.kind === 'verdict')) {
      const nodes = vals.map((v) => (v.kind === 'verdict' ? v.node : verdictOf(this, v)));
      if (nodes.every((n) => n !== undefined)) {
        return { kind: 'verdict', node: this.b.phi(block, 'verdict', nodes as Node[], at) };
      }
    }
    const view = vals.find((v) => v.kind === 'view');
    if (view !== undefined) {
      const nodes: Node[] = [];
      for (const v of vals) {
        if (v.kind === 'undefined') nodes.push(this.b.constant('ptr', 0));
        else if (v.kind === 'view' && v.layout === view.layout && v.off === view.off) nodes.push(v.ptr);
        else return mixed(vals);
      }
      const stale = vals.some((v) => v.kind === 'view' && v.stale === true);
      const merged = stale ? { ...view, stale } : view;
      if (nodes.every((n) => n === nodes[0])) return merged;
      return { ...merged, ptr: this.b.phi(block, 'ptr', nodes, at) };
    }
    if (first.kind === 'header') {
      if (vals.every((v) => v.kind === 'header' && v.layout === first.layout && v.epoch === first.epoch)) {
        const nodes = vals.map((v) => (v as typeof first).base);
        if (nodes.every((n) => n === nodes[0])) return first;
        return { ...first, base: this.b.phi(block, 'num', nodes, at) };
      }
      return mixed(vals);
    }
    if (first.kind === 'tuple') {
      if (!vals.every((v) => v.kind === 'tuple' && v.items.length === first.items.length)) return mixed(vals);
      const tuples = vals as (typeof first)[];
      return {
        kind: 'tuple',
        items: first.items.map((_, i) =>
          this.merge(
            tuples.map((t) => t.items[i]!),
            block,
            at,
          ),
        ),
      };
    }
    if (first.kind === 'object') {
      if (!vals.every((v) => v.kind === 'object' && v.fields.size === first.fields.size)) return mixed(vals);
      const objects = vals as (typeof first)[];
      const fields = new Map<string, Val>();
      for (const name of first.fields.keys()) {
        const each = objects.map((o) => o.fields.get(name));
        if (each.some((v) => v === undefined)) return mixed(vals);
        fields.set(name, this.merge(each as Val[], block, at));
      }
      return { kind: 'object', fields };
    }
    if (first.kind === 'bytes') {
      const all = vals as (typeof first)[];
      const same = all.every(
        (v) =>
          v.kind === 'bytes' &&
          v.chunks.length === first.chunks.length &&
          v.chunks.every((c, i) => c.off === first.chunks[i]!.off && c.size === first.chunks[i]!.size),
      );
      if (!same) return mixed(vals);
      const chunks = first.chunks.map((chunk, i) => {
        const nodes = all.map((v) => v.chunks[i]!.node);
        if (nodes.every((n) => n === nodes[0])) return chunk;
        return { ...chunk, node: this.b.phi(block, nodes[0]!.type, nodes, at) };
      });
      return { ...first, chunks };
    }
    if (vals.every((v) => v.kind === 'undefined')) return first;
    return mixed(vals);
  }

  cloneState(): State {
    const { vars, nonNull, data, end, epoch } = this.state;
    return { vars: new Map(vars), nonNull: new Set(nonNull), data, end, epoch };
  }

  #meet(states: State[], block: Block, at: number): State {
    const [first, ...rest] = states as [State, ...State[]];
    const vars = new Map<Variable, Val>();
    for (const [variable, val] of first.vars) {
      const vals = [val];
      for (const state of rest) {
        const other = state.vars.get(variable);
        if (other !== undefined) vals.push(other);
      }
      if (vals.length === states.length) vars.set(variable, this.merge(vals, block, at));
    }
    const nonNull = new Set<Node>();
    for (const node of first.nonNull) if (rest.every((s) => s.nonNull.has(node))) nonNull.add(node);
    for (const phi of block.phis) {
      if (phi.type === 'ptr' && phi.args.every((arg, i) => states[i]!.nonNull.has(arg))) nonNull.add(phi);
    }
    const ends = (pick: (s: State) => Node): Node => {
      const nodes = states.map(pick);
      return nodes.every((n) => n === nodes[0]) ? nodes[0]! : this.b.phi(block, 'ptr', nodes, at);
    };
    const sameEpoch = rest.every((s) => s.epoch === first.epoch);
    return {
      vars,
      nonNull,
      data: ends((s) => s.data),
      end: ends((s) => s.end),
      epoch: sameEpoch ? first.epoch : this.newEpoch(),
    };
  }
}

/** Maps whose entries may be freed, moved or given to other keys; those of arrays stay. */
export const MOVING: ReadonlySet<string> = new Set([
  ...['hash', 'percpu_hash', 'lru_hash', 'lru_percpu_hash', 'lpm_trie'],
]);

function holdsView(val: Val): boolean {
  if (val.kind === 'tuple') return val.items.some(holdsView);
  if (val.kind === 'object') return [...val.fields.values()].some(holdsView);
  return val.kind === 'view';
}

const VERDICTS: Readonly<Record<string, number>> = { aborted: 0, drop: 1, pass: 2, tx: 3 };

/** The verdict a literal names, as a node. */
export function verdictOf(cx: Context, val: Val): Node | undefined {
  if (val.kind === 'verdict') return val.node;
  if (val.kind !== 'string' || !Object.hasOwn(VERDICTS, val.text)) return undefined;
  return cx.b.constant('verdict', VERDICTS[val.text]!);
}

function isScalarVal(val: Val): val is Val & { kind: 'num' | 'big' | 'bool' | 'verdict'; node: Node } {
  return isScalar(val);
}

function mixed(vals: readonly Val[]): Val {
  const words = [...new Set(vals.map((v) => describeVal(v)))];
  return {
    kind: 'mixed',
    what: words.length > 1 ? `${words.join(' on one path and ')} on another` : `one ${words[0]} or another`,
  };
}
