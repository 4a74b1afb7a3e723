import { MAC_BROADCAST, macText, PppoeCode, type PppoeTag, PppoeTagType } from '../packet/index.ts';
import { type RandomSource, randomWord } from '../ppp/index.ts';
import type { PppoeConcentratorInfo, PppoeSessionOptions, PppoeTiming } from './client-options.ts';
import { PppoeError } from './failure.ts';
import type { PppoeFrame } from './frame.ts';
import type { DiscoveryTags } from './tags.ts';

/** The session that a discovery is for. */
export interface DiscoveryOwner {
  readonly random: RandomSource;
  /** Sends a discovery packet without a session ID. */
  send(code: number, peerMac: number, tags: readonly PppoeTag[]): void;
  /** When the next PADI may be sent. */
  padiSlot(now: number): number;
  padiAnswered(): void;
  padiUnanswered(): void;
  /** What the Host-Uniq tag of this try holds. */
  hostUniq(): Uint8Array;
  /** A concentrator was chosen; its PADR follows. */
  chosen(concentrator: PppoeConcentratorInfo): void;
  /** The concentrator has confirmed a session. */
  confirmed(peerMac: number, sessionId: number, carrierMru: number, now: number): void;
  failed(error: PppoeError, now: number): void;
  /** A PADS of a session that is not wanted. */
  surplus(frame: PppoeFrame): void;
  discard(why: string): void;
}

/** RFC 2516, section 7: what fits into a standard frame behind the headers of PPPoE and PPP. */
export const STANDARD_MRU = 1492;
/** RFC 4638: what fits when the wire takes frames of 1508 bytes. */
export const BABY_JUMBO_MRU = 1500;
/** Concentrators of one discovery that are remembered. */
const MAX_SEEN = 16;
/** A concentrator that has just refused is taken again only if no other answers within this time, in milliseconds. */
const PATIENCE = 300;
/** Bytes of cookie and Relay-Session-Id that fit into a PADR beside a service name and Host-Uniq of ours. */
const MAX_ECHOED = 1024;

/** The client's side of discovery (RFC 2516, section 5): from the PADI to the PADS, once for every dial. */
export class ClientDiscovery {
  /** When {@link advance} wants to be called; Infinity for never. */
  timerAt: number = Number.POSITIVE_INFINITY;
  /** The chosen one; kept until the next start. */
  concentrator: PppoeConcentratorInfo | undefined;
  readonly #owner: DiscoveryOwner;
  readonly #options: Omit<PppoeSessionOptions, 'password'>;
  readonly #timing: PppoeTiming;
  #stage: 'idle' | 'soliciting' | 'requesting' = 'idle';
  #tries = 0;
  #waitsForSlot = false;
  #padiAt = 0;
  #peerMac = 0;
  #offer: DiscoveryTags | undefined;
  /** An offer of the one that refused last, in case that no other comes. */
  #spare: { readonly mac: number; readonly tags: DiscoveryTags } | undefined;
  #seen: PppoeConcentratorInfo[] = [];
  #refusal: PppoeError | undefined;
  /** The concentrator that refused last. */
  #avoided = 0;

  constructor(owner: DiscoveryOwner, options: Omit<PppoeSessionOptions, 'password'>, timing: PppoeTiming) {
    this.#owner = owner;
    this.#options = options;
    this.#timing = timing;
  }

  start(now: number): void {
    this.stop();
    this.#stage = 'soliciting';
    this.#tries = 0;
    this.concentrator = undefined;
    this.#padi(now);
  }

  /** Waits for nothing any more. Of what it has heard only the chosen concentrator is kept. */
  stop(): void {
    this.#stage = 'idle';
    this.timerAt = Number.POSITIVE_INFINITY;
    this.#waitsForSlot = false;
    this.#offer = undefined;
    this.#spare = undefined;
    this.#seen = [];
    this.#refusal = undefined;
  }

  advance(now: number): void {
    if (now < this.timerAt) return;
    this.timerAt = Number.POSITIVE_INFINITY;
    if (this.#stage === 'requesting') this.#padrTimeout(now);
    else if (this.#waitsForSlot) this.#padi(now);
    else if (this.#spare !== undefined) this.#request(this.#spare.mac, this.#spare.tags, now);
    else this.#padiTimeout(now);
  }

  /** A PADO with our Host-Uniq. */
  pado(frame: PppoeFrame, tags: DiscoveryTags, now: number): void {
    const { source: mac, sessionId } = frame;
    if (this.#stage !== 'soliciting' || this.#tries === 0) return;
    if (sessionId !== 0) {
      this.#owner.discard('a PADO with a session ID');
      return;
    }
    if ((tags.cookie?.length ?? 0) + (tags.relaySessionId?.length ?? 0) > MAX_ECHOED) {
      this.#owner.discard('a PADO with more to give back than a PADR holds');
      return;
    }
    this.#owner.padiAnswered();
    if (tags.error !== undefined) {
      this.#refusal = refusal(tags.error.failure, tags.acName, tags.error.message);
      return;
    }
    if (this.#seen.length < MAX_SEEN && !this.#seen.some((other) => other.mac === macText(mac))) {
      this.#seen.push(this.#infoOf(mac, tags, now));
    }
    const { serviceName = '', acName } = this.#options;
    if (acName !== undefined && tags.acName !== acName) return;
    if (serviceName !== '' && !tags.services.includes(serviceName)) return;
    if (mac !== this.#avoided) {
      this.#request(mac, tags, now);
    } else if (this.#spare === undefined) {
      this.#spare = { mac, tags };
      this.timerAt = now + PATIENCE;
    }
  }

  /** A PADS with our Host-Uniq. */
  pads(frame: PppoeFrame, tags: DiscoveryTags, now: number): void {
    const { source: mac, sessionId } = frame;
    if (this.#stage !== 'requesting' || mac !== this.#peerMac) {
      this.#owner.surplus(frame);
      return;
    }
    if (tags.error !== undefined || sessionId === 0 || sessionId === 0xffff) {
      if (sessionId !== 0) this.#owner.surplus(frame);
      const { failure = 'generic-error', message = 'a session ID that is none' } = tags.error ?? {};
      const error = refusal(failure, tags.acName ?? this.#offer?.acName, message);
      this.#avoided = mac;
      this.#fail(error, now);
      return;
    }
    this.#avoided = 0;
    this.stop();
    const { mru = STANDARD_MRU } = this.#options;
    // Without the tag in the PADS the concentrator knows nothing of it (RFC 4638, section 4).
    const agreed = Math.min(mru, tags.maxPayload ?? STANDARD_MRU);
    this.#owner.confirmed(mac, sessionId, Math.max(STANDARD_MRU, agreed), now);
  }

  #padi(now: number): void {
    if (!this.#waitsForSlot) {
      const slot = this.#owner.padiSlot(now);
      if (slot > now) {
        this.#waitsForSlot = true;
        this.timerAt = slot;
        return;
      }
    }
    this.#waitsForSlot = false;
    const { serviceName = '' } = this.#options;
    this.#sendPadi(serviceName);
    this.#padiAt = now;
    this.#tries++;
    // Who asks for a service that nobody has hears nothing; the last try finds out who is there at all.
    if (serviceName !== '' && this.#tries >= this.#timing.padiTries) this.#sendPadi('');
    // Never sooner than the nominal time: some concentrators answer one PADI a second.
    this.timerAt = now + this.#timing.padi * 2 ** (this.#tries - 1) * this.#jitter();
  }

  #sendPadi(service: string): void {
    const { mru = STANDARD_MRU } = this.#options;
    this.#owner.send(PppoeCode.padi, MAC_BROADCAST, [
      { type: PppoeTagType.serviceName, data: service },
      { type: PppoeTagType.hostUniq, data: this.#owner.hostUniq() },
      ...(mru > STANDARD_MRU ? [maxPayloadTag(mru)] : []),
    ]);
  }

  #padiTimeout(now: number): void {
    this.#owner.padiUnanswered();
    if (this.#tries < this.#timing.padiTries) this.#padi(now);
    else this.#fail(this.#nobody(), now);
  }

  /** Why there is none to be asked for a session. */
  #nobody(): PppoeError {
    if (this.#refusal !== undefined) return this.#refusal;
    const { acName, serviceName = '' } = this.#options;
    if (this.#seen.length === 0) {
      return new PppoeError('no-concentrator', 'no access concentrator answers', {
        hint: 'Check cable, modem and VLAN; `barewire pppoe discover` lists who answers.',
      });
    }
    const seen = this.#seen.map(({ name, services }) => `'${name}' (${services.map(quoted).join(', ')})`);
    const there = `there are ${seen.join(', ')}`;
    if (acName !== undefined && !this.#seen.some(({ name }) => name === acName)) {
      return new PppoeError('ac-name', `no concentrator is named '${acName}'; ${there}`);
    }
    return new PppoeError('service-name', `no concentrator offers the service '${serviceName}'; ${there}`);
  }

  #request(mac: number, tags: DiscoveryTags, now: number): void {
    this.#stage = 'requesting';
    this.#peerMac = mac;
    this.#offer = tags;
    this.#spare = undefined;
    this.#tries = 0;
    this.concentrator = this.#infoOf(mac, tags, now);
    this.#owner.chosen(this.concentrator);
    this.#padr(now);
  }

  #padr(now: number): void {
    const { cookie, relaySessionId, maxPayload } = this.#offer ?? {};
    const { mru = STANDARD_MRU, serviceName = '' } = this.#options;
    this.#owner.send(PppoeCode.padr, this.#peerMac, [
      { type: PppoeTagType.serviceName, data: serviceName },
      { type: PppoeTagType.hostUniq, data: this.#owner.hostUniq() },
      ...(cookie === undefined ? [] : [{ type: PppoeTagType.acCookie, data: cookie }]),
      ...(relaySessionId === undefined ? [] : [{ type: PppoeTagType.relaySessionId, data: relaySessionId }]),
      ...(mru > STANDARD_MRU && maxPayload !== undefined ? [maxPayloadTag(mru)] : []),
    ]);
    this.#tries++;
    this.timerAt = now + this.#timing.padr * this.#tries * this.#jitter();
  }

  #padrTimeout(now: number): void {
    if (this.#tries < this.#timing.padrTries) {
      this.#padr(now);
      return;
    }
    this.#avoided = this.#peerMac;
    const name = this.#offer?.acName ?? 'unknown';
    const error = new PppoeError('no-session', `the concentrator '${name}' does not answer our request`, {
      hint: 'Its AC-Cookie may have expired, or it takes no more sessions from this MAC address.',
    });
    this.#fail(error, now);
  }

  #fail(error: PppoeError, now: number): void {
    this.stop();
    this.#owner.failed(error, now);
  }

  #infoOf(mac: number, tags: DiscoveryTags, now: number): PppoeConcentratorInfo {
    return {
      mac: macText(mac),
      name: tags.acName ?? '',
      services: tags.services,
      roundTrip: now - this.#padiAt,
      maxPayload: tags.maxPayload,
    };
  }

  /** From 1 to 1.25. */
  #jitter(): number {
    return 1 + randomWord(this.#owner.random) / 2 ** 34;
  }
}

function refusal(failure: PppoeError['failure'], acName: string | undefined, message: string): PppoeError {
  const said = message === '' ? '' : `: ${message}`;
  return new PppoeError(failure, `the concentrator '${acName ?? ''}' refuses${said}`, {
    peerMessage: message,
  });
}

function quoted(service: string): string {
  return service === '' ? 'any service' : `'${service}'`;
}

function maxPayloadTag(mru: number): PppoeTag {
  return { type: PppoeTagType.maxPayload, data: Uint8Array.of(mru >>> 8, mru) };
}
