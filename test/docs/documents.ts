import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The package's folder. */
export const ROOT: string = fileURLToPath(new URL('../../../', import.meta.url));

/** A fenced block of a document. */
export interface Block {
  readonly document: string;
  /** The line of the fence, from 1. */
  readonly line: number;
  readonly language: string;
  readonly text: string;
}

/** README and everything in docs, with the paths that people write. */
export function documents(): string[] {
  const docs = readdirSync(`${ROOT}docs`).filter((name) => name.endsWith('.md'));
  return ['README.md', 'CONTRIBUTING.md', ...docs.map((name) => `docs/${name}`)];
}

/** The fenced blocks of a document in one language. */
export function blocks(document: string, language: string): Block[] {
  const text = readFileSync(ROOT + document, 'utf8');
  const found: Block[] = [];
  for (const match of text.matchAll(/^```(\w+)[^\n]*\n([\s\S]*?)^```$/gm)) {
    if (match[1] !== language) continue;
    const line = text.slice(0, match.index).split('\n').length;
    found.push({ document, line, language, text: match[2] ?? '' });
  }
  return found;
}
