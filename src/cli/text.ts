import { stripVTControlCharacters } from 'node:util';

/** Breaks a paragraph into lines of at most `width` columns, at spaces only. */
export function wrap(paragraph: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of paragraph.split(/\s+/)) {
    if (line === '') line = word;
    else if (widthOf(line) + 1 + widthOf(word) <= width) line += ` ${word}`;
    else {
      lines.push(line);
      line = word;
    }
  }
  if (line !== '') lines.push(line);
  return lines;
}

/** Columns that a text takes on a terminal, colours not counted. */
export function widthOf(text: string): number {
  let width = 0;
  for (const _ of stripVTControlCharacters(text)) width++;
  return width;
}

/** At most `width` columns of a text without colours; what is cut off shows as `…`. */
export function truncate(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  return width < 1
    ? ''
    : `${Array.from(text)
        .slice(0, width - 1)
        .join('')}…`;
}

/**
 * Text from elsewhere (names of interfaces, programs, processes) made safe to show: control characters, which could
 * steer the terminal, appear as `\x1b`.
 */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
