import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import { blocks, documents, ROOT } from './documents.ts';

/**
 * Every TypeScript example of the documents is type-checked and run as printed. The folder lies in the package, so that
 * `barewire/…` means this very build.
 */
const folder = `${ROOT}dist/snippets-${process.pid}/`;
mkdirSync(folder, { recursive: true });
after(() => rmSync(folder, { recursive: true, force: true }));

const snippets = documents()
  .flatMap((document) => blocks(document, 'ts'))
  .filter((block) => /from 'barewire/.test(block.text))
  .map((block) => ({ ...block, file: `${block.document.replaceAll(/\W/g, '-')}-${block.line}` }));

for (const { file, text } of snippets) writeFileSync(`${folder}${file}.ts`, text);
writeFileSync(
  `${folder}tsconfig.json`,
  JSON.stringify({
    extends: '../../tsconfig.json',
    compilerOptions: {
      rootDir: '.',
      outDir: 'out',
      incremental: false,
      tsBuildInfoFile: null,
      isolatedDeclarations: false,
      declaration: false,
      declarationMap: false,
    },
    include: ['*.ts'],
  }),
);
const compiler = spawnSync(process.execPath, [`${ROOT}node_modules/typescript/bin/tsc`, '-p', folder], {
  encoding: 'utf8',
});

describe('examples in the documents', () => {
  it('are there, and in the README too', () => {
    assert.ok(snippets.some((snippet) => snippet.document === 'README.md'));
  });

  it('have the types they claim', () => {
    assert.equal(compiler.stdout + compiler.stderr, '');
  });

  for (const { document, line, file } of snippets) {
    it(`${document}:${line} runs as printed`, () => {
      execFileSync(process.execPath, [`${folder}out/${file}.js`], {
        encoding: 'utf8',
        timeout: 60_000,
        stdio: 'pipe',
      });
    });
  }
});
