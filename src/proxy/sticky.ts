import type { Exit } from './exit.ts';

/** A session's or a user's hold on an exit. */
export interface Binding {
  readonly exit: Exit;
  /** The exit's address when it was bound: another one is another exit to the sites that see it. */
  readonly address: string | undefined;
  /** When it ends, in ms of the clock that `now` is of. */
  readonly until: number;
  /** Bytes after which it ends; counted down by the proxy. */
  bytesLeft: number;
}

/** Which exit a key is bound to. Bounded: beyond its capacity the binding that was used longest ago goes. */
export class StickyTable {
  readonly #bindings = new Map<string, Binding>();
  readonly #capacity: number;

  constructor(capacity = 100_000) {
    this.#capacity = capacity;
  }

  /** The binding, unless its time or its bytes are over. */
  get(key: string, now: number): Binding | undefined {
    const binding = this.#bindings.get(key);
    if (binding === undefined) return undefined;
    this.#bindings.delete(key);
    if (now >= binding.until || binding.bytesLeft <= 0) return undefined;
    // Last in the map is used last.
    this.#bindings.set(key, binding);
    return binding;
  }

  bind(key: string, exit: Exit, until: number, bytes: number = Number.POSITIVE_INFINITY): Binding {
    const binding: Binding = { exit, address: exit.address, until, bytesLeft: bytes };
    this.#bindings.delete(key);
    if (this.#bindings.size >= this.#capacity) {
      const [oldest] = this.#bindings.keys();
      if (oldest !== undefined) this.#bindings.delete(oldest);
    }
    this.#bindings.set(key, binding);
    return binding;
  }

  get size(): number {
    return this.#bindings.size;
  }
}
