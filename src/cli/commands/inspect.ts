import type {
  InspectedMap,
  InspectedProgram,
  InspectedVariable,
  Inspection,
  VerifiedProgram,
} from '../../apps/inspect.ts';
import { type Column, layOut } from '../columns.ts';
import { file, text } from '../kinds.ts';
import { type Output, toJson } from '../output.ts';
import { json } from '../standard-options.ts';
import { type Command, command } from '../table.ts';

export const inspect: Command = command({
  name: 'inspect',
  summary: 'Show what an object file holds: programs, maps, variables, code',
  description: [
    'Reads the file only: nothing is loaded, and no rights are needed. With --verify the kernel loads its programs, attached to nothing, and lets them go.',
  ],
  positionals: [{ name: 'object', kind: file(), summary: 'An object file (.o)' }],
  options: {
    code: { kind: 'flag', short: 'c', summary: 'Show the instructions under their lines of source' },
    types: { kind: 'flag', short: 't', summary: 'Show the named types as C defines them' },
    verify: { kind: 'flag', summary: 'Show what the verifier of this kernel makes of its programs' },
    program: { kind: text('NAME'), short: 'p', summary: 'Only the code of this program' },
    json,
  },
  examples: [
    { does: 'What is in it', line: 'barewire inspect filter.o' },
    { does: 'Whether this kernel takes it', line: 'barewire inspect filter.o --verify' },
    { does: 'What one of its programs does', line: 'barewire inspect filter.o --code -p drop_udp' },
  ],
  async run({ args, options }, { output }) {
    const [{ readObjectFile }, app] = await Promise.all([
      import('../../apps/object-file.ts'),
      import('../../apps/inspect.ts'),
    ]);
    const { printableValue } = await import('../../apps/map-values.ts');
    const bytes = readObjectFile(args.object);
    const verified = options.verify ? app.verify(bytes, options.program) : undefined;
    const code =
      options.code || (options.program !== undefined && !options.verify)
        ? app.disassembleProgram(bytes, options.program)
        : undefined;
    const types = options.types ? app.typeDefinitions(bytes) : undefined;
    if (options.json) {
      output.json({ ...(printableValue(app.inspect(bytes)) as object), code, types, verified });
      return;
    }
    if (code === undefined && types === undefined && verified === undefined)
      print(app.inspect(bytes), output, printableValue);
    if (code !== undefined) output.write(`${code}\n`);
    if (types !== undefined) output.write(`${types}\n`);
    if (verified === undefined) return;
    for (const line of layOut(verifiedColumns, verified, output.columns, output.paint))
      output.write(`${line}\n`);
  },
});

const programColumns: readonly Column<InspectedProgram>[] = [
  { title: 'Program', value: ({ name }) => name, paint: (name, _, paint) => paint.bold(name) },
  { title: 'Section', value: ({ section }) => section },
  { title: 'Type', value: ({ type }) => type ?? '?' },
  { title: 'Slots', align: 'right', value: ({ instructions }) => `${instructions ?? '?'}` },
  { title: 'CO-RE', align: 'right', drop: 1, value: ({ relocations }) => `${relocations}` },
  { title: 'Calls', drop: 2, value: ({ functions, problem }) => problem ?? functions.join(' ') },
];

const verifiedColumns: readonly Column<VerifiedProgram>[] = [
  { title: 'Program', value: ({ name }) => name, paint: (name, _, paint) => paint.bold(name) },
  { title: 'Steps', align: 'right', value: ({ verifiedInstructions }) => `${verifiedInstructions}` },
  { title: 'Machine code', align: 'right', value: ({ machineCode }) => `${machineCode}` },
  { title: 'Tag', value: ({ tag }) => tag },
];

const mapColumns: readonly Column<InspectedMap>[] = [
  { title: 'Map', value: ({ name }) => name, paint: (name, _, paint) => paint.bold(name) },
  { title: 'Type', value: ({ type }) => type },
  { title: 'Key', value: ({ key }) => oneLine(key) },
  { title: 'Value', value: ({ value }) => oneLine(value) },
  { title: 'Entries', align: 'right', value: ({ maxEntries }) => `${maxEntries}` },
  { title: 'Flags', drop: 1, value: ({ flags }) => `0x${flags.toString(16)}` },
  { title: 'Notes', drop: 2, value: ({ pinned, problem }) => problem ?? (pinned ? 'pinned by name' : '') },
];

function print(found: Inspection, output: Output, show: (value: unknown) => unknown): void {
  const variableColumns: readonly Column<InspectedVariable>[] = [
    { title: 'Variable', value: ({ name }) => name, paint: (name, _, paint) => paint.bold(name) },
    { title: 'Section', value: ({ section }) => section },
    { title: 'Declared', drop: 1, value: ({ declaration }) => oneLine(declaration ?? '?') },
    { title: 'Value', value: ({ value }) => toJson(show(value)) },
  ];
  const table = <R>(columns: readonly Column<R>[], rows: readonly R[]): void => {
    if (rows.length === 0) return;
    for (const line of layOut(columns, rows, output.columns, output.paint)) output.write(`${line}\n`);
    output.write('\n');
  };
  table(programColumns, found.programs);
  table(mapColumns, found.maps);
  table(variableColumns, found.variables);
  for (const { name, kind, weak } of found.externs) {
    output.write(`needs ${name} (${kind}${weak ? ', or does without' : ''})\n`);
  }
  output.write(`License ${found.license === '' ? 'not given' : found.license}, ${found.byteOrder}-endian\n`);
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ');
}
