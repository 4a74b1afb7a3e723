/** The emulated machine itself; run by `npm run test:kernels`, for it takes an emulator and a kernel. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import type { ArchiveEntry } from '../../scripts/kernels/archive.ts';
import { fetchKernel, install, type Kernel } from '../../scripts/kernels/debian.ts';
import { text } from '../../scripts/kernels/files.ts';
import { boot, GuestError } from '../../scripts/kernels/guest.ts';

let kernel: Kernel;
before(() => {
  install('qemu-system-x86');
  kernel = fetchKernel('6.1');
});

describe('a guest', () => {
  it('gets its files as they are, and gives back what its command said and ended with', async () => {
    const folder: ArchiveEntry = { path: 'empty', kind: 'folder', mode: 0o700, data: new Uint8Array() };
    const link: ArchiveEntry = { path: 'deep/link', kind: 'link', mode: 0o777, data: Buffer.from('er/1') };
    const contents = [0, 1, 2, 3, 4, 5, 100_003].map((length) => randomBytes(length));
    const files = contents.map(
      (data, i): ArchiveEntry => ({ path: `deep/er/${i}`, kind: 'file', mode: 0o640 + i, data }),
    );
    const heard: string[] = [];
    const { output, exitCode } = await boot({
      kernel,
      files: [...files, folder, link, text('/text', 'é\n')],
      command: [
        'uname -r',
        'cd /deep/er && sha256sum *',
        'stat -c %a *',
        'stat -c "%a %F" /empty',
        'readlink /deep/link; cat /text; echo complaint >&2',
        'exit 7',
      ].join('\n'),
      onOutput: (piece) => heard.push(piece),
    });
    const sums = contents.map((data, i) => `${createHash('sha256').update(data).digest('hex')}  ${i}`);
    const modes = files.map(({ mode }) => mode.toString(8));
    const expected = [kernel.release, ...sums, ...modes, '700 directory', 'er/1', 'é', 'complaint', ''];
    assert.deepEqual(output.split('\n'), expected);
    assert.equal(heard.join(''), output);
    assert.equal(exitCode, 7);
  });

  it('has the modules that it was promised, with those that they need', async () => {
    const { output } = await boot({
      kernel,
      modules: ['bridge', 'veth'],
      command: 'cut -d " " -f 1 /proc/modules',
    });
    const loaded = output.trim().split('\n');
    for (const name of ['bridge', 'stp', 'llc', 'veth'])
      assert.ok(loaded.includes(name), `${name}: ${loaded}`);
  });

  it('is ended when its time is over', async () => {
    await assert.rejects(boot({ kernel, command: 'echo waiting; sleep 1000', timeout: 45 }), (error) => {
      assert.ok(error instanceof GuestError);
      assert.match(error.message, /did not end within 45 s/);
      assert.equal(error.output, 'waiting\n');
      return true;
    });
  });

  it('tells of its panic', async () => {
    await assert.rejects(boot({ kernel, command: 'echo c >/proc/sysrq-trigger' }), (error) => {
      assert.ok(error instanceof GuestError);
      assert.match(error.message, /ended without a result; the kernel's last words: Kernel panic.*sysrq/);
      return true;
    });
  });
});
