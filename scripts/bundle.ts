/**
 * Puts the command into one file, `dist/bundle/barewire.cjs`, and its bytecode beside it; part of `npm run build`.
 *
 * `src/cli/launch.cts` runs it. Packages that few commands need stay outside.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { constants, Script } from 'node:vm';
import { build, type Plugin, transform } from 'esbuild';
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

/**
 * Makes each module a function of its own, which neither runs nor is compiled before somebody requires it: all of them
 * in one scope would be a thousand functions to set up for every command.
 *
 * Files beside a module, as the native part and programs for other processes, are found from where the module was.
 */
const lazyModules: Plugin = {
  name: 'lazy modules',
  setup({ onLoad, onResolve }) {
    // In a namespace of their own they are not taken for ES modules, as package.json would have it.
    onResolve({ filter: /^\.{1,2}\// }, ({ path, resolveDir }) => ({
      path: relative(DIST, join(resolveDir, path)),
      namespace: 'dist',
    }));
    onLoad({ filter: /./, namespace: 'dist' }, async ({ path }) => {
      const file = join(DIST, path);
      const url = `moduleUrl(${JSON.stringify(path)})`;
      const text = readFileSync(file, 'utf8').replaceAll('import.meta.url', url);
      const { code } = await transform(text, { format: 'cjs', target: 'node20' });
      return { contents: code, loader: 'js', resolveDir: dirname(file) };
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
  plugins: [lazyModules],
  banner: {
    js: `(function (require, __dirname, importModule) {
const module = { exports: {} };
const moduleUrl = (path) => require('node:url').pathToFileURL(require('node:path').join(__dirname, '..', path)).href;`,
  },
  footer: { js: `return module.exports;\n/*! acorn:\n${license('acorn')}*/\n})` },
  logLevel: 'warning',
});
// Node cannot import from functions that come out of bytecode: the launcher does it for them.
const IMPORT = /\bimport\((?="|__rewrite)/g;
writeFileSync(SCRIPT, readFileSync(SCRIPT, 'latin1').replace(IMPORT, 'importModule('), 'latin1');
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
  const bundle = script.runInThisContext()(
    createRequire(SCRIPT),
    FOLDER,
    (specifier: string) => import(specifier),
  ) as Bundle;
  const folder = mkdtempSync(join(tmpdir(), 'barewire-build-'));
  try {
    const object = join(folder, 'count.o');
    writeFileSync(object, writeObject(counterSpec({ frags: false })));
    const nowhere = new Writable({ write: (_, __, done) => done() });
    const output = bundle.makeOutput(nowhere, nowhere, {});
    // More would take longer to read than it saves: what is kept of one command, all others read as well.
    for (const line of [['help'], ['inspect', object]]) {
      await bundle.run(bundle.barewire, line, output, new AbortController().signal);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return script.createCachedData();
}
