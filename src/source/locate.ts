import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AnyXdpProgram, Location } from '../compiler/index.ts';
import { SourceMap } from './source-map.ts';

/** A file of JavaScript and what it was made from. */
interface Script {
  readonly path: string;
  readonly text: string;
  readonly map: SourceMap | undefined;
}

const scripts = new Map<string, Script | undefined>();

/**
 * Finds where a place of a program's function was written, in TypeScript where there is a source map: give it to
 * `compile` as `locate`. What cannot be found is `undefined`, never an error.
 *
 * @param line From 1 within the function's text.
 * @param column From 0.
 */
export function locateSource(
  program: AnyXdpProgram,
  text: string,
  line: number,
  column: number,
): Location | undefined {
  const caller = callerOf(program.origin);
  if (caller === undefined) return undefined;
  const script = open(caller.path);
  if (script === undefined) return undefined;
  const start = find(script.text, text, offsetOf(script.text, caller.line));
  if (start < 0) return undefined;
  const before = script.text.slice(0, start);
  const firstLine = before.split('\n').length;
  const firstColumn = start - (before.lastIndexOf('\n') + 1);
  return original(script, firstLine + line - 1, line === 1 ? firstColumn + column : column);
}

/** The file and line that called `program`. */
function callerOf(stack: string): { path: string; line: number } | undefined {
  const frame = stack.split('\n').filter((text) => /^\s+at /.test(text))[1];
  const match = /(?:\(|at |async )((?:file:\/\/)?\/[^()]*?):(\d+):\d+\)?$/.exec(frame ?? '');
  if (match === null) return undefined;
  const path = match[1]!.startsWith('file:') ? fileURLToPath(match[1]!) : match[1]!;
  return { path, line: Number(match[2]) };
}

function open(path: string): Script | undefined {
  if (scripts.has(path)) return scripts.get(path);
  let script: Script | undefined;
  try {
    const text = readFileSync(path, 'utf8');
    script = { path, text, map: mapOf(path, text) };
  } catch {
    // A file that cannot be read leaves messages with the function's own lines.
    script = undefined;
  }
  scripts.set(path, script);
  return script;
}

function mapOf(path: string, text: string): SourceMap | undefined {
  const url = /\/\/[#@] sourceMappingURL=(\S+)\s*$/.exec(text)?.[1];
  if (url === undefined) return undefined;
  const inline = /^data:application\/json;(?:charset=[^;]+;)?base64,(.*)$/.exec(url);
  if (inline !== null) return new SourceMap(Buffer.from(inline[1]!, 'base64').toString('utf8'));
  const file = resolve(dirname(path), decodeURIComponent(url));
  return existsSync(file) ? new SourceMap(readFileSync(file, 'utf8')) : undefined;
}

function offsetOf(text: string, line: number): number {
  let offset = 0;
  for (let i = 1; i < line; i++) {
    const next = text.indexOf('\n', offset);
    if (next < 0) return 0;
    offset = next + 1;
  }
  return offset;
}

/** Where a function's text stands in its file: at the call or anywhere before it. */
function find(file: string, text: string, from: number): number {
  const after = file.indexOf(text, from);
  if (after >= 0) return after;
  const anywhere = file.indexOf(text);
  return anywhere >= 0 ? anywhere : findStripped(file, text, from);
}

/** Node's type stripping puts blanks where types were, so positions hold but the text differs. */
function findStripped(file: string, text: string, from: number): number {
  const head = text.slice(0, 1);
  for (let start = file.indexOf(head, from); start >= 0; start = file.indexOf(head, start + 1)) {
    let i = 0;
    while (i < text.length && (text[i] === ' ' || text[i] === file[start + i])) i++;
    if (i === text.length) return start;
  }
  return -1;
}

function original(script: Script, line: number, column: number): Location | undefined {
  const mapped = script.map?.find(line, column);
  const source = mapped === undefined ? undefined : script.map?.sources[mapped.source];
  if (mapped !== undefined && source !== undefined) {
    const path = resolve(dirname(script.path), source);
    const content = script.map?.contents[mapped.source] ?? open(path)?.text;
    const text = content?.split('\n')[mapped.line - 1];
    if (text !== undefined) return { file: path, line: mapped.line, column: mapped.column + 1, text };
  }
  const text = script.text.split('\n')[line - 1];
  return text === undefined ? undefined : { file: script.path, line, column: column + 1, text };
}
