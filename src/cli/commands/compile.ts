import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ArgumentError } from '../../error.ts';
import { file, oneOf, text } from '../kinds.ts';
import { json } from '../standard-options.ts';
import { type Command, command } from '../table.ts';

export const compile: Command = command({
  name: 'compile',
  summary: 'Compile XDP programs written in TypeScript ahead of time',
  description: [
    "Imports a JavaScript module and compiles every XDP program that it exports (what program() of 'barewire/xdp' returns). What comes out is loaded without a compiler, and where functions lose their text: in bundles, minified, or locked down.",
    'An artifact (.json) is read by parseProgram() and load() of barewire/bpf; an object file (.o) by bpftool and everything built on libbpf. Without --output the instructions are shown under the lines they come from.',
  ],
  positionals: [{ name: 'file', kind: file(), summary: 'A module that exports programs; it is run' }],
  options: {
    output: {
      kind: file(),
      short: 'o',
      summary: 'Where to write; a folder, ending in /, when the module exports several',
    },
    program: { kind: text('NAME'), short: 'p', summary: 'Only this one, by its own or its exported name' },
    format: {
      kind: oneOf('FORMAT', ['json', 'object']),
      summary: 'What to write (default: object for a name that ends in .o, json otherwise)',
    },
    json,
  },
  examples: [
    { does: 'Look at the instructions', line: 'barewire compile filter.js' },
    { does: 'An artifact for your own program', line: 'barewire compile filter.js -o filter.json' },
    { does: 'An object file for bpftool', line: 'barewire compile filter.js -p blocklist -o blocklist.o' },
  ],
  async run({ args, options }, { output }) {
    const { compileFile, encodeProgram, formatOf } = await import('../../apps/compile.ts');
    const { countSlots, disassemble } = await import('../../asm/index.ts');
    const { FEATURE_SINCE } = await import('../../bpf/index.ts');
    const programs = await compileFile(args.file, options.program);
    const folder = options.output?.endsWith('/') === true;
    if (options.output !== undefined && programs.length > 1 && !folder) {
      throw new ArgumentError(
        `${args.file} exports ${programs.length} programs: ${programs.map(({ exported }) => exported).join(', ')}`,
        { hint: 'Choose one with --program, or give a folder, ending in /, to --output.' },
      );
    }
    for (const { exported, spec } of programs) {
      const format = options.format ?? (options.output === undefined ? 'json' : formatOf(options.output));
      let path: string | undefined;
      if (options.output !== undefined) {
        path = folder
          ? join(options.output, `${spec.name}.${format === 'object' ? 'o' : 'json'}`)
          : options.output;
        writeFileSync(path, encodeProgram(spec, format));
      }
      const instructions = countSlots(spec.instructions);
      const maps = Object.values(spec.maps).map(({ name, type, maxEntries }) => ({ name, type, maxEntries }));
      // With a fallback, it is for whoever loads it to choose.
      const needs = spec.fallback === undefined ? spec.needs : undefined;
      const wants = needs?.map((need) => `, needs ${need} (Linux ${FEATURE_SINCE[need]})`).join('') ?? '';
      if (options.json) {
        output.json({
          program: spec.name,
          exported,
          instructions,
          maps,
          needs,
          path,
          format: path && format,
        });
      } else if (path === undefined) {
        output.write(`${disassemble(spec.instructions, { functions: spec.functions, source: true })}\n`);
      } else {
        output.write(`${path}: ${spec.name}, ${instructions} instructions, ${maps.length} maps${wants}\n`);
      }
    }
  },
});
