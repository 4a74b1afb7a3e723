import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { barewire } from '../../src/cli/commands/index.ts';
import { bashCompletion } from '../../src/cli/completion/bash.ts';
import { fishCompletion } from '../../src/cli/completion/fish.ts';
import { optionsAt, optionWords } from '../../src/cli/completion/options.ts';
import { zshCompletion } from '../../src/cli/completion/zsh.ts';
import { duration, file, interfaceName, namespaceName, oneOf } from '../../src/cli/kinds.ts';
import { command, group, walk } from '../../src/cli/table.ts';

const tool = group({
  name: 'tool',
  summary: 'a tool',
  commands: [
    command({
      name: 'watch',
      summary: "Watch an interface's packets: all of them",
      positionals: [
        { name: 'interface', kind: interfaceName(), summary: 'The interface' },
        { name: 'file', kind: file(), summary: 'Files', optional: true, rest: true },
      ],
      options: {
        mode: {
          kind: oneOf('MODE', ['auto', 'driver', 'generic']),
          short: 'm',
          summary: 'Where [it] attaches',
        },
        netns: { kind: namespaceName(), summary: 'Namespace' },
        interval: { kind: duration(), short: 'i', summary: 'Time' },
        json: { kind: 'flag', summary: 'JSON' },
      },
      async run() {},
    }),
    group({
      name: 'lab',
      summary: 'Labs',
      commands: [
        command({ name: 'up', summary: 'Up', async run() {} }),
        command({
          name: 'down',
          summary: 'Down',
          positionals: [{ name: 'what', kind: oneOf('WHAT', ['all', 'one']), summary: 'What' }],
          async run() {},
        }),
      ],
    }),
  ],
});

const folder = mkdtempSync(join(tmpdir(), 'bw-completion-'));
after(() => rmSync(folder, { recursive: true }));
const script = join(folder, 'tool.bash');
writeFileSync(script, bashCompletion(tool));
writeFileSync(join(folder, 'a file.txt'), '');

/** What bash offers for the last word of a line, whose words are split as readline does. */
function complete(...words: string[]): string[] {
  const program = `
    source ${script}
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _tool
    for word in "\${COMPREPLY[@]}"; do printf '%s\\n' "$word"; done`;
  const run = spawnSync('bash', ['--norc', '-c', program, 'bash', 'tool', ...words], {
    cwd: folder,
    encoding: 'utf8',
  });
  assert.equal(run.stderr, '');
  return run.stdout.split('\n').filter((line) => line !== '');
}

const interfaces = readdirSync('/sys/class/net').filter((name) =>
  existsSync(`/sys/class/net/${name}/ifindex`),
);

describe('in bash', () => {
  it('completes commands at every depth', () => {
    assert.deepEqual(complete(''), ['watch', 'lab']);
    assert.deepEqual(complete('wa'), ['watch']);
    assert.deepEqual(complete('lab', ''), ['up', 'down']);
    assert.deepEqual(complete('lab', 'down', ''), ['all', 'one']);
    assert.deepEqual(complete('lab', 'up', ''), []);
  });

  it('completes options of the command, and of all commands before one', () => {
    assert.deepEqual(complete('watch', '--m'), ['--mode']);
    assert.deepEqual(complete('watch', 'lo', '--j'), ['--json']);
    assert.deepEqual(complete('--ver'), ['--verbose', '--version']);
    assert.deepEqual(complete('--js'), ['--json']);
    assert.deepEqual(complete('lab', 'up', '--m'), []);
    assert.deepEqual(complete('watch', '--', '--m'), []);
  });

  it('completes values, in every spelling of their option', () => {
    const modes = ['auto', 'driver', 'generic'];
    assert.deepEqual(complete('watch', '--mode', ''), modes);
    assert.deepEqual(complete('watch', '-m', 'd'), ['driver']);
    assert.deepEqual(complete('--mode', ''), modes);
    // readline breaks words at =
    assert.deepEqual(complete('watch', '--mode', '='), modes);
    assert.deepEqual(complete('watch', '--mode', '=', 'ge'), ['generic']);
    // and does not where COMP_WORDBREAKS has none
    assert.deepEqual(complete('watch', '--mode=ge'), ['--mode=generic']);
    assert.deepEqual(complete('watch', '--interval', ''), []);
  });

  it('completes interfaces, also behind options and their values', () => {
    assert.deepEqual(complete('watch', '').sort(), [...interfaces].sort());
    assert.deepEqual(complete('watch', '--mode', 'driver', '--json', 'lo'), ['lo']);
    assert.deepEqual(complete('watch', '--mode', '=', 'driver', 'lo'), ['lo']);
    assert.deepEqual(complete('--mode', 'driver', 'watch', 'lo'), ['lo']);
  });

  it('completes files for the arguments that take them', () => {
    assert.deepEqual(complete('watch', 'lo', 'a'), ['a file.txt']);
    assert.deepEqual(complete('watch', 'lo', 'x', 'a'), ['a file.txt']);
  });
});

const generators = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };
for (const [shell, generate] of Object.entries(generators)) {
  it(`makes a ${shell} script that knows every command and option`, () => {
    const text = generate(barewire);
    for (const { node } of walk(barewire)) {
      assert.ok(text.includes(node.name));
      for (const [name, option] of Object.entries(optionsAt(node))) {
        for (const word of optionWords(name, option)) {
          assert.ok(
            text.includes(shell === 'fish' ? word.replace(/^--/, '-l ').replace(/^-(?=\w$)/, '-s ') : word),
            word,
          );
        }
      }
    }
  });
}

it('makes scripts that their shells can parse', () => {
  for (const root of [barewire, tool]) {
    for (const [shell, generate] of Object.entries(generators)) {
      // bash is everywhere; the others where they are installed.
      if (shell !== 'bash' && spawnSync(shell, ['--version']).error !== undefined) continue;
      const path = join(folder, `check.${shell}`);
      writeFileSync(path, generate(root));
      execFileSync(shell, ['-n', path], { stdio: ['ignore', 'ignore', 'inherit'] });
    }
  }
});
