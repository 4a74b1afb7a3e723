/**
 * Tries every case of a folder on this kernel.
 *
 *     node try-corpus.js FOLDER answer    keeps what this kernel answers, in FOLDER/answers
 *     node try-corpus.js FOLDER compare   holds its answers against those
 *
 * One line a program: how many instructions it has and how many the verifier walked, or the verifier's last words.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { VerifierError } from '../../src/bpf/index.ts';
import { type Answer, difference, readCorpus, type Tried, tryCase } from './corpus.ts';

const [folder = '.', purpose = 'compare'] = process.argv.slice(2);
/** Of a larger group only what fails is listed: nobody reads a thousand lines. */
const LISTED_GROUP = 150;

const cases = readCorpus(folder);
const answersFile = join(folder, 'answers');
const expected =
  purpose === 'answer' ? undefined : (deserialize(readFileSync(answersFile)) as (Answer | undefined)[]);
const answers: (Answer | undefined)[] = [];
const sizes = new Map<string, number>();
for (const { group } of cases) sizes.set(group, (sizes.get(group) ?? 0) + 1);
let [accepted, refused, different] = [0, 0, 0];

for (const [i, given] of cases.entries()) {
  const name = `${i + 1} - ${given.group}: ${given.spec.name}`;
  let tried: Tried;
  try {
    tried = tryCase(given);
  } catch (error) {
    if (!(error instanceof VerifierError)) throw error;
    console.log(
      `not ok ${name}: ${error.message.replace(/^the verifier refused the program '\w+'/, 'refused')}`,
    );
    answers.push(undefined);
    refused++;
    continue;
  }
  accepted++;
  answers.push(tried.answer);
  const known = expected?.[i];
  const what = known === undefined ? undefined : difference(given, known, tried.answer);
  if (what !== undefined) {
    console.log(`not ok ${name}: ${what}`);
    different++;
  } else if (sizes.get(given.group)! <= LISTED_GROUP) {
    const { instructions } = given.spec;
    console.log(
      `ok ${name}: ${instructions.length} instructions, ${tried.steps} steps, ${given.packets.length} packets`,
    );
  }
}

if (purpose === 'answer') writeFileSync(answersFile, serialize(answers));
console.log(
  `# ${cases.length} programs: ${accepted} accepted, ${refused} refused, ${different} with another result`,
);
process.exitCode = cases.length > 0 && refused + different === 0 ? 0 : 1;
