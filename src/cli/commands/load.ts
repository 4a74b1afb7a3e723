import { file, interfaceName, text } from '../kinds.ts';
import { json, mode, netns } from '../standard-options.ts';
import { type Command, command } from '../table.ts';

export const load: Command = command({
  name: 'load',
  summary: 'Put a program of an object file on an interface, to stay',
  description: [
    'Loads an object file that clang made (or barewire compile) and attaches one of its XDP programs. It stays when the command ends, held by its link on the BPF file system, until barewire unload takes it off or the machine restarts.',
    "Its maps are pinned beside it, so that barewire map reads and changes them by path. Maps that the object keeps by name lie where libbpf's programs look for them, in /sys/fs/bpf.",
  ],
  positionals: [
    { name: 'interface', kind: interfaceName(), summary: 'The interface to run on' },
    { name: 'object', kind: file(), summary: 'An object file (.o)' },
  ],
  options: {
    program: { kind: text('NAME'), short: 'p', summary: 'Which of its programs; needed when it has several' },
    mode,
    netns: { ...netns, summary: 'The network namespace of the interface' },
    replace: { kind: 'flag', summary: "Evict another owner's program from the interface" },
    json,
  },
  examples: [
    { does: 'The only program of an object', line: 'barewire load eth0 filter.o' },
    {
      does: 'One of several, in a lab',
      line: 'barewire load eth0 filters.o -p drop_udp --netns bw-play-server',
    },
  ],
  async run({ args, options }, { output }) {
    const { loadOn, readObjectFile } = await import('../../apps/load.ts');
    const object = readObjectFile(args.object);
    const placed = loadOn({ ...options, interface: args.interface, object });
    if (options.json) return output.json(placed);
    const { program, interface: link, mode: granted, refusals, maps } = placed;
    const refused = refusals
      .map((refusal) => `; ${refusal.mode} mode was refused: ${refusal.reason}`)
      .join('');
    output.write(`${program.name} (${program.id}) runs on ${link.name} in ${granted} mode${refused}\n`);
    for (const [name, path] of Object.entries(maps)) output.write(`  ${name}: ${path}\n`);
  },
});

export const unload: Command = command({
  name: 'unload',
  summary: 'Take off what load put on an interface',
  description: ['Programs of other owners are left alone; barewire status shows whose they are.'],
  positionals: [{ name: 'interface', kind: interfaceName(), summary: 'The interface' }],
  options: { netns: { ...netns, summary: 'The network namespace of the interface' }, json },
  examples: [{ does: 'As it was before', line: 'barewire unload eth0' }],
  async run({ args, options }, { output }) {
    const { unloadFrom } = await import('../../apps/load.ts');
    const done = unloadFrom({ interface: args.interface, netns: options.netns });
    if (options.json) output.json(done);
    else output.write(`${done.interface.name} is free\n`);
  },
});
