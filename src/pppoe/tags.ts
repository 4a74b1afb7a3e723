import { arePppoeTags, PppoeTagCursor, PppoeTagType } from '../packet/index.ts';
import { shownText } from '../ppp/index.ts';
import type { PppoeFailure } from './failure.ts';
import type { PppoeFrame } from './frame.ts';

/** The tags of a discovery packet that mean something here; names are fit to be shown. */
export interface DiscoveryTags {
  readonly services: readonly string[];
  readonly acName: string | undefined;
  readonly hostUniq: Uint8Array | undefined;
  readonly cookie: Uint8Array | undefined;
  readonly relaySessionId: Uint8Array | undefined;
  readonly maxPayload: number | undefined;
  /** The first error tag. */
  readonly error: { readonly failure: PppoeFailure; readonly message: string } | undefined;
}

const ERRORS: Readonly<Record<number, PppoeFailure>> = {
  [PppoeTagType.serviceNameError]: 'service-name',
  [PppoeTagType.acSystemError]: 'ac-system-error',
  [PppoeTagType.genericError]: 'generic-error',
};

/** Services of one concentrator that are kept. */
const MAX_SERVICES = 64;
const cursor = new PppoeTagCursor();

/** A discovery packet is at most this long, in bytes, its header not counted (RFC 2516, section 5.1). */
export const MAX_TAGS_LENGTH = 1484;

/** The tags of a frame; undefined if they are malformed or too long. */
export function readTags(frame: PppoeFrame): DiscoveryTags | undefined {
  const { bytes, payloadOffset, payloadEnd } = frame;
  if (payloadEnd - payloadOffset > MAX_TAGS_LENGTH || !arePppoeTags(bytes, payloadOffset, payloadEnd)) {
    return undefined;
  }
  const services: string[] = [];
  let acName: string | undefined;
  let hostUniq: Uint8Array | undefined;
  let cookie: Uint8Array | undefined;
  let relaySessionId: Uint8Array | undefined;
  let maxPayload: number | undefined;
  let error: DiscoveryTags['error'];
  cursor.start(bytes, payloadOffset, payloadEnd);
  while (cursor.next()) {
    const { type, dataOffset, dataEnd } = cursor;
    switch (type) {
      case PppoeTagType.serviceName:
        if (services.length < MAX_SERVICES) services.push(shownText(bytes, dataOffset, dataEnd));
        break;
      case PppoeTagType.acName:
        acName ??= shownText(bytes, dataOffset, dataEnd);
        break;
      case PppoeTagType.hostUniq:
        hostUniq ??= copied(bytes, dataOffset, dataEnd);
        break;
      case PppoeTagType.acCookie:
        cookie ??= copied(bytes, dataOffset, dataEnd);
        break;
      case PppoeTagType.relaySessionId:
        relaySessionId ??= copied(bytes, dataOffset, dataEnd);
        break;
      case PppoeTagType.maxPayload:
        if (dataEnd - dataOffset === 2) maxPayload ??= (bytes[dataOffset]! << 8) | bytes[dataOffset + 1]!;
        break;
      default: {
        const failure = ERRORS[type];
        if (failure !== undefined) error ??= { failure, message: shownText(bytes, dataOffset, dataEnd) };
      }
    }
  }
  return { services, acName, hostUniq, cookie, relaySessionId, maxPayload, error };
}

function copied(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const copy = new Uint8Array(to - from);
  copy.set(bytes.subarray(from, to));
  return copy;
}
