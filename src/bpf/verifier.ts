import { BarewireError, type ErrorDetails } from '../error.ts';
import { errnoMeaning, errnoName } from '../sys/index.ts';

/**
 * The verifier refused a program.
 *
 * The message holds the verifier's last relevant lines and the line of source they belong to; `log` has everything.
 */
export class VerifierError extends BarewireError {
  readonly errno: number;
  /** The verifier's whole log. */
  readonly log: string;
  /** The line of source at which it gave up, as the program's line info has it. */
  readonly source: string | undefined;

  constructor(program: string, errno: number, log: string, details: ErrorDetails = {}) {
    const { complaint, source } = lastWords(log);
    const where = source === undefined ? '' : ` at \`${source}\``;
    const said = complaint === '' ? `${errnoMeaning(errno)} (${errnoName(errno)}), without a log` : complaint;
    super('BW_VERIFIER', `the verifier refused the program '${program}'${where}: ${said}`, {
      ...hintFor(log),
      ...details,
    });
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

/** The complaint at the end of a verifier log, and the source line it belongs to. */
export function lastWords(log: string): { complaint: string; source: string | undefined } {
  const lines = log
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '');
  // The tail is statistics, whatever the outcome.
  while (/^(processed \d+ insns|verification time|stack depth|max_states)/.test(lines.at(-1) ?? ''))
    lines.pop();
  const complaint = lines.at(-1) ?? '';
  const instruction = lines.findLast((line) => /^\d+: \(/.test(line));
  const source = lines.findLast((line) => line.startsWith('; '))?.slice(2);
  const context =
    instruction !== undefined && instruction !== complaint ? ` (instruction ${instruction})` : '';
  return { complaint: complaint === '' ? '' : complaint + context, source };
}
