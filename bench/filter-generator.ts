/** Floods an interface with UDP from many sources until it is killed: `filter-generator IFNAME SOURCES TO`. */
import { argv, stdout } from 'node:process';
import { pinTo } from '../src/apps/bench-cpu.ts';
import { Sender } from '../src/apps/send.ts';

const [name = '', source = '', destination = ''] = argv.slice(2);
pinTo(0);
await using sender = await Sender.open({
  interface: name,
  payload: { kind: 'udp', port: 9, payload: new Uint8Array(18) },
  source,
  destination,
  engine: 'live',
  seed: 1,
});
stdout.write('ready\n');
for await (const _ of sender.reports(60_000));
