import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ROOT } from '../docs/documents.ts';

interface Manifest {
  readonly version: string;
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
  readonly scripts: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as Manifest;
const run = (command: string, args: readonly string[], cwd: string) =>
  execFileSync(command, args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, npm_config_audit: 'false', npm_config_fund: 'false' },
  });

describe('the package, installed from its tarball without any script', () => {
  let folder: string;
  let installed: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'barewire-package-'));
    installed = join(folder, 'node_modules/barewire');
    const [packed] = JSON.parse(
      run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], ROOT),
    ) as [{ filename: string }];
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
    run('npm', ['install', '--ignore-scripts', '--prefer-offline', join(folder, packed.filename)], folder);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('would run no script at its users', () => {
    for (const name of ['preinstall', 'install', 'postinstall']) assert.ok(!(name in manifest.scripts), name);
    assert.ok(!existsSync(join(installed, 'binding.gyp')), 'npm builds by itself where it finds one');
  });

  it('has what each of its imports names, with types', () => {
    for (const [name, target] of Object.entries(manifest.exports)) {
      const files = typeof target === 'string' ? [target] : [target.types, target.default];
      for (const file of files) assert.ok(existsSync(join(installed, file)), `${name}: ${file}`);
    }
  });

  it('is imported under every name and finds its native part', () => {
    const names = Object.keys(manifest.exports).filter((name) => name !== './package.json');
    const code = names.map((name) => `await import('barewire${name.slice(1)}');`).join('\n');
    writeFileSync(join(folder, 'all.js'), `${code}\nconsole.log('imported');`);
    assert.equal(run(process.execPath, ['all.js'], folder), 'imported\n');
  });

  it('puts its command in place', () => {
    assert.match(
      run(join(folder, 'node_modules/.bin/barewire'), ['--version'], folder),
      new RegExp(manifest.version),
    );
  });

  it('brings both native binaries, their source and the licence, and no test', () => {
    for (const file of [
      'native/prebuilt/linux-x64/barewire.node',
      'native/prebuilt/linux-arm64/barewire.node',
      'native/barewire.c',
      'native/build.sh',
      'LICENSE',
      'README.md',
    ]) {
      assert.ok(existsSync(join(installed, file)), file);
    }
    for (const file of ['dist/test', 'dist/bench', 'test'])
      assert.ok(!existsSync(join(installed, file)), file);
  });
});
