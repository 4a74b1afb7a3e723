import { stripVTControlCharacters } from 'node:util';
import type { Paint } from './output.ts';
import { printable, truncate, widthOf } from './text.ts';

/** One column of a table. */
export interface Column<R> {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** Columns go in the order of this number, highest first, when the terminal is too narrow. Default is 0: stays. */
  readonly drop?: number;
  /** At least so wide where there is room, so that a table drawn again and again stands still. Default is 0. */
  readonly least?: number;
  readonly value: (row: R) => string;
  readonly paint?: (text: string, row: R, paint: Paint) => string;
}

/**
 * Rows as lines of aligned columns under a line of titles, at most `width` wide.
 *
 * What does not fit: first whole columns go by their `drop`, then the widest left-aligned column is cut.
 */
export function layOut<R>(
  columns: readonly Column<R>[],
  rows: readonly R[],
  width: number,
  paint: Paint,
): string[] {
  const cells = rows.map((row) => columns.map((column) => printable(column.value(row))));
  const widths = columns.map((column, c) =>
    Math.max(widthOf(column.title), ...cells.map((line) => widthOf(line[c]!))),
  );
  const shown = new Set(columns.keys());
  const total = (): number => [...shown].reduce((sum, c) => sum + widths[c]!, 2 * (shown.size - 1));
  const droppable = [...columns.keys()]
    .filter((c) => (columns[c]!.drop ?? 0) > 0)
    .sort((a, b) => columns[b]!.drop! - columns[a]!.drop!);
  for (const c of droppable) {
    if (total() <= width) break;
    shown.delete(c);
  }
  const padded = widths.map((width, c) => Math.max(width, columns[c]!.least ?? 0));
  const needed = [...shown].reduce((sum, c) => sum + padded[c]!, 2 * (shown.size - 1));
  if (needed <= width) widths.splice(0, widths.length, ...padded);
  cutWidest(columns, widths, shown, total() - width);

  const line = (texts: readonly string[], decorate: (c: number, text: string) => string): string => {
    const kept = [...shown];
    const parts = kept.map((c, i) => {
      const cut = truncate(texts[c]!, widths[c]!);
      const space = ' '.repeat(widths[c]! - widthOf(cut));
      if (columns[c]!.align === 'right') return space + decorate(c, cut);
      return decorate(c, cut) + (i === kept.length - 1 ? '' : space);
    });
    return truncateLine(parts.join('  '), width);
  };
  const titles = columns.map((column) => column.title);
  return [
    line(titles, (_, text) => paint.bold(text)),
    ...cells.map((texts, r) => line(texts, (c, text) => columns[c]!.paint?.(text, rows[r]!, paint) ?? text)),
  ];
}

function cutWidest<R>(
  columns: readonly Column<R>[],
  widths: number[],
  shown: ReadonlySet<number>,
  excess: number,
): void {
  if (excess <= 0) return;
  const left = [...shown].filter((c) => columns[c]!.align !== 'right');
  const widest = left.reduce<number | undefined>(
    (best, c) => (best === undefined || widths[c]! > widths[best]! ? c : best),
    undefined,
  );
  if (widest !== undefined) widths[widest] = Math.max(4, widths[widest]! - excess);
}

/** The last resort on a terminal of a few columns; colours would be cut in half, so they go. */
function truncateLine(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  return truncate(stripVTControlCharacters(text), width);
}
