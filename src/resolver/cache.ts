/** What a name server said of a name and a type: addresses, or that there are none. */
export interface CachedAnswer {
  readonly addresses: readonly string[];
  /** Whether the name itself does not exist, and not only addresses of this type. */
  readonly missing: boolean;
  /** In ms of the resolver's clock. */
  readonly until: number;
}

/** In s. Nobody's answer is believed for longer, whatever its time to live. */
const LONGEST = 86_400;

/** Answers until their time to live is over; beyond its capacity the one asked for longest ago goes. */
export class AnswerCache {
  readonly #answers = new Map<string, CachedAnswer>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get(key: string, now: number): CachedAnswer | undefined {
    const answer = this.#answers.get(key);
    if (answer === undefined) return undefined;
    this.#answers.delete(key);
    if (now >= answer.until) return undefined;
    this.#answers.set(key, answer);
    return answer;
  }

  /** @param ttl In s. */
  put(key: string, answer: Omit<CachedAnswer, 'until'>, ttl: number, now: number): void {
    if (ttl <= 0) return;
    this.#answers.delete(key);
    if (this.#answers.size >= this.#capacity) {
      const [oldest] = this.#answers.keys();
      if (oldest !== undefined) this.#answers.delete(oldest);
    }
    this.#answers.set(key, { ...answer, until: now + Math.min(ttl, LONGEST) * 1000 });
  }

  clear(): void {
    this.#answers.clear();
  }
}
