import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  array,
  bytes,
  CompileError,
  compile,
  hash,
  type Packet,
  type ProgramOptions,
  program,
  struct,
  u8,
  u32,
  u64,
} from '../../src/compiler/index.ts';
import { array as layoutArray } from '../../src/layout/index.ts';

type Deeper = (pkt: Packet, ...rest: Deeper[]) => number;

/** Functions that call the next one several times each. */
const growing: Readonly<Record<string, Deeper>> = {
  a: (pkt, b, c, d) =>
    b!(pkt, c!, d!) ^ b!(pkt, c!, d!) ^ b!(pkt, c!, d!) ^ b!(pkt, c!, d!) ^ b!(pkt, c!, d!),
  b: (pkt, c, d) => c!(pkt, d!) ^ c!(pkt, d!) ^ c!(pkt, d!) ^ c!(pkt, d!) ^ c!(pkt, d!) ^ c!(pkt, d!),
  c: (pkt, d) => d!(pkt) ^ d!(pkt) ^ d!(pkt) ^ d!(pkt) ^ d!(pkt) ^ d!(pkt) ^ d!(pkt) ^ d!(pkt),
  d: (pkt) => pkt.be16(0) ^ pkt.be16(2) ^ pkt.be16(4) ^ pkt.be16(6) ^ pkt.be16(8) ^ pkt.be16(10) ^ pkt.u8(0),
};

const counts = hash('counts', u32, struct('Count', { hits: u64, small: u8 }), 16);

/**
 * Wrong programs as JavaScript texts, for many of them no TypeScript would let through. `§` marks the place that
 * the error must point to.
 */
const WRONG: readonly {
  readonly name: string;
  readonly text: string;
  readonly reason: RegExp;
  readonly instead: RegExp;
  readonly env?: Record<string, unknown>;
  readonly options?: ProgramOptions;
}[] = [
  {
    name: 'a sum that may pass 2^53',
    text: `(env, pkt) => {
      const x = pkt.be32(0);
      const y = x §* pkt.be32(4);
      return y > 3 ? 'pass' : 'drop';
    }`,
    reason: /may be anything from 0 to about 2\^64/,
    instead: /Bound the operands/,
  },
  {
    name: 'an accumulator without a bound',
    text: `(env, pkt) => {
      let sum = 1;
      for (let i = 0; i < 100; i++) sum §*= 3;
      return sum > 3 ? 'pass' : 'drop';
    }`,
    reason: /exact only within/,
    instead: /Bound the operands/,
  },
  {
    name: 'a missing null check',
    text: `({ counts }, pkt) => {
      const count = counts.get(pkt.u8(0));
      §count.hits += 1n;
      return 'pass';
    }`,
    env: { counts },
    reason: /entry of map counts may be missing/,
    instead: /Check it first: if \(!entry\)/,
  },
  {
    name: 'a null check of another entry',
    text: `({ counts }, pkt) => {
      const one = counts.get(1);
      const two = counts.get(2);
      if (!one) return 'pass';
      §two.hits += 1n;
      return 'pass';
    }`,
    env: { counts },
    reason: /may be missing/,
    instead: /Check it first/,
  },
  {
    name: 'an endless loop',
    text: `(env, pkt) => {
      let n = 0;
      §while (pkt.u8(0) === 3) n = 1;
      return n === 1 ? 'pass' : 'drop';
    }`,
    reason: /cannot be proved to end/,
    instead: /Count up to a constant/,
  },
  {
    name: 'a loop that may never step',
    text: `(env, pkt) => {
      let off = 14;
      §while (off < 60) off += pkt.u8(off);
      return 'pass';
    }`,
    reason: /cannot be proved to end/,
    instead: /Count up/,
  },
  {
    name: 'a loop longer than the kernel lets run',
    text: `(env, pkt) => {
      let n = 0;
      §for (let i = 0; i < 1000000; i++) n = i & pkt.u8(0);
      return n === 1 ? 'pass' : 'drop';
    }`,
    reason: /may run 1000000 iterations in all, and the kernel ends them after 131000/,
    instead: /Bound what/,
  },
  {
    name: 'a loop up to a number without a useful bound',
    text: `(env, pkt) => {
      let n = 0;
      §for (let i = 0; i < pkt.be32(16); i++) n = pkt.u8(i);
      return n === 1 ? 'pass' : 'drop';
    }`,
    reason: /iterations in all/,
    instead: /Bound what/,
  },
  {
    name: 'a checksum over a length without a useful bound',
    text: `(env, pkt) => §pkt.checksum(34, pkt.be32(16)) === 0 ? 'pass' : 'drop'`,
    reason: /iterations in all/,
    instead: /Bound what/,
  },
  {
    name: 'more stack than there is',
    text: `§({ big }, pkt) => {
      const a = pkt.bytes(0, 64);
      return big.set(1, { a, b: a, c: a, d: a, e: a, f: a, g: a, h: a }) ? 'pass' : 'drop';
    }`,
    env: {
      big: hash(
        'big',
        u32,
        struct('Big', {
          a: bytes(64),
          b: bytes(64),
          c: bytes(64),
          d: bytes(64),
          e: bytes(64),
          f: bytes(64),
          g: bytes(64),
          h: bytes(64),
        }),
        4,
      ),
    },
    reason: /bytes of stack, and a program has 512/,
    instead: /smaller keys and values/,
  },
  {
    name: 'a call of something unknown',
    text: `(env, pkt) => {
      §console.log(pkt.length);
      return 'pass';
    }`,
    reason: /'console' comes from outside/,
    instead: /Put console into env/,
  },
  {
    name: 'a method that the packet does not have',
    text: `(env, pkt) => pkt.§u24(0) === 1 ? 'pass' : 'drop'`,
    reason: /pkt has no 'u24'/,
    instead: /There are: u8, be16/,
  },
  {
    name: 'a captured variable',
    text: `(env, pkt) => pkt.u8(0) > §threshold ? 'pass' : 'drop'`,
    reason: /'threshold' comes from outside the function/,
    instead: /Put threshold into env/,
  },
  {
    name: 'a fraction',
    text: `(env, pkt) => pkt.u8(0) > §0.5 ? 'pass' : 'drop'`,
    reason: /0\.5 is no whole number/,
    instead: /whole number/,
  },
  {
    name: 'a quotient that may have a fraction',
    text: `(env, pkt) => {
      const half = pkt.u8(0) / 2;
      return §half > 3 ? 'pass' : 'drop';
    }`,
    reason: /may have a fraction/,
    instead: /Math\.floor\(a \/ b\)/,
  },
  {
    name: 'a fraction in env',
    text: `§({ ratio }, pkt) => pkt.u8(0) > ratio ? 'pass' : 'drop'`,
    env: { ratio: 0.25 },
    reason: /env\.ratio is 0\.25/,
    instead: /whole numbers/,
  },
  {
    name: 'a string',
    text: `(env, pkt) => {
      const name = 'abc' §+ pkt.u8(0);
      return 'pass';
    }`,
    reason: /strings exist only as verdicts/,
    instead: /Compute with numbers/,
  },
  {
    name: 'a template',
    text: `(env, pkt) => {
      const name = §\`x\${pkt.u8(0)}\`;
      return 'pass';
    }`,
    reason: /strings exist only as verdicts/,
    instead: /verdict/,
  },
  {
    name: 'recursion',
    text: `({ f }, pkt) => f(pkt, 3) > 2 ? 'pass' : 'drop'`,
    env: {},
    reason: /calls itself/,
    instead: /Write a loop/,
  },
  {
    name: 'a function made inside',
    text: `(env, pkt) => {
      const f = §(x) => x + 1;
      return f(pkt.u8(0)) > 2 ? 'pass' : 'drop';
    }`,
    reason: /functions cannot be made inside/,
    instead: /helper function into env/,
  },
  {
    name: 'a division by what may be zero',
    text: `(env, pkt) => {
      const n = pkt.u8(0);
      return (100 §/ n | 0) > 3 ? 'pass' : 'drop';
    }`,
    reason: /the divisor may be zero/,
    instead: /if \(n !== 0\)/,
  },
  {
    name: 'no verdict at the end',
    text: `(env, pkt) => {
      if (pkt.u8(0) === 1) return 'pass';
    §}`,
    reason: /may end without a verdict/,
    instead: /return 'pass'/,
  },
  {
    name: 'no verdict at all',
    text: `(env, pkt) => §pkt.length`,
    reason: /a number is no verdict/,
    instead: /'drop', 'tx'/,
  },
  {
    name: 'an unknown verdict',
    text: `(env, pkt) => §'accept'`,
    reason: /'accept' is no verdict/,
    instead: /'pass', 'drop'/,
  },
  {
    name: 'exceptions',
    text: `(env, pkt) => {
      §try { return pkt.u8(0) > 1 ? 'pass' : 'drop'; } catch { return 'drop'; }
    }`,
    reason: /programs catch nothing/,
    instead: /onShort/,
  },
  {
    name: 'a stale view',
    text: `(env, pkt) => {
      const ip = pkt.ipv4(14);
      if (!pkt.adjustHead(-4)) return 'drop';
      return ip.§ttl > 1 ? 'pass' : 'drop';
    }`,
    reason: /from before the packet's ends moved/,
    instead: /pkt\.ipv4\(offset\)/,
  },
  {
    name: 'an atomic addition on a byte',
    text: `({ counts }, pkt) => {
      const count = counts.get(1);
      if (!count) return 'pass';
      §count.small += 1;
      return 'pass';
    }`,
    env: { counts },
    reason: /too small/,
    instead: /u32, u64/,
  },
  {
    name: 'a bigint compared after it may have gone below zero',
    text: `(env, pkt) => (pkt.be64(0) - pkt.be64(8)) §> 5n ? 'pass' : 'drop'`,
    reason: /64 bits do not hold/,
    instead: /BigInt\.asUintN\(64, x\)/,
  },
  {
    name: 'numbers and bigints mixed',
    text: `(env, pkt) => pkt.be64(0) + §1 > 5n ? 'pass' : 'drop'`,
    reason: /a number stands where a bigint is needed/,
    instead: /1n/,
  },
  {
    name: 'two kinds of value in one variable',
    text: `(env, pkt) => {
      let x = 1;
      if (pkt.u8(0) > 3) x = true;
      return §x ? 'pass' : 'drop';
    }`,
    reason: /may be a boolean on one path and a number on another/,
    instead: /one kind of value/,
  },
  {
    name: 'an index that may lie outside',
    text: `({ table }, pkt) => pkt.u8(0) > table[§pkt.u8(1)] ? 'pass' : 'drop'`,
    env: { table: [1, 2, 3] },
    reason: /index may be anything from 0 to 255, and the array has 3 elements/,
    instead: /Bound it first: if \(i >= 0 && i < 3\)/,
  },
  {
    name: 'an index that may lie outside an array of a map',
    text: `({ rows }, pkt) => {
      const row = rows.get(0);
      if (!row) return 'aborted';
      row.cells[§pkt.u8(0) & 15] += 1;
      return 'pass';
    }`,
    env: { rows: array('rows', struct('Row', { cells: layoutArray(u32, 8) }), 1) },
    reason: /index may be anything from 0 to 15, and the array has 8 elements/,
    instead: /i & 7/,
  },
  {
    name: 'an entry from before its map was written',
    text: `({ counts }, pkt) => {
      const count = counts.get(pkt.u8(0));
      if (!count) return 'pass';
      counts.delete(pkt.u8(1));
      §count.hits += 1n;
      return 'drop';
    }`,
    env: { counts },
    reason: /from before the map was written/,
    instead: /Get it again/,
  },
  {
    name: 'an entry that an earlier iteration may have removed',
    text: `({ counts, clear }, pkt) => {
      const count = counts.get(pkt.u8(0));
      if (!count) return 'pass';
      for (let i = 0; i < 100; i++) {
        §count.hits += 1n;
        clear(counts, pkt.u8(i));
      }
      return 'drop';
    }`,
    env: { counts, clear: (map: { delete(key: number): void }, key: number) => map.delete(key) },
    reason: /from before the map was written/,
    instead: /Get it again/,
  },
  {
    name: 'helper functions that grow without end',
    text: `({ a, b, c, d }, pkt) => {
      let n = 0;
      n ^= a(pkt, b, c, d);
      n ^= a(pkt, b, c, d);
      n ^= a(pkt, b, c, d);
      n ^= a(pkt, b, c, d);
      n ^= a(pkt, b, c, d);
      n ^= a(pkt, b, c, d);
      n ^= a(pkt, b, c, d);
      n ^= a(pkt, b, c, d);
      return n > 3 ? 'pass' : 'drop';
    }`,
    env: growing,
    reason: /has grown to more than 30000 operations/,
    instead: /Call the helper from one place/,
  },
  {
    name: 'optional chaining',
    text: `({ counts }, pkt) => §counts.get(1)?.hits === 1n ? 'pass' : 'drop'`,
    env: { counts },
    reason: /optional chaining/,
    instead: /if \(!x\)/,
  },
  {
    name: 'loose equality',
    text: `(env, pkt) => pkt.u8(0) §== 1 ? 'pass' : 'drop'`,
    reason: /'==' is not part of the language/,
    instead: /'==='/,
  },
  {
    name: 'a method that the map does not have',
    text: `({ slots }, pkt) => §slots.delete(1) ? 'pass' : 'drop'`,
    env: { slots: array('slots', u32, 4) },
    reason: /is a array, which has no delete/,
    instead: /It has: get, has, set, update/,
  },
  {
    name: 'var',
    text: `(env, pkt) => {
      §var x = pkt.u8(0);
      return x > 1 ? 'pass' : 'drop';
    }`,
    reason: /'var' is not part of the language/,
    instead: /let/,
  },
];

/** A function whose text is what the test says. */
function written(text: string): (...args: never[]) => 'pass' {
  return new Function(`return ${text}`)() as (...args: never[]) => 'pass';
}

describe('wrong programs', () => {
  for (const { name, text, reason, instead, env = {}, options = {} } of WRONG) {
    it(`refuses ${name}`, () => {
      const mark = text.indexOf('§');
      const before = text.slice(0, mark);
      const fn = written(text.replace('§', ''));
      const given = name === 'recursion' ? { f: recursive } : env;
      const wrong = program('wrong', given, fn as never, options);
      assert.throws(
        () => compile(wrong),
        (error: unknown) => {
          assert.ok(error instanceof CompileError, String(error));
          assert.match(error.reason, reason);
          assert.match(error.instead, instead);
          assert.equal(error.code, 'BW_COMPILE');
          if (mark >= 0) assert.equal(error.at.line, before.split('\n').length, error.message);
          assert.match(error.message, /\n {2}.*\n {2} *\^/);
          return true;
        },
      );
    });
  }

  it('points with the caret', () => {
    const wrong = program(
      'caret',
      {},
      written(`(env, pkt) => pkt.u8(0) > threshold ? 'pass' : 'drop'`) as never,
    );
    assert.throws(
      () => compile(wrong),
      (error: unknown) => {
        assert.ok(error instanceof CompileError);
        const [, line, caret] = error.message.split('\n') as [string, string, string];
        assert.equal(line.slice(caret.indexOf('^'), caret.indexOf('^') + 9), 'threshold');
        return true;
      },
    );
  });
});

describe('functions whose text is not what was written', () => {
  const refuse = (fn: unknown, reason: RegExp, instead: RegExp): void => {
    assert.throws(
      () => compile(program('odd', {}, fn as never)),
      (error: unknown) => {
        assert.ok(error instanceof CompileError);
        assert.match(error.reason, reason);
        assert.match(error.instead, instead);
        return true;
      },
    );
  };

  it('refuses bound and native functions', () => {
    refuse(written(`(env, pkt) => 'pass'`).bind(null), /native or bound/, /without bind/);
    refuse(Math.max, /native or bound/, /without bind/);
  });

  it('refuses asynchronous functions and generators', () => {
    refuse(written(`async (env, pkt) => 'pass'`), /asynchronous/, /plain function/);
    refuse(written(`function* (env, pkt) { return 'pass'; }`), /generator/, /plain function/);
  });

  it('refuses what a minifier or a coverage tool made', () => {
    refuse(
      written(`({blocked:e},t)=>{if(t.u8(0)===1)return"drop";const n=!0;return n?"pass":"drop"}`),
      /minifier/,
      /ahead of time/,
    );
    refuse(
      written(`(env, pkt) => { cov_1a2b3c4d5e().f[0]++; return 'pass'; }`),
      /coverage tool/,
      /ahead of time/,
    );
  });
});

function recursive(pkt: { u8(offset: number): number }, n: number): number {
  return n === 0 ? pkt.u8(0) : recursive(pkt, n - 1);
}
