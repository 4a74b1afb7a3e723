import assert from 'node:assert/strict';
import { it } from 'node:test';
import { load, probe } from '../../src/bpf/index.ts';
import { compile, program } from '../../src/compiler/index.ts';
import { parseProgram, serializeProgram } from '../../src/spec/index.ts';

it('programs that need what not every kernel has are loaded where it is, and else refused by its name', () => {
  const long = program('long', {}, (_, pkt) => {
    let n = pkt.be16(0);
    for (let i = 0; i < 100_000; i++) n = (n * 5 + 1) & 0xffff;
    return n > 0x8000 ? 'drop' : 'pass';
  });
  const spec = compile(long);
  for (const given of [spec, parseProgram(serializeProgram(spec))]) {
    if (probe('may-goto')) {
      using loaded = load(given);
      assert.match(`${loaded.program.testRun({ data: new Uint8Array(14) }).action}`, /^(drop|pass)$/);
    } else {
      assert.throws(() => load(given), {
        code: 'BW_UNSUPPORTED',
        message: /'long' needs may-goto \(Linux 6\.9\)/,
      });
    }
  }
});

it('a fallback takes the place of what a kernel lacks', () => {
  const tangled = program('tangled', {}, (_, pkt) => {
    const limit = pkt.length & 0x3f;
    let hits = 0;
    for (let i = 0; i < 20; i++) {
      let n = 0;
      for (let j = 0; j < limit; j++) n += pkt.u8(j) & 1;
      if (pkt.u8(n + i) > 100) hits += 1;
      if (hits > 15) return 'drop';
    }
    return 'pass';
  });
  const spec = compile(tangled);
  assert.ok(spec.fallback !== undefined);
  using loaded = load(spec);
  assert.equal(loaded.program.testRun({ data: new Uint8Array(60).fill(200) }).action, 'drop');
});
