#!/usr/bin/env node
/**
 * What `barewire` starts: all modules in one file, with the bytecode that its functions had when it was built.
 *
 * Reading a module costs Node half a millisecond, and a command has over a hundred of them. CommonJS, because such a
 * file starts some milliseconds sooner than a module, and because only scripts take bytecode along.
 */
const { existsSync, readFileSync } = process.getBuiltinModule('node:fs');
const { createRequire } = process.getBuiltinModule('node:module');
const { join } = process.getBuiltinModule('node:path');
const { pathToFileURL } = process.getBuiltinModule('node:url');
const { constants, Script } = process.getBuiltinModule('node:vm');

const folder = join(__dirname, '../../bundle');
const filename = join(folder, 'barewire.cjs');
// With -v stacks are shown, which ought to name the modules they come from.
const verbose = process.argv.slice(2).some((word) => word === '-v' || word === '--verbose');

if (verbose || !existsSync(filename)) {
  void import(pathToFileURL(join(__dirname, 'main.js')).href);
} else {
  const bytecode = join(folder, 'barewire.bytecode');
  const script = new Script(readFileSync(filename, 'latin1'), {
    filename,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    // Another version of Node than the one that built it refuses it, and compiles.
    ...(existsSync(bytecode) ? { cachedData: readFileSync(bytecode) } : {}),
  });
  const { start } = script.runInThisContext()(
    createRequire(filename),
    folder,
    // Functions that come out of bytecode cannot import by themselves.
    (specifier: string) => import(specifier),
  ) as { start(): Promise<void> };
  void start();
}
