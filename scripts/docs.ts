/** Writes `docs/cli.md` from the command table. Run by `npm run docs`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { barewire } from '../src/cli/commands/index.ts';
import { manual } from '../src/cli/manual.ts';

const folder = new URL('../../docs/', import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL('cli.md', folder), manual(barewire));
