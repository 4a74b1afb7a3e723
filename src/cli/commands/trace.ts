import { ArgumentError } from '../../error.ts';
import { file, text } from '../kinds.ts';
import { json } from '../standard-options.ts';
import { type Command, command } from '../table.ts';

export const trace: Command = command({
  name: 'trace',
  summary: 'Show what programs say: the trace pipe, or events of a ring buffer',
  description: [
    'Without --map, lines that programs write with bpf_printk. The pipe does not say who wrote a line; --program shows those that one of its formats makes.',
    "With --map, events of any program's ring buffer, one JSON object a line, by the names of the type that is given. Either way, whoever reads takes: other readers do not see the same.",
  ],
  options: {
    program: { kind: text('PROGRAM'), short: 'p', summary: 'Only what this program wrote: its id or name' },
    map: { kind: text('MAP'), short: 'm', summary: 'A ring buffer: its id, path on bpffs or name' },
    type: { kind: text('TYPE'), short: 't', summary: 'The type of its events, as event for struct event' },
    object: { kind: file(), summary: "The object file that has the type (default: the program's own types)" },
    json,
  },
  examples: [
    { does: 'Every line', line: 'barewire trace' },
    { does: 'Typed events', line: 'barewire trace --map events --type event' },
  ],
  async run({ options }, { output, signal }) {
    const { ringEvents, traceLines } = await import('../../apps/trace.ts');
    if (options.map !== undefined) {
      if (options.program !== undefined) throw new ArgumentError('--map and --program exclude each other');
      const [{ readObjectFile }, { printableValue }] = await Promise.all([
        import('../../apps/object-file.ts'),
        import('../../apps/map-values.ts'),
      ]);
      const object = options.object === undefined ? undefined : readObjectFile(options.object);
      for await (const event of ringEvents({ map: options.map, type: options.type, object, signal })) {
        output.json(printableValue(event));
      }
      return;
    }
    if (options.type !== undefined || options.object !== undefined) {
      throw new ArgumentError('--type and --object describe the events of a --map');
    }
    for await (const line of traceLines({ program: options.program, signal })) {
      if (options.json) output.json(line);
      else output.write(`${line.time.toFixed(6)} [${line.cpu}] ${line.thread}: ${line.text}\n`);
    }
  },
});
