import { interfaceName } from '../kinds.ts';
import { matchOf } from '../match-options.ts';
import { type Command, command } from '../table.ts';
import { takeOptions } from '../take-options.ts';
import { introduce, printTraffic } from './reflect.ts';

export const drop: Command = command({
  name: 'drop',
  summary: 'Receive packets over AF_XDP, count them and forget them',
  description: [
    'What it takes, the host does not get: without options that say which packets are meant, that is everything, SSH among it. barewire count counts without taking.',
  ],
  positionals: [{ name: 'interface', kind: interfaceName(), summary: 'The interface' }],
  options: takeOptions,
  examples: [
    { does: 'How many packets a second can be received', line: 'barewire drop eth0 --protocol udp --port 9' },
  ],
  async run({ args, options }, context) {
    const { output, signal } = context;
    const { Dropper } = await import('../../apps/drop.ts');
    const { netns, mode, replace, queue } = options;
    await using dropper = await Dropper.open({
      interface: args.interface,
      netns,
      mode,
      replace,
      checkFrames: options.checkFrames,
      match: matchOf(options),
      queues: queue.length > 0 ? queue : undefined,
    });
    introduce(dropper.open, 'Dropping', context);
    const { count, duration, interval, driver } = options;
    const reports = dropper.reports({ count, duration, interval, driver, signal });
    await printTraffic(reports, dropper.open, options.json, 'received', output);
  },
});
