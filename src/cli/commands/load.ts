import type { Placed } from '../../apps/load.ts';
import { file, integer, interfaceName, oneOf, text } from '../kinds.ts';
import type { Output } from '../output.ts';
import { json, mode, netns } from '../standard-options.ts';
import { type Command, command } from '../table.ts';

export const load: Command = command({
  name: 'load',
  summary: 'Put a program of an object file on an interface, to stay',
  description: [
    'Loads an object file that clang made (or barewire compile) and attaches one of its XDP programs. It stays when the command ends, held by paths on the BPF file system, until barewire unload takes it off or the machine restarts.',
    "Programs that are there already go on: they share the interface by libxdp's protocol, each with a priority (lower runs first) and verdicts after which the next one runs. Both are read from the object (XDP_RUN_CONFIG) unless they are given; without either they are 50 and pass. Where the kernel does not run several programs, this says so and the program runs alone.",
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
    priority: {
      kind: integer({ min: 0, max: 0xffff_ffff }),
      summary: 'Its place among others: lower runs first (default: what the object says, or 50)',
    },
    chain: {
      kind: oneOf('VERDICT', ['aborted', 'drop', 'pass', 'tx', 'redirect']),
      repeated: true,
      summary: 'After this verdict the next program runs (default: what the object says, or pass)',
    },
    alone: { kind: 'flag', summary: 'Share the interface with nobody' },
    replace: { kind: 'flag', summary: "Evict others' programs from the interface" },
    json,
  },
  examples: [
    { does: 'The only program of an object', line: 'barewire load eth0 filter.o' },
    { does: 'Before others, which see what it passes', line: 'barewire load eth0 filter.o --priority 10' },
    {
      does: 'One of several, in a lab',
      line: 'barewire load eth0 filters.o -p drop_udp --netns bw-play-server',
    },
  ],
  async run({ args, options }, { output }) {
    const { loadOn, onlyOne } = await import('../../apps/load.ts');
    const { readObjectFile } = await import('../../apps/object-file.ts');
    const object = readObjectFile(args.object);
    const { chain } = options;
    const placed = loadOn({
      ...options,
      interface: args.interface,
      object,
      chain: chain.length === 0 ? undefined : chain,
    });
    if (options.json) return output.json(placed);
    print(placed, output);
    if (placed.alone !== undefined) {
      output.note(
        `barewire: ${onlyOne(placed.alone)}; ${placed.program.name} runs alone on ${placed.interface.name}, and nothing can be loaded beside it, by barewire or by libxdp's tools`,
      );
    }
  },
});

function print(placed: Placed, output: Output): void {
  const { program, interface: link, mode: granted, refusals, maps, dispatcher } = placed;
  const refused = refusals.map((refusal) => `; ${refusal.mode} mode was refused: ${refusal.reason}`).join('');
  output.write(`${program.name} (${program.id}) runs on ${link.name} in ${granted} mode${refused}\n`);
  for (const [position, { id, name, priority, chain }] of dispatcher?.programs?.entries() ?? []) {
    const here = id === program.id ? ', this one' : '';
    const then = chain.length === 0 ? 'nothing' : chain.join(' ');
    output.write(`  ${position + 1}. ${name} (${id}${here}): priority ${priority}, goes on after ${then}\n`);
  }
  for (const [name, path] of Object.entries(maps)) output.write(`  ${name}: ${path}\n`);
}

export const unload: Command = command({
  name: 'unload',
  summary: 'Take off what load put on an interface',
  description: [
    'Without --program, --id or --all: the programs that barewire load put there. Others on the same interface go on without a gap. barewire status shows whose they are.',
  ],
  positionals: [{ name: 'interface', kind: interfaceName(), summary: 'The interface' }],
  options: {
    program: { kind: text('NAME'), short: 'p', summary: 'The programs of this name, whoever loaded them' },
    id: { kind: integer({ min: 1 }), summary: 'The program with this id, whoever loaded it' },
    all: { kind: 'flag', summary: 'All programs that share the interface, whoever loaded them' },
    netns: { ...netns, summary: 'The network namespace of the interface' },
    json,
  },
  examples: [
    { does: 'As it was before', line: 'barewire unload eth0' },
    { does: 'One of several', line: 'barewire unload eth0 --program drop_udp' },
  ],
  async run({ args, options }, { output }) {
    const { unloadFrom } = await import('../../apps/load.ts');
    const done = unloadFrom({ ...options, interface: args.interface });
    if (options.json) return output.json(done);
    const { name } = done.interface;
    if (done.left === 0) return output.write(`${name} is free\n`);
    const gone = done.programs.map((program) => `${program.name} (${program.id})`).join(', ');
    output.write(
      `${gone} left ${name}, where ${done.left === 1 ? '1 program goes' : `${done.left} programs go`} on\n`,
    );
  },
});
