import { CodecError } from '../error.ts';
import { emitPppControl, PppControlView } from './ppp.ts';
import { requireField } from './view.ts';
import { copyBytes } from './wire.ts';

/** EAP codes (RFC 3748, section 4). */
export const EapCode = { request: 1, response: 2, success: 3, failure: 4 } as const;

/** EAP method types (IANA). */
export const EapType = { identity: 1, notification: 2, nak: 3, md5Challenge: 4, tls: 13 } as const;

/** An EAP packet as plain data; what the method's data means is the method's business. */
export type EapPacket =
  | {
      readonly kind: 'request' | 'response';
      readonly identifier: number;
      /** `EapType`. */
      readonly type: number;
      readonly data: Uint8Array;
    }
  | { readonly kind: 'success' | 'failure'; readonly identifier: number };

const KINDS = ['', 'request', 'response', 'success', 'failure'] as const;

/** The packet at `offset`. @throws CodecError if it is malformed or of another code. */
export function decodeEap(bytes: Uint8Array, offset = 0, end: number = bytes.length): EapPacket {
  const view = new PppControlView().at(bytes, offset, end);
  const { code, identifier, payloadOffset, payloadEnd } = view;
  if (view.truncated) throw new CodecError('eap', offset, 'cut short');
  const kind = KINDS[code] ?? '';
  if (kind === '') throw new CodecError('eap', offset, `code ${code}`);
  if (kind === 'success' || kind === 'failure') return { kind, identifier };
  if (payloadOffset >= payloadEnd) throw new CodecError('eap', payloadOffset, `a ${kind} without a type`);
  return {
    kind,
    identifier,
    type: bytes[payloadOffset]!,
    data: copyBytes(bytes, payloadOffset + 1, payloadEnd),
  };
}

/** Writes an EAP packet. @returns the offset behind it. */
export function emitEap(out: Uint8Array, offset: number, packet: EapPacket): number {
  const { kind, identifier } = packet;
  const code = EapCode[kind];
  if (!('type' in packet)) return emitPppControl(out, offset, { code, identifier });
  requireField('eap type', packet.type, 0xff);
  const payload = new Uint8Array(1 + packet.data.length);
  payload[0] = packet.type;
  payload.set(packet.data, 1);
  return emitPppControl(out, offset, { code, identifier, payload });
}
