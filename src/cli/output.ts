import type { Writable } from 'node:stream';

/** Where a command's results go: text for people, or one JSON object a line for programs. */
export interface Output {
  /** Whether a person looks at it. */
  readonly terminal: boolean;
  /** Columns of the terminal; infinite elsewhere, so that nothing is cut. */
  readonly columns: number;
  /** Rows of the terminal; infinite elsewhere. */
  readonly rows: number;
  readonly paint: Paint;
  /** Results: to the standard output. */
  write(text: string): void;
  /** One value as one line. Counters may be bigints: their digits come out exact. */
  json(value: unknown): void;
  /** A remark beside the results: to the standard error output. */
  note(text: string): void;
}

/** Colours and weight, empty gestures where they are not wanted. */
export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
}

/** The part of a stream that an output needs; `process.stdout` is one. */
export type OutputStream = Writable & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
};

/** Output to two streams. Colours appear on a terminal, unless `NO_COLOR` is set (no-color.org) or it is dumb. */
export function makeOutput(
  stdout: OutputStream,
  stderr: OutputStream,
  environment: Readonly<Record<string, string | undefined>>,
): Output {
  const terminal = stdout.isTTY === true;
  const colours = terminal && !environment.NO_COLOR && environment.TERM !== 'dumb';
  return {
    terminal,
    get columns() {
      // A terminal that does not know its size says 0.
      return terminal ? stdout.columns || 80 : Number.POSITIVE_INFINITY;
    },
    get rows() {
      return terminal ? stdout.rows || 24 : Number.POSITIVE_INFINITY;
    },
    paint: colours ? inColour : plain,
    write: (text) => void stdout.write(text),
    json: (value) => void stdout.write(`${toJson(value)}\n`),
    note: (text) => void stderr.write(`${text}\n`),
  };
}

/** As `JSON.stringify`, but bigints become numbers with all their digits. */
export function toJson(value: unknown): string {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${value.map(toJson).join(',')}]`;
  if (typeof value === 'object' && value !== null && typeof Reflect.get(value, 'toJSON') !== 'function') {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${toJson(member)}`).join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}

const style =
  (on: number, off: number) =>
  (text: string): string =>
    `\u001b[${on}m${text}\u001b[${off}m`;
const inColour: Paint = {
  bold: style(1, 22),
  dim: style(2, 22),
  red: style(31, 39),
  green: style(32, 39),
  yellow: style(33, 39),
};

const asIs = (text: string): string => text;
const plain: Paint = { bold: asIs, dim: asIs, red: asIs, green: asIs, yellow: asIs };
