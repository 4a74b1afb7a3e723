/** Attaches a filter, adds to it, says so, and waits to be killed. */
import { argv, stdout } from 'node:process';
import { type AttachFilterOptions, createFilter } from '../../src/filter/index.ts';

const filter = await createFilter(JSON.parse(argv[2] ?? '{}') as AttachFilterOptions);
await filter.deny('10.77.0.1', { reason: 'scan' });
await filter.deny('2001:db8::/32');
await filter.allow('198.51.100.0/24');
stdout.write('ready\n');
setInterval(() => {}, 1000);
