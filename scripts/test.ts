/**
 * Runs the tests: every `*.test.js` below dist/test, or those whose path contains one of the given words.
 *
 * Node 20 takes no glob patterns, and a kernel test that silently did not run would be worse than one that fails, so
 * this looks first whether it can run them at all.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { effectiveCapabilities } from '../src/sys/index.ts';

const root = fileURLToPath(new URL('../test/', import.meta.url));
const words = process.argv.slice(2).filter((word) => !word.startsWith('-'));
const flags = process.argv.slice(2).filter((word) => word.startsWith('-'));
const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort();

const held = effectiveCapabilities();
const missing = (['CAP_NET_ADMIN', 'CAP_SYS_ADMIN', 'CAP_NET_RAW'] as const).filter(
  (name) => !held.has(name),
);
if (missing.length > 0) {
  console.error(`The tests work on the kernel's network and lack ${missing.join(', ')}: run them as root.`);
  process.exit(1);
}
if (files.length === 0) {
  console.error(`No test file has ${words.join(' or ')} in its path.`);
  process.exit(2);
}
const result = spawnSync(
  process.execPath,
  ['--test', '--test-concurrency=2', '--test-reporter=spec', ...flags, ...files.map((file) => root + file)],
  { stdio: 'inherit' },
);
process.exit(result.status ?? 1);
