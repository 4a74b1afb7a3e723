/** A concentrator in a process of its own, in the namespace that the first argument names; lets everybody in. */
import { argv, stdout } from 'node:process';
import { AccessConcentrator } from '../src/lines/index.ts';

const server = await AccessConcentrator.open('eth0', {
  netns: argv[2],
  pool: '10.64.0.0/16',
  account: () => ({ password: 'bench' }),
  echo: false,
});
stdout.write('ready\n');
process.on('SIGTERM', () => void server.close());
