import { nearest } from '../nearest.ts';
import { Chooser, type Strategy } from './choice.ts';
import { ProxyError } from './error.ts';
import type { Exit } from './exit.ts';
import { type Binding, StickyTable } from './sticky.ts';
import type { UserName } from './user-name.ts';
import type { Admission } from './users.ts';

/** When a user without a session moves on to another exit. */
export type RotateEvery =
  | { readonly unit: 'request' }
  | { readonly unit: 'time' /** In ms. */; readonly span: number }
  | { readonly unit: 'bytes'; readonly bytes: number };

export interface RoutingOptions {
  /** Default is `round-robin`. */
  readonly strategy?: Strategy;
  /** Default is every request. */
  readonly rotate?: RotateEvery;
  /** How long a session keeps its exit unless its user name says otherwise, in ms. Default is 10 minutes. */
  readonly lifetime?: number;
  /** Default is `soft`. */
  readonly mode?: 'soft' | 'hard';
}

export interface Route {
  readonly exit: Exit;
  readonly binding: Binding | undefined;
  /** Whether another exit would do as well, should this one turn out to be down. */
  readonly free: boolean;
}

/** Which exit a request leaves by. */
export class Router {
  readonly #sticky = new StickyTable();
  #exits: readonly Exit[];
  #chooser: Chooser;
  #options: RoutingOptions;

  constructor(exits: readonly Exit[], options: RoutingOptions = {}) {
    this.#exits = exits;
    this.#options = options;
    this.#chooser = new Chooser(options.strategy ?? 'round-robin');
  }

  get exits(): readonly Exit[] {
    return this.#exits;
  }

  /** Bindings to exits that stay are kept. */
  replace(exits: readonly Exit[], options: RoutingOptions): void {
    this.#exits = exits;
    if (options.strategy !== this.#options.strategy)
      this.#chooser = new Chooser(options.strategy ?? 'round-robin');
    this.#options = options;
  }

  /**
   * @param client The client's address, which `hash` goes by where there is no session.
   * @param now In ms, of a clock that never goes back.
   * @throws ProxyError `BW_PROXY_NO_EXIT`; `BW_PROXY_EXIT_GONE` when a hard session's exit or address is gone.
   */
  route({ user, wishes }: Admission, client: string, now: number): Route {
    const { exits: allowed } = user.spec;
    const mine =
      allowed === undefined ? this.#exits : this.#exits.filter(({ name }) => allowed.includes(name));
    if (wishes.exit !== undefined) return { exit: named(mine, wishes.exit), binding: undefined, free: false };
    const key = `${user.name}\0${wishes.session ?? ''}`;
    const binding = this.#binding(key, mine, wishes, now);
    if (binding === undefined) {
      const exit = this.#choose(mine, `${key}\0${client}`);
      return { exit, binding: undefined, free: true };
    }
    if (fits(binding, mine)) return { exit: binding.exit, binding, free: false };
    if ((wishes.mode ?? this.#options.mode) === 'hard') {
      throw new ProxyError('BW_PROXY_EXIT_GONE', `the session's address ${binding.address ?? ''} is gone`, {
        hint: 'Begin another session, or let it be soft.',
      });
    }
    const exit = this.#choose(mine, key);
    return { exit, binding: this.#sticky.bind(key, exit, binding.until, binding.bytesLeft), free: false };
  }

  /** What the key is bound to, or bound to now; nothing when every request is on its own. */
  #binding(key: string, exits: readonly Exit[], wishes: UserName, now: number): Binding | undefined {
    const { rotate = { unit: 'request' } } = this.#options;
    const lifetime = wishes.lifetime ?? this.#options.lifetime ?? 10 * 60_000;
    const session = wishes.session !== undefined;
    if (!session && rotate.unit === 'request') return undefined;
    const held = this.#sticky.get(key, now);
    if (held !== undefined) return held;
    const exit = this.#choose(exits, key);
    if (session) return this.#sticky.bind(key, exit, now + lifetime);
    if (rotate.unit === 'time') return this.#sticky.bind(key, exit, now + rotate.span);
    return this.#sticky.bind(key, exit, Number.POSITIVE_INFINITY, rotate.unit === 'bytes' ? rotate.bytes : 0);
  }

  #choose(exits: readonly Exit[], key: string): Exit {
    const exit = this.#chooser.choose(
      exits.filter(({ usable }) => usable),
      key,
    );
    if (exit !== undefined) return exit;
    const states = exits.map(({ name, state }) => `${name} is ${state}`).join(', ');
    throw new ProxyError('BW_PROXY_NO_EXIT', `no exit works: ${states === '' ? 'none is allowed' : states}`);
  }
}

function named(exits: readonly Exit[], name: string): Exit {
  const exit = exits.find((candidate) => candidate.name === name);
  if (exit === undefined) {
    const near = nearest(
      name,
      exits.map((candidate) => candidate.name),
      1,
    )[0];
    throw new ProxyError('BW_PROXY_NO_EXIT', `there is no exit '${name}'`, {
      hint: near === undefined ? undefined : `Did you mean ${near}?`,
    });
  }
  if (!exit.usable) throw new ProxyError('BW_PROXY_NO_EXIT', `exit ${name} is ${exit.state}`);
  return exit;
}

function fits({ exit, address }: Binding, exits: readonly Exit[]): boolean {
  return exits.includes(exit) && exit.usable && exit.address === address;
}
