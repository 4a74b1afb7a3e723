import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { Lab, type LabHost } from '../../src/lab/index.ts';
import { blocks, documents, ROOT } from './documents.ts';

/** Commands that only end with Ctrl-C. */
const ENDLESS = /^npx barewire (count|monitor|watch)\b(?!.* -n )/;

/** Each `npx barewire …` line of the documents, as typed; the generated manual's are checked where it is generated. */
const commands = documents()
  .filter((document) => document !== 'docs/cli.md')
  .flatMap((document) => blocks(document, 'sh'))
  .flatMap((block) =>
    block.text.split('\n').map((text) => ({ where: `${block.document}:${block.line}`, text })),
  )
  .map(({ where, text }) => ({ where, command: text.replace(/\s+#.*$/, '').trim() }))
  .filter(({ command }) => command !== '');

describe('commands in the documents', () => {
  let lab: Lab;
  let host: LabHost;
  before(() => {
    lab = Lab.create({ hosts: ['here', 'there'], wires: [{ between: ['here', 'there'] }] });
    host = lab.host('here');
  });
  after(() => lab.destroy());

  for (const { where, command } of commands.filter(({ command }) => command.startsWith('npx barewire '))) {
    it(`${where}: ${command}`, async () => {
      // Names of labs are the machine's, and another run of the tests may be using them.
      const line = command.replaceAll(/\bplay\b/g, `play-${process.pid}`);
      // In a private network of its own, where eth0 is a veth: what people type on their machine is typed there.
      const child = host.spawn(
        'sh',
        [
          '-c',
          `exec ${line.replace(/^npx barewire/, `"${process.execPath}" "${ROOT}dist/src/cli/main.js"`)}`,
        ],
        {
          cwd: ROOT,
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      );
      let said = '';
      child.stdout?.on('data', (chunk: Buffer) => {
        said += chunk;
        if (ENDLESS.test(command)) child.kill('SIGINT');
      });
      child.stderr?.on('data', (chunk: Buffer) => {
        said += chunk;
      });
      const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
        child.once('exit', (...ended) => resolve(ended));
      });
      if (ENDLESS.test(command)) assert.equal(signal ?? code, 'SIGINT', said);
      else assert.equal(code, 0, said);
    });
  }

  it('name scripts that the package has', () => {
    const { scripts } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
      scripts: Record<string, string>;
    };
    for (const { where, command } of commands) {
      for (const [, name = ''] of command.matchAll(/npm run ([\w:-]+)/g)) {
        assert.ok(name in scripts, `${where}: npm run ${name}`);
      }
    }
  });
});

it('links in the documents lead somewhere', () => {
  for (const document of documents()) {
    const folder = ROOT + document.replace(/[^/]*$/, '');
    for (const [, target = ''] of readFileSync(ROOT + document, 'utf8').matchAll(
      /\]\(([^)#:]+)(?:#[^)]*)?\)/g,
    )) {
      assert.ok(existsSync(folder + target), `${document} links to ${target}`);
    }
  }
});
