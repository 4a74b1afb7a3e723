import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  AssemblerError,
  add64,
  and64,
  assemble,
  at,
  call,
  callFunction,
  countSlots,
  encode,
  exit,
  formatInstruction,
  func,
  functionAddress,
  gotol,
  type Item,
  ja,
  jeq,
  jset,
  jset32,
  label,
  lddw,
  mapByName,
  mayGoto,
  mov32,
  mov64,
  r0,
  r1,
  r2,
  r6,
  st,
} from '../../src/asm/index.ts';
import { ArgumentError } from '../../src/error.ts';

function texts(items: readonly Item[]): string[] {
  return assemble(items).instructions.map(formatInstruction);
}

describe('labels', () => {
  it('become offsets in slots, forward and backward, over two-slot instructions', () => {
    const items = [
      mov64(r6, r1),
      label('again'),
      jeq(r6, 0, 'done'),
      lddw(r2, 1n),
      mapByName(r2, 'hits'),
      ja('again'),
      label('done'),
      label('also done'),
      mov64(r0, 2),
      jset(r0, r6, 'also done'),
      exit(),
    ];
    assert.deepEqual(texts(items), [
      'r6 = r1',
      'if r6 == 0x0 goto pc+5',
      'r2 = 0x1',
      'r2 = map[hits]',
      'goto pc-6',
      'r0 = 2',
      'if r0 & r6 goto pc-2',
      'exit',
    ]);
  });

  it('are of their function', () => {
    const part = (name: string): Item => [func(name, 1), mov64(r0, 0), ja('out'), label('out'), exit()];
    const entry = [callFunction('a'), callFunction('b'), exit()];
    assert.deepEqual(texts([entry, part('a'), part('b')]), [
      'call pc+2',
      'call pc+4',
      'exit',
      'r0 = 0',
      'goto pc+0',
      'exit',
      'r0 = 0',
      'goto pc+0',
      'exit',
    ]);
  });

  const wrong: readonly [string, Item[], RegExp][] = [
    ['an unknown label', [ja('nowhere'), exit()], /no label 'nowhere'/],
    ["another function's label", [label('x'), ja('x'), func('f', 0), ja('x')], /function 'f'.*no label 'x'/],
    ['a label twice', [label('x'), exit(), label('x')], /'x' is defined twice/],
    ['a jump to the end', [ja('end'), label('end')], /no instruction follows label 'end'/],
    [
      'a jump into the next function',
      [callFunction('f'), ja('end'), label('end'), func('f', 0), exit()],
      /no instruction follows label 'end'/,
    ],
    ['an unknown function', [callFunction('f'), exit()], /no function 'f'/],
    ['a function twice', [func('f', 0), exit(), func('f', 0), exit()], /'f' is defined twice/],
    [
      'an empty function',
      [callFunction('f'), callFunction('g'), exit(), func('f', 0), func('g', 0), exit()],
      /'f' is empty/,
    ],
    ['an empty last function', [callFunction('f'), exit(), func('f', 0)], /'f' is empty/],
    ['a function that nobody calls', [exit(), func('f', 0), exit()], /'f' is never called/],
    [
      'functions that only call each other',
      [exit(), func('f', 0), callFunction('g'), exit(), func('g', 0), callFunction('f'), exit()],
      /'f' is never called/,
    ],
  ];
  for (const [what, items, reason] of wrong) {
    it(`refuse ${what}`, () => {
      assert.throws(
        () => assemble(items),
        (error) =>
          error instanceof AssemblerError && error.code === 'BW_ASSEMBLER' && reason.test(error.message),
      );
    });
  }

  it('are reported with the line of source', () => {
    const source = { file: 'count.ts', line: 12, column: 5, text: 'break;' };
    assert.throws(() => assemble([at(source, ja('out'))]), /^AssemblerError: count\.ts:12:5: no label 'out'/);
  });
});

describe('functions', () => {
  const program = assemble([
    callFunction('twice'),
    functionAddress(r2, 'last'),
    exit(),
    func('twice', 2),
    mov64(r0, r1),
    exit(),
    func('last', 0),
    callFunction('twice'),
    exit(),
  ]);

  it('are called by the distance from the next slot', () => {
    assert.deepEqual(program.instructions.map(formatInstruction), [
      'call pc+3',
      'r2 = subprog[+4]',
      'exit',
      'r0 = r1',
      'exit',
      'call pc-3',
      'exit',
    ]);
  });

  it('are listed with their first slot', () => {
    assert.deepEqual(program.functions, [
      { name: 'main', slot: 0, parameters: 1 },
      { name: 'twice', slot: 4, parameters: 2 },
      { name: 'last', slot: 6, parameters: 0 },
    ]);
    assert.deepEqual(assemble([exit()], { entry: 'counter' }).functions, [
      { name: 'counter', slot: 0, parameters: 1 },
    ]);
  });

  it('take 0 to 5 arguments', () => {
    assert.throws(() => assemble([func('f', 6), exit()]), ArgumentError);
  });
});

describe('far jumps', () => {
  const filler = (count: number): Item[] => Array.from({ length: count }, () => mov64(r0, 0));

  it('stay short as far as 16 bits reach, in both directions', () => {
    const forward = assemble([ja('out'), ...filler(0x7fff), label('out'), exit()]);
    assert.equal(formatInstruction(forward.instructions[0]!), 'goto pc+32767');
    const backward = assemble([label('top'), ...filler(0x7fff), ja('top'), exit()]);
    assert.equal(formatInstruction(backward.instructions[0x7fff]!), 'goto pc-32768');
  });

  it('become gotol beyond', () => {
    const source = { file: 'a.ts', line: 1, column: 1, text: 'x' };
    const forward = assemble([at(source, ja('out')), ...filler(0x8000), label('out'), exit()]);
    assert.deepEqual(forward.instructions[0], {
      opcode: 0x06,
      dst: 0,
      src: 0,
      offset: 0,
      imm: 0x8000,
      source,
    });
    const backward = assemble([label('top'), ...filler(0x8000), ja('top'), exit()]);
    assert.equal(formatInstruction(backward.instructions[0x8000]!), 'gotol pc-32769');
  });

  it('become three instructions when they have a condition', () => {
    for (const jump of [jeq(r1, 7, 'out'), jset32(r1, r2, 'out'), mayGoto('out')]) {
      const { instructions } = assemble([jump, ...filler(0x8000), label('out'), exit()]);
      const [first, second, third] = instructions.map(formatInstruction);
      assert.match(first!, /goto pc\+1$/);
      assert.deepEqual([second, third], ['goto pc+1', 'gotol pc+32768']);
      assert.equal(countSlots(instructions), 0x8000 + 4);
    }
  });

  it('push others out of reach, which follow', () => {
    // The second jump reaches its target by one slot only as long as the first one is short.
    const { instructions } = assemble([
      jeq(r1, 1, 'near'),
      jeq(r1, 0, 'far'),
      ...filler(0x7ffe),
      label('near'),
      ...filler(3),
      label('far'),
      exit(),
    ]);
    assert.deepEqual(instructions.slice(0, 6).map(formatInstruction), [
      'if r1 == 0x1 goto pc+1',
      'goto pc+1',
      'gotol pc+32769',
      'if r1 == 0x0 goto pc+1',
      'goto pc+1',
      'gotol pc+32769',
    ]);
  });

  it('are an error where gotol is not to be used', () => {
    assert.throws(
      () => assemble([ja('out'), ...filler(0x8000), label('out'), exit()], { gotol: false }),
      (error) =>
        error instanceof AssemblerError && /32768 slots away/.test(error.message) && error.hint !== undefined,
    );
  });

  it('land where the label is, however the program is mixed', () => {
    const piece = fc.oneof(
      fc.record({ jump: fc.nat(9), always: fc.boolean() }),
      fc.record({ label: fc.constant(true) }),
      fc.record({ filler: fc.integer({ min: 1, max: 20_000 }) }),
    );
    fc.assert(
      fc.property(fc.array(piece, { minLength: 4, maxLength: 24 }), (pieces) => {
        // Labels are marked by an immediate that tells which one it is.
        let labels = 0;
        const items: Item[] = [];
        for (const part of pieces) {
          if ('filler' in part) items.push(...filler(part.filler));
          else if ('label' in part) items.push(label(`l${labels}`), mov32(r0, labels++));
        }
        if (labels === 0) return;
        for (const part of pieces) {
          if (!('jump' in part)) continue;
          const target = `l${part.jump % labels}`;
          items.push(part.always ? ja(target) : jeq(r6, part.jump % labels, target));
        }
        items.push(exit());
        const { instructions } = assemble(items);
        for (const [index, instruction] of instructions.entries()) {
          if (instruction.opcode !== 0x15) continue;
          let landed = index + 1 + instruction.offset;
          while (instructions[landed]!.opcode === 0x05 || instructions[landed]!.opcode === 0x06) {
            const { opcode, offset, imm } = instructions[landed]!;
            landed += 1 + (opcode === 0x05 ? offset : imm);
            if (opcode === 0x06) break;
          }
          const { opcode, imm } = instructions[landed]!;
          // A taken conditional jump skips its own `goto pc+1`, and lands on the marked instruction.
          assert.deepEqual([opcode, imm], [0xb4, instruction.imm]);
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('constructors', () => {
  it('keep unsigned immediates out of 64-bit operations, where they would be sign-extended', () => {
    assert.equal(mov32(r0, 0xffff_ffff).imm, -1);
    assert.equal(st('u32', r1, 0, 0xffff_ffff).imm, -1);
    for (const build of [
      () => and64(r0, 0xffff_ffff),
      () => jeq(r0, 0x8000_0000, 0),
      () => st('u64', r1, 0, 0xffff_ffff),
      () => add64(r0, -0x8000_0001),
      () => mov32(r0, 0x1_0000_0000),
      () => mov32(r0, 1.5),
    ]) {
      assert.throws(build, ArgumentError);
    }
  });

  it('split 64-bit constants', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(1n << 63n), max: (1n << 64n) - 1n }), (value) => {
        const bytes = encode([lddw(r0, value)]);
        const view = new DataView(bytes.buffer);
        const read = (BigInt(view.getUint32(12, true)) << 32n) | BigInt(view.getUint32(4, true));
        assert.equal(read, BigInt.asUintN(64, value));
      }),
    );
    assert.throws(() => lddw(r0, 1n << 64n), ArgumentError);
    assert.throws(() => lddw(r0, 2 ** 60), ArgumentError);
    assert.equal(formatInstruction(lddw(r0, -1)), 'r0 = 0xffffffffffffffff');
  });

  it('take jump targets as slots too', () => {
    assert.deepEqual(texts([ja(1), gotol(-2), mayGoto(3)]), ['goto pc+1', 'gotol pc-2', 'may_goto pc+3']);
    assert.throws(() => assemble([ja(0x8000)]), ArgumentError);
  });

  it('know the helper functions by name', () => {
    assert.equal(call('map_lookup_elem').imm, 1);
    assert.equal(call('cgrp_storage_delete').imm, 211);
    assert.throws(() => call('bpf_map_lookup_elem' as 'map_lookup_elem'), ArgumentError);
    assert.throws(() => call('unspec' as 'map_lookup_elem'), ArgumentError);
  });
});

describe('source lines', () => {
  it('go to every instruction inside, the innermost first', () => {
    const line = (number: number) => ({ file: 'a.ts', line: number, column: 1, text: `line ${number}` });
    const items = at(line(1), mov64(r0, 1), at(line(2), [jeq(r0, 0, 'x')]), label('x'), exit());
    assert.deepEqual(
      assemble(items).instructions.map(({ source }) => source?.line),
      [1, 2, 1],
    );
  });
});
