/**
 * What carries a link's packets, and what its parts share: one buffer in which every packet is written, so that
 * thousands of links need no memory of their own for it.
 */
export interface PppCarrier {
  /** Packets are written here, behind `packetOffset` bytes for the headers of whatever carries them. */
  readonly buffer: Uint8Array;
  readonly packetOffset: number;
  /**
   * Sends what lies in `buffer` from `packetOffset` to `end`, behind a PPP protocol number. The bytes are free again
   * when it returns. It must not call back into the link.
   */
  send(protocol: number, end: number): void;
}

/** Fills the bytes with unpredictable ones, as `crypto.getRandomValues` does. */
export type RandomSource = (bytes: Uint8Array) => void;

/** How long a negotiation waits, and how often it tries (RFC 1661, section 4.6). Times in milliseconds. */
export interface PppTiming {
  /** To the first repetition of a request. Default is 1,000. */
  readonly restart: number;
  /** Each repetition waits twice as long, up to this. Default is 3,000, RFC 1661's. */
  readonly maximumRestart: number;
  /** Configure-Requests without an answer. Default is 10. */
  readonly maxConfigure: number;
  /** Terminate-Requests without an answer. Default is 2. */
  readonly maxTerminate: number;
  /** Configure-Naks before what is left is rejected. Default is 5. */
  readonly maxFailure: number;
  /** From the first packet to the network phase at the longest. Default is 60,000. */
  readonly establishment: number;
}

export const DEFAULT_TIMING: PppTiming = {
  restart: 1000,
  maximumRestart: 3000,
  maxConfigure: 10,
  maxTerminate: 2,
  maxFailure: 5,
  establishment: 60_000,
};

const word = new Uint8Array(4);

/** An unsigned 32-bit number, never 0: 0 stands for "none" in magic numbers. */
export function randomWord(random: RandomSource): number {
  for (let tries = 0; tries < 8; tries++) {
    random(word);
    const value = ((word[0]! << 24) | (word[1]! << 16) | (word[2]! << 8) | word[3]!) >>> 0;
    if (value !== 0) return value;
  }
  return 1;
}
