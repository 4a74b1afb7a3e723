/** Floods an interface by live frames until its standard input ends: `bench-generator IFNAME CPU`. */
import { argv, stdin, stdout } from 'node:process';
import { pinTo } from './bench-cpu.ts';
import { Sender } from './send.ts';

const [name, cpu] = argv.slice(2);
if (name !== undefined && cpu !== undefined) {
  pinTo(Number(cpu));
  const frame = new Uint8Array(64);
  frame.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
  await using sender = await Sender.open({
    interface: name,
    payload: { kind: 'frames', frames: [frame] },
    engine: 'live',
  });
  const stop = new AbortController();
  stdin.resume().once('end', () => stop.abort());
  stdout.write('ready\n');
  for await (const _ of sender.reports(1000, stop.signal));
}
