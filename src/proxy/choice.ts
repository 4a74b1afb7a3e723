import type { Exit } from './exit.ts';

/** How an exit is chosen for a request that is bound to none. */
export type Strategy = 'round-robin' | 'random' | 'least-used' | 'hash';

export const STRATEGIES: readonly Strategy[] = ['round-robin', 'random', 'least-used', 'hash'];

/** Chooses among exits that work. */
export class Chooser {
  readonly strategy: Strategy;
  readonly #random: () => number;
  #next = 0;

  /** @param random As `Math.random`. */
  constructor(strategy: Strategy, random: () => number = Math.random) {
    this.strategy = strategy;
    this.#random = random;
  }

  /**
   * @param key What `hash` goes by: the same key gets the same exit as long as that one works, and when one fails
   *   only its own keys move.
   */
  choose(exits: readonly Exit[], key: string): Exit | undefined {
    if (exits.length === 0) return undefined;
    switch (this.strategy) {
      case 'round-robin':
        return exits[this.#next++ % exits.length];
      case 'random':
        return exits[Math.floor(this.#random() * exits.length)];
      case 'least-used':
        return exits.reduce((best, exit) => (exit.connections < best.connections ? exit : best));
      case 'hash':
        return exits.reduce((best, exit) => (weight(key, exit) > weight(key, best) ? exit : best));
    }
  }
}

/** Rendezvous hashing: every exit has its own weight for every key, the heaviest wins. FNV-1a, then a final mix. */
function weight(key: string, exit: Exit): number {
  let hash = 0x811c9dc5;
  const text = `${key}\0${exit.name}`;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
