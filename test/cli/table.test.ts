import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { barewire } from '../../src/cli/commands/index.ts';
import { helpPage } from '../../src/cli/help.ts';
import { manual } from '../../src/cli/manual.ts';
import { parse } from '../../src/cli/parse.ts';
import { optionsOf, walk } from '../../src/cli/table.ts';
import { widthOf } from '../../src/cli/text.ts';

const nodes = [...walk(barewire)];

describe('the table', () => {
  it('names every command once, in a form that shells and links take', () => {
    for (const { node } of nodes) {
      assert.match(node.name, /^[a-z][a-z-]*$/);
      assert.ok(!/[.\n]$/.test(node.summary) && node.summary.length <= 90, node.summary);
      if (node.type === 'group') {
        const names = node.commands.map((child) => child.name);
        assert.equal(new Set(names).size, names.length);
      }
    }
  });

  it('has options without clashes and defaults that can be read', () => {
    for (const { path, node } of nodes) {
      if (node.type === 'group') continue;
      const all = Object.entries(optionsOf(node)).flatMap(([name, option]) => {
        assert.match(name, /^[a-z][a-z-]+$/);
        assert.doesNotMatch(option.summary, /[.\n]$/);
        if (option.kind !== 'flag' && option.default !== undefined) option.kind.parse(option.default);
        if (option.short !== undefined) assert.match(option.short, /^[A-Za-z]$/);
        return [name, ...(option.short === undefined ? [] : [option.short]), ...(option.aliases ?? [])];
      });
      assert.equal(new Set(all).size, all.length, `${path.join(' ')}: ${all.join(', ')}`);
      node.positionals.forEach((positional, i) => {
        if (positional.rest) assert.equal(i, node.positionals.length - 1);
        if (positional.optional) assert.ok(node.positionals.slice(i).every((later) => later.optional));
      });
    }
  });

  it('has examples that its own parser takes', () => {
    for (const { path, node } of nodes) {
      if (node.type === 'group') continue;
      for (const { line } of node.examples ?? []) {
        const [, words] = /(?:^|\(|\s)barewire ([^|>)]+)/.exec(line) ?? [];
        assert.ok(words !== undefined, line);
        const request = parse(barewire, words.trim().split(/\s+/));
        assert.ok(request.action === 'run' && request.command === node, `${path.join(' ')}: ${line}`);
      }
    }
  });
});

it('makes help pages that fit the width and tell every option', () => {
  for (const { path, node } of nodes) {
    for (const width of [60, 80, 100]) {
      const page = helpPage(barewire, path, node, width);
      for (const line of page.split('\n')) {
        // Usage lines and examples are whole command lines, which nobody could copy once broken.
        if (!/^ {2,4}\S*\s?barewire /.test(line) && !line.includes('barewire completion')) {
          assert.ok(widthOf(line) <= width, `${width}: ${line}`);
        }
      }
      if (node.type === 'command') {
        for (const name of Object.keys(optionsOf(node))) assert.ok(page.includes(`--${name}`), name);
      }
    }
  }
});

it('docs/cli.md is what the table says (npm run docs writes it)', () => {
  const committed = readFileSync(new URL('../../../docs/cli.md', import.meta.url), 'utf8');
  assert.equal(committed, manual(barewire));
});
