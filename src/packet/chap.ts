import { CodecError } from '../error.ts';
import { emitPppControl, PppControlView } from './ppp.ts';
import { inside, requireField } from './view.ts';
import { copyBytes } from './wire.ts';

/** CHAP codes (RFC 1994, section 4); MS-CHAPv2 uses the same (RFC 2759). */
export const ChapCode = { challenge: 1, response: 2, success: 3, failure: 4 } as const;

/** Algorithms as LCP's authentication option names them (IANA). */
export const ChapAlgorithm = { md5: 5, msChap: 128, msChapV2: 129 } as const;

/** A CHAP packet as plain data. Names are bytes: nothing says what text they are. */
export type ChapPacket =
  | {
      readonly kind: 'challenge' | 'response';
      readonly identifier: number;
      readonly value: Uint8Array;
      readonly name: Uint8Array;
    }
  | { readonly kind: 'success' | 'failure'; readonly identifier: number; readonly message: Uint8Array };

const KINDS = ['', 'challenge', 'response', 'success', 'failure'] as const;

/** The packet at `offset`. @throws CodecError if it is malformed or of another code. */
export function decodeChap(bytes: Uint8Array, offset = 0, end: number = bytes.length): ChapPacket {
  const view = new PppControlView().at(bytes, offset, end);
  const { code, identifier, payloadOffset, payloadEnd } = view;
  if (view.truncated) throw new CodecError('chap', offset, 'cut short');
  const kind = KINDS[code] ?? '';
  if (kind === '') throw new CodecError('chap', offset, `code ${code}`);
  if (kind === 'success' || kind === 'failure') {
    return { kind, identifier, message: copyBytes(bytes, payloadOffset, payloadEnd) };
  }
  const there = inside(bytes, payloadOffset, payloadEnd, 1);
  const valueEnd = there ? payloadOffset + 1 + bytes[payloadOffset]! : Number.POSITIVE_INFINITY;
  if (valueEnd > payloadEnd) throw new CodecError('chap', payloadOffset, 'the value runs past its packet');
  return {
    kind,
    identifier,
    value: copyBytes(bytes, payloadOffset + 1, valueEnd),
    name: copyBytes(bytes, valueEnd, payloadEnd),
  };
}

/** Writes a CHAP packet. @returns the offset behind it. */
export function emitChap(out: Uint8Array, offset: number, packet: ChapPacket): number {
  const { kind, identifier } = packet;
  const code = ChapCode[kind];
  if ('message' in packet) {
    return emitPppControl(out, offset, { code, identifier, payload: packet.message });
  }
  const { value, name } = packet;
  requireField('chap value length', value.length, 0xff);
  const payload = new Uint8Array(1 + value.length + name.length);
  payload[0] = value.length;
  payload.set(value, 1);
  payload.set(name, 1 + value.length);
  return emitPppControl(out, offset, { code, identifier, payload });
}
