import { type SourceLine, slotsOf } from '../asm/index.ts';
import { BarewireError, type ErrorDetails } from '../error.ts';
import type { ProgramSpec } from '../spec/index.ts';
import { errnoMeaning, errnoName } from '../sys/index.ts';

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

  constructor(program: ProgramSpec, errno: number, log: string) {
    const { complaint, slot, line } = lastWords(log);
    // Older kernels print the line without where it stands.
    const source = (slot === undefined ? undefined : sourceAt(program, slot)) ?? line;
    const where = source === undefined ? '' : ` at \`${source}\``;
    const said = complaint === '' ? `${errnoMeaning(errno)} (${errnoName(errno)}), without a log` : complaint;
    super('BW_VERIFIER', `the verifier refused the program '${program.name}'${where}: ${said}`, hintFor(log));
    this.errno = errno;
    this.log = log;
    this.source = source;
  }
}

/** Rules that hold only for processes of few rights ("root" is what the kernel calls CAP_PERFMON here). */
function hintFor(log: string): ErrorDetails {
  if (!/prohibited for !root|leaks addr/.test(log)) return {};
  return {
    hint: 'Without CAP_PERFMON the verifier takes no computed packet offsets: run as root, or grant it as well.',
  };
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
  // The tail is statistics, whatever the outcome.
  while (/^(processed \d+ insns|verification time|stack depth|max_states)/.test(lines.at(-1) ?? ''))
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

/** As newer kernels print it: `return pkt.u8(0); @ filter.ts:12`. */
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
