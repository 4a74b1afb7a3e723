/** A place in an original source: line and column from 1 and 0. */
export interface Original {
  readonly source: number;
  readonly line: number;
  readonly column: number;
}

interface Segment extends Original {
  readonly generated: number;
}

/** What a source map (ECMA-426) says of one generated file. */
export class SourceMap {
  readonly sources: readonly string[];
  readonly contents: readonly (string | null)[];
  readonly #lines: Segment[][];

  /** @throws SyntaxError when the text is no JSON. */
  constructor(text: string) {
    const map = JSON.parse(text) as {
      sources?: string[];
      sourceRoot?: string;
      sourcesContent?: (string | null)[];
      mappings?: string;
    };
    const root = map.sourceRoot ?? '';
    this.sources = (map.sources ?? []).map((source) => root + source);
    this.contents = map.sourcesContent ?? [];
    this.#lines = decode(map.mappings ?? '');
  }

  /** The original of a generated place: line from 1, column from 0. */
  find(line: number, column: number): Original | undefined {
    let best: Segment | undefined;
    for (const segment of this.#lines[line - 1] ?? []) {
      if (segment.generated > column) break;
      best = segment;
    }
    return best;
  }
}

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Base64 VLQ fields, each relative to the one before; the generated column starts anew on each line. */
function decode(mappings: string): Segment[][] {
  let [source, line, column] = [0, 0, 0];
  return mappings.split(';').map((text) => {
    let generated = 0;
    const segments: Segment[] = [];
    for (const part of text.split(',')) {
      const [g, s, l, c] = numbers(part);
      if (g === undefined) continue;
      generated += g;
      if (s === undefined || l === undefined || c === undefined) continue;
      source += s;
      line += l;
      column += c;
      segments.push({ generated, source, line: line + 1, column });
    }
    return segments;
  });
}

function numbers(text: string): number[] {
  const result: number[] = [];
  let value = 0;
  let shift = 0;
  for (const char of text) {
    const digit = DIGITS.indexOf(char);
    value |= (digit & 31) << shift;
    if ((digit & 32) !== 0) {
      shift += 5;
      continue;
    }
    result.push((value & 1) === 1 ? -(value >>> 1) : value >>> 1);
    value = 0;
    shift = 0;
  }
  return result;
}
