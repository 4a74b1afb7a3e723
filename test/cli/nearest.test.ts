import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { distance, nearest } from '../../src/nearest.ts';

it('counts wrong, missing, extra and swapped characters', () => {
  assert.equal(distance('json', 'json'), 0);
  assert.equal(distance('jsn', 'json'), 1);
  assert.equal(distance('jsoon', 'json'), 1);
  assert.equal(distance('jxon', 'json'), 1);
  assert.equal(distance('josn', 'json'), 1);
  assert.equal(distance('ca', 'abc'), 3);
  assert.equal(distance('', 'abc'), 3);
});

it('is a measure: symmetric, zero only for the same, at most the longer length', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 8 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      const d = distance(a, b);
      assert.equal(d, distance(b, a));
      assert.equal(d === 0, a === b);
      assert.ok(d <= Math.max(a.length, b.length));
      assert.ok(d >= Math.abs(a.length - b.length));
    }),
  );
});

it('finds a word after one random slip', () => {
  const words = ['interval', 'duration', 'netns', 'replace', 'verbose'];
  fc.assert(
    fc.property(fc.constantFrom(...words), fc.nat(), fc.constantFrom('x', '', 'swap'), (word, at, slip) => {
      const i = at % (word.length - 1);
      const swapped = word.slice(0, i) + word[i + 1] + word[i] + word.slice(i + 2);
      const typed = slip === 'swap' ? swapped : word.slice(0, i) + slip + word.slice(i + 1);
      assert.equal(nearest(typed, words)[0], word);
    }),
  );
});

it('offers what an unfinished word may become, and nothing for a word that is far from all', () => {
  assert.deepEqual(nearest('inter', ['interval', 'internal', 'json']), ['internal', 'interval']);
  assert.deepEqual(nearest('quux', ['interval', 'json']), []);
  assert.deepEqual(nearest('VETH0', ['veth0', 'veth1']), ['veth0']);
});
