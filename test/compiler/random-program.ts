/**
 * Random well-typed programs, as text: the generator knows a range for every expression, so that what it writes is
 * exact JavaScript with few exceptions.
 */

/** A deterministic source of choices (mulberry32). */
export class Choices {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to `below - 1`. */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

interface Variable {
  readonly name: string;
  readonly type: 'num' | 'big' | 'bool';
  /** Assignments keep within these. */
  readonly lo: number;
  readonly hi: number;
  readonly constant: boolean;
}

interface Expression {
  readonly text: string;
  readonly lo: number;
  readonly hi: number;
}

/** The maps that every random program gets. */
export const MAPS = ['slots', 'table'] as const;

/** The text of a random function of `({ slots, table }, pkt, kernel)`. */
export function randomProgram(seed: number, statements = 12): string {
  return new Writer(new Choices(seed)).program(statements);
}

class Writer {
  readonly #choose: Choices;
  #names = 0;
  #scopes: Variable[][] = [[]];
  #loops = 0;
  #adjusted = 0;

  constructor(choose: Choices) {
    this.#choose = choose;
  }

  program(statements: number): string {
    const body = this.#block(statements, 0);
    return `({ slots, table }, pkt, kernel) => {\n${body}  return ${this.#verdict()};\n}`;
  }

  #block(count: number, depth: number): string {
    this.#scopes.push([]);
    let text = '';
    for (let i = 0; i < count; i++) text += this.#statement(depth);
    this.#scopes.pop();
    return text;
  }

  #fresh(): string {
    return `v${this.#names++}`;
  }

  #declare(variable: Variable): void {
    this.#scopes[this.#scopes.length - 1]!.push(variable);
  }

  #variables(type: Variable['type']): Variable[] {
    return this.#scopes.flat().filter((v) => v.type === type);
  }

  #statement(depth: number): string {
    const c = this.#choose;
    const pad = '  '.repeat(depth + 1);
    const kind = c.below(depth > 2 ? 9 : 15);
    switch (kind) {
      case 0:
      case 1: {
        const name = this.#fresh();
        const e = this.#number(3);
        const { text, lo, hi } = this.#narrow(e);
        const constant = c.chance(40);
        this.#declare({ name, type: 'num', lo, hi, constant });
        return `${pad}${constant ? 'const' : 'let'} ${name} = ${text};\n`;
      }
      case 2: {
        const name = this.#fresh();
        const text = this.#big(2);
        this.#declare({ name, type: 'big', lo: 0, hi: 0, constant: false });
        return `${pad}let ${name} = ${text};\n`;
      }
      case 3: {
        const name = this.#fresh();
        const text = this.#boolean(2);
        this.#declare({ name, type: 'bool', lo: 0, hi: 1, constant: false });
        return `${pad}let ${name} = ${text};\n`;
      }
      case 4:
      case 5:
        return this.#assignment(pad);
      case 6:
        return this.#store(pad);
      case 7:
        return this.#mapWork(pad, depth);
      case 8:
        return c.chance(25)
          ? `${pad}if (${this.#boolean(1)}) return ${this.#verdict()};\n`
          : this.#assignment(pad);
      case 9:
      case 10: {
        let text = `${pad}if (${this.#boolean(2)}) {\n${this.#block(1 + c.below(3), depth + 1)}${pad}}`;
        if (c.chance(60)) text += ` else {\n${this.#block(1 + c.below(3), depth + 1)}${pad}}`;
        return `${text}\n`;
      }
      case 11:
        return this.#loop(pad, depth);
      case 12: {
        const { text } = this.#narrow(this.#number(2), 15);
        let cases = '';
        for (let i = 0; i < 3; i++) {
          cases += `${pad}  case ${i * 2}:\n${this.#block(1 + c.below(2), depth + 2)}`;
          if (c.chance(70)) cases += `${pad}    break;\n`;
        }
        if (c.chance(60)) cases += `${pad}  default:\n${this.#block(1, depth + 2)}`;
        return `${pad}switch (${text}) {\n${cases}${pad}}\n`;
      }
      case 13:
        if (this.#loops > 0 && c.chance(50)) {
          return `${pad}if (${this.#boolean(1)}) ${c.pick(['break', 'continue'])};\n`;
        }
        return this.#assignment(pad);
      default:
        if (this.#loops > 0 || this.#adjusted >= 2 || !c.chance(30)) return this.#assignment(pad);
        this.#adjusted++;
        return `${pad}if (!pkt.${c.pick(['adjustHead', 'adjustTail'])}(${c.below(24) - 12})) return 'aborted';\n`;
    }
  }

  #assignment(pad: string): string {
    const c = this.#choose;
    const type = c.pick(['num', 'num', 'big', 'bool'] as const);
    const targets = this.#variables(type).filter((v) => !v.constant);
    if (targets.length === 0) return '';
    const target = c.pick(targets);
    if (type === 'big')
      return `${pad}${target.name} ${c.pick(['=', '+=', '^=', '-=', '*='])} ${this.#big(2)};\n`;
    if (type === 'bool') return `${pad}${target.name} = ${this.#boolean(2)};\n`;
    return `${pad}${target.name} = ${this.#into(this.#number(3), target.lo, target.hi)};\n`;
  }

  /** An expression brought into a variable's range. */
  #into(e: Expression, lo: number, hi: number): string {
    if (e.lo >= lo && e.hi <= hi) return e.text;
    if (hi < 1) return `Math.max(${lo}, Math.min(${hi}, ${e.text}))`;
    if (this.#choose.chance(50)) return `Math.max(${lo}, Math.min(${hi}, ${e.text}))`;
    const mask = 2 ** Math.min(31, Math.floor(Math.log2(hi + 1))) - 1;
    return lo <= 0 ? `(${e.text}) & ${mask}` : `Math.max(${lo}, Math.min(${hi}, ${e.text}))`;
  }

  #narrow(e: Expression, hi = 0xffff_ffff): Expression {
    if (e.lo >= -0xffff_ffff && e.hi <= hi) return e;
    const mask = Math.min(hi, 0x7fff_ffff);
    return { text: `((${e.text}) & ${mask})`, lo: 0, hi: mask };
  }

  #store(pad: string): string {
    const c = this.#choose;
    const name = c.pick(['u8', 'be16', 'be32', 'le16', 'le32', 'be64', 'le64']);
    const value = name.endsWith('64') ? this.#big(2) : this.#number(2).text;
    return `${pad}pkt.store.${name}(${this.#offset()}, ${value});\n`;
  }

  #mapWork(pad: string, depth: number): string {
    const c = this.#choose;
    const name = this.#fresh();
    const key = this.#narrow(this.#number(1), 7).text;
    if (c.chance(50)) {
      const field = c.pick(['a', 'b', 'c', 'd']);
      const value = field === 'a' ? this.#big(2) : this.#number(2).text;
      const operator = c.pick(['=', '+=']);
      const field2 = c.pick(['b', 'c', 'd']);
      const declared = this.#fresh();
      const text =
        `${pad}const ${name} = slots.get(${key});\n${pad}if (${name}) {\n` +
        `${pad}  ${name}.${field} ${field === 'd' ? '=' : operator} ${value};\n` +
        `${pad}  ${name}.${field2} = ${this.#number(2).text};\n${pad}}\n`;
      if (depth > 2) return text;
      this.#declare({ name: declared, type: 'num', lo: 0, hi: 0xffff_ffff, constant: false });
      return `${text}${pad}let ${declared} = ${name} ? ${name}.b : 0;\n`;
    }
    const value = this.#number(2).text;
    const work = c.pick(['set', 'insert', 'update']);
    const ok = this.#fresh();
    this.#declare({ name: ok, type: 'bool', lo: 0, hi: 1, constant: true });
    if (c.chance(25)) return `${pad}const ${ok} = table.delete({ x: ${key}, y: 1 });\n`;
    return `${pad}const ${ok} = table.${work}({ x: ${key}, y: ${c.below(3)} }, ${value});\n`;
  }

  #loop(pad: string, depth: number): string {
    const c = this.#choose;
    const i = this.#fresh();
    // Loops inside loops are short: verifiers follow every iteration.
    const times = c.pick(this.#loops === 0 ? [2, 3, 4, 9, 24] : this.#loops === 1 ? [2, 3, 9] : [2, 3]);
    const step = c.pick([1, 1, 2]);
    this.#loops++;
    this.#scopes.push([{ name: i, type: 'num', lo: 0, hi: times, constant: true }]);
    const extra = c.chance(30) ? ` && ${this.#boolean(1)}` : '';
    const body = this.#block(1 + c.below(3), depth + 1);
    this.#scopes.pop();
    this.#loops--;
    return `${pad}for (let ${i} = 0; ${i} < ${times}${extra}; ${i} += ${step}) {\n${body}${pad}}\n`;
  }

  #offset(): string {
    const c = this.#choose;
    if (c.chance(60)) return String(c.below(40));
    const e = this.#number(1);
    if (c.chance(70)) return `(${e.text} & 31) + ${c.below(12)}`;
    return c.chance(50)
      ? `pkt.be32(${c.below(20)})`
      : `(${e.text} & 63) - ${c.below(4)} + pkt.u8(${c.below(20)})`;
  }

  #verdict(): string {
    const c = this.#choose;
    const plain = (): string => `'${c.pick(['pass', 'drop', 'tx', 'aborted'])}'`;
    return c.chance(50) ? plain() : `${this.#boolean(1)} ? ${plain()} : ${plain()}`;
  }

  #number(depth: number): Expression {
    const c = this.#choose;
    if (depth === 0 || c.chance(15)) return this.#leaf();
    const a = this.#number(depth - 1);
    const b = this.#number(depth - 1);
    switch (c.below(14)) {
      case 0:
      case 1:
        return this.#fit({ text: `(${a.text} + ${b.text})`, lo: a.lo + b.lo, hi: a.hi + b.hi });
      case 2:
        return this.#fit({ text: `(${a.text} - ${b.text})`, lo: a.lo - b.hi, hi: a.hi - b.lo });
      case 3: {
        const x = this.#small(a);
        const y = this.#small(b);
        const corners = [x.lo * y.lo, x.lo * y.hi, x.hi * y.lo, x.hi * y.hi];
        return { text: `(${x.text} * ${y.text})`, lo: Math.min(...corners), hi: Math.max(...corners) };
      }
      case 4:
        return { text: `(${a.text} ${c.pick(['&', '|', '^'])} ${b.text})`, lo: -(2 ** 31), hi: 2 ** 31 - 1 };
      case 5:
        return { text: `(${a.text} << ${this.#count(b)})`, lo: -(2 ** 31), hi: 2 ** 31 - 1 };
      case 6:
        return { text: `(${a.text} >>> ${this.#count(b)})`, lo: 0, hi: 2 ** 32 - 1 };
      case 7:
        return { text: `(${a.text} >> ${this.#count(b)})`, lo: -(2 ** 31), hi: 2 ** 31 - 1 };
      case 8: {
        const x = this.#positive(a);
        const by = c.chance(60)
          ? String(1 + c.pick([1, 2, 6, 7, 9, 99, 999, 65535]))
          : `(${this.#narrow(b, 255).text} + 1)`;
        if (b.lo < 0 && by.includes(b.text)) return x;
        return c.chance(50)
          ? { text: `Math.floor(${x.text} / ${by})`, lo: 0, hi: x.hi }
          : { text: `(${x.text} % ${by})`, lo: 0, hi: x.hi };
      }
      case 9:
        return { text: `Math.min(${a.text}, ${b.text})`, lo: Math.min(a.lo, b.lo), hi: Math.min(a.hi, b.hi) };
      case 10:
        return { text: `Math.max(${a.text}, ${b.text})`, lo: Math.max(a.lo, b.lo), hi: Math.max(a.hi, b.hi) };
      case 11:
        return {
          text: `(${this.#boolean(depth - 1)} ? ${a.text} : ${b.text})`,
          lo: Math.min(a.lo, b.lo),
          hi: Math.max(a.hi, b.hi),
        };
      case 12:
        return { text: `(~${a.text})`, lo: -(2 ** 31), hi: 2 ** 31 - 1 };
      default:
        return { text: `Number(${this.#big(1)} & 0xffffn)`, lo: 0, hi: 0xffff };
    }
  }

  #count(e: Expression): string {
    return this.#choose.chance(60) ? String(this.#choose.below(34)) : `(${e.text} & 15)`;
  }

  #fit(e: Expression): Expression {
    return Math.max(Math.abs(e.lo), Math.abs(e.hi)) < 2 ** 45 ? e : this.#narrow(e);
  }

  #small(e: Expression): Expression {
    return e.lo >= -0xffff && e.hi <= 0xf_ffff ? e : { text: `((${e.text}) & 0xffff)`, lo: 0, hi: 0xffff };
  }

  #positive(e: Expression): Expression {
    return e.lo >= 0 ? e : { text: `((${e.text}) >>> 0)`, lo: 0, hi: 2 ** 32 - 1 };
  }

  #leaf(): Expression {
    const c = this.#choose;
    const variables = this.#variables('num');
    if (variables.length > 0 && c.chance(50)) {
      const { name, lo, hi } = c.pick(variables);
      return { text: name, lo, hi };
    }
    if (c.chance(40)) {
      const value = c.pick([
        0, 1, 2, 7, 255, 256, 0x800, 0x8100, 65535, 0x7fffffff, 0x80000000, 0xffffffff, -1, -128,
      ]);
      return { text: value < 0 ? `(${value})` : String(value), lo: value, hi: value };
    }
    const read = c.pick([
      ['u8', 0xff],
      ['be16', 0xffff],
      ['le16', 0xffff],
      ['be32', 0xffff_ffff],
      ['le32', 0xffff_ffff],
    ] as const);
    if (c.chance(8)) return { text: 'pkt.length', lo: 0, hi: 0xffff };
    return { text: `pkt.${read[0]}(${c.below(30)})`, lo: 0, hi: read[1] };
  }

  #big(depth: number): string {
    const c = this.#choose;
    if (depth === 0 || c.chance(25)) {
      const variables = this.#variables('big');
      if (variables.length > 0 && c.chance(50)) return `BigInt.asUintN(64, ${c.pick(variables).name})`;
      if (c.chance(40))
        return c.pick(['0n', '1n', '255n', '0xffffffffn', '0x123456789abcdefn', '0xffffffffffffffffn']);
      return `pkt.${c.pick(['be64', 'le64'])}(${c.below(24)})`;
    }
    const a = this.#big(depth - 1);
    const b = this.#big(depth - 1);
    switch (c.below(8)) {
      case 0:
        return `(${a} + ${b})`;
      case 1:
        return `(${a} - ${b})`;
      case 2:
        return `(${a} * ${b})`;
      case 3:
        return `(${a} ${c.pick(['&', '|', '^'])} ${b})`;
      case 4:
        return `(BigInt.asUintN(64, ${a}) >> ${c.below(64)}n)`;
      case 5:
        return `(${a} << (BigInt.asUintN(64, ${b}) & 31n))`;
      case 6:
        return `(BigInt.asUintN(64, ${a}) ${c.pick(['/', '%'])} ((${b} & 0xffn) + 1n))`;
      default:
        return `BigInt.asUintN(${c.pick([8, 16, 32, 64])}, ${a})`;
    }
  }

  #boolean(depth: number): string {
    const c = this.#choose;
    const variables = this.#variables('bool');
    if (variables.length > 0 && c.chance(20)) return c.pick(variables).name;
    if (depth > 0 && c.chance(35)) {
      if (c.chance(30)) return `!(${this.#boolean(depth - 1)})`;
      return `(${this.#boolean(depth - 1)} ${c.pick(['&&', '||'])} ${this.#boolean(depth - 1)})`;
    }
    const operator = c.pick(['===', '!==', '<', '<=', '>', '>=']);
    if (c.chance(15))
      return `BigInt.asUintN(64, ${this.#big(1)}) ${operator} BigInt.asUintN(64, ${this.#big(1)})`;
    const left = this.#number(1).text;
    const right = c.chance(50) ? this.#number(1).text : String(c.pick([0, 1, 3, 16, 100, 0x800, 0xffff]));
    return `${left} ${operator} ${right}`;
  }
}
