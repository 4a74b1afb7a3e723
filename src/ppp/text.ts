/** The longest text of a peer that is kept. */
const MAX_TEXT = 255;

/**
 * A peer's text for people: UTF-8 where it is, without control characters, which a terminal would follow; those and
 * what is no UTF-8 are shown as `\xNN`.
 */
export function shownText(bytes: Uint8Array, from: number, to: number): string {
  // A copy, as a decoder refuses shared memory.
  const part = new Uint8Array(Math.max(0, Math.min(to - from, MAX_TEXT)));
  part.set(bytes.subarray(from, from + part.length));
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(part);
  } catch {
    text = String.fromCharCode(...part).replace(/[\x80-\xff]/g, escaped);
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is escaped
  return text.replace(/[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, escaped);
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
}
