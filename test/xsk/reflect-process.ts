/** A process that reflects on an interface until it is killed: `node reflect-process.js NETNS INTERFACE`. */
import { argv, stdout } from 'node:process';
import { openInterface } from '../../src/xsk/index.ts';
import { reflectBack } from './integrity.ts';
import { TEST_ETHER_TYPE } from './link-layer-suite.ts';

const [netns, name = 'eth0'] = argv.slice(2);
await using far = await openInterface(name, { netns, match: { etherTypes: [TEST_ETHER_TYPE] } });
stdout.write('ready\n');
await far.run(reflectBack);
