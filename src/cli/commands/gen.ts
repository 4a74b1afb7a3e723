import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { file, text } from '../kinds.ts';
import { type Command, command } from '../table.ts';

export const gen: Command = command({
  name: 'gen',
  summary: 'Write a TypeScript module for an object file, with the types of its maps and variables',
  description: [
    'The module holds the object itself. Its load() gives programs, maps and variables by their names and with their types, so that the compiler knows keys, values and settings.',
  ],
  positionals: [{ name: 'object', kind: file(), summary: 'An object file (.o), compiled with -g' }],
  options: {
    output: { kind: file(), short: 'o', summary: 'Where to write (default: the standard output)' },
    package: { kind: text('NAME'), default: 'barewire', summary: 'Where the module finds this library' },
  },
  examples: [{ does: 'Beside the object', line: 'barewire gen filter.o -o filter.ts' }],
  async run({ args, options }, { output }) {
    const [{ readObjectFile }, { generateModule }] = await Promise.all([
      import('../../apps/object-file.ts'),
      import('../../object/index.ts'),
    ]);
    const module = generateModule(readObjectFile(args.object), {
      name: basename(args.object),
      package: options.package,
    });
    if (options.output === undefined) output.write(module);
    else writeFileSync(options.output, module);
  },
});
