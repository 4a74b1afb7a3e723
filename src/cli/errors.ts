import { CompileError } from '../compiler/error.ts';
import { BarewireError } from '../error.ts';

/** Exit codes, as `docs/cli.md` lists them. */
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;

/** A command line that cannot be what was meant. */
export class UsageError extends BarewireError {
  constructor(message: string, hint: string) {
    super('BW_USAGE', message, { hint });
  }
}

/** What went wrong; what to do about it: one line, or the source and its caret below it for a program that is wrong. */
export function complaint(error: unknown): string {
  if (!(error instanceof BarewireError)) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return flat(`this is a fault of Barewire's own, ${text}; run it again with -v and report what it says`);
  }
  // An excerpt of source says what to do in its last line.
  if (error instanceof CompileError) return error.message;
  const message = flat(error.message).replace(/[.;\s]+$/, '');
  if (error.hint === undefined || error.hint === '') return message;
  return `${message}; ${continued(flat(error.hint))}`;
}

/** Everything known about an error, for `-v`: stack, causes and whatever else it carries, as the verifier's log. */
export function inFull(error: unknown): string {
  const parts: string[] = [];
  const seen = new Set<unknown>();
  for (let at = error; at !== undefined && at !== null && !seen.has(at); ) {
    seen.add(at);
    if (!(at instanceof Error)) {
      parts.push(String(at));
      break;
    }
    parts.push(at.stack ?? `${at.name}: ${at.message}`);
    for (const [key, value] of Object.entries(at)) {
      if (key === 'name' || key === 'hint' || key === 'cause' || value === undefined) continue;
      const text = typeof value === 'string' ? value : showValue(value);
      parts.push(text.includes('\n') ? `  ${key}:\n${text.replace(/^/gm, '    ')}` : `  ${key}: ${text}`);
    }
    at = at.cause;
    if (at !== undefined) parts.push('caused by');
  }
  return parts.join('\n');
}

function showValue(value: unknown): string {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join('\n');
  return (
    JSON.stringify(value, (_, v: unknown) => (typeof v === 'bigint' ? v.toString() : v)) ?? String(value)
  );
}

/** A sentence as the second half of another one: without its full stop and its capital, unless it is a name. */
function continued(sentence: string): string {
  const open = sentence.replace(/\.$/, '');
  return /^[A-Z][a-z]*(?=[\s,]|$)/.test(open) ? open[0]!.toLowerCase() + open.slice(1) : open;
}

function flat(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').trim();
}
