/**
 * Runs Barewire's PPPoE against Debian's pppoe-server and pppd, in a guest that runs as a process: `*.interop.js` below
 * dist/test/interop, or those whose path contains one of the given words. As root; the first run downloads about 50 MB.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../test/interop/', import.meta.url));
const words = process.argv.slice(2).filter((word) => !word.startsWith('-'));
const files = readdirSync(root)
  .filter((file) => file.endsWith('.interop.js'))
  .filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  .sort();

if (files.length === 0) {
  console.error(`No interop test has ${words.join(' or ')} in its name.`);
  process.exit(2);
}
const result = spawnSync(
  process.execPath,
  // One guest at a time: together they would measure each other's patience.
  ['--test', '--test-concurrency=1', '--test-reporter=spec', ...files.map((file) => root + file)],
  { stdio: 'inherit' },
);
process.exit(result.status ?? 1);
