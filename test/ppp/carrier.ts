import { PppControlView } from '../../src/packet/index.ts';
import {
  type AuthenticationMethod,
  DEFAULT_TIMING,
  type PppError,
  PppLink,
  type PppLinkObserver,
  type PppLinkOptions,
  type PppPhase,
} from '../../src/ppp/index.ts';
import { Random } from '../packet/random.ts';

/** A packet that a link sent. */
export interface SentPacket {
  readonly protocol: number;
  readonly code: number;
  readonly identifier: number;
  /** Behind code, identifier and length. */
  readonly data: Uint8Array;
  /** All of it, behind the protocol number. */
  readonly bytes: Uint8Array;
}

/** One link, with what it sent and told, and no peer but the test. */
export class Bench {
  now = 0;
  readonly sent: SentPacket[] = [];
  readonly phases: PppPhase[] = [];
  readonly told: string[] = [];
  readonly discarded: string[] = [];
  error: PppError | undefined;
  readonly link: PppLink;

  constructor(options: Partial<PppLinkOptions> = {}, seed = 1) {
    const random = new Random(seed);
    const buffer = new Uint8Array(2048);
    const packetOffset = 30;
    this.link = new PppLink(
      {
        buffer,
        packetOffset,
        send: (protocol, end) => {
          const bytes = buffer.slice(packetOffset, end);
          const view = new PppControlView().at(bytes);
          const data = bytes.slice(view.payloadOffset, view.payloadEnd);
          this.sent.push({ protocol, code: view.code, identifier: view.identifier, data, bytes });
        },
      },
      (bytes) => {
        for (let i = 0; i < bytes.length; i++) bytes[i] = random.u8();
      },
      {
        mru: 1492,
        carrierMru: 1492,
        minimumMru: 576,
        credentials: { user: 'user1', password: 'pass1' },
        answers: ['chap-md5', 'mschapv2', 'eap-md5', 'pap'],
        demands: [],
        ipv4: () => ({ local: 0, peer: 0, dns: [], nbns: [], asksDns: true, asksNbns: false }),
        either: false,
        ipv6: undefined,
        echo: { interval: 30_000, failures: 3 },
        settles: false,
        timing: DEFAULT_TIMING,
        ...options,
      },
      this.#observer(),
    );
  }

  #observer(): PppLinkObserver {
    return {
      phase: (phase) => this.phases.push(phase),
      authenticated: (side: string, method: AuthenticationMethod, user, message) =>
        this.told.push(`authenticated ${side} ${method} ${user} ${message}`.trim()),
      refusedPeer: (method, user) => this.told.push(`refused ${method} ${user}`),
      network: (protocol, up) => this.told.push(`${protocol} ${up ? 'up' : 'down'}`),
      ended: (error) => {
        this.error = error;
      },
      discarded: (why) => this.discarded.push(why),
    };
  }

  /** Brings the lower layer up. */
  start(): this {
    this.link.up(this.now);
    return this;
  }

  /** Hands the link a packet of a protocol. */
  receive(protocol: number, code: number, identifier: number, data: ArrayLike<number> = []): void {
    const bytes = new Uint8Array(4 + data.length);
    bytes.set([code, identifier, bytes.length >>> 8, bytes.length & 0xff]);
    bytes.set(data, 4);
    this.receiveBytes(protocol, bytes);
  }

  receiveBytes(protocol: number, bytes: Uint8Array): void {
    this.link.input(protocol, bytes, 0, bytes.length, this.now);
  }

  /** Lets the clock run, stopping at each deadline. */
  pass(milliseconds: number): void {
    const until = this.now + milliseconds;
    while (this.link.deadline <= until) {
      this.now = Math.max(this.now, this.link.deadline);
      this.link.advance(this.now);
    }
    this.now = until;
  }

  /** What was sent since the last call. */
  take(): SentPacket[] {
    return this.sent.splice(0);
  }

  last(): SentPacket {
    const last = this.sent.at(-1);
    if (last === undefined) throw new Error('nothing was sent');
    return last;
  }

  /** LCP up: our request acknowledged, the peer's with these options accepted. */
  openLcp(peerOptions: readonly number[] = MAGIC): this {
    this.start();
    const request = this.take()[0]!;
    this.receive(0xc021, 2, request.identifier, request.data);
    this.receive(0xc021, 1, 1, peerOptions);
    return this;
  }
}

/** A Magic-Number option. */
export const MAGIC: readonly number[] = [5, 6, 0x11, 0x22, 0x33, 0x44];

export const LCP = 0xc021;
export const IPCP = 0x8021;
export const IPV6CP = 0x8057;
export const PAP = 0xc023;
export const CHAP = 0xc223;
export const EAP = 0xc227;
export const CCP = 0x80fd;
