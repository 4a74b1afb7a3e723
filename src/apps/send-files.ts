import { createReadStream, readFileSync } from 'node:fs';
import { ArgumentError, BarewireError, CodecError } from '../error.ts';
import { type DnsQuestion, type DnsType, emitDns, LinkType, readCapture } from '../packet/index.ts';

/** Frames read from a file. */
export interface FileFrames {
  readonly frames: readonly Uint8Array[];
  /** Packets that were left out, for the file keeps only a part of them. */
  readonly cut: number;
}

/** Most frames that are taken from a file: they lie in memory while they are sent. */
const MOST_FRAMES = 1_000_000;
const MOST_FRAME_BYTES = 65_535;

/**
 * Reads questions from a file: a name a line, and a type behind it where it is not A, as dnsperf takes them. Empty
 * lines, and what follows `#` or `;` at the beginning of a line, are passed over.
 *
 * @throws ArgumentError that names the line; BarewireError `BW_FILE`.
 */
export function readQueryFile(path: string, type: DnsType): DnsQuestion[] {
  const questions: DnsQuestion[] = [];
  for (const [line, text] of linesOf(path)) {
    const [name = '', given, ...rest] = text.split(/\s+/);
    if (rest.length > 0)
      throw new ArgumentError(`${path}, line ${line}: '${text}' is more than a name and a type`);
    questions.push(requireQuestion({ name, type: (given ?? type) as DnsType }, `${path}, line ${line}: `));
  }
  if (questions.length === 0) throw new ArgumentError(`${path} holds no names`);
  return questions;
}

/** Checks that a name and a type can be asked for. @throws ArgumentError that says why not. */
export function requireQuestion(question: DnsQuestion, where = ''): DnsQuestion {
  const type = typeof question.type === 'string' ? (question.type.toUpperCase() as DnsType) : question.type;
  const upper = { ...question, name: withoutDot(question.name), type };
  try {
    emitDns(new Uint8Array(1024), 0, { id: 0, questions: [upper] });
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    throw new ArgumentError(`${where}${error.message}`, error.hint === undefined ? {} : { hint: error.hint });
  }
  return upper;
}

/**
 * Reads frames written in hexadecimal, one a line; spaces and colons between the digits are passed over.
 *
 * @throws ArgumentError that names the line; BarewireError `BW_FILE`.
 */
export function readHexFile(path: string): FileFrames {
  const frames: Uint8Array[] = [];
  for (const [line, text] of linesOf(path)) {
    const digits = text.replaceAll(/[\s:]/g, '');
    if (!/^([0-9a-f]{2})+$/i.test(digits)) {
      throw new ArgumentError(`${path}, line ${line}: not a frame in hexadecimal`, {
        hint: 'Write the bytes of one frame a line, from the destination MAC on, as in ffffffffffff 020000000001 0806 …',
      });
    }
    frames.push(Uint8Array.from(Buffer.from(digits, 'hex')));
  }
  if (frames.length === 0) throw new ArgumentError(`${path} holds no frames`);
  return { frames, cut: 0 };
}

/**
 * Reads the frames of a capture, pcap or pcapng.
 *
 * @throws BarewireError `BW_FILE` when it cannot be read, is none, or is not of Ethernet.
 */
export async function readCaptureFile(path: string): Promise<FileFrames> {
  const frames: Uint8Array[] = [];
  let cut = 0;
  try {
    for await (const packet of readCapture(createReadStream(path, { highWaterMark: 1 << 20 }))) {
      const { linkType } = packet.interface;
      if (linkType !== LinkType.ethernet) {
        throw new BarewireError(
          'BW_FILE',
          `${path} is no capture of Ethernet frames: its link type is ${linkType}`,
        );
      }
      if (packet.originalLength > packet.bytes.length) cut++;
      else frames.push(packet.bytes.slice());
      if (frames.length > MOST_FRAMES) {
        throw new BarewireError('BW_LIMIT', `${path} holds more than ${MOST_FRAMES} packets`, {
          hint: 'Send it in parts: editcap -c splits it.',
        });
      }
    }
  } catch (error) {
    if (error instanceof CodecError) {
      throw new BarewireError('BW_FILE', `${path} is no capture: ${error.message}`, { cause: error });
    }
    throw unreadable(path, error);
  }
  if (frames.length === 0) {
    throw new BarewireError(
      'BW_FILE',
      `${path} holds no whole packet${cut > 0 ? `, only ${cut} that were cut` : ''}`,
    );
  }
  return { frames, cut };
}

function* linesOf(path: string): Generator<[number, string]> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof TypeError) {
      throw new BarewireError('BW_FILE', `${path} is not a text file`, { cause: error });
    }
    throw unreadable(path, error);
  }
  for (const [index, line] of text.split('\n').entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#') || trimmed.startsWith(';')) continue;
    // A line of which nobody wants to see the whole in a message.
    if (trimmed.length > 3 * MOST_FRAME_BYTES)
      throw new ArgumentError(`${path}, line ${index + 1}: too long`);
    yield [index + 1, trimmed];
  }
}

function withoutDot(name: string): string {
  return name.length > 1 && name.endsWith('.') && !name.endsWith('\\.') ? name.slice(0, -1) : name;
}

function unreadable(path: string, error: unknown): Error {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof BarewireError || code === undefined) return error as Error;
  const why: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EACCES: 'it may not be read',
    EISDIR: 'it is a directory',
  };
  return new BarewireError('BW_FILE', `cannot read ${path}: ${why[code] ?? code}`, { cause: error });
}
