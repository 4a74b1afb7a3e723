import { helpPage } from '../help.ts';
import { text } from '../kinds.ts';
import { findPath } from '../parse.ts';
import { helpWidth } from '../run.ts';
import { type Command, command } from '../table.ts';

export const help: Command = command({
  name: 'help',
  summary: 'Explain a command',
  positionals: [
    {
      name: 'command',
      kind: { ...text('COMMAND'), accepts: 'the words of a command', completion: { from: 'commands' } },
      summary: 'The command, as in help lab up',
      optional: true,
      rest: true,
    },
  ],
  async run({ args }, { output, root }) {
    output.write(helpPage(root, args.command, findPath(root, args.command), helpWidth(output)));
  },
});
