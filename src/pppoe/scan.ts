import {
  MAC_BROADCAST,
  type MacAddress,
  macNumber,
  macText,
  PppoeCode,
  PppoeTagType,
} from '../packet/index.ts';
import type { RandomSource } from '../ppp/index.ts';
import type { FrameSink, PppoeConcentratorInfo } from './client-options.ts';
import { checkVlans, emitDiscovery, FrameHeader, isStation, PppoeFrame, type PppoeVlan } from './frame.ts';
import { readTags } from './tags.ts';

export interface PppoeScanOptions {
  readonly mac: MacAddress;
  readonly vlans?: readonly PppoeVlan[];
  /** Default is '', any. */
  readonly serviceName?: string;
  /** Asks for RFC 4638 with this many bytes above 1492. Default is 1500; 1492 does not ask. */
  readonly mru?: number;
  readonly random: RandomSource;
  readonly transmit: FrameSink;
  /** Called for every concentrator once. */
  readonly found: (concentrator: PppoeConcentratorInfo) => void;
}

/** More concentrators than these on one wire are somebody's joke. */
const MAX_FOUND = 256;
const frame = new PppoeFrame();

/** Asks who is there, and asks for nothing else: what `pppoe discover` does. */
export class PppoeScan {
  readonly #options: PppoeScanOptions;
  readonly #mac: number;
  readonly #header: FrameHeader;
  readonly #hostUniq: Uint8Array = new Uint8Array(12);
  readonly #found: Map<string, PppoeConcentratorInfo> = new Map();
  #askedAt = 0;

  constructor(options: PppoeScanOptions) {
    this.#options = options;
    this.#mac = macNumber(options.mac);
    this.#header = new FrameHeader(this.#mac, MAC_BROADCAST, checkVlans(options.vlans ?? []));
    options.random(this.#hostUniq);
  }

  /** By answer. */
  get concentrators(): readonly PppoeConcentratorInfo[] {
    return [...this.#found.values()];
  }

  /** Sends a PADI. May be called again, for those who missed the first. */
  ask(now: number): void {
    const { serviceName = '', mru = 1500, transmit } = this.#options;
    const out = new Uint8Array(512);
    const end = emitDiscovery(out, 0, {
      mac: this.#mac,
      peerMac: MAC_BROADCAST,
      vlans: this.#header.vlans,
      sessionId: 0,
      code: PppoeCode.padi,
      tags: [
        { type: PppoeTagType.serviceName, data: serviceName },
        { type: PppoeTagType.hostUniq, data: this.#hostUniq },
        ...(mru > 1492 ? [{ type: PppoeTagType.maxPayload, data: Uint8Array.of(mru >>> 8, mru) }] : []),
      ],
    });
    this.#askedAt = now;
    transmit(out, 0, end);
  }

  /** Takes a frame from the wire. @returns whether it was an answer to this scan. */
  input(bytes: Uint8Array, offset: number, length: number, now: number): boolean {
    if (!frame.parse(bytes, offset, length) || frame.isSession || frame.code !== PppoeCode.pado) return false;
    const { source } = frame;
    if (frame.destination !== this.#mac || !isStation(source) || !this.#header.hasVlansOf(frame))
      return false;
    const tags = readTags(frame);
    if (tags?.hostUniq?.length !== this.#hostUniq.length) return false;
    if (!this.#hostUniq.every((byte, i) => tags.hostUniq?.[i] === byte)) return false;
    const mac = macText(source);
    // One station may be several concentrators.
    const key = `${mac} ${tags.acName ?? ''}`;
    if (this.#found.has(key) || this.#found.size >= MAX_FOUND) return true;
    const concentrator: PppoeConcentratorInfo = {
      mac,
      name: tags.acName ?? '',
      services: tags.services,
      roundTrip: now - this.#askedAt,
      maxPayload: tags.maxPayload,
    };
    this.#found.set(key, concentrator);
    this.#options.found(concentrator);
    return true;
  }
}
