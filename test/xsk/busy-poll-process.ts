/** Holds back an interface's interrupts until it is killed: `node busy-poll-process.js NETNS TIMING`. */
import { argv, stdout } from 'node:process';
import { type NapiTiming, openInterface } from '../../src/xsk/index.ts';
import { TEST_ETHER_TYPE } from './link-layer-suite.ts';

await openInterface('eth0', {
  netns: argv[2],
  match: { etherTypes: [TEST_ETHER_TYPE] },
  busyPoll: { interrupts: JSON.parse(argv[3] ?? '') as NapiTiming },
});
stdout.write('ready\n');
