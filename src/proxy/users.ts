import { type Prefix, parsePrefix, prefixContains, tryParseIp } from '../address/index.ts';
import { ProxyError } from './error.ts';
import { FailureLog } from './failures.ts';
import { PasswordChecker, type PasswordHash, parseHash } from './password.ts';
import { ByteRate } from './rate.ts';
import { parseUserName, type UserName } from './user-name.ts';

/** A user as the configuration has it. */
export interface UserSpec {
  readonly name: string;
  /** `scrypt:…`, as `hashPassword` makes it. Without one, the user is known by address alone. */
  readonly passwordHash?: string;
  /** Where the user may come from, as prefixes. Default is anywhere with a password, nowhere without. */
  readonly from?: readonly string[];
  /** Connections at a time. Default is no limit. */
  readonly connections?: number;
  /** Bytes a second, both directions together. Default is no limit. */
  readonly rate?: number;
  /** Bytes in all since the proxy started, both directions together. Default is no limit. */
  readonly bytes?: number;
  /** Names of the exits that the user may leave by. Default is all. */
  readonly exits?: readonly string[];
}

/** A user in the running proxy, with what was used so far. */
export class User {
  readonly spec: UserSpec;
  readonly hash: PasswordHash | undefined;
  readonly from: readonly Prefix[];
  readonly rate: ByteRate | undefined;
  connections = 0;
  requests = 0;
  bytesUp = 0;
  bytesDown = 0;

  constructor(spec: UserSpec) {
    this.spec = spec;
    this.hash = spec.passwordHash === undefined ? undefined : parseHash(spec.passwordHash);
    this.from = (spec.from ?? []).map((text) => parsePrefix(text));
    this.rate = spec.rate === undefined ? undefined : new ByteRate(spec.rate);
  }

  get name(): string {
    return this.spec.name;
  }

  /** @throws ProxyError `BW_PROXY_LIMIT` when one more connection would be too much. */
  admit(): void {
    const { connections } = this.spec;
    if (connections !== undefined && this.connections >= connections) {
      throw new ProxyError(
        'BW_PROXY_LIMIT',
        `${this.name} has ${connections} connections, and may have no more`,
      );
    }
    const { exhausted } = this;
    if (exhausted !== undefined) throw exhausted;
    this.connections++;
    this.requests++;
  }

  /** Why nothing more goes through for this user, once its bytes are used. */
  get exhausted(): ProxyError | undefined {
    const { bytes } = this.spec;
    if (bytes === undefined || this.bytesUp + this.bytesDown < bytes) return undefined;
    return new ProxyError('BW_PROXY_LIMIT', `${this.name} has used its ${bytes} bytes`);
  }
}

/** A client that was let in, and what its user name asks for. */
export interface Admission {
  readonly user: User;
  readonly wishes: UserName;
}

/** Who may use the proxy: users by password, by address, or both. */
export class Users {
  readonly #failures = new FailureLog();
  readonly #checker = new PasswordChecker();
  /** The last look at a password from an address. */
  readonly #checking = new Map<string, Promise<User>>();
  #users = new Map<string, User>();

  /** @throws ArgumentError for specs that contradict themselves. */
  constructor(specs: readonly UserSpec[]) {
    this.replace(specs);
  }

  /** Takes a new list over; users that stay keep their counts, and connections that are open stay open. */
  replace(specs: readonly UserSpec[]): void {
    const users = specs.map((spec) => {
      const user = new User(spec);
      const before = this.#users.get(spec.name);
      if (before !== undefined) {
        user.connections = before.connections;
        user.requests = before.requests;
        user.bytesUp = before.bytesUp;
        user.bytesDown = before.bytesDown;
      }
      return [spec.name, user] as const;
    });
    this.#users = new Map(users);
  }

  /** The user as the running configuration has it: a connection that outlived a reload counts for the new one. */
  current(user: User): User {
    return this.#users.get(user.name) ?? user;
  }

  [Symbol.iterator](): IterableIterator<User> {
    return this.#users.values();
  }

  /** The user that a client from this address is without a password, if any. */
  byAddress(client: string): Admission | undefined {
    for (const user of this.#users.values()) {
      if (user.hash === undefined && within(user.from, client)) {
        return { user, wishes: { ...NO_WISHES, user: user.name } };
      }
    }
    return undefined;
  }

  /**
   * Lets a client in, after a while if its address has failed before.
   *
   * @param client The address it comes from.
   * @throws ProxyError `BW_PROXY_AUTHENTICATION`
   */
  async byPassword(client: string, text: string, password: string): Promise<Admission> {
    const wishes = parseUserName(text, (name) => this.#users.has(name));
    const user = this.#users.get(wishes.user);
    // What was right before need not queue, unless somebody is guessing there.
    if (this.#failures.delay(client, Date.now()) === 0 && this.#isKnown(user, client, password)) {
      return { user, wishes };
    }
    const before = this.#checking.get(client);
    const mine = (async () => {
      await before?.catch(() => undefined);
      return await this.#check(client, user, password);
    })();
    this.#checking.set(client, mine);
    try {
      return { user: await mine, wishes };
    } finally {
      if (this.#checking.get(client) === mine) this.#checking.delete(client);
    }
  }

  #isKnown(user: User | undefined, client: string, password: string): user is User {
    if (user?.hash === undefined) return false;
    if (user.from.length > 0 && !within(user.from, client)) return false;
    return this.#checker.isKnown(user.name, password, user.hash);
  }

  /** One guess at a time from one address, or the wait between them would be none. */
  async #check(client: string, user: User | undefined, password: string): Promise<User> {
    const delay = this.#failures.delay(client, Date.now());
    if (delay === 'refuse') {
      throw new ProxyError('BW_PROXY_AUTHENTICATION', 'too many wrong passwords from this address', {
        hint: 'Wait ten minutes.',
      });
    }
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
    const good =
      user === undefined
        ? await this.#checker.checkNobody(password)
        : user.hash === undefined
          ? within(user.from, client)
          : (user.from.length === 0 || within(user.from, client)) &&
            (await this.#checker.check(user.name, password, user.hash));
    if (user === undefined || !good) {
      this.#failures.failed(client, Date.now());
      throw new ProxyError('BW_PROXY_AUTHENTICATION', 'the user name or the password is wrong');
    }
    this.#failures.succeeded(client);
    return user;
  }
}

const NO_WISHES: Omit<UserName, 'user'> = {
  session: undefined,
  lifetime: undefined,
  mode: undefined,
  exit: undefined,
};

function within(prefixes: readonly Prefix[], client: string): boolean {
  const address = tryParseIp(client);
  return address !== undefined && prefixes.some((prefix) => prefixContains(prefix, address));
}
