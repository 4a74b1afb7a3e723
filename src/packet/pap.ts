import { CodecError } from '../error.ts';
import { emitPppControl, PppControlView } from './ppp.ts';
import { inside, requireField } from './view.ts';
import { copyBytes } from './wire.ts';

/** PAP codes (RFC 1334, section 2.2). */
export const PapCode = { request: 1, ack: 2, nak: 3 } as const;

/** A PAP packet as plain data. Names and passwords are bytes: nothing says what text they are. */
export type PapPacket =
  | {
      readonly kind: 'request';
      readonly identifier: number;
      readonly peerId: Uint8Array;
      readonly password: Uint8Array;
    }
  | { readonly kind: 'ack' | 'nak'; readonly identifier: number; readonly message: Uint8Array };

/** The packet at `offset`. @throws CodecError if it is malformed or of another code. */
export function decodePap(bytes: Uint8Array, offset = 0, end: number = bytes.length): PapPacket {
  const view = new PppControlView().at(bytes, offset, end);
  const { code, identifier, payloadOffset, payloadEnd } = view;
  if (view.truncated) throw new CodecError('pap', offset, 'cut short');
  if (code === PapCode.request) {
    const peerEnd = countedEnd(bytes, payloadOffset, payloadEnd);
    const passwordEnd = countedEnd(bytes, peerEnd, payloadEnd);
    return {
      kind: 'request',
      identifier,
      peerId: copyBytes(bytes, payloadOffset + 1, peerEnd),
      password: copyBytes(bytes, peerEnd + 1, passwordEnd),
    };
  }
  if (code !== PapCode.ack && code !== PapCode.nak) throw new CodecError('pap', offset, `code ${code}`);
  const kind = code === PapCode.ack ? 'ack' : 'nak';
  // Some servers leave the message's length byte out, though RFC 1334 has it always.
  if (payloadOffset === payloadEnd) return { kind, identifier, message: new Uint8Array(0) };
  const messageEnd = countedEnd(bytes, payloadOffset, payloadEnd);
  return { kind, identifier, message: copyBytes(bytes, payloadOffset + 1, messageEnd) };
}

/** Writes a PAP packet. @returns the offset behind it. */
export function emitPap(out: Uint8Array, offset: number, packet: PapPacket): number {
  const { kind, identifier } = packet;
  const parts = kind === 'request' ? [packet.peerId, packet.password] : [packet.message];
  const payload = new Uint8Array(parts.reduce((length, part) => length + 1 + part.length, 0));
  let at = 0;
  for (const part of parts) {
    requireField(`pap ${kind} length`, part.length, 0xff);
    payload[at] = part.length;
    payload.set(part, at + 1);
    at += 1 + part.length;
  }
  return emitPppControl(out, offset, { code: PapCode[kind], identifier, payload });
}

/** The offset behind bytes that their length precedes. */
function countedEnd(bytes: Uint8Array, offset: number, end: number): number {
  const after = inside(bytes, offset, end, 1) ? offset + 1 + bytes[offset]! : Number.POSITIVE_INFINITY;
  if (after > end) throw new CodecError('pap', offset, 'a field runs past its packet');
  return after;
}
