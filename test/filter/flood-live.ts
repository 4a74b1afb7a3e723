/** Floods eth0 with UDP from many sources until its standard input ends: `flood-live SOURCES TO PACKETS-PER-SECOND`. */
import { argv, stdin, stdout } from 'node:process';
import { Sender } from '../../src/apps/send.ts';

const [source, destination, rate] = argv.slice(2);
await using sender = await Sender.open({
  interface: 'eth0',
  payload: { kind: 'udp', port: 9, payload: new Uint8Array(18) },
  source,
  destination,
  engine: 'live',
  rate: Number(rate),
});
const stop = new AbortController();
stdin.resume().once('end', () => stop.abort());
stdout.write('ready\n');
for await (const _ of sender.reports(1000, stop.signal));
