import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type AluConstructor,
  add64,
  assemble,
  bswap,
  callFunction,
  exit,
  func,
  gotol,
  type Item,
  ja,
  jeq,
  jgt,
  jlt,
  label,
  lddw,
  ldx,
  loadAcquire,
  mayGoto,
  mov32,
  mov64,
  movsx32,
  movsx64,
  neg32,
  neg64,
  type Register,
  r0,
  r1,
  r2,
  r3,
  r4,
  r6,
  r7,
  r8,
  r10,
  registers,
  st,
  storeRelease,
  stx,
  sub64,
  toBe,
  toLe,
} from '../../src/asm/index.ts';
import { type Loaded, load, VerifierError } from '../../src/bpf/index.ts';
import type { ProgramSpec } from '../../src/spec/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { kernelSince } from '../kernel-since.ts';
import {
  ALU32,
  ALU64,
  ATOMICS,
  BRANCHES32,
  BRANCHES64,
  SIGNED_WIDTHS,
  sinceKernel,
  WIDTHS,
} from './catalogue.ts';
import { arithmetic, atomically, reversed, s, taken, u } from './model.ts';

/**
 * Runs every instruction in the kernel on many operands and compares with the model.
 *
 * A frame carries three operands in and the results out; one program holds some hundred instructions under test, each
 * between loads of its operands and the store of its result, so the verifier never knows the values.
 */

interface Operands {
  readonly a: bigint;
  readonly b: bigint;
  readonly c: bigint;
}

interface Case {
  readonly name: string;
  /** From a in r1, b in r2 and c in r0 to the result in r3; r6 points to the frame. */
  readonly code: readonly Item[];
  expected(operands: Operands): bigint;
}

/** Where things lie in the frame: operands, room for the code under test, results. */
const ROOM = 24;
const RESULTS = 64;
/** One page less headroom and tailroom is what a test run takes. */
const CASES_PER_PROGRAM = 400;

const before = takeStock();
after(() => requireNoLeaks(before));

/** Some hundred cases as one loaded program. */
class Bench implements Disposable {
  readonly #cases: readonly Case[];
  readonly #loaded: Loaded;
  readonly #frame: Uint8Array;
  readonly #view: DataView;

  constructor(cases: readonly Case[]) {
    this.#cases = cases;
    this.#frame = new Uint8Array(RESULTS + cases.length * 8);
    this.#view = new DataView(this.#frame.buffer);
    this.#loaded = load(specOf(program(cases, this.#frame.length)));
  }

  check({ a, b, c }: Operands): void {
    for (const [index, value] of [a, b, c].entries()) this.#view.setBigUint64(index * 8, value, true);
    const { data, returned } = this.#loaded.program.testRun({ data: this.#frame, room: this.#frame.length });
    assert.equal(returned, 2);
    const results = new DataView(data.buffer, data.byteOffset, data.length);
    for (const [index, one] of this.#cases.entries()) {
      const got = results.getBigUint64(RESULTS + index * 8, true);
      const expected = one.expected({ a, b, c });
      if (got === expected) continue;
      const [x, y, z] = [a, b, c].map((value) => `0x${value.toString(16)}`);
      assert.fail(`${one.name} of ${x}, ${y}, ${z}: 0x${got.toString(16)}, not 0x${expected.toString(16)}`);
    }
  }

  [Symbol.dispose](): void {
    this.#loaded.close();
  }
}

function program(cases: readonly Case[], size: number): Item[] {
  return [
    ldx('u32', r6, r1, 0),
    ldx('u32', r2, r1, 4),
    mov64(r3, r6),
    add64(r3, size),
    mov64(r0, 1),
    jgt(r3, r2, 'out'),
    cases.map(({ code }, index) => [
      ldx('u64', r1, r6, 0),
      ldx('u64', r2, r6, 8),
      ldx('u64', r0, r6, 16),
      code,
      stx('u64', r6, r3, RESULTS + index * 8),
    ]),
    // A function that nobody calls would be refused, so every program calls it.
    mov64(r1, 0),
    mov64(r2, 0),
    callFunction('minus'),
    mov64(r0, 2),
    label('out'),
    exit(),
    func('minus', 2),
    mov64(r0, r1),
    sub64(r0, r2),
    exit(),
  ];
}

function specOf(items: readonly Item[]): ProgramSpec {
  const { instructions, functions } = assemble(items, { entry: 'conformance' });
  const common = { type: 'xdp', attachType: 'xdp', frags: false, license: 'GPL' } as const;
  return { name: 'conformance', ...common, instructions, functions, maps: {} };
}

const BOUNDARIES: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  7n,
  8n,
  31n,
  32n,
  33n,
  63n,
  64n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x1_0000_0001n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0x8000_0000_8000_0000n,
  0xffff_ffff_7fff_ffffn,
  0xffff_ffff_8000_0000n,
  0xffff_ffff_0000_0000n,
  0xffff_ffff_ffff_ff80n,
  0xffff_ffff_ffff_fffen,
  0xffff_ffff_ffff_ffffn,
  0x0123_4567_89ab_cdefn,
];

const operand = fc.oneof(
  fc.constantFrom(...BOUNDARIES),
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  fc.bigInt({ min: 0n, max: 0xffff_ffffn }),
);

/** Every pair of boundary values, and random ones, through every case. */
function checkAll(cases: readonly Case[], pairs: 'all' | 'some' = 'all'): void {
  const known = cases.filter(isTaken);
  assert.ok(known.length > 0);
  for (let at = 0; at < known.length; at += CASES_PER_PROGRAM) {
    using bench = new Bench(known.slice(at, at + CASES_PER_PROGRAM));
    for (const [i, a] of BOUNDARIES.entries()) {
      for (const [j, b] of BOUNDARIES.entries()) {
        if (pairs === 'some' && (i + j) % 8 !== 0) continue;
        bench.check({ a, b, c: (i + j) % 2 === 0 ? a : BOUNDARIES[(i * 5 + j) % BOUNDARIES.length]! });
      }
    }
    fc.assert(
      fc.property(operand, operand, operand, fc.boolean(), (a, b, c, same) => {
        bench.check({ a, b, c: same ? a : c });
      }),
      { numRuns: pairs === 'all' ? 1000 : 200 },
    );
  }
}

/** Older kernels may lack instructions, or have them from a newer one: what they take, they must do right. */
function isTaken(one: Case): boolean {
  const { instructions } = specOf(program([one], RESULTS));
  if (instructions.every((instruction) => kernelSince(sinceKernel(instruction)))) return true;
  try {
    new Bench([one])[Symbol.dispose]();
    return true;
  } catch (error) {
    if (error instanceof VerifierError) return false;
    throw error;
  }
}

/** Immediates for one instruction: boundaries, and a few that change with every run of the test. */
function immediates(): number[] {
  const fixed = [0, 1, 2, 7, 31, 0xff, 0x7fff, -1, -2, -0x80, -0x8000, 0x7fff_ffff, -0x8000_0000];
  return [...new Set([...fixed, ...fc.sample(fc.integer(), 5)])];
}

const alu = Object.entries({ ...ALU64, ...ALU32 });
const branches = Object.entries({ ...BRANCHES64, ...BRANCHES32 });

describe('in the kernel, as RFC 9669 has it,', () => {
  it('arithmetic with a register', () => {
    checkAll(
      alu.flatMap(([name, build]): Case[] => [
        {
          name,
          code: [build(r1, r2), mov64(r3, r1)],
          expected: ({ a, b }) => arithmetic(name, a, b),
        },
        {
          name: `${name} with itself`,
          code: [build(r1, r1), mov64(r3, r1)],
          expected: ({ a }) => arithmetic(name, a, a),
        },
      ]),
    );
  });

  it('arithmetic with an immediate', () => {
    const cases = alu.flatMap(([name, build]) =>
      immediates()
        .filter((imm) => isAllowed(name, imm))
        .map((imm): Case => {
          return {
            name: `${name} ${imm}`,
            code: [build(r1, imm), mov64(r3, r1)],
            expected: ({ a }) => arithmetic(name, a, BigInt(imm)),
          };
        }),
    );
    checkAll(cases, 'some');
  });

  it('arithmetic between any two registers', () => {
    checkAll(
      alu.flatMap(([name, build], index) =>
        registers.slice(0, 10).map((dst): Case => {
          const src = registers[(dst.register + 1 + (index % 9)) % 10]!;
          return {
            name: `${name} r${dst.register}, r${src.register}`,
            code: betweenRegisters(build, dst, src),
            expected: ({ a, b }) => arithmetic(name, a, b),
          };
        }),
      ),
      'some',
    );
  });

  it('negation, sign extension and byte order', () => {
    const unary = (name: string, code: Item, expected: (a: bigint) => bigint): Case => ({
      name,
      code: [code, mov64(r3, r1)],
      expected: ({ a }) => u(64, expected(a)),
    });
    const into = (name: string, code: Item, expected: (b: bigint) => bigint): Case => ({
      name,
      code: [code, mov64(r3, r1)],
      expected: ({ b }) => u(64, expected(b)),
    });
    checkAll([
      unary('neg64', neg64(r1), (a) => -a),
      unary('neg32', neg32(r1), (a) => u(32, -a)),
      ...([8, 16, 32] as const).map((bits) =>
        into(`movsx64 ${bits}`, movsx64(r1, r2, bits), (b) => s(bits, b)),
      ),
      ...([8, 16] as const).map((bits) =>
        into(`movsx32 ${bits}`, movsx32(r1, r2, bits), (b) => u(32, s(bits, b))),
      ),
      ...([16, 32, 64] as const).flatMap((bits) => [
        unary(`be${bits}`, toBe(r1, bits), (a) => reversed(a, bits)),
        unary(`le${bits}`, toLe(r1, bits), (a) => u(bits, a)),
        unary(`bswap${bits}`, bswap(r1, bits), (a) => reversed(a, bits)),
      ]),
    ]);
  });

  it('conditional jumps', () => {
    const jumps = (name: string, jump: Item, expected: Case['expected']): Case => ({
      name,
      code: [mov64(r3, 1), jump, mov64(r3, 0)],
      expected,
    });
    checkAll([
      ...branches.flatMap(([name, build]) => [
        jumps(name, build(r1, r2, 1), ({ a, b }) => taken(name, a, b)),
        jumps(`${name} with itself`, build(r1, r1, 1), ({ a }) => taken(name, a, a)),
      ]),
    ]);
    const numbered = branches.flatMap(([name, build]) =>
      immediates().map((imm) =>
        jumps(`${name} ${imm}`, build(r1, imm, 1), ({ a }) => taken(name, a, BigInt(imm))),
      ),
    );
    checkAll(numbered, 'some');
  });

  it('loads of every width at every place', () => {
    const memory = ({ a, b }: Operands, at: number, bits: number): bigint =>
      u(bits, ((b << 64n) | a) >> BigInt(at * 8));
    const cases: Case[] = [];
    for (const width of [...WIDTHS, ...SIGNED_WIDTHS]) {
      const bits = Number(width.slice(1));
      for (let at = 0; at <= 8; at++) {
        const read = (operands: Operands): bigint => {
          const value = memory(operands, at, bits);
          return width.startsWith('i') ? u(64, s(bits, value)) : value;
        };
        cases.push({ name: `${width} at ${at}`, code: [ldx(width, r3, r6, at)], expected: read });
        const backwards = [mov64(r4, r6), add64(r4, 32), ldx(width, r3, r4, at - 32)];
        cases.push({ name: `${width} at ${at} from behind`, code: backwards, expected: read });
      }
    }
    checkAll(cases, 'some');
  });

  it('stores of every width at every place', () => {
    const cases: Case[] = [];
    for (const width of WIDTHS) {
      const bits = Number(width.slice(1));
      for (let at = 0; at <= 8; at++) {
        const written = (value: bigint, { a, c }: Operands, part: number): bigint => {
          const mask = ((1n << BigInt(bits)) - 1n) << BigInt(at * 8);
          const whole = (((c << 64n) | a) & ~mask) | (u(bits, value) << BigInt(at * 8));
          return u(64, whole >> BigInt(part * 64));
        };
        for (const part of [0, 1]) {
          const around = (store: Item): Item[] => [
            stx('u64', r6, r1, ROOM),
            stx('u64', r6, r0, ROOM + 8),
            store,
            ldx('u64', r3, r6, ROOM + part * 8),
          ];
          cases.push({
            name: `stx ${width} at ${at}, half ${part}`,
            code: around(stx(width, r6, r2, ROOM + at)),
            expected: (operands) => written(operands.b, operands, part),
          });
          for (const imm of [0x1234_5678, -2]) {
            cases.push({
              name: `st ${width} ${imm} at ${at}, half ${part}`,
              code: around(st(width, r6, ROOM + at, imm)),
              expected: (operands) => written(BigInt(imm), operands, part),
            });
          }
        }
      }
    }
    checkAll(cases, 'some');
  });

  it('atomic operations', () => {
    const cases: Case[] = [];
    for (const [name, build] of Object.entries(ATOMICS)) {
      for (const width of ['u32', 'u64'] as const) {
        for (const offset of width === 'u32' ? [-8, -4] : [-8]) {
          const bits = Number(width.slice(1));
          const shift = offset === -4 ? 32n : 0n;
          const run = ({ a, b, c }: Operands): ReturnType<typeof atomically> => {
            const after = atomically(name, bits, a >> shift, b, c);
            return { ...after, memory: (after.memory << shift) | u(Number(shift), a) };
          };
          const around = (...result: Item[]): Item[] => [
            stx('u64', r10, r1, -8),
            build(width, r10, r2, offset),
            ...result,
          ];
          const where = `${name} ${width} at ${offset}`;
          cases.push(
            {
              name: `${where}, memory`,
              code: around(ldx('u64', r3, r10, -8)),
              expected: (operands) => run(operands).memory,
            },
            { name: `${where}, src`, code: around(mov64(r3, r2)), expected: (operands) => run(operands).src },
            { name: `${where}, r0`, code: around(mov64(r3, r0)), expected: (operands) => run(operands).r0 },
          );
        }
      }
    }
    for (const width of WIDTHS) {
      const bits = Number(width.slice(1));
      cases.push(
        {
          name: `load_acquire ${width}`,
          code: [stx('u64', r10, r1, -8), loadAcquire(width, r3, r10, -8)],
          expected: ({ a }) => u(bits, a),
        },
        {
          name: `store_release ${width}`,
          code: [stx('u64', r10, r1, -8), storeRelease(width, r10, r2, -8), ldx('u64', r3, r10, -8)],
          expected: ({ a, b }) => a - u(bits, a) + u(bits, b),
        },
      );
    }
    checkAll(cases);
  });

  it('64-bit constants, jumps without a condition, calls and loops', () => {
    const constants = [...BOUNDARIES, ...fc.sample(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), 10)];
    const cases: Case[] = constants.map((value) => ({
      name: `lddw ${value}`,
      code: [lddw(r3, value)],
      expected: () => value,
    }));
    cases.push(
      {
        name: 'ja forward and backward',
        code: [mov64(r3, r1), ja(2), add64(r3, 5), ja(2), add64(r3, 2), ja(-4)],
        expected: ({ a }) => u(64, a + 7n),
      },
      {
        name: 'gotol forward and backward',
        code: [mov64(r3, r1), gotol(2), add64(r3, 5), gotol(2), add64(r3, 2), gotol(-4)],
        expected: ({ a }) => u(64, a + 7n),
      },
      {
        name: 'a loop by a backward jump',
        code: [mov64(r3, 0), mov32(r4, 0), add64(r3, r1), add64(r4, 1), jlt(r4, 10, -3)],
        expected: ({ a }) => u(64, a * 10n),
      },
      {
        name: 'may_goto within its budget',
        code: [mov64(r3, r1), mov64(r4, 0), mayGoto(4), jeq(r4, 3, 3), add64(r4, 1), add64(r3, 1), ja(-5)],
        expected: ({ a }) => u(64, a + 3n),
      },
      {
        name: 'a call of a local function',
        code: [mov64(r1, r1), callFunction('minus'), mov64(r3, r0)],
        expected: ({ a, b }) => u(64, a - b),
      },
      {
        name: 'a call keeps r6 to r9',
        code: [mov64(r7, r1), mov64(r8, r2), callFunction('minus'), mov64(r3, r7), add64(r3, r8)],
        expected: ({ a, b }) => u(64, a + b),
      },
    );
    checkAll(cases, 'some');
  });
});

/** What the verifier lets pass: shifts below the width, no division by a zero it can see. */
function isAllowed(name: string, imm: number): boolean {
  if (/sh\d/.test(name)) return imm >= 0 && imm < Number(name.slice(-2));
  return !/(div|mod)/.test(name) || imm !== 0;
}

/** The frame's address is kept in three registers, of which one is always free of the test. */
function betweenRegisters(build: AluConstructor, dst: Register, src: Register): Item[] {
  const keepers = [r6, r7, r8];
  const base = keepers.find((register) => register !== dst && register !== src)!;
  return [
    mov64(r7, r6),
    mov64(r8, r6),
    ldx('u64', dst, base, 0),
    ldx('u64', src, base, 8),
    build(dst, src),
    stx('u64', base, dst, ROOM),
    mov64(r6, base),
    ldx('u64', r3, r6, ROOM),
  ];
}
