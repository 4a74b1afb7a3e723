/** Attaches a program to eth0 of the given namespace and waits to be killed. */
import { setInterval } from 'node:timers';
import { assemble, exit, func, mov64, r0 } from '../../src/asm/index.ts';
import { attachXdp, load } from '../../src/bpf/index.ts';

const assembly = assemble([func('waiter', 1), mov64(r0, 2), exit()]);
const loaded = load({
  name: 'waiter',
  type: 'xdp',
  attachType: 'xdp',
  frags: false,
  license: 'MIT',
  maps: {},
  ...assembly,
});
const attachment = attachXdp(loaded.program, { interface: 'eth0', netns: process.argv[2] });
process.stdout.write(`${attachment.mode}\n`);
setInterval(() => {}, 1000);
