import type { Check, CheckState } from '../../apps/check.ts';
import type { Diagnosis } from '../../apps/doctor.ts';
import { EXIT_FAILURE } from '../errors.ts';
import { interfaceName } from '../kinds.ts';
import type { Output, Paint } from '../output.ts';
import { json, netns } from '../standard-options.ts';
import { type Command, command } from '../table.ts';
import { printable, wrap } from '../text.ts';

export const doctor: Command = command({
  name: 'doctor',
  summary: 'Tell what the kernel, your rights and an interface allow, and how to mend it',
  description: [
    'Features are found out by tiny real system calls, not by version numbers. Nothing is changed, unless --attempt asks for a program to be attached for a moment.',
    'Exits with 0 when all works, and with 1 when something fails or keeps the driver mode from the interface.',
  ],
  positionals: [
    { name: 'interface', kind: interfaceName(), summary: 'An interface to look at as well', optional: true },
  ],
  options: {
    attempt: {
      kind: 'flag',
      summary: 'Let the driver answer: attach a program for a moment (some cards reset their link)',
    },
    netns: { ...netns, summary: 'The network namespace of the interface' },
    json,
  },
  examples: [
    { does: 'The machine', line: 'barewire doctor' },
    { does: 'What stands between eth0 and the driver mode', line: 'barewire doctor eth0' },
  ],
  async run({ args, options }, { output }) {
    const { diagnose } = await import('../../apps/doctor.ts');
    const { attempt, netns } = options;
    const found = diagnose({
      ...(args.interface === undefined ? {} : { interface: args.interface }),
      attempt,
      netns,
    });
    if (options.json) output.json(found);
    else print(found, output);
    return found.healthy ? 0 : EXIT_FAILURE;
  },
});

function print(found: Diagnosis, output: Output): void {
  const { bold } = output.paint;
  const part = (title: string, checks: readonly Check[]): void => {
    output.write(`${bold(printable(title))}\n${checks.map((check) => show(check, output)).join('')}\n`);
  };
  part('Kernel', found.kernel);
  part('Rights', found.rights);
  part('Features', found.features);
  if (found.interface !== undefined) part(`Interface ${found.interface.name}`, found.interface.checks);
  output.write(`${bold(found.verdict)}\n`);
}

const WORDS: Readonly<Record<CheckState, string>> = {
  ok: 'ok',
  fact: '',
  warning: 'warning',
  blocks: 'BLOCKS',
  fails: 'FAILS',
};

const COLOURS: Readonly<Record<CheckState, keyof Paint>> = {
  ok: 'green',
  fact: 'dim',
  warning: 'yellow',
  blocks: 'red',
  fails: 'red',
};

const WIDTH = 11;

/** The state, the finding beside it, and what mends it below. */
function show({ state, finding, remedy }: Check, output: Output): string {
  const room = Math.max(30, Math.min(output.columns, 110) - WIDTH - 1);
  const indent = ' '.repeat(WIDTH);
  const word = output.paint[COLOURS[state]](WORDS[state]) + ' '.repeat(WIDTH - 2 - WORDS[state].length);
  const lines = wrap(printable(finding), room).map((line, i) =>
    i === 0 ? `  ${word}${line}` : indent + line,
  );
  // A command is one line, so that it can be copied.
  if (remedy !== undefined) lines.push(`${indent}-> ${printable(remedy)}`);
  return lines.map((line) => `${line}\n`).join('');
}
