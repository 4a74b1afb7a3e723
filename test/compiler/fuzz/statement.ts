import type { MapSpec } from '../../../src/compiler/index.ts';
import { Expressions, hasEntries, num } from './expression.ts';
import type { EntryVariable, NamedMap, Num } from './scope.ts';
import { block, type Tree, tree } from './tree.ts';

const VERDICTS = ["'pass'", "'drop'", "'tx'", "'aborted'"] as const;
const HOMES = [
  [0, 1],
  [0, 0xff],
  [0, 0xffff],
  [0, 0xffff_ffff],
  [-0x8000_0000, 0x7fff_ffff],
  [0, Number.MAX_SAFE_INTEGER],
] as const;

/** What a `return` gives: a verdict in the program, a number or a bigint in a helper. */
export type Result =
  | { readonly kind: 'verdict' }
  | { readonly kind: 'num'; readonly lo: number; readonly hi: number }
  | { readonly kind: 'big' };

/** Random statements: whole function bodies. */
export class Statements extends Expressions {
  result: Result = { kind: 'verdict' };
  #names = 0;
  /** Labels of the loops around, innermost last; `undefined` for a `switch`. */
  readonly #targets: (string | undefined)[] = [];

  /** A body that returns on every way. */
  body(statements: number): Tree {
    return this.scope.within(() => {
      const made = this.#statements(statements, 4);
      return block([...made, this.#return()]);
    });
  }

  #name(prefix: string): string {
    return `${prefix}${this.#names++}`;
  }

  #statements(count: number, depth: number): Tree[] {
    const made: Tree[] = [];
    for (let i = 0; i < count && this.spend(); i++) made.push(this.#statement(depth));
    return made;
  }

  #block(count: number, depth: number): Tree {
    return this.scope.within(() => block(this.#statements(count, depth)));
  }

  /** A block after which the path ends, or one that goes on. */
  #branch(depth: number): Tree {
    const { random } = this;
    const count = random.int(0, 3);
    return this.scope.within(() => {
      const made = this.#statements(count, depth);
      if (random.chance(0.15)) made.push(this.#return());
      else if (this.#targets.length > 0 && random.chance(0.25)) made.push(this.#jump());
      return block(made);
    });
  }

  #statement(depth: number): Tree {
    const { random, scope } = this;
    const inner = depth > 0 ? 1 : 0;
    const entries = scope.of('entry').filter((e) => !e.stale);
    const tables = this.maps.filter(({ spec }) => hasEntries(spec));
    return random.weighted<() => Tree>([
      [5, () => () => this.#declareNum(depth)],
      [2, () => () => this.#declareBig(depth)],
      [1.5, () => () => this.#declareBool(depth)],
      [0.7, () => () => this.#declareTuple(depth)],
      [0.7, () => () => this.#declareObject(depth)],
      [this.packet ? 1 : 0, () => () => this.#declareHeader(depth)],
      [this.packet ? 0.8 : 0, () => () => this.#declareBytes(depth)],
      [7, () => () => this.#assign(depth)],
      [5 * inner, () => () => this.#if(depth)],
      [2 * inner, () => () => this.#guard(depth)],
      [1.5 * inner, () => () => this.#switch(depth)],
      [2.5 * inner, () => () => this.#for(depth)],
      [0.7 * inner, () => () => this.#while(depth)],
      [scope.of('numbers').length > 0 ? inner : 0, () => () => this.#forOf(depth)],
      [this.packet ? 5 : 0, () => () => this.#store(depth)],
      [this.packet ? 3 : 0, () => () => this.#headerStore(depth)],
      [tables.length > 0 ? 5 : 0, () => () => this.#lookup(depth)],
      [tables.length > 0 ? 2.5 : 0, () => () => this.#mapWrite(random.pick(tables), depth)],
      [entries.length > 0 ? 7 : 0, () => () => this.#entryWrite(depth)],
      [this.maps.some(({ spec }) => spec.type === 'ringbuf') ? 1.5 : 0, () => () => this.#output(depth)],
      [this.packet && this.loops === 0 && this.kernel ? 0.6 : 0, () => () => this.#adjust()],
      [
        inner,
        () => () =>
          tree(
            'statement',
            'if (',
            this.bool(2),
            ') {',
            this.scope.within(() => block([this.#return()])),
            '}',
          ),
      ],
      [scope.of('verdict').some((v) => v.mutable) ? 1 : 0, () => () => this.#assignVerdict()],
      [this.result.kind === 'verdict' ? 0.5 : 0, () => () => this.#declareVerdict()],
    ])();
  }

  // Declarations

  #declareNum(depth: number): Tree {
    const { random } = this;
    const name = this.#name('n');
    const mutable = random.chance(0.5);
    if (!mutable) {
      const x = this.num(depth);
      this.scope.variables.push({ kind: 'num', name, mutable, lo: x.lo, hi: x.hi });
      return tree('statement', `const ${name} = `, x.tree, ';');
    }
    const [lo, hi] = random.pick(HOMES);
    const x = this.numIn(depth, lo, hi);
    this.scope.variables.push({ kind: 'num', name, mutable, lo, hi });
    return tree('statement', `let ${name} = `, x.tree, ';');
  }

  #declareBig(depth: number): Tree {
    const { random } = this;
    const name = this.#name('b');
    if (random.chance(0.5)) {
      const x = random.chance(0.7) ? this.u64(depth) : this.big(depth);
      this.scope.variables.push({ kind: 'big', name, mutable: false, lo: x.lo, hi: x.hi });
      return tree('statement', `const ${name} = `, x.tree, ';');
    }
    const x = this.u64(depth);
    this.scope.variables.push({ kind: 'big', name, mutable: true, lo: 0n, hi: (1n << 64n) - 1n });
    return tree('statement', `let ${name} = `, x.tree, ';');
  }

  #declareBool(depth: number): Tree {
    const name = this.#name('t');
    const mutable = this.random.chance(0.4);
    const test = this.bool(depth);
    this.scope.variables.push({ kind: 'bool', name, mutable });
    return tree('statement', `${mutable ? 'let' : 'const'} ${name} = `, test, ';');
  }

  #declareVerdict(): Tree {
    const name = this.#name('v');
    const made = tree('statement', `let ${name} = `, this.#plainVerdict(), ';');
    this.scope.variables.push({ kind: 'verdict', name, mutable: true });
    return made;
  }

  #declareTuple(depth: number): Tree {
    const [a, b] = [this.num(depth - 1), this.num(depth - 1)];
    if (this.random.chance(0.5)) {
      const [x, y] = [this.#name('n'), this.#name('n')];
      this.scope.variables.push({ kind: 'num', name: x, mutable: false, lo: a.lo, hi: a.hi });
      this.scope.variables.push({ kind: 'num', name: y, mutable: false, lo: b.lo, hi: b.hi });
      return tree('statement', `const [${x}, ${y}] = [`, a.tree, ', ', b.tree, '];');
    }
    const name = this.#name('l');
    const [lo, hi] = [Math.min(a.lo, b.lo), Math.max(a.hi, b.hi)];
    this.scope.variables.push({ kind: 'numbers', name, length: 2, lo, hi });
    return tree('statement', `const ${name} = [`, a.tree, ', ', b.tree, '];');
  }

  #declareObject(depth: number): Tree {
    const name = this.#name('o');
    const a = this.num(depth - 1);
    const b = this.u64(depth - 1);
    this.scope.variables.push({ kind: 'num', name: `${name}.x`, mutable: false, lo: a.lo, hi: a.hi });
    this.scope.variables.push({ kind: 'big', name: `${name}.y`, mutable: false, lo: b.lo, hi: b.hi });
    return tree('statement', `const ${name} = { x: `, a.tree, ', y: ', b.tree, ' };');
  }

  #declareHeader(depth: number): Tree {
    const name = this.#name('h');
    const header = this.headerName();
    const at = this.headerOffset(header, Math.min(depth, 2));
    this.scope.variables.push({ kind: 'header', name, header, stale: false });
    return tree('statement', `const ${name} = pkt.${header}(`, at, ');');
  }

  #declareBytes(depth: number): Tree {
    const name = this.#name('r');
    const size = this.random.pick([1, 2, 3, 4, 6, 7, 8, 16, 20, 64]);
    const from = this.offset(Math.min(depth, 2));
    this.scope.variables.push({ kind: 'bytes', name, size });
    return tree('statement', `const ${name} = pkt.bytes(`, from, `, ${size});`);
  }

  // Assignments

  #assign(depth: number): Tree {
    const { random } = this;
    const numbers = this.scope.of('num').filter((v) => v.mutable);
    const bigs = this.scope.of('big').filter((v) => v.mutable);
    const bools = this.scope.of('bool').filter((v) => v.mutable);
    if (numbers.length + bigs.length + bools.length === 0) return this.#declareNum(depth);
    return random.weighted<() => Tree>([
      [
        numbers.length * 3,
        () => () => {
          const v = random.pick(numbers);
          return this.#assignNum(v.name, v.lo, v.hi, depth);
        },
      ],
      [
        bigs.length,
        () => () => {
          const { name } = random.pick(bigs);
          if (random.chance(0.4)) {
            const operator = random.pick(['&=', '|=', '^=']);
            return tree('statement', `${name} ${operator} `, this.u64(depth).tree, ';');
          }
          return tree('statement', `${name} = `, this.u64(depth).tree, ';');
        },
      ],
      [bools.length, () => () => tree('statement', `${random.pick(bools).name} = `, this.bool(depth), ';')],
    ])();
  }

  #assignNum(name: string, lo: number, hi: number, depth: number): Tree {
    const { random } = this;
    const all32 = lo <= -0x8000_0000 && hi >= 0x7fff_ffff;
    if (all32 && random.chance(0.5)) {
      const operator = random.pick(['&=', '|=', '^=', '<<=', '>>=']);
      const by = operator.endsWith('<=') || operator === '>>=' ? this.numIn(depth, 0, 31) : this.num(depth);
      return tree('statement', `${name} ${operator} `, by.tree, ';');
    }
    if (lo >= 0 && random.chance(0.4)) {
      const operator = random.pick(['&=', '>>>=', '%=']);
      if (operator === '&=' && hi >= 0x7fff_ffff) {
        return tree('statement', `${name} &= `, this.numIn(depth, 0, 0x7fff_ffff).tree, ';');
      }
      if (operator === '&=') return tree('statement', `${name} &= `, this.num(depth).tree, ';');
      if (operator === '%=') return tree('statement', `${name} %= `, this.numIn(depth, 1, 0xffff).tree, ';');
      if (hi <= 0xffff_ffff) return tree('statement', `${name} >>>= `, this.numIn(depth, 0, 31).tree, ';');
    }
    return tree('statement', `${name} = `, this.numIn(depth, lo, hi).tree, ';');
  }

  #assignVerdict(): Tree {
    const { name } = this.random.pick(this.scope.of('verdict').filter((v) => v.mutable));
    return tree('statement', `${name} = `, this.#plainVerdict(), ';');
  }

  // Control flow

  #if(depth: number): Tree {
    const test = this.bool(Math.min(depth, 3));
    const then = this.#branch(depth - 1);
    if (this.random.chance(0.4)) return tree('statement', 'if (', test, ') {', then, '}');
    return tree('statement', 'if (', test, ') {', then, '} else {', this.#branch(depth - 1), '}');
  }

  /** A test whose truth narrows a range that the block then needs. */
  #guard(depth: number): Tree {
    const { random } = this;
    const name = this.#name('n');
    const x = this.numIn(depth - 1, 0, random.pick([0xff, 0xffff, 0xffff_ffff]));
    const limit = random.pick([1, 5, 20, 64, 128]);
    const declaration = tree('statement', `const ${name} = `, x.tree, ';');
    const [test, lo, hi] = random.pick([
      [`${name} < ${limit}`, 0, limit - 1],
      [`${name} !== 0`, 1, Math.max(1, x.hi)],
      [`${name} >= ${limit} && ${name} <= ${limit + 20}`, limit, limit + 20],
      [`!(${name} > ${limit})`, 0, limit],
    ] as const);
    const then = this.scope.within(() => {
      this.scope.variables.push({ kind: 'num', name, mutable: false, lo, hi });
      const used = lo > 0 ? this.#divideBy(name) : this.#readAt(name);
      return block([used, ...this.#statements(random.int(0, 2), depth - 1)]);
    });
    return tree('statement', declaration, '\n', tree('statement', `if (${test}) {`, then, '}'));
  }

  #divideBy(name: string): Tree {
    const operator = this.random.pick(['/', '%']);
    const a = this.numIn(2, 0, 0xffff_ffff).tree;
    const quotient: Num =
      operator === '/'
        ? num(tree('num', 'Math.floor(', a, ` / ${name})`), 0, 0xffff_ffff)
        : num(tree('num', '(', a, ` % ${name})`), 0, 0xffff_ffff);
    const result = this.#name('n');
    this.scope.variables.push({ kind: 'num', name: result, mutable: false, lo: 0, hi: 0xffff_ffff });
    return tree('statement', `const ${result} = `, quotient.tree, ';');
  }

  #readAt(name: string): Tree {
    const result = this.#name('n');
    const read = this.packet
      ? tree('num', `pkt.be16(${name} + ${this.random.int(0, 40)})`)
      : tree('num', `${name} * 2`);
    this.scope.variables.push({ kind: 'num', name: result, mutable: false, lo: 0, hi: 0xffff });
    return tree('statement', `const ${result} = `, read, ';');
  }

  #switch(depth: number): Tree {
    const { random } = this;
    const parts: (string | Tree)[] = ['switch ('];
    const ofBig = random.chance(0.15);
    parts.push(
      ofBig
        ? this.u64(depth - 1).tree
        : random.chance(0.5)
          ? this.numIn(depth - 1, 0, 3).tree
          : this.num(depth - 1).tree,
    );
    parts.push(') {\n');
    const cases = random.int(1, 4);
    const fallback = random.chance(0.6) ? random.int(0, cases) : -1;
    this.#targets.push(undefined);
    for (let i = 0; i <= cases; i++) {
      if (i === fallback) parts.push('default: {', this.#branch(depth - 1), '}\n');
      if (i === cases) break;
      const label = random.chance(0.75) ? random.int(0, 3) : random.pick([6, 17, 58, 0x0800, 0x86dd]);
      parts.push(`case ${label}${ofBig ? 'n' : ''}: {`, this.#branch(depth - 1), '}\n');
      if (random.chance(0.7)) parts.push('break;\n');
    }
    this.#targets.pop();
    parts.push('}');
    return tree('statement', ...parts);
  }

  #jump(): Tree {
    const { random } = this;
    const inner = this.#targets[this.#targets.length - 1];
    const loops = this.#targets.filter((t) => t !== undefined);
    if (loops.length > 0 && random.chance(0.3)) {
      return tree('statement', `${random.pick(['break', 'continue'])} ${random.pick(loops)};`);
    }
    if (inner === undefined && loops.length === 0) return tree('statement', 'break;');
    return tree('statement', random.pick(['break;', 'continue;']));
  }

  /** The body of a loop, with its label and its accumulator's additions. */
  #loopBody(depth: number, counter: string, lo: number, hi: number, label: string): Tree {
    this.#targets.push(label);
    this.loops++;
    const body = this.scope.within(() => {
      if (counter !== '') this.scope.variables.push({ kind: 'num', name: counter, mutable: false, lo, hi });
      const made = this.#statements(this.random.int(1, 3), depth - 1);
      if (this.random.chance(0.3)) {
        made.push(tree('statement', 'if (', this.bool(1), ') {', block([this.#jump()]), '}'));
        made.push(...this.#statements(1, depth - 1));
      }
      return made;
    });
    this.loops--;
    this.#targets.pop();
    return block(body);
  }

  #for(depth: number): Tree {
    const { random } = this;
    const i = this.#name('i');
    const label = this.#name('a');
    const from = random.int(0, 3);
    const trips = random.weighted<number>([
      [4, () => random.int(0, 4)],
      [2, () => random.int(5, 20)],
      [1, () => random.int(20, 120)],
    ]);
    const step = random.pick([1, 1, 1, 2, 3]);
    const last = from + step * Math.max(0, trips - 1);
    const [head, lo, hi] = random.weighted<readonly [string | Tree, number, number]>([
      [
        6,
        () => [
          `let ${i} = ${from}; ${i} < ${from + step * trips}; ${step === 1 ? `${i}++` : `${i} += ${step}`}`,
          from,
          last,
        ],
      ],
      [1, () => [`let ${i} = ${trips}; ${i} > 0; ${i}--`, 1, Math.max(1, trips)]],
      [
        3,
        () => {
          const limit = this.numIn(1, 0, random.pick([3, 15, 63, 100]));
          return [
            tree('other', `let ${i} = ${from}; ${i} < `, limit.tree, `; ${i}++`),
            from,
            Math.max(from, limit.hi - 1),
          ];
        },
      ],
      [
        2,
        () => [
          tree(
            'other',
            `let ${i} = ${from}; ${i} < ${from + step * trips} && `,
            this.bool(1),
            `; ${i} += ${step}`,
          ),
          from,
          last,
        ],
      ],
    ]);
    const sum = random.chance(0.5) ? this.#name('n') : '';
    const body = this.#loopBody(depth, i, lo, hi, label);
    const loop = tree('statement', `${label}: for (`, head, ') {', body, '}');
    if (sum === '') return loop;
    // An accumulator: bounded by how often the loop runs, and by nothing else.
    const adding = this.packet ? tree('num', `pkt.u8(${random.int(0, 40)} + ${i})`) : tree('num', `${i} * 3`);
    const added = tree('statement', `${sum} += `, adding, ';');
    const accumulating = tree(
      'statement',
      `${label}: for (`,
      head,
      ') {',
      block([added, ...(body.parts as Tree[])]),
      '}',
    );
    this.scope.variables.push({ kind: 'num', name: sum, mutable: false, lo: 0, hi: 255 * 400 });
    return tree('statement', `let ${sum} = 0;\n`, accumulating);
  }

  #while(depth: number): Tree {
    const { random } = this;
    const i = this.#name('i');
    const label = this.#name('a');
    const trips = random.int(1, 40);
    const body = this.#loopBody(depth, i, 0, trips, label);
    const counted = tree('statement', `${i}++;`);
    const inside = block([counted, ...(body.parts as Tree[])]);
    const further = random.chance(0.4) ? [' && ', this.bool(1)] : [];
    if (random.chance(0.4)) {
      return tree(
        'statement',
        `let ${i} = 0;\n${label}: do {`,
        inside,
        `} while (${i} < ${trips}`,
        ...further,
        ');',
      );
    }
    return tree(
      'statement',
      `let ${i} = 0;\n${label}: while (${i} < ${trips}`,
      ...further,
      ') {',
      inside,
      '}',
    );
  }

  #forOf(depth: number): Tree {
    const list = this.random.pick(this.scope.of('numbers'));
    const x = this.#name('n');
    const label = this.#name('a');
    const body = this.#loopBody(depth, x, list.lo, list.hi, label);
    return tree('statement', `${label}: for (const ${x} of ${list.name}) {`, body, '}');
  }

  #return(): Tree {
    const { result, random } = this;
    if (result.kind === 'num')
      return tree('statement', 'return ', this.numIn(2, result.lo, result.hi).tree, ';');
    if (result.kind === 'big') return tree('statement', 'return ', this.u64(2).tree, ';');
    const verdicts = this.scope.of('verdict');
    return random.weighted<Tree>([
      [8, () => tree('statement', 'return ', this.#plainVerdict(), ';')],
      [verdicts.length > 0 ? 4 : 0, () => tree('statement', `return ${random.pick(verdicts).name};`)],
      [
        2,
        () =>
          tree(
            'statement',
            'return ',
            this.bool(2),
            ' ? ',
            this.#plainVerdict(),
            ' : ',
            this.#plainVerdict(),
            ';',
          ),
      ],
      [0.5, () => this.#redirect()],
    ]);
  }

  #plainVerdict(): Tree {
    return tree('verdict', this.random.pick(VERDICTS));
  }

  #redirect(): Tree {
    const { random } = this;
    const key = this.numIn(1, 0, 7).tree;
    const fallback = random.chance(0.7) ? `, ${random.pick(VERDICTS)}` : '';
    const devices = this.maps.filter(({ spec }) => spec.type === 'devmap');
    const programs = this.maps.filter(({ spec }) => spec.type === 'prog_array');
    if (devices.length > 0) {
      return tree('statement', `return ${random.pick(devices).name}.redirect(`, key, `${fallback});`);
    }
    if (programs.length > 0) {
      return tree('statement', `return ${random.pick(programs).name}.tailCall(`, key, `${fallback});`);
    }
    if (!this.kernel) return tree('statement', 'return ', this.#plainVerdict(), ';');
    return tree('statement', 'return kernel.redirect(', key, ');');
  }

  // The packet

  #store(depth: number): Tree {
    const { random } = this;
    const at = this.offset(Math.min(depth, 2));
    const to = random.chance(0.06) ? 'pkt.whole.store' : 'pkt.store';
    if (random.chance(0.15)) {
      const size = random.pick([1, 2, 4, 6, 8, 16]);
      return tree('statement', 'pkt.store.bytes(', at, ', ', this.bytes(size, depth), ');');
    }
    if (random.chance(0.15)) {
      return tree(
        'statement',
        `${to}.${random.pick(['be64', 'le64'])}(`,
        at,
        ', ',
        this.big(depth).tree,
        ');',
      );
    }
    const name = random.pick(['u8', 'be16', 'be32', 'le16', 'le32']);
    return tree('statement', `${to}.${name}(`, at, ', ', this.num(depth).tree, ');');
  }

  #headerStore(depth: number): Tree {
    const { random } = this;
    const [parts, fields] = this.headerParts(Math.min(depth, 2));
    const [name, field] = random.pick(Object.entries(fields));
    if (field.kind === 'ipv6') {
      return tree('statement', ...parts, `.${name} = `, this.bytes(16, depth), ';');
    }
    if (field.kind === 'flag') return tree('statement', ...parts, `.${name} = `, this.bool(depth - 1), ';');
    if (random.chance(0.25)) {
      const operator = random.pick(['+=', '-=', '&=', '|=', '^=']);
      const by =
        operator === '+=' || operator === '-=' ? this.numIn(depth - 1, 0, 0xffff) : this.num(depth - 1);
      return tree('statement', ...parts, `.${name} ${operator} `, by.tree, ';');
    }
    return tree('statement', ...parts, `.${name} = `, this.num(depth).tree, ';');
  }

  /** Moves an end of the packet; no header variable is of use afterwards. */
  #adjust(): Tree {
    const { random } = this;
    const [name, delta] = random.weighted<readonly [string, Tree]>([
      [2, () => ['adjustHead', tree('num', `${random.pick([-300, -40, -14, -4, 4, 8, 14, 20, 1000])}`)]],
      [2, () => ['adjustTail', tree('num', `${random.pick([-1000, -20, -4, 4, 100, 3000, 5000])}`)]],
      [1, () => ['adjustMeta', tree('num', `${random.pick([-32, -8, -6, -4, 4])}`)]],
      [1, () => [random.pick(['adjustHead', 'adjustTail']), tree('num', this.numIn(1, 0, 63).tree, ' - 30')]],
    ]);
    for (const header of this.scope.of('header')) header.stale = true;
    if (random.chance(0.6)) {
      return tree('statement', `if (!pkt.${name}(`, delta, ')) {', block([this.#return()]), '}');
    }
    const ok = this.#name('t');
    this.scope.variables.push({ kind: 'bool', name: ok, mutable: false });
    return tree('statement', `const ${ok} = pkt.${name}(`, delta, ');');
  }

  // Maps

  #lookup(depth: number): Tree {
    const { random } = this;
    const map = random.pick(this.maps.filter(({ spec }) => hasEntries(spec)));
    const name = this.#name('e');
    const got = tree(
      'statement',
      `const ${name} = ${map.name}.get(`,
      this.key(map.spec, Math.min(depth, 2)),
      ');',
    );
    const entry: EntryVariable = { kind: 'entry', name, map: map.spec, loops: this.loops, stale: false };
    const none = random.pick([
      `!${name}`,
      `${name} === undefined`,
      `!(${name} !== undefined)`,
      `${name} == null`,
    ]);
    if (depth <= 0 || random.chance(0.4)) {
      // The way without an entry ends here; afterwards it is known to be there.
      const leave =
        this.#targets.length > 0 && random.chance(0.5)
          ? this.#jump()
          : this.scope.within(() => this.#return());
      const guard = tree('statement', `if (${none}) {`, block([leave]), '}');
      this.scope.variables.push(entry);
      return tree('statement', got, '\n', guard);
    }
    const then = this.scope.within(() => {
      this.scope.variables.push(entry);
      return block([this.#entryWrite(depth - 1), ...this.#statements(random.int(0, 2), depth - 1)]);
    });
    entry.stale = true;
    const otherwise = random.chance(0.4)
      ? ['else {', this.scope.within(() => block([this.#mapWriteIfAllowed(map, depth - 1)])), '}']
      : [];
    const some = random.pick([name, `${name} !== undefined`, `${name} != null`]);
    return tree('statement', got, '\n', tree('statement', `if (${some}) {`, then, '} ', ...otherwise));
  }

  #mapWriteIfAllowed(map: NamedMap, depth: number): Tree {
    return this.#mayWrite(map.spec) ? this.#mapWrite(map, depth) : this.#assign(depth);
  }

  /**
   * Whether no entry of the map from outside a loop is still in use: what such a name stands for once its entry
   * was replaced differs between a kernel's map and any other.
   */
  #mayWrite(map: MapSpec): boolean {
    if (map.type === 'array' || map.type === 'percpu_array') return true;
    return !this.scope.of('entry').some((e) => e.map === map && e.loops < this.loops);
  }

  #mapWrite(map: NamedMap, depth: number): Tree {
    const { random } = this;
    const { name, spec } = map;
    if (!this.#mayWrite(spec)) return this.#assign(depth);
    const isArray = spec.type.endsWith('array');
    const method = random.pick(isArray ? ['set', 'update'] : ['set', 'set', 'insert', 'update', 'delete']);
    const key = this.key(spec, Math.min(depth, 2));
    const parts: (string | Tree)[] = [`${name}.${method}(`, key];
    if (method !== 'delete') parts.push(', ', this.value(spec.value, Math.min(depth, 2)));
    parts.push(')');
    if (!isArray) {
      for (const entry of this.scope.of('entry')) if (entry.map === spec) entry.stale = true;
    }
    return random.weighted<Tree>([
      [4, () => tree('statement', ...parts, ';')],
      [
        2,
        () => {
          const ok = this.#name('t');
          this.scope.variables.push({ kind: 'bool', name: ok, mutable: false });
          return tree('statement', `const ${ok} = `, ...parts, ';');
        },
      ],
      [
        depth > 0 ? 2 : 0,
        () => tree('statement', 'if (', tree('bool', ...parts), ') {', this.#block(1, depth - 1), '}'),
      ],
    ]);
  }

  #entryWrite(depth: number): Tree {
    const { random } = this;
    const entries = this.scope.of('entry').filter((e) => !e.stale);
    if (entries.length === 0) return this.#assign(depth);
    const { name, map } = random.pick(entries);
    const whole = this.#wholeParts(map, name);
    if (whole.length > 0 && random.chance(0.15)) {
      const { path, layout } = random.pick(whole);
      return tree('statement', `${path} = `, this.value(layout, Math.min(depth, 1)), ';');
    }
    const { path, layout } = random.pick(this.partsOf(map, name, Math.min(depth, 2)));
    if (layout.kind !== 'int') return tree('statement', ...path, ' = ', this.bytes(layout.size, depth), ';');
    const wide = layout.size === 8;
    const atomic = layout.size >= 4 && layout.order === 'host';
    const perCpu = map.type.startsWith('percpu');
    if ((atomic || perCpu) && random.chance(0.5)) {
      const operator = random.pick(['+=', '+=', '-=']);
      if (random.chance(0.2)) return tree('statement', ...path, operator === '+=' ? '++;' : '--;');
      const by = wide ? this.big(depth - 1).tree : this.numIn(depth - 1, -0x8000_0000, 0xffff_ffff).tree;
      return tree('statement', ...path, ` ${operator} `, by, ';');
    }
    if (random.chance(0.2)) {
      const operator = random.pick(['&=', '|=', '^=']);
      return tree(
        'statement',
        ...path,
        ` ${operator} `,
        wide ? this.u64(depth).tree : this.num(depth).tree,
        ';',
      );
    }
    return tree('statement', ...path, ' = ', wide ? this.big(depth).tree : this.num(depth).tree, ';');
  }

  /** The structs and arrays in a map's value, by the text that leads there. */
  #wholeParts(map: MapSpec, name: string): { path: string; layout: MapSpec['value'] }[] {
    if (map.value.kind === 'array') return [{ path: `${name}.value`, layout: map.value }];
    if (map.value.kind !== 'struct') return [];
    return map.value.fields
      .filter((f) => f.layout.kind === 'struct' || f.layout.kind === 'array')
      .map((f) => ({ path: `${name}.${f.name}`, layout: f.layout }));
  }

  #output(depth: number): Tree {
    const { name, spec } = this.random.pick(this.maps.filter((m) => m.spec.type === 'ringbuf'));
    return tree('statement', `${name}.output(`, this.value(spec.value, Math.min(depth, 2)), ');');
  }
}
