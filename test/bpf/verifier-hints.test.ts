import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import {
  add64,
  assemble,
  call,
  callKernel,
  exit,
  func,
  functionAddress,
  type Item,
  ja,
  jeq,
  jne,
  label,
  ldx,
  mapByName,
  mapValueByName,
  mov64,
  mul64,
  r0,
  r1,
  r2,
  r3,
  r4,
  r5,
  r6,
  r10,
  st,
} from '../../src/asm/index.ts';
import { kernelTypes, load, VerifierError } from '../../src/bpf/index.ts';
import { verifierHint } from '../../src/bpf/verifier-hints.ts';
import { u32, u64 } from '../../src/layout/index.ts';
import { array, hash, type ProgramSpec, ringBuffer } from '../../src/spec/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';

const before = takeStock();
after(() => requireNoLeaks(before));

const maps = {
  table: hash('table', u32, u64, 4),
  ring: ringBuffer('ring', u32, 4096),
  row: array('row', u64, 1),
  fixed: array('fixed', u64, 1, { readOnlyForPrograms: true }),
};

/** What the verifier of this kernel says of instructions, and the hint that comes with it. */
function refusal(items: readonly Item[], license: string, typed: boolean): VerifierError {
  const { instructions, functions } = assemble([func('wrong', 1), ...items]);
  const spec: ProgramSpec = {
    ...{ name: 'wrong', type: 'xdp', attachType: 'xdp', frags: false, license, maps },
    ...{ instructions, functions: typed ? functions : [] },
  };
  try {
    load(spec).close();
  } catch (error) {
    assert.ok(error instanceof VerifierError, `${error}`);
    return error;
  }
  throw new Error('the verifier took it');
}

/** Looks entry 0 of the table up: r0 is its value, or NULL. */
const lookUp: readonly Item[] = [
  st('u32', r10, -4, 0),
  mov64(r2, r10),
  add64(r2, -4),
  mapByName(r1, 'table'),
  call('map_lookup_elem'),
];
/** The same, with NULL ruled out. */
const found: readonly Item[] = [...lookUp, jne(r0, 0, 'found'), exit(), label('found')];
const pass: readonly Item[] = [mov64(r0, 2), exit()];

const COMPLAINTS: Readonly<
  Record<string, { items: readonly Item[]; hint: RegExp; license?: string; typed?: false }>
> = {
  'a packet that may be too short': {
    items: [ldx('u32', r2, r1, 0), ldx('u8', r0, r2, 0), exit()],
    hint: /data_end right before the access/,
  },
  'a look-up that may fail': {
    items: [...lookUp, ldx('u64', r0, r0, 0), exit()],
    hint: /compare its result with NULL/,
  },
  'a byte behind a value': {
    items: [...found, ldx('u8', r0, r0, 100), exit()],
    hint: /index may lie outside/,
  },
  'an index without a bound': {
    items: [
      ...found,
      ldx('u64', r1, r0, 0),
      mov64(r2, r0),
      mov64(r3, 0),
      mov64(r0, 0),
      add64(r2, r1),
      ldx('u8', r0, r2, 0),
      exit(),
    ],
    hint: /no bound for the offset or length/,
  },
  'a number as a pointer': {
    items: [mov64(r1, 5), ldx('u64', r0, r1, 0), exit()],
    hint: /pointer is a number/,
  },
  'a loop without end': {
    items: [mov64(r0, 0), label('again'), ja('again')],
    hint: /no end that the verifier sees/,
  },
  'too many ways': {
    items: [
      ldx('u32', r6, r1, 16),
      ...Array.from({ length: 8300 }, (_, i) => jeq(r6, i, 'end')),
      label('end'),
      ...pass,
    ],
    hint: /too many ways through the program/,
  },
  'a place below the stack': { items: [st('u64', r10, -520, 0), ...pass], hint: /stack has 512 bytes/ },
  'a way out without a verdict': { items: [exit()], hint: /Every way out has to return a value/ },
  'a register that was not set': { items: [mov64(r0, r5), exit()], hint: /was not set on every way/ },
  'what is never run': { items: [...pass, ...pass], hint: /never run/ },
  'an end without a return': { items: [mov64(r0, 2)], hint: /end it with a return/ },
  'a helper that nobody has': { items: [call(9999), exit()], hint: /does not have that helper/ },
  'a kernel function that is not for programs': {
    items: [callKernel(kernelTypes().find('vfs_read', 'func') ?? 0), ...pass],
    hint: /kernel function may not be called/,
  },
  'a helper for free software': {
    items: [st('u32', r10, -4, 0), mov64(r1, r10), add64(r1, -4), mov64(r2, 4), call('trace_printk'), exit()],
    license: 'Proprietary',
    hint: /GPL-compatible licence/,
  },
  'a reservation that is not given back': {
    items: [mapByName(r1, 'ring'), mov64(r2, 8), mov64(r3, 0), call('ringbuf_reserve'), ...pass],
    hint: /given back on every way out/,
  },
  'an argument of another kind': {
    items: [mov64(r2, r10), call('map_lookup_elem'), exit()],
    hint: /of another kind than the helper wants/,
  },
  'a place beside the context': { items: [ldx('u32', r0, r1, 1000), exit()], hint: /Fields of the context/ },
  'a pointer times two': {
    items: [mov64(r4, r10), mul64(r4, 2), ...pass],
    hint: /only additions and subtractions/,
  },
  'a function by address without its type': {
    items: [
      mapByName(r1, 'row'),
      functionAddress(r2, 'each'),
      mov64(r3, 0),
      mov64(r4, 0),
      call('for_each_map_elem'),
      ...pass,
      func('each', 4),
      mov64(r0, 0),
      exit(),
    ],
    typed: false,
    hint: /compile with -g/,
  },
  'a word across words': {
    items: [st('u64', r10, -8, 0), st('u64', r10, -16, 0), ldx('u32', r0, r10, -10), exit()],
    hint: /unaligned fields byte by byte/,
  },
  'memory that is constant': {
    items: [mapValueByName(r1, 'fixed', 0), st('u64', r1, 0, 1), ...pass],
    hint: /memory is constant/,
  },
  'a field of the value of an array that is none': {
    items: [mapValueByName(r1, 'row', 4), ldx('u64', r0, r1, 0), exit()],
    hint: /index may lie outside/,
  },
};

describe('a refusal of the verifier', () => {
  for (const [what, { items, hint, license = 'GPL', typed = true }] of Object.entries(COMPLAINTS)) {
    it(`for ${what} comes with what helps`, () => {
      const error = refusal(items, license, typed);
      assert.match(error.hint ?? '', hint, error.log.slice(-2000));
    });
  }

  it('for want of a right comes with what helps', () => {
    assert.match(verifierHint('R2 pointer arithmetic of pkt prohibited for !root') ?? '', /CAP_PERFMON/);
    assert.match(
      verifierHint('write into map forbidden, value_size=8 off=0 size=8') ?? '',
      /memory is constant/,
    );
  });

  it('that nobody knows has none', () => {
    assert.equal(verifierHint('something quite new'), undefined);
  });
});
