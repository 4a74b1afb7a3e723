import type { Verdict } from '../../apps/run.ts';
import { file, integer, text } from '../kinds.ts';
import { json, netns } from '../standard-options.ts';
import { type Command, command } from '../table.ts';

export const run: Command = command({
  name: 'run',
  summary: 'Run an XDP program over captured packets and print its verdicts',
  description: [
    'The kernel runs the program on each packet of a capture (pcap or pcapng), or on copies of those that an interface receives, but on no interface: a way to see what a filter would do before it is attached. Redirects go nowhere.',
  ],
  positionals: [
    { name: 'source', kind: file(), summary: 'A capture file, or the name of an interface' },
    { name: 'object', kind: file(), summary: 'An object file (.o)' },
  ],
  options: {
    program: { kind: text('NAME'), short: 'p', summary: 'Which of its programs; needed when it has several' },
    count: { kind: integer({ min: 1 }), short: 'n', summary: 'End after so many packets' },
    netns: { ...netns, summary: 'The network namespace of the interface' },
    json,
  },
  examples: [
    { does: 'What would be dropped', line: 'barewire run traffic.pcap filter.o' },
    { does: 'Of live traffic, the next hundred packets', line: 'barewire run eth0 filter.o -n 100' },
  ],
  async run({ args, options }, { output, signal }) {
    const [{ readObjectFile }, { verdicts }, { describePacket }] = await Promise.all([
      import('../../apps/object-file.ts'),
      import('../../apps/run.ts'),
      import('../../packet/index.ts'),
    ]);
    const object = readObjectFile(args.object);
    const totals = new Map<string, number>();
    for await (const verdict of verdicts({ ...options, source: args.source, object, signal })) {
      const action = nameOf(verdict);
      totals.set(action, (totals.get(action) ?? 0) + 1);
      const { packet, timestamp, length, returned, changed, bytes } = verdict;
      if (options.json) {
        const after = changed === undefined ? undefined : Buffer.from(changed).toString('hex');
        output.json({ packet, timestamp, length, action: verdict.action, returned, changed: after });
      } else {
        output.write(
          `${packet} ${action}${changed === undefined ? '' : ' changed'} ${length} bytes ${describePacket(bytes)}\n`,
        );
      }
    }
    const sum = [...totals].map(([action, count]) => `${count} ${action}`).join(', ');
    output.note(sum === '' ? 'no packets' : sum);
  },
});

function nameOf({ action, returned }: Verdict): string {
  return action ?? `returned ${returned}`;
}
