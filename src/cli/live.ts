import type { Output } from './output.ts';
import { widthOf } from './text.ts';

/** A block of lines at the bottom of the terminal that is drawn again in place. */
export interface LiveBlock {
  /** Draws the lines over those of the last time, as many as the terminal has rows for. */
  draw(lines: readonly string[]): void;
}

const clearToEndOfLine = '\u001b[K';
const clearBelow = '\u001b[J';

/**
 * The cursor stays below the block and is never hidden, and no other screen is opened: whatever ends the process,
 * the terminal is as it should be and the last block stays readable.
 */
export function liveBlock(output: Output): LiveBlock {
  let last: readonly string[] = [];
  return {
    draw(lines) {
      const fitting = lines.slice(0, Math.max(1, output.rows - 1));
      // A terminal made narrower has broken the old lines: count the rows they take now.
      const rows = last.reduce(
        (sum, line) => sum + Math.max(1, Math.ceil(widthOf(line) / output.columns)),
        0,
      );
      const up = Math.min(rows, output.rows - 1);
      const back = up > 0 ? `\u001b[${up}A\r` : '';
      output.write(`${back}${fitting.map((line) => `${line}${clearToEndOfLine}\n`).join('')}${clearBelow}`);
      last = fitting;
    },
  };
}
