import { BpfMap } from '../bpf/map.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { bytes, u32 } from '../layout/layout.ts';
import { hash, type MapSpec } from '../spec/map.ts';

/** Of a reason's text in UTF-8, in bytes. */
export const REASON_BYTES = 95;
const SIZE = 96;
const MOST = 65_535;

const idsSpec: MapSpec<'hash', Uint8Array, number> = hash('reason_ids', bytes(SIZE), u32, MOST + 1, {
  noPrealloc: true,
});
const textsSpec: MapSpec<'hash', number, Uint8Array> = hash('reason_texts', u32, bytes(SIZE), MOST, {
  noPrealloc: true,
});

/** Why entries are there: texts by number and numbers by text, each text once. */
export class Reasons {
  readonly ids: BpfMap<Uint8Array, number>;
  readonly texts: BpfMap<number, Uint8Array>;
  readonly #known = new Map<string, number>([['', 0]]);
  readonly #read = new Map<number, string | undefined>([[0, undefined]]);

  private constructor(ids: BpfMap<Uint8Array, number>, texts: BpfMap<number, Uint8Array>) {
    this.ids = ids;
    this.texts = texts;
  }

  static create(): Reasons {
    return new Reasons(BpfMap.create(idsSpec), BpfMap.create(textsSpec));
  }

  static open(idsPath: string, textsPath: string): Reasons {
    return new Reasons(BpfMap.openPinned(idsSpec, idsPath), BpfMap.openPinned(textsSpec, textsPath));
  }

  /**
   * The number of a reason.
   *
   * @param fresh Told a reason that has just got its number.
   * @throws BarewireError `BW_LIMIT` beyond 65,535 different reasons.
   */
  number(text: string | undefined, fresh: (id: number, text: string) => void): number {
    const short = text ?? '';
    const known = this.#known.get(short);
    if (known !== undefined) return known;
    const key = keyOf(short);
    let id = this.ids.get(key);
    if (id === undefined) {
      // The empty text stands for the last number given.
      id = (this.ids.get(NONE) ?? 0) + 1;
      if (id > MOST) {
        throw new BarewireError(
          'BW_LIMIT',
          `there are ${MOST} different reasons already, and no more numbers`,
          {
            hint: 'Give entries of one kind one reason; what differs belongs in a log.',
          },
        );
      }
      this.set(id, short);
      fresh(id, short);
    }
    this.#known.set(short, id);
    return id;
  }

  /** Gives a text a number that is known already, as when a saved filter is read. */
  set(id: number, text: string): void {
    const key = keyOf(text);
    this.texts.set(id, key);
    this.ids.set(key, id);
    if (id > (this.ids.get(NONE) ?? 0)) this.ids.set(NONE, id);
  }

  text(id: number): string | undefined {
    if (this.#read.has(id)) return this.#read.get(id);
    const bytes = this.texts.get(id);
    const text = bytes === undefined ? undefined : textOf(bytes);
    this.#read.set(id, text);
    return text;
  }

  *all(): Generator<[number, string]> {
    for (const [id, bytes] of this.texts.entries()) yield [id, textOf(bytes)];
  }

  close(): void {
    this.ids.close();
    this.texts.close();
  }
}

const NONE = new Uint8Array(SIZE);

/** @throws ArgumentError for a text that is too long. */
export function requireReason(text: string): string {
  const length = Buffer.byteLength(text);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
  if (/[\u0000-\u001f\u007f]/.test(text)) {
    throw new ArgumentError('a reason is one line of text without control characters');
  }
  if (length > REASON_BYTES) {
    throw new ArgumentError(`the reason has ${length} bytes, and ${REASON_BYTES} have room`, {
      hint: 'Shorten it.',
    });
  }
  return text;
}

/** A reason from somebody else's data, made to fit. */
export function fittingReason(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is replaced
  const clean = text.replace(/[\u0000-\u001f\u007f]+/g, ' ').trim();
  if (Buffer.byteLength(clean) <= REASON_BYTES) return clean;
  let cut = clean;
  while (Buffer.byteLength(cut) > REASON_BYTES - 3) cut = cut.slice(0, -1);
  return `${cut}…`;
}

function keyOf(text: string): Uint8Array {
  const key = new Uint8Array(SIZE);
  Buffer.from(key.buffer).write(text, 0, REASON_BYTES);
  return key;
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end)).toString();
}
