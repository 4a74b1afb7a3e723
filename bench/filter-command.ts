/** The `barewire` command, which tells the most memory it had, in kB, as its last line of the standard error output. */
import { resourceUsage, stderr } from 'node:process';

process.once('exit', () => stderr.write(`peak ${resourceUsage().maxRSS}\n`));
await import('../src/cli/main.ts');
