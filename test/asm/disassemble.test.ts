import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  assemble,
  at,
  call,
  callFunction,
  decode,
  disassemble,
  encode,
  exit,
  formatInstruction,
  func,
  HELPER_NAMES,
  helperName,
  type Instruction,
  type Item,
  label,
  lddw,
  mapByName,
  mov64,
  r0,
  r1,
  r2,
  r3,
  r4,
  r6,
  r10,
  registers,
  st,
  stx,
} from '../../src/asm/index.ts';
import { load, type MapSpecs } from '../../src/bpf/index.ts';
import { decodeBtf } from '../../src/btf/index.ts';
import { u64 } from '../../src/layout/index.ts';
import { array, hash, type ProgramSpec } from '../../src/spec/index.ts';
import { tool } from '../dev-tools.ts';
import { everyInstruction, jumpInstructions, memoryInstructions, registerInstructions } from './catalogue.ts';

function spec(items: readonly Item[], maps: MapSpecs = {}): ProgramSpec {
  const { instructions, functions } = assemble(items, { entry: 'subject' });
  const common = { type: 'xdp', attachType: 'xdp', frags: false, license: 'GPL' } as const;
  return { name: 'subject', ...common, instructions, functions, maps };
}

describe('against the kernel', () => {
  it('prints every instruction as the verifier does', () => {
    const fields = { dst: r3, src: r4, offset: 0, imm: 5, immHigh: 7 };
    const onStack = { dst: r10, src: r4, offset: -8, imm: -9, immHigh: 0 };
    const items: Item[] = [
      st('u64', r10, -8, 1),
      mov64(r0, 1),
      mov64(r3, 2),
      mov64(r4, 3),
      // With constants the verifier follows one way of each branch only.
      jumpInstructions({ ...fields, imm: -1 }).filter(({ opcode }) => opcode !== 0x06),
      jumpInstructions({ ...fields, imm: 0 }),
      registerInstructions(fields),
      registerInstructions({ ...fields, imm: -5 }).filter((instruction) => !isShift(instruction)),
      memoryInstructions(onStack).filter((instruction) => !isLoad(instruction)),
      memoryInstructions({ ...onStack, dst: r3, src: r10 }).filter(isLoad),
      call('ktime_get_ns'),
      call('get_smp_processor_id'),
      callFunction('second'),
      mov64(r0, 2),
      exit(),
      func('second', 0),
      mov64(r0, 0),
      exit(),
    ];
    const program = spec(items);
    using loaded = load(program, { logLevel: 2 });
    // The verifier lists the whole program with the registers that live before each instruction.
    const listed = [...(loaded.program.log ?? '').matchAll(/^ +(\d+): [.0-9]{10} (\([0-9a-f]{2}\) .*)$/gm)];
    const theirs = listed.map(([, slot, text]) => `${slot}: ${text}`);
    const ours = disassemble(program.instructions)
      .split('\n')
      .map((line) => line.trim());
    assert.ok(ours.length > 200);
    assert.deepEqual(theirs, ours);
  });

  it('prints programs with maps, functions and source lines as bpftool does', () => {
    const source = (line: number, text: string) => ({ file: 'subject.ts', line, column: 3, text });
    const program = spec(
      [
        at(source(4, 'const hits = counts.get(0);'), [
          st('u32', r10, -4, 0),
          mapByName(r1, 'counts'),
          mov64(r2, r10),
          { opcode: 0x07, dst: 2, src: 0, offset: 0, imm: -4 },
          call('map_lookup_elem'),
        ]),
        at(source(5, 'if (hits) second();'), [
          { opcode: 0x15, dst: 0, src: 0, offset: 1, imm: 0 },
          callFunction('second'),
        ]),
        at(source(6, 'return "pass";'), [mov64(r0, 2), exit()]),
        func('second', 0),
        at(source(9, 'table.set(1n, 2n);'), [
          st('u64', r10, -8, 1),
          stx('u64', r10, r10, -16),
          mapByName(r1, 'table'),
          mov64(r2, r10),
          { opcode: 0x07, dst: 2, src: 0, offset: 0, imm: -8 },
          call('map_delete_elem'),
          lddw(r0, 0x1234_5678_9abcn),
          exit(),
        ]),
      ],
      { counts: array('counts', u64, 1), table: hash('table', u64, u64, 4) },
    );
    using loaded = load(program);
    const { id } = loaded.program.info();
    const text = execFileSync(tool('bpftool'), ['prog', 'dump', 'xlated', 'id', String(id), 'linum'], {
      encoding: 'utf8',
    });
    const ids = new Map(Object.values(loaded.maps).map((map) => [map.info().id, map.info().name]));
    const theirs = text
      .trimEnd()
      .split('\n')
      // Maps by name, kernel functions by number alone, functions without their tag.
      .map((line) => line.replace(/map\[id:(\d+)\]/, (_, mapId) => `map[${ids.get(Number(mapId))}]`))
      .map((line) => line.replace(/\[file:(\S+) line_num:(\d+) .*\]$/, '@ $1:$2'))
      .map((line) => line.replace(/#bpf_prog_[0-9a-f]{16}_/, '#'))
      .map((line) => line.replace(/^(?:int|__u64) (\w+)\(.*\):$/, '$1:'));
    const ours = disassemble(program.instructions, { functions: program.functions }).split('\n');
    // The kernel replaces lookups by the address arithmetic of the map, so compare up to there and from the next line.
    const inlined = ours.findIndex((line) => line.includes('map_lookup_elem'));
    assert.deepEqual(theirs.slice(0, inlined), ours.slice(0, inlined));
    const strip = (line: string): string => line.replace(/^ *\d+: /, '').replace(/ bpf_\w+/, '');
    const rest = ours.slice(inlined + 1).filter((line) => !/call/.test(line));
    const theirRest = theirs.slice(-ours.length + inlined + 1).filter((line) => !/call/.test(line));
    assert.deepEqual(theirRest.map(strip), rest.map(strip));
  });

  it('has the names and numbers of the helper functions', () => {
    const vmlinux = decodeBtf(readFileSync('/sys/kernel/btf/vmlinux'));
    const id = vmlinux.find('bpf_func_id', 'enum');
    assert.ok(id !== undefined);
    const type = vmlinux.type(id);
    assert.ok(type.kind === 'enum');
    const theirs = type.values
      .map(({ name }) => name.replace('BPF_FUNC_', ''))
      .filter((name) => name !== '__BPF_FUNC_MAX_ID' && name !== '__MAX_ID');
    assert.deepEqual([...HELPER_NAMES], theirs);
    assert.equal(helperName(0), undefined);
    assert.equal(helperName(212), undefined);
    assert.equal(formatInstruction(call(1)), 'call bpf_map_lookup_elem#1');
    assert.equal(formatInstruction(call(4711)), 'call unknown#4711');
  });
});

describe('against llvm', () => {
  it('means the same instructions as llvm-mc', () => {
    const instructions = [
      { offset: 300, imm: 0x1234 },
      { offset: -6, imm: -7 },
    ].flatMap(({ offset, imm }) =>
      registers.flatMap((dst) => {
        const src = registers[10 - dst.register]!;
        return everyInstruction({ dst, src, offset, imm, immHigh: 3 }).filter(isKnownToLlvm14);
      }),
    );
    const input = instructions.map((one) =>
      [...encode([one])].map((byte) => `0x${byte.toString(16)}`).join(' '),
    );
    const output = execFileSync(tool('llvm-mc-14'), ['-triple=bpfel', '-mattr=+alu32', '-disassemble'], {
      input: input.join('\n'),
      encoding: 'utf8',
      stdio: 'pipe',
    });
    const theirs = output.split('\n').filter((line) => line.trim() !== '' && line.trim() !== '.text');
    assert.ok(instructions.length > 2000, `${instructions.length}`);
    assert.deepEqual(
      theirs.map((line) => line.trim().replace(/\s+/g, ' ')),
      instructions.map(asLlvm),
    );
  });
});

describe('disassemble', () => {
  it('shows functions, source lines once and labels of calls', () => {
    const source = { file: 'a.ts', line: 3, column: 1, text: 'return pass;' };
    const { instructions, functions } = assemble([
      at(source, callFunction('f'), mov64(r0, 2)),
      exit(),
      label('unused'),
      func('f', 0),
      lddw(r6, -1n),
      exit(),
    ]);
    assert.equal(
      disassemble(instructions, { functions }),
      [
        'main:',
        '; return pass; @ a.ts:3',
        '   0: (85) call pc+2#f',
        '   1: (b7) r0 = 2',
        '   2: (95) exit',
        'f:',
        '   3: (18) r6 = 0xffffffffffffffff',
        '   5: (95) exit',
      ].join('\n'),
    );
    assert.doesNotMatch(disassemble(instructions, { source: false }), /return pass/);
  });

  it('prints anything, also what no program may hold', () => {
    for (let opcode = 0; opcode < 256; opcode++) {
      const text = formatInstruction({ opcode, dst: 1, src: 2, offset: 3, imm: 4 });
      assert.ok(text.length > 0 && !text.includes('undefined'), `${opcode}: ${text}`);
    }
    assert.equal(formatInstruction({ opcode: 0xff, dst: 0, src: 0, offset: 0, imm: 0 }), '(bad opcode 0xff)');
  });

  it('survives decoding', () => {
    const instructions = everyInstruction({ dst: r1, src: r2, offset: -3, imm: 6, immHigh: 0 });
    assert.equal(disassemble(decode(encode(instructions))), disassemble(instructions));
  });
});

function isLoad({ opcode, imm }: Instruction): boolean {
  return (opcode & 7) === 1 || ((opcode & 0xe7) === 0xc3 && imm === 0x100);
}

function isShift({ opcode }: Instruction): boolean {
  return (opcode & 3) === 0 || (opcode & 7) === 7 ? [0x60, 0x70, 0xc0].includes(opcode & 0xf0) : false;
}

/** What version 14 decodes: the instruction set's version 3, less what it cannot print (mod, jset, stores of numbers). */
function isKnownToLlvm14({ opcode, src, offset, imm }: Instruction): boolean {
  const operation = opcode & 0xf0;
  switch (opcode & 7) {
    case 0:
      return opcode === 0x18 && src === 0;
    case 1:
      return (opcode & 0xe0) === 0x60;
    case 2:
      return false;
    case 3:
      return imm < 0x100;
    case 4:
    case 7:
      return offset === 0 && operation !== 0x90 && opcode !== 0xd7;
    default:
      return operation !== 0x40 && opcode !== 0x06 && opcode !== 0xe5;
  }
}

/** LLVM's spelling: signed decimals, no `pc`, sub-registers where 32 bits are stored or loaded. */
function asLlvm(instruction: Instruction): string {
  const { opcode, src, imm, immHigh } = instruction;
  if (opcode === 0x18) return `r${instruction.dst} = ${(BigInt(immHigh!) << 32n) | BigInt(imm >>> 0)} ll`;
  if (opcode === 0x85) return `call ${imm}`;
  const text = formatInstruction(instruction)
    .replace('goto pc', 'goto ')
    .replace(/ 0x[0-9a-f]+/, ` ${imm}`)
    .replace(/\((r\d+) ([+-])(\d+)\)/, '($1 $2 $3)')
    .replace('atomic64_fetch', 'atomic_fetch');
  const kind = opcode & 7;
  if (kind !== 1 && kind !== 3) return text;
  const wide = (opcode & 0x18) === 0x18;
  const exchange = text.match(/atomic(?:64)?_(cmpxchg|xchg)\(\(u\d+ \*\)\((.*?)\), (.*)\)/);
  if (exchange !== null) {
    const [, name, memory, operands] = exchange;
    const target = name === 'xchg' ? `r${src}` : 'r0';
    return narrow(`${target} = ${name}${wide ? '_64' : '32_32'}(${memory}, ${operands})`, wide);
  }
  return narrow(text, wide);
}

/** Sub-registers for all registers but the one that holds the address. */
function narrow(text: string, wide: boolean): string {
  return wide ? text : text.replace(/\br(\d+)\b(?! [+-] \d)/g, 'w$1');
}
