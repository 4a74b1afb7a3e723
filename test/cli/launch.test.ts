import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Lab } from '../../src/lab/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { ROOT } from '../docs/documents.ts';
import { barewire, type Ended, run } from './bin.ts';

const stock = takeStock();
const lab = Lab.create({ hosts: ['here', 'there'], wires: [{ between: ['here', 'there'] }] });
after(() => {
  lab.destroy();
  requireNoLeaks(stock);
});

const { bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { bin: { barewire: string } };

/** The command as the package starts it: from one file. */
function bundled(...args: string[]): Ended {
  return run(process.execPath, join(ROOT, bin.barewire), ...args);
}

describe('the command in one file', () => {
  it('is what the modules are', () => {
    const status = ['status', 'eth0', '--netns', lab.host('there').namespace];
    for (const line of [['--version'], ['--help'], ['load', '--help'], ['nonsense'], status]) {
      const says = `${line.join(' ')} is another in dist/bundle: is it as new as the modules (npm run build)?`;
      assert.deepEqual(bundled(...line), barewire(...line), says);
    }
  });

  it('compiles, attaches and counts', () => {
    const netns = ['--netns', lab.host('here').namespace];
    const { code, stdout, stderr } = bundled('count', 'eth0', ...netns, '-i', '20ms', '-n', '1', '--json');
    assert.equal(code, 0, stderr);
    assert.equal((JSON.parse(stdout) as { interface: string }).interface, 'eth0');
  });

  it('shows stacks of the modules with -v', () => {
    const { code, stderr } = bundled('inspect', join(ROOT, 'package.json'), '-v');
    assert.equal(code, 1);
    assert.match(stderr, /dist\/src\/object\/elf-reader\.js:\d+/);
    assert.doesNotMatch(stderr, /bundle/);
  });
});
