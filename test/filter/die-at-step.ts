/** Applies a configuration, or confirms one, and ends by SIGKILL before the step whose number it is given. */

import { writeSync } from 'node:fs';
import { argv, exit, kill, pid, stdout } from 'node:process';
import { Filter, type FilterConfig, type FilterPlace } from '../../src/filter/index.ts';

interface Task {
  readonly where: FilterPlace;
  readonly step: number;
  readonly config?: FilterConfig;
  readonly confirm?: number;
  readonly confirmation?: true;
  readonly thenDie?: true;
}

const { where, step, config, confirm, confirmation, thenDie } = JSON.parse(argv[2] ?? '') as Task;
let left = step;
const onStep = (name: string): void => {
  if (--left > 0) return;
  writeSync(stdout.fd, `${name}\n`);
  kill(pid, 'SIGKILL');
  // The signal is on its way; nothing more may happen.
  for (;;);
};
const filter = new Filter(where);
if (confirmation) await filter.confirm({ onStep });
else await filter.apply(config ?? {}, { confirm, onStep });
if (thenDie) {
  left = 0;
  onStep('done');
}
exit(0);
