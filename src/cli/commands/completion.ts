import { bashCompletion } from '../completion/bash.ts';
import { fishCompletion } from '../completion/fish.ts';
import { zshCompletion } from '../completion/zsh.ts';
import { oneOf } from '../kinds.ts';
import { type Command, command } from '../table.ts';

const scripts = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

export const completion: Command = command({
  name: 'completion',
  summary: 'Print a completion script for a shell',
  description: [
    'The script completes commands, options and their values, also the names of interfaces and network namespaces. It runs nothing of Barewire, so it is fast.',
  ],
  positionals: [{ name: 'shell', kind: oneOf('SHELL', ['bash', 'zsh', 'fish']), summary: 'The shell' }],
  examples: [
    { does: 'In bash, for this session', line: 'source <(barewire completion bash)' },
    {
      does: 'In bash, from the next session on',
      line: 'barewire completion bash > ~/.local/share/bash-completion/completions/barewire',
    },
    { does: 'In zsh, into a folder of $fpath', line: 'barewire completion zsh > ~/.zfunc/_barewire' },
    { does: 'In fish', line: 'barewire completion fish > ~/.config/fish/completions/barewire.fish' },
  ],
  async run({ args }, { output, root }) {
    output.write(scripts[args.shell](root));
  },
});
