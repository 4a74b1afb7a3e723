import { readFileSync } from 'node:fs';
import { ArgumentError } from '../error.ts';
import type { Context } from './context.ts';
import { complaint, EXIT_FAILURE, EXIT_USAGE, inFull, UsageError } from './errors.ts';
import { helpPage } from './help.ts';
import type { Output } from './output.ts';
import { findPath, parse } from './parse.ts';
import type { CommandGroup } from './table.ts';

/**
 * Runs one command line to its end.
 *
 * @returns the exit code. Nothing is thrown: whatever goes wrong ends as one line on the standard error output.
 */
export async function run(
  root: CommandGroup,
  argv: readonly string[],
  output: Output,
  signal: AbortSignal,
): Promise<number> {
  let verbose = argv.includes('-v') || argv.includes('--verbose');
  try {
    const request = parse(root, argv);
    if (request.action === 'version') {
      output.write(`${root.name} ${version()}\n`);
      return 0;
    }
    if (request.action === 'help') {
      const page = helpPage(root, request.path, findPath(root, request.path), helpWidth(output));
      if (request.asked) {
        output.write(page);
        return 0;
      }
      output.note(page.trimEnd());
      return EXIT_USAGE;
    }
    verbose = request.options.verbose === true;
    const context: Context = { output, signal, verbose, root };
    return (await request.command.run({ options: request.options, args: request.args }, context)) ?? 0;
  } catch (error) {
    // A command that stops because it was asked to may say so by throwing the reason.
    if (signal.aborted && (error === signal.reason || (error as Error | null)?.name === 'AbortError'))
      return 0;
    output.note(`${root.name}: ${complaint(error)}`);
    if (verbose && !(error instanceof UsageError)) output.note(inFull(error));
    // What the library finds wrong with an argument is wrong with the command line.
    return error instanceof UsageError || error instanceof ArgumentError ? EXIT_USAGE : EXIT_FAILURE;
  }
}

/** Help is read best in lines of moderate length. */
export function helpWidth(output: Output): number {
  return Math.max(40, Math.min(output.columns, 100));
}

/** The version of the package this file belongs to. */
export function version(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
