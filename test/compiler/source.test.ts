import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { describe, it } from 'node:test';
import { load } from '../../src/bpf/index.ts';
import { CompileError, compile, program } from '../../src/compiler/index.ts';
import { locateSource } from '../../src/source/index.ts';

const right = program('right', {}, (_env, pkt) => {
  const first = pkt.u8(0); // this very line
  return first > 3 ? 'drop' : 'pass';
});

describe('source lines', () => {
  it('are those of the TypeScript file', () => {
    const spec = compile(right, { locate: locateSource });
    const lines = spec.instructions
      .map((instruction) => instruction.source)
      .filter((line) => line !== undefined);
    const files = new Set(lines.map((line) => basename(line.file)));
    assert.deepEqual([...files], ['source.test.ts']);
    const texts = lines.map((line) => line.text);
    assert.ok(texts.includes('const first = pkt.u8(0); // this very line'), texts.join('\n'));
    assert.equal(lines.find((line) => line.text.startsWith('const first'))?.line, 9);
  });

  it('are taken by the kernel as line info', () => {
    using loaded = load(compile(right, { locate: locateSource }));
    assert.equal(loaded.program.testRun({ data: new Uint8Array(20) }).action, 'pass');
  });

  it('are those of the function where nothing is known', () => {
    const spec = compile(right);
    const line = spec.instructions.find((i) => i.source?.text.startsWith('const first'))?.source;
    assert.deepEqual([line?.file, line?.line], ['right', 2]);
  });

  it('stand in errors', () => {
    const outside = 4;
    const wrong = program('wrong', {}, (_env, pkt) => (pkt.u8(0) > outside ? 'drop' : 'pass'));
    assert.throws(
      () => compile(wrong, { locate: locateSource }),
      (error: unknown) => {
        assert.ok(error instanceof CompileError);
        assert.equal(basename(error.at.file), 'source.test.ts');
        assert.equal(error.at.line, 39);
        assert.equal(
          error.at.text.slice(error.at.column - 5).startsWith('outside'),
          true,
          `${error.at.column}`,
        );
        return true;
      },
    );
  });
});
