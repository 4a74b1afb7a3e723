import { ArgumentError } from '../error.ts';

/** The string section of BTF: texts with a zero byte behind each, every text once, the empty one at offset 0. */
export class StringTable {
  readonly #offsets = new Map<string, number>([['', 0]]);
  readonly #parts: Uint8Array[] = [new Uint8Array(1)];
  #size = 1;

  /** In bytes. */
  get size(): number {
    return this.#size;
  }

  /** The offset of `text`, which is added if it is new. */
  add(text: string): number {
    const known = this.#offsets.get(text);
    if (known !== undefined) return known;
    if (text.includes('\0')) throw new ArgumentError('BTF: a name cannot hold a zero byte');
    const offset = this.#size;
    const part = new TextEncoder().encode(`${text}\0`);
    this.#parts.push(part);
    this.#size += part.length;
    this.#offsets.set(text, offset);
    return offset;
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#size);
    let at = 0;
    for (const part of this.#parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }
}
