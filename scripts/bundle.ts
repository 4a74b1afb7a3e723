/**
 * Puts the command into one file, `dist/bundle/barewire.cjs`, and its bytecode beside it; part of `npm run build`.
 *
 * `src/cli/launch.cts` runs it. Packages that few commands need stay outside.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { constants, Script } from 'node:vm';
import { build, type Plugin } from 'esbuild';
import type { barewire } from '../src/cli/commands/index.ts';
import type { makeOutput } from '../src/cli/output.ts';
import type { run } from '../src/cli/run.ts';
import { writeObject } from '../src/object/index.ts';
import { counterSpec } from '../src/programs/counter.ts';

const DIST = fileURLToPath(new URL('../', import.meta.url));
const FOLDER = join(DIST, 'bundle');
const SCRIPT = join(FOLDER, 'barewire.cjs');
const BYTECODE = join(FOLDER, 'barewire.bytecode');

/** What the bundle gives to whoever calls it. */
interface Bundle {
  readonly barewire: typeof barewire;
  readonly run: typeof run;
  readonly makeOutput: typeof makeOutput;
}

/** Files beside a module, as the native part and programs for other processes, are found from where the module was. */
const moduleUrls: Plugin = {
  name: 'module URLs',
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      if (!text.includes('import.meta.url')) return undefined;
      const place = JSON.stringify(relative(DIST, path));
      return { contents: text.replaceAll('import.meta.url', `moduleUrl(${place})`), loader: 'js' };
    });
  },
};

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true });
await build({
  stdin: {
    contents: ['start', 'run', 'output', 'commands/index']
      .map((name) => `export * from './${name}.js';`)
      .join('\n'),
    resolveDir: join(DIST, 'src/cli'),
  },
  outfile: SCRIPT,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  external: ['undici', 'prom-client', 'uplot', 'yaml'],
  charset: 'ascii',
  plugins: [moduleUrls],
  banner: {
    js: `(function (require, __dirname) {
const module = { exports: {} };
const moduleUrl = (path) => require('node:url').pathToFileURL(require('node:path').join(__dirname, '..', path)).href;`,
  },
  footer: { js: `return module.exports;\n/*! acorn:\n${license('acorn')}*/\n})` },
  logLevel: 'warning',
});
writeFileSync(BYTECODE, await makeBytecode());

/** What has to go with copies of a package. */
function license(name: string): string {
  return readFileSync(join(DIST, '../node_modules', name, 'LICENSE'), 'utf8');
}

/** Runs what changes nothing, so that functions are compiled that most commands need, and keeps them. */
async function makeBytecode(): Promise<Uint8Array> {
  const script = new Script(readFileSync(SCRIPT, 'latin1'), {
    filename: SCRIPT,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const bundle = script.runInThisContext()(createRequire(SCRIPT), FOLDER) as Bundle;
  const folder = mkdtempSync(join(tmpdir(), 'barewire-build-'));
  try {
    const object = join(folder, 'count.o');
    writeFileSync(object, writeObject(counterSpec({ frags: false })));
    const nowhere = new Writable({ write: (_, __, done) => done() });
    const output = bundle.makeOutput(nowhere, nowhere, {});
    for (const line of [
      ['help'],
      ['status'],
      ['doctor'],
      ['inspect', object, '--code'],
      ['inspect', object],
    ]) {
      await bundle.run(bundle.barewire, line, output, new AbortController().signal);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return script.createCachedData();
}
