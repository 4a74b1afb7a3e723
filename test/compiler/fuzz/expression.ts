import type { Layout, MapSpec } from '../../../src/compiler/index.ts';
import { type HeaderField, type HeaderName, headerLayouts } from '../../../src/packet/headers.ts';
import { bigConstant, numberConstant } from './environment.ts';
import type { Random } from './random.ts';
import { type Big, type Helper, type NamedMap, type Num, type Part, Scope } from './scope.ts';
import { type Tree, tree } from './tree.ts';

const SAFE = Number.MAX_SAFE_INTEGER;
const U64 = (1n << 64n) - 1n;
const I64 = { lo: -(1n << 63n), hi: (1n << 63n) - 1n };

export const HEADERS = Object.keys(headerLayouts) as HeaderName[];

/** Where headers begin in most packets. */
const HEADER_AT: Partial<Record<HeaderName, readonly number[]>> = {
  eth: [0],
  vlan: [14, 18],
  ipv4: [14, 18, 22],
  ipv6: [14, 18],
  udp: [34, 38, 54],
  tcp: [34, 54],
};

/** Random expressions of the language, each of a type and a range that the generator knows. */
export class Expressions {
  readonly random: Random;
  readonly scope: Scope = new Scope();
  maps: readonly NamedMap[] = [];
  helpers: readonly Helper[] = [];
  /** Whether `pkt` is at hand, and `kernel`. */
  packet = true;
  kernel = true;
  /** Loops around the place. */
  loops = 0;
  /** Whether an expression may write to maps: not where entries are still to be used. */
  effects = false;
  #fuel: number;

  constructor(random: Random, fuel: number) {
    this.random = random;
    this.#fuel = fuel;
  }

  /** Whether there is room for more; spends a little. */
  protected spend(amount = 1): boolean {
    this.#fuel -= amount;
    return this.#fuel > 0;
  }

  protected get fuel(): number {
    return this.#fuel;
  }

  // Numbers

  /** A number of any range within ±2^53. */
  num(depth: number): Num {
    const { random } = this;
    if (depth <= 0 || !this.spend()) return this.numLeaf();
    return random.weighted<() => Num>([
      [5, () => () => this.numLeaf()],
      [7, () => () => this.#sum(depth)],
      [6, () => () => this.#bits(depth)],
      [3, () => () => this.#shift(depth)],
      [3, () => () => this.#quotient(depth)],
      [2, () => () => this.#choice(depth)],
      [2, () => () => this.#minMax(depth)],
      [2, () => () => this.#unary(depth)],
      [2, () => () => this.#fromBig(depth)],
      [1, () => () => this.#fromBool(depth)],
      [1.5, () => () => this.#logicalNum(depth)],
      [this.helpers.some((h) => h.result.kind === 'num') ? 3 : 0, () => () => this.#call(depth)],
      [this.packet ? 5 : 0, () => () => this.packetNum(depth)],
      [this.packet ? 4 : 0, () => () => this.#headerNum(depth)],
      [this.scope.of('entry').some((e) => !e.stale) ? 5 : 0, () => () => this.#entryNum(depth)],
      [this.kernel ? 1 : 0, () => () => this.#kernelNum(depth)],
    ])();
  }

  /** A number between two bounds: masked, wrapped or clamped where it might lie outside. */
  numIn(depth: number, lo: number, hi: number): Num {
    return this.fit(this.num(depth), lo, hi);
  }

  fit(x: Num, lo: number, hi: number): Num {
    if (x.lo >= lo && x.hi <= hi) return x;
    const { random } = this;
    if (lo <= 0 && hi >= 0xffff_ffff && random.chance(0.4))
      return num(tree('num', '(', x.tree, ' >>> 0)'), 0, 0xffff_ffff);
    if (lo <= -0x8000_0000 && hi >= 0x7fff_ffff && random.chance(0.6)) {
      return num(tree('num', '(', x.tree, ' | 0)'), -0x8000_0000, 0x7fff_ffff);
    }
    if (hi - lo < 1) return num(tree('num', `${lo}`), lo, lo);
    const width = Math.min(31, Math.floor(Math.log2(hi - Math.max(lo, 0) + 1)));
    const mask = 2 ** width - 1;
    if (width >= 1 && random.chance(0.75)) {
      if (lo <= 0) return num(tree('num', '(', x.tree, ` & ${hex(mask)})`), 0, mask);
      return num(tree('num', `(${lo} + (`, x.tree, ` & ${hex(mask)}))`), lo, lo + mask);
    }
    if (x.lo >= 0 && lo <= 0 && random.chance(0.5)) {
      return num(tree('num', '(', x.tree, ` % ${hi + 1})`), 0, hi);
    }
    return num(tree('num', `Math.max(${lo}, Math.min(${hi}, `, x.tree, '))'), lo, hi);
  }

  numLeaf(): Num {
    const { random } = this;
    const variables = this.scope.of('num');
    return random.weighted<Num>([
      [
        variables.length > 0 ? 6 : 0,
        () => {
          const v = random.pick(variables);
          return num(tree('num', v.name), v.lo, v.hi);
        },
      ],
      [
        3,
        () => {
          const value = numberConstant(random);
          const text = value >= 0 && random.chance(0.3) ? hex(value) : `${value}`;
          return num(tree('num', value < 0 ? `(${text})` : text), value, value);
        },
      ],
      [this.packet ? 3 : 0, () => this.packetNum(0)],
      [this.packet ? 1 : 0, () => num(tree('num', 'pkt.length'), 0, 0x1_0000)],
      [this.#bytesVariables().length > 0 ? 1 : 0, () => this.#byte()],
      [this.scope.of('numbers').length > 0 ? 1.5 : 0, () => this.#listItem()],
    ]);
  }

  #bytesVariables(): { name: string; size: number }[] {
    return this.scope.of('bytes');
  }

  #byte(): Num {
    const { name, size } = this.random.pick(this.#bytesVariables());
    if (this.random.chance(0.1)) return num(tree('num', `${name}.length`), size, size);
    return num(tree('num', `${name}[${this.random.int(0, size - 1)}]`), 0, 255);
  }

  #listItem(): Num {
    const list = this.random.pick(this.scope.of('numbers'));
    if (this.random.chance(0.2)) return num(tree('num', `${list.name}.length`), list.length, list.length);
    return num(tree('num', `${list.name}[${this.random.int(0, list.length - 1)}]`), list.lo, list.hi);
  }

  #sum(depth: number): Num {
    const a = this.num(depth - 1);
    const b = this.num(depth - 1);
    const operator = this.random.pick(['+', '-', '*', '+']);
    const products = [a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi];
    const [lo, hi] =
      operator === '+'
        ? [a.lo + b.lo, a.hi + b.hi]
        : operator === '-'
          ? [a.lo - b.hi, a.hi - b.lo]
          : [Math.min(...products), Math.max(...products)];
    if (lo < -SAFE || hi > SAFE) {
      // Too wide: the operands as 16 bits each are exact in every operation.
      const [x, y] = [this.fit(a, 0, 0xffff), this.fit(b, 0, 0xffff)];
      return this.#exact(operator, x, y);
    }
    return num(tree('num', '(', a.tree, ` ${operator} `, b.tree, ')'), lo, hi);
  }

  #exact(operator: string, a: Num, b: Num): Num {
    const [lo, hi] =
      operator === '-' ? [-0xffff, 0xffff] : operator === '+' ? [0, 0x1fffe] : [0, 0xffff * 0xffff];
    return num(tree('num', '(', a.tree, ` ${operator} `, b.tree, ')'), lo, hi);
  }

  #bits(depth: number): Num {
    const operator = this.random.pick(['&', '|', '^', '&']);
    const a = this.num(depth - 1);
    const b = this.random.chance(0.5) ? this.num(depth - 1) : this.#mask();
    const both = tree('num', '(', a.tree, ` ${operator} `, b.tree, ')');
    const small = (x: Num): boolean => x.lo >= 0 && x.hi <= 0x7fff_ffff;
    if (operator === '&') {
      if (small(a) && small(b)) return num(both, 0, Math.min(a.hi, b.hi));
      if (small(b)) return num(both, 0, b.hi);
      if (small(a)) return num(both, 0, a.hi);
    } else if (small(a) && small(b)) {
      return num(both, 0, 2 ** Math.ceil(Math.log2(Math.max(a.hi, b.hi) + 1)) - 1);
    }
    return num(both, -0x8000_0000, 0x7fff_ffff);
  }

  #mask(): Num {
    const mask = this.random.pick([
      1, 3, 7, 0xf, 0x1f, 0xff, 0xfff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0xffff_0000, -2,
    ]);
    return num(tree('num', mask < 0 ? `${mask}` : hex(mask)), mask, mask);
  }

  #shift(depth: number): Num {
    const operator = this.random.pick(['<<', '>>', '>>>']);
    const a = this.num(depth - 1);
    const by = this.random.chance(0.6)
      ? (() => {
          const n = this.random.int(0, 31);
          return num(tree('num', `${n}`), n, n);
        })()
      : this.random.chance(0.8)
        ? this.numIn(depth - 1, 0, 31)
        : this.num(depth - 1);
    const both = tree('num', '(', a.tree, ` ${operator} `, by.tree, ')');
    const known = by.lo === by.hi && by.lo >= 0 && by.lo <= 31;
    if (operator === '>>>') {
      const from = a.lo >= 0 && a.hi <= 0xffff_ffff ? a : { lo: 0, hi: 0xffff_ffff };
      return known ? num(both, from.lo >>> by.lo, from.hi >>> by.lo) : num(both, 0, from.hi);
    }
    if (operator === '>>' && known && a.lo >= 0 && a.hi <= 0x7fff_ffff)
      return num(both, a.lo >> by.lo, a.hi >> by.lo);
    if (operator === '<<' && known && a.lo >= 0 && a.hi * 2 ** by.lo <= 0x7fff_ffff) {
      return num(both, a.lo * 2 ** by.lo, a.hi * 2 ** by.lo);
    }
    return num(both, -0x8000_0000, 0x7fff_ffff);
  }

  #quotient(depth: number): Num {
    const a = this.#positive(depth - 1);
    const b = this.#divisor(depth - 1);
    if (this.random.chance(0.4)) {
      return num(tree('num', '(', a.tree, ' % ', b.tree, ')'), 0, Math.min(a.hi, b.hi - 1));
    }
    const hi = Math.floor(a.hi / b.lo);
    const way = this.random.pick(['Math.floor', 'Math.trunc', '|', 'Math.ceil']);
    if (way === '|') {
      const cut = tree('num', '((', a.tree, ' / ', b.tree, ') | 0)');
      return hi <= 0x7fff_ffff ? num(cut, 0, hi) : num(cut, -0x8000_0000, 0x7fff_ffff);
    }
    if (way === 'Math.ceil' && a.hi + b.hi < SAFE) {
      return num(tree('num', 'Math.ceil(', a.tree, ' / ', b.tree, ')'), 0, hi + 1);
    }
    return num(
      tree('num', `${way === 'Math.ceil' ? 'Math.floor' : way}(`, a.tree, ' / ', b.tree, ')'),
      0,
      hi,
    );
  }

  #positive(depth: number): Num {
    const a = this.num(depth);
    return a.lo >= 0 ? a : this.fit(a, 0, this.random.pick([0xff, 0xffff, 0xffff_ffff]));
  }

  #divisor(depth: number): Num {
    if (this.random.chance(0.4)) {
      const value = this.random.pick([
        1, 2, 3, 5, 7, 8, 10, 16, 60, 100, 255, 641, 1000, 65_535, 65_536, 1_000_003,
      ]);
      return num(tree('num', `${value}`), value, value);
    }
    const a = this.num(depth);
    if (a.lo > 0) return a;
    const masked = this.fit(a, 0, this.random.pick([1, 0xff, 0xffff]));
    return num(tree('num', '(', masked.tree, ' + 1)'), masked.lo + 1, masked.hi + 1);
  }

  #choice(depth: number): Num {
    const test = this.bool(depth - 1);
    const [a, b] = [this.num(depth - 1), this.num(depth - 1)];
    return num(
      tree('num', '(', test, ' ? ', a.tree, ' : ', b.tree, ')'),
      Math.min(a.lo, b.lo),
      Math.max(a.hi, b.hi),
    );
  }

  #minMax(depth: number): Num {
    const [a, b] = [this.num(depth - 1), this.num(depth - 1)];
    if (this.random.chance(0.2)) {
      const most = Math.max(Math.abs(a.lo), Math.abs(a.hi));
      return num(tree('num', 'Math.abs(', a.tree, ')'), 0, most);
    }
    if (this.random.chance(0.5)) {
      return num(
        tree('num', 'Math.min(', a.tree, ', ', b.tree, ')'),
        Math.min(a.lo, b.lo),
        Math.min(a.hi, b.hi),
      );
    }
    return num(
      tree('num', 'Math.max(', a.tree, ', ', b.tree, ')'),
      Math.max(a.lo, b.lo),
      Math.max(a.hi, b.hi),
    );
  }

  #unary(depth: number): Num {
    const a = this.num(depth - 1);
    if (this.random.chance(0.5)) return num(tree('num', '(-', a.tree, ')'), -a.hi, -a.lo);
    return num(tree('num', '(~', a.tree, ')'), -0x8000_0000, 0x7fff_ffff);
  }

  #fromBig(depth: number): Num {
    const x = this.big(depth - 1);
    if (x.lo >= 0n && x.hi <= BigInt(SAFE))
      return num(tree('num', 'Number(', x.tree, ')'), Number(x.lo), Number(x.hi));
    if (this.random.chance(0.4)) {
      return num(tree('num', 'Number(BigInt.asUintN(32, ', x.tree, '))'), 0, 0xffff_ffff);
    }
    const mask = this.random.pick([0xffn, 0xffffn, 0xffff_ffffn, (1n << 53n) - 1n]);
    return num(tree('num', 'Number(', x.tree, ` & ${mask}n)`), 0, Number(mask));
  }

  #fromBool(depth: number): Num {
    const test = this.bool(depth - 1);
    return this.random.chance(0.5)
      ? num(tree('num', '(', test, ' ? 1 : 0)'), 0, 1)
      : num(tree('num', 'Number(', test, ')'), 0, 1);
  }

  #logicalNum(depth: number): Num {
    const [a, b] = [this.num(depth - 1), this.num(depth - 1)];
    const operator = this.random.pick(['&&', '||']);
    return num(
      tree('num', '(', a.tree, ` ${operator} `, b.tree, ')'),
      Math.min(a.lo, b.lo, 0),
      Math.max(a.hi, b.hi, 0),
    );
  }

  #call(depth: number): Num {
    const helper = this.random.pick(this.helpers.filter((h) => h.result.kind === 'num'));
    const result = helper.result as { lo: number; hi: number };
    return num(tree('num', ...this.#callParts(helper, depth)), result.lo, result.hi);
  }

  #callParts(helper: Helper, depth: number): (string | Tree)[] {
    const parts: (string | Tree)[] = [`${helper.name}(`];
    for (const [i, parameter] of helper.parameters.entries()) {
      if (i > 0) parts.push(', ');
      if (parameter.kind === 'pkt') parts.push('pkt');
      else if (parameter.kind === 'map') parts.push(parameter.map.name);
      else if (parameter.kind === 'big') parts.push(this.u64(depth - 1).tree);
      else if (parameter.kind === 'bool') parts.push(this.bool(depth - 1));
      else parts.push(this.numIn(depth - 1, parameter.lo, parameter.hi).tree);
    }
    parts.push(')');
    return parts;
  }

  /** A number read from the packet. */
  packetNum(depth: number): Num {
    const [name, size] = this.random.pick([
      ...([
        ['u8', 1],
        ['be16', 2],
        ['be32', 4],
        ['le16', 2],
        ['le32', 4],
      ] as const),
    ]);
    const from = this.random.chance(0.06) ? 'pkt.whole' : 'pkt';
    if (this.random.chance(0.04)) return this.#checksum(depth);
    return num(tree('num', `${from}.${name}(`, this.offset(depth), ')'), 0, 2 ** (size * 8) - 1);
  }

  #checksum(depth: number): Num {
    const length = this.random.chance(0.5)
      ? tree('num', `${this.random.int(0, 40)}`)
      : this.numIn(depth, 0, 127).tree;
    const offset = this.random.chance(0.7)
      ? tree('num', `${this.random.pick([14, 18, 34, 54])}`)
      : this.numIn(depth, 0, 60).tree;
    return num(tree('num', 'pkt.checksum(', offset, ', ', length, ')'), 0, 0xffff);
  }

  /** Where in the packet something is read or written. */
  offset(depth: number): Tree {
    const { random } = this;
    return random.weighted<Tree>([
      [
        8,
        () =>
          tree(
            'num',
            `${random.pick([0, 6, 12, 13, 14, 16, 18, 20, 22, 23, 24, 26, 30, 34, 36, 38, 42, 54])}`,
          ),
      ],
      [2, () => tree('num', `${random.int(0, 90)}`)],
      [0.3, () => tree('num', `${random.int(90, 1600)}`)],
      [depth > 0 ? 5 : 1.5, () => this.numIn(depth - 1, 0, random.pick([7, 31, 63, 127, 255])).tree],
      [
        depth > 0 ? 3 : 0,
        () =>
          tree(
            'num',
            `${random.int(0, 40)} + `,
            this.numIn(depth - 1, 0, random.pick([3, 15, 63])).tree,
            random.pick(['', ' * 2', ' * 4']),
          ),
      ],
      [depth > 0 ? 0.7 : 0, () => this.num(depth - 1).tree],
      [depth > 0 ? 0.3 : 0, () => tree('num', this.numIn(depth - 1, 0, 63).tree, ` - ${random.int(0, 20)}`)],
    ]);
  }

  #headerNum(depth: number): Num {
    const [parts, fields] = this.headerParts(depth);
    const numbers = Object.entries(fields).filter(([, f]) => f.kind !== 'flag' && f.kind !== 'ipv6');
    const [name, field] = this.random.pick(numbers);
    const { width = field.size * 8, scale = 1 } = field;
    return num(tree('num', ...parts, `.${name}`), 0, (2 ** width - 1) * scale);
  }

  /** A header, by variable or in place, and its fields. */
  headerParts(depth: number): [parts: (string | Tree)[], fields: Readonly<Record<string, HeaderField>>] {
    const known = this.scope.of('header').filter((h) => !h.stale);
    if (known.length > 0 && this.random.chance(0.6)) {
      const { name, header } = this.random.pick(known);
      return [[name], headerLayouts[header].fields];
    }
    const header = this.headerName();
    return [[`pkt.${header}(`, this.headerOffset(header, depth), ')'], headerLayouts[header].fields];
  }

  headerName(): HeaderName {
    return this.random.chance(0.7)
      ? this.random.pick(['eth', 'ipv4', 'ipv4', 'ipv6', 'tcp', 'udp', 'vlan'])
      : this.random.pick(HEADERS);
  }

  headerOffset(header: HeaderName, depth: number): Tree {
    const { random } = this;
    if (random.chance(0.7)) return tree('num', `${random.pick(HEADER_AT[header] ?? [14, 34, 42])}`);
    return this.offset(depth);
  }

  #entryNum(depth: number): Num {
    const parts = this.entryParts(depth).filter(({ layout }) => layout.kind === 'int' && layout.size < 8);
    if (parts.length === 0) return this.numLeaf();
    const { path, layout } = this.random.pick(parts);
    const [lo, hi] = intRange(layout);
    return num(tree('num', ...path), Number(lo), Number(hi));
  }

  /** Every part of an entry at hand. */
  entryParts(depth: number): Part[] {
    const entries = this.scope.of('entry').filter((e) => !e.stale);
    if (entries.length === 0) return [];
    const { name, map } = this.random.pick(entries);
    return this.partsOf(map, name, depth);
  }

  partsOf(map: MapSpec, name: string, depth: number): Part[] {
    const cell = map.value.kind !== 'struct';
    return this.#parts([cell ? `${name}.value` : name], map.value, depth);
  }

  #parts(path: readonly (string | Tree)[], layout: Layout, depth: number): Part[] {
    if (layout.kind === 'struct') {
      return layout.fields.flatMap((f) => this.#parts([...path, `.${f.name}`], f.layout, depth));
    }
    if (layout.kind === 'array') {
      const { element, length } = layout;
      const fixed = this.#parts([...path, `[${this.random.int(0, length - 1)}]`], element, depth);
      if (depth <= 0) return fixed;
      const index = this.numIn(Math.min(depth - 1, 1), 0, length - 1).tree;
      return [...fixed, ...this.#parts([...path, '[', index, ']'], element, 0)];
    }
    return [{ path, layout }];
  }

  #kernelNum(depth: number): Num {
    const { random } = this;
    return random.weighted<Num>([
      [1, () => num(tree('num', '(kernel.random() * 0)'), 0, 0)],
      [1, () => num(tree('num', 'kernel.cpu()'), 0, 8191)],
      [
        3,
        () => {
          const args = [1, 2, 3].map(() => this.numIn(depth - 1, 0, 0xffff).tree);
          return num(
            tree('num', 'kernel.csumReplace16(', args[0]!, ', ', args[1]!, ', ', args[2]!, ')'),
            0,
            0xffff,
          );
        },
      ],
      [
        2,
        () => {
          const checksum = this.numIn(depth - 1, 0, 0xffff).tree;
          const [from, to] = [this.numIn(depth - 1, 0, 0xffff_ffff), this.numIn(depth - 1, 0, 0xffff_ffff)];
          return num(
            tree('num', 'kernel.csumReplace32(', checksum, ', ', from.tree, ', ', to.tree, ')'),
            0,
            0xffff,
          );
        },
      ],
      [
        this.packet ? 1 : 0,
        () => num(tree('num', random.pick(['pkt.rxQueue', 'pkt.ingressIfindex'])), 0, 0xffff_ffff),
      ],
    ]);
  }

  // Bigints

  big(depth: number): Big {
    const { random } = this;
    if (depth <= 0 || !this.spend()) return this.#bigLeaf();
    return random.weighted<() => Big>([
      [4, () => () => this.#bigLeaf()],
      [5, () => () => this.#bigSum(depth)],
      [4, () => () => this.#bigBits(depth)],
      [2, () => () => this.#bigShift(depth)],
      [2, () => () => this.#bigQuotient(depth)],
      [
        3,
        () => () => {
          const x = this.num(depth - 1);
          return big(tree('big', 'BigInt(', x.tree, ')'), BigInt(x.lo), BigInt(x.hi));
        },
      ],
      [
        1,
        () => () => {
          const test = this.bool(depth - 1);
          const [a, b] = [this.big(depth - 1), this.big(depth - 1)];
          return big(
            tree('big', '(', test, ' ? ', a.tree, ' : ', b.tree, ')'),
            least(a.lo, b.lo),
            most(a.hi, b.hi),
          );
        },
      ],
      [
        1,
        () => () => {
          const x = this.big(depth - 1);
          if (random.chance(0.5)) return big(tree('big', '(-', x.tree, ')'), -x.hi, -x.lo);
          return big(tree('big', '(~', x.tree, ')'), -x.hi - 1n, -x.lo - 1n);
        },
      ],
      [
        2,
        () => () => {
          const bits = random.pick([8, 16, 32, 64]);
          const x = this.big(depth - 1);
          return big(tree('big', `BigInt.asUintN(${bits}, `, x.tree, ')'), 0n, (1n << BigInt(bits)) - 1n);
        },
      ],
      [
        this.helpers.some((h) => h.result.kind === 'big') ? 2 : 0,
        () => () => {
          const helper = random.pick(this.helpers.filter((h) => h.result.kind === 'big'));
          return big(tree('big', ...this.#callParts(helper, depth)), 0n, U64);
        },
      ],
    ])();
  }

  /** A bigint that is an unsigned 64-bit number. */
  u64(depth: number): Big {
    const x = this.big(depth);
    if (x.lo >= 0n && x.hi <= U64) return x;
    return big(tree('big', 'BigInt.asUintN(64, ', x.tree, ')'), 0n, U64);
  }

  #bigLeaf(): Big {
    const { random } = this;
    const variables = this.scope.of('big');
    const parts = this.entryParts(0).filter(({ layout }) => layout.kind === 'int' && layout.size === 8);
    return random.weighted<Big>([
      [
        variables.length > 0 ? 5 : 0,
        () => {
          const v = random.pick(variables);
          return big(tree('big', v.name), v.lo, v.hi);
        },
      ],
      [
        3,
        () => {
          const text = bigConstant(random);
          return big(tree('big', text), BigInt(text.slice(0, -1)), BigInt(text.slice(0, -1)));
        },
      ],
      [
        this.packet ? 3 : 0,
        () => big(tree('big', `pkt.${random.pick(['be64', 'le64'])}(`, this.offset(0), ')'), 0n, U64),
      ],
      [
        parts.length > 0 ? 4 : 0,
        () => {
          const { path, layout } = random.pick(parts);
          const [lo, hi] = intRange(layout);
          return big(tree('big', ...path), lo, hi);
        },
      ],
      [this.kernel ? 0.5 : 0, () => big(tree('big', '(kernel.ktime() * 0n)'), 0n, 0n)],
    ]);
  }

  #bigSum(depth: number): Big {
    const [a, b] = [this.big(depth - 1), this.big(depth - 1)];
    const operator = this.random.pick(['+', '-', '*']);
    const products = [a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi];
    const both = tree('big', '(', a.tree, ` ${operator} `, b.tree, ')');
    if (operator === '+') return big(both, a.lo + b.lo, a.hi + b.hi);
    if (operator === '-') return big(both, a.lo - b.hi, a.hi - b.lo);
    return big(both, products.reduce(least), products.reduce(most));
  }

  #bigBits(depth: number): Big {
    const operator = this.random.pick(['&', '|', '^']);
    const [a, b] = [this.big(depth - 1), this.big(depth - 1)];
    const both = tree('big', '(', a.tree, ` ${operator} `, b.tree, ')');
    if (operator === '&' && b.lo >= 0n) return big(both, 0n, b.hi);
    if (operator === '&' && a.lo >= 0n) return big(both, 0n, a.hi);
    const hull = most(most(a.hi, b.hi), most(-a.lo, -b.lo));
    const top = (1n << BigInt(hull.toString(2).length)) - 1n;
    return a.lo >= 0n && b.lo >= 0n ? big(both, 0n, top) : big(both, -top - 1n, top);
  }

  #bigShift(depth: number): Big {
    const by = this.random.chance(0.5)
      ? tree('big', `${this.random.int(0, 63)}n`)
      : tree('big', '(', this.u64(depth - 1).tree, ' & 63n)');
    if (this.random.chance(0.5)) {
      const a = this.u64(depth - 1);
      return big(tree('big', '(', a.tree, ' >> ', by, ')'), 0n, a.hi);
    }
    const a = this.u64(depth - 1);
    return big(tree('big', '(', a.tree, ' << ', by, ')'), 0n, a.hi << 63n);
  }

  #bigQuotient(depth: number): Big {
    const a = this.u64(depth - 1);
    const operator = this.random.pick(['/', '%']);
    const b = this.random.chance(0.4)
      ? tree('big', `${this.random.pick([1, 2, 3, 7, 10, 64, 1000, 65_537])}n`)
      : tree('big', '(', this.u64(depth - 1).tree, ' | 1n)');
    return big(tree('big', '(', a.tree, ` ${operator} `, b, ')'), 0n, a.hi);
  }

  // Booleans

  bool(depth: number): Tree {
    const { random } = this;
    const variables = this.scope.of('bool');
    if (depth <= 0 || !this.spend()) {
      if (variables.length > 0 && random.chance(0.4)) return tree('bool', random.pick(variables).name);
      return tree('bool', '(', this.numLeaf().tree, ` ${random.pick(ORDERS)} `, this.numLeaf().tree, ')');
    }
    return random.weighted<() => Tree>([
      [
        8,
        () => () =>
          tree(
            'bool',
            '(',
            this.num(depth - 1).tree,
            ` ${random.pick(ORDERS)} `,
            this.num(depth - 1).tree,
            ')',
          ),
      ],
      [4, () => () => tree('bool', '(', this.#wellKnown(depth - 1), ')')],
      [
        3,
        () => () =>
          tree(
            'bool',
            '(',
            this.bool(depth - 1),
            ` ${random.pick(['&&', '||'])} `,
            this.bool(depth - 1),
            ')',
          ),
      ],
      [1.5, () => () => tree('bool', '!(', this.bool(depth - 1), ')')],
      [
        1,
        () => () =>
          tree(
            'bool',
            '(',
            this.bool(depth - 1),
            ` ${random.pick(['===', '!=='])} `,
            this.bool(depth - 1),
            ')',
          ),
      ],
      [
        1,
        () => () =>
          tree(
            'bool',
            '(',
            this.bool(depth - 1),
            ' ? ',
            this.bool(depth - 1),
            ' : ',
            this.bool(depth - 1),
            ')',
          ),
      ],
      [2, () => () => this.#compareBig(depth)],
      [0.5, () => () => tree('bool', `Boolean(`, this.num(depth - 1).tree, ')')],
      [variables.length > 0 ? 2 : 0, () => () => tree('bool', random.pick(variables).name)],
      [this.scope.of('numbers').length > 0 ? 2 : 0, () => () => this.#includes(depth)],
      [this.packet ? 2 : 0, () => () => this.#flag(depth)],
      [this.packet && this.kernel ? 1 : 0, () => () => this.#equalBytes(depth)],
      [this.maps.length > 0 ? 1.5 : 0, () => () => this.#has(depth)],
      [
        this.packet ? 1.5 : 0,
        () => () =>
          tree('bool', 'pkt.has(', this.offset(depth - 1), `, ${random.pick([1, 2, 4, 8, 20, 40])})`),
      ],
      [this.kernel ? 0.3 : 0, () => () => tree('bool', '(kernel.ktime() > 0n)')],
    ])();
  }

  /** A comparison with what packets often hold. */
  #wellKnown(depth: number): Tree {
    if (!this.packet) return tree('bool', this.num(depth).tree, ' > ', this.numLeaf().tree);
    const text = this.random.pick([
      'pkt.be16(12) === 0x0800',
      'pkt.be16(12) !== 0x86dd',
      'pkt.u8(23) === 17',
      'pkt.ipv4(14).protocol === 6',
      'pkt.be32(26) === 0x0a000001',
      '(pkt.u8(14) & 0xf) > 5',
      'pkt.be16(36) === 7999',
      'pkt.length > 60',
    ]);
    return tree('bool', text);
  }

  #compareBig(depth: number): Tree {
    const { random } = this;
    const a = this.u64(depth - 1);
    if (random.chance(0.2)) {
      // The language lets a bigint be ordered against a number.
      const b = this.numIn(depth - 1, 0, SAFE);
      return tree('bool', '(', a.tree, ` ${random.pick(['<', '<=', '>', '>='])} `, b.tree, ')');
    }
    if (a.hi <= I64.hi && random.chance(0.2)) {
      const b = this.big(depth - 1);
      if (b.lo >= I64.lo && b.hi <= I64.hi)
        return tree('bool', '(', a.tree, ` ${random.pick(ORDERS)} `, b.tree, ')');
    }
    return tree('bool', '(', a.tree, ` ${random.pick(ORDERS)} `, this.u64(depth - 1).tree, ')');
  }

  #includes(depth: number): Tree {
    const list = this.random.pick(this.scope.of('numbers'));
    return tree('bool', `${list.name}.includes(`, this.num(depth - 1).tree, ')');
  }

  #flag(depth: number): Tree {
    const [parts, fields] = this.headerParts(depth - 1);
    const flags = Object.entries(fields).filter(([, f]) => f.kind === 'flag');
    if (flags.length === 0) return tree('bool', 'pkt.tcp(34).syn');
    return tree('bool', ...parts, `.${this.random.pick(flags)[0]}`);
  }

  #equalBytes(depth: number): Tree {
    const size = this.random.pick([1, 2, 3, 4, 6, 7, 8, 16]);
    return tree('bool', 'kernel.equal(', this.bytes(size, depth), ', ', this.bytes(size, depth), ')');
  }

  /** A range of bytes of a given size. */
  bytes(size: number, depth: number): Tree {
    const { random } = this;
    const known = this.#bytesVariables().filter((v) => v.size === size);
    const parts = this.entryParts(0).filter(({ layout }) => layout.kind === 'bytes' && layout.size === size);
    if (known.length > 0 && random.chance(0.6)) return tree('other', random.pick(known).name);
    if (parts.length > 0 && random.chance(0.6)) return tree('other', ...random.pick(parts).path);
    if (size === 16 && random.chance(0.4))
      return tree('other', `pkt.ipv6(14).${random.pick(['source', 'destination'])}`);
    return tree('other', 'pkt.bytes(', this.offset(depth - 1), `, ${size})`);
  }

  #has(depth: number): Tree {
    const tables = this.maps.filter(({ spec }) => hasEntries(spec));
    if (tables.length === 0) return this.bool(0);
    const { name, spec } = this.random.pick(tables);
    return tree('bool', `${name}.has(`, this.key(spec, depth - 1), ')');
  }

  // Keys and values of maps

  /** A key that hits an entry more often than not. */
  key(map: MapSpec, depth: number): Tree {
    const { random } = this;
    if (map.type === 'lpm_trie') {
      const size = map.key.size - 4;
      const length = random.chance(0.7)
        ? tree('num', `${size * 8}`)
        : this.numIn(0, 0, Math.min(size * 8, 31)).tree;
      const address =
        size === 4
          ? random.weighted<Tree>([
              [3, () => tree('num', `pkt.ipv4(14).${random.pick(['source', 'destination'])}`)],
              [2, () => tree('num', `${random.pick(['0x0a000001', '0xc0000000', '0x0a010a0a'])}`)],
              [1, () => this.numIn(depth, 0, 0xffff_ffff).tree],
              [1, () => this.bytes(4, depth)],
            ])
          : this.bytes(size, depth);
      if (!this.packet && size !== 4)
        return tree('other', '{ prefixlen: ', length, ', address: pkt.bytes(0, 16) }');
      return tree('other', '{ prefixlen: ', length, ', address: ', address, ' }');
    }
    if (map.type.endsWith('array') && random.chance(0.8))
      return this.numIn(depth, 0, map.maxEntries - 1).tree;
    return this.#keyPart(map.key, depth);
  }

  #keyPart(layout: Layout, depth: number): Tree {
    const { random } = this;
    switch (layout.kind) {
      case 'int': {
        if (layout.size === 8) {
          return random.chance(0.7) ? tree('big', '(', this.u64(depth).tree, ' & 3n)') : this.big(depth).tree;
        }
        if (random.chance(0.6)) return this.numIn(depth, 0, 3).tree;
        const [lo, hi] = intRange(layout);
        return random.chance(0.7) ? this.numIn(depth, Number(lo), Number(hi)).tree : this.num(depth).tree;
      }
      case 'struct': {
        const parts: (string | Tree)[] = ['{ '];
        for (const [i, f] of layout.fields.entries()) {
          parts.push(i > 0 ? `, ${f.name}: ` : `${f.name}: `, this.#keyPart(f.layout, depth - 1));
        }
        return tree('other', ...parts, ' }');
      }
      default:
        return this.bytes(layout.size, depth);
    }
  }

  /** A whole value, as a map's `set` takes it. */
  value(layout: Layout, depth: number): Tree {
    switch (layout.kind) {
      case 'int':
        return layout.size === 8 ? this.big(depth).tree : this.num(depth).tree;
      case 'bytes':
        return this.bytes(layout.size, depth);
      case 'array': {
        const parts: (string | Tree)[] = ['['];
        for (let i = 0; i < layout.length; i++)
          parts.push(i > 0 ? ', ' : '', this.value(layout.element, depth - 1));
        return tree('other', ...parts, ']');
      }
      case 'struct': {
        const parts: (string | Tree)[] = ['{ '];
        for (const [i, f] of layout.fields.entries()) {
          parts.push(i > 0 ? `, ${f.name}: ` : `${f.name}: `, this.value(f.layout, depth - 1));
        }
        return tree('other', ...parts, ' }');
      }
    }
  }
}

const ORDERS = ['===', '!==', '<', '<=', '>', '>='] as const;

export function num(node: Tree, lo: number, hi: number): Num {
  return { tree: node, lo, hi };
}

function big(node: Tree, lo: bigint, hi: bigint): Big {
  return { tree: node, lo, hi };
}

export function hasEntries(map: MapSpec): boolean {
  return ['hash', 'array', 'percpu_array', 'percpu_hash', 'lru_hash', 'lpm_trie'].includes(map.type);
}

function intRange(layout: Layout): [bigint, bigint] {
  const bits = BigInt(layout.size * 8);
  const signed = layout.kind === 'int' && layout.signed;
  return signed ? [-(1n << (bits - 1n)), (1n << (bits - 1n)) - 1n] : [0n, (1n << bits) - 1n];
}

function hex(value: number): string {
  return value > 9 ? `0x${value.toString(16)}` : `${value}`;
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function most(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
