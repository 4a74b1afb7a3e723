/**
 * Sends for some seconds, in a process of its own as the C program is: `send-ours IFNAME SECONDS xsk|live udp|dns`.
 * Prints one JSON line: packets and seconds.
 */
import { argv, exit, stdout } from 'node:process';
import { type Engine, Sender } from '../src/apps/send.ts';

const [name = '', seconds = '1', engine, kind] = argv.slice(2);
await using sender = await Sender.open({
  interface: name,
  destination: '10.77.0.2',
  payload:
    kind === 'dns'
      ? { kind: 'dns', questions: [{ name: 'example.org', type: 'A' }], randomLabel: true }
      : { kind: 'udp', port: 9, payload: new Uint8Array(22) },
  order: kind === 'dns' ? 'random' : 'sequential',
  engine: engine as Engine,
  answers: false,
  duration: Number(seconds) * 1000,
});
stdout.write('ready\n');
for await (const { done, sent, elapsed } of sender.reports(60_000)) {
  if (done) stdout.write(`${JSON.stringify({ packets: sent, seconds: elapsed / 1000 })}\n`);
}
await sender.close();
exit(0);
