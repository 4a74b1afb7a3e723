import { type SourceLine, slotsOf } from '../asm/index.ts';
import { BarewireError, type ErrorDetails } from '../error.ts';
import type { ProgramSpec } from '../spec/index.ts';
import { errnoMeaning, errnoName } from '../sys/index.ts';
import { verifierHint } from './verifier-hints.ts';

/**
 * The verifier refused a program.
 *
 * The message holds the verifier's last relevant lines and the line of source they belong to; `log` has everything.
 */
export class VerifierError extends BarewireError {
  readonly errno: number;
  /** The verifier's log, whole up to 256 MiB; of a longer one its end, before Linux 6.4 its beginning. */
  readonly log: string;
  /** The line of source at which it gave up, its file and number. */
  readonly source: string | undefined;

  /** @param details Default is a hint for the complaints that are met most often. */
  constructor(program: RefusedProgram, errno: number, log: string, details: ErrorDetails = {}) {
    const { complaint, slot, line } = lastWords(log);
    // Older kernels print the line without where it stands.
    const source = (slot === undefined ? undefined : program.sourceAt(slot)) ?? line;
    const where = source === undefined ? '' : ` at \`${source}\``;
    const said = complaint === '' ? `${errnoMeaning(errno)} (${errnoName(errno)}), without a log` : complaint;
    super('BW_VERIFIER', `the verifier refused the program '${program.name}'${where}: ${said}`, {
      ...hintFor(log),
      ...details,
    });
    this.errno = errno;
    this.log = log;
    this.source = source;
  }
}

/** What an error tells of the program. */
export interface RefusedProgram {
  readonly name: string;
  /** The line of source behind a slot, as newer kernels print it: `return pkt.u8(0); @ filter.ts:12`. */
  sourceAt(slot: number): string | undefined;
}

/** A spec's program; instructions know their lines. */
export function refusedProgram(spec: ProgramSpec): RefusedProgram {
  return { name: spec.name, sourceAt: (slot) => sourceAt(spec, slot) };
}

function hintFor(log: string): ErrorDetails {
  const hint = verifierHint(log.slice(-TAIL));
  return hint === undefined ? {} : { hint };
}

/** How much of a log is looked at; whole ones may have millions of lines. */
const TAIL = 1 << 20;

/** The complaint at the end of a verifier log, the slot of the instruction it is about, and the line printed last. */
function lastWords(log: string): {
  complaint: string;
  slot: number | undefined;
  line: string | undefined;
} {
  const lines = log
    .slice(-TAIL)
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '');
  // The tail is statistics, whatever the outcome, and after a loop the states that were the same.
  while (
    /^(processed \d+ insns|verification time|stack depth|max_states|cur state:|old state:)/.test(
      lines.at(-1) ?? '',
    )
  )
    lines.pop();
  const complaint = lines.at(-1) ?? '';
  const instruction = lines.findLast((line) => /^\d+: \(/.test(line));
  const context =
    instruction !== undefined && instruction !== complaint ? ` (instruction ${instruction})` : '';
  return {
    complaint: complaint === '' ? '' : complaint + context,
    slot: instruction === undefined ? undefined : Number.parseInt(instruction, 10),
    line: lines.findLast((line) => line.startsWith('; '))?.slice(2),
  };
}

function sourceAt({ instructions }: ProgramSpec, slot: number): string | undefined {
  let source: SourceLine | undefined;
  let next = 0;
  for (const instruction of instructions) {
    // One without a line belongs to the line before it.
    source = instruction.source ?? source;
    next += slotsOf(instruction);
    if (slot < next) break;
  }
  return source && `${source.text} @ ${source.file}:${source.line}`;
}
