import { buildPacket, decodePppoeTags, macText, type PppoeTag } from '../../src/packet/index.ts';
import { PppoeFrame } from '../../src/pppoe/frame.ts';

/** A frame on the wire, as a test looks at it. */
export interface Seen {
  readonly source: string;
  readonly destination: string;
  readonly session: boolean;
  readonly code: number;
  readonly sessionId: number;
  /** 0 in discovery. */
  readonly protocol: number;
  /** Of a control packet. */
  readonly control: number;
  readonly identifier: number;
  readonly data: Uint8Array;
  readonly tags: readonly { readonly type: number; readonly data: Uint8Array }[];
}

/** What a PPPoE frame says; undefined if it is none or broken. */
export function look(bytes: Uint8Array): Seen | undefined {
  const frame = new PppoeFrame();
  if (!frame.parse(bytes, 0, bytes.length)) return undefined;
  const { code, sessionId, payloadOffset: at, payloadEnd, isSession } = frame;
  return {
    source: macText(frame.source),
    destination: macText(frame.destination),
    session: isSession,
    code,
    sessionId,
    protocol: isSession ? (bytes[at]! << 8) | bytes[at + 1]! : 0,
    control: isSession ? (bytes[at + 2] ?? 0) : 0,
    identifier: isSession ? (bytes[at + 3] ?? 0) : 0,
    data: bytes.slice(at + 6, payloadEnd),
    tags: isSession ? [] : decodePppoeTags(bytes, at, payloadEnd),
  };
}

export const PADI = 0x09;
export const PADO = 0x07;
export const PADR = 0x19;
export const PADS = 0x65;
export const PADT = 0xa7;

export interface Ends {
  readonly source: string;
  readonly destination: string;
}

/** A discovery frame by hand. */
export function discovery(
  ends: Ends,
  code: number,
  sessionId: number,
  tags: readonly PppoeTag[] = [],
): Uint8Array {
  return buildPacket([
    { layer: 'eth', ...ends },
    { layer: 'pppoe', code, sessionId, tags },
  ]);
}

/** A control packet in a session, by hand. */
export function control(
  ends: Ends,
  sessionId: number,
  protocol: number,
  code: number,
  identifier: number,
  data: ArrayLike<number> = [],
): Uint8Array {
  const length = 4 + data.length;
  return buildPacket([
    { layer: 'eth', ...ends },
    { layer: 'pppoe', code: 0, sessionId },
    { layer: 'ppp', protocol },
    Uint8Array.from([code, identifier, length >>> 8, length & 0xff, ...Array.from(data)]),
  ]);
}
