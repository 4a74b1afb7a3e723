import { ArgumentError } from '../error.ts';
import type { Line, RotatingLine } from '../http/index.ts';
import {
  type LineOptions,
  LinePool,
  type PppoeLine,
  readPassword,
  readSecrets,
  StackLine,
} from '../lines/index.ts';
import { Host } from '../nethost/index.ts';
import type { DeviceExit, PppoeExits, ProxyConfig } from '../proxy/index.ts';
import { DeviceLine } from '../tun/index.ts';

/** A line as the configuration has it, its secrets read. Two of the same text are the same line. */
type WantedLine =
  | { readonly kind: 'device'; readonly exit: DeviceExit }
  | {
      readonly kind: 'session';
      readonly pool: WantedPool;
      readonly via: 'tun' | 'stack';
      readonly line: LineOptions;
    };

type WantedPool = Pick<PppoeExits, 'interface' | 'mac' | 'mode' | 'stateFile'>;

interface HeldLine {
  readonly line: Line | RotatingLine;
  /** Takes it away, and its session with it. */
  readonly close: () => Promise<void>;
}

/**
 * The lines of a proxy: devices that are there, and PPPoE sessions that it dials and keeps up. A changed configuration
 * keeps what it has in common with the one before.
 */
export class ProxyLines implements AsyncDisposable {
  readonly #pools = new Map<string, LinePool>();
  readonly #held = new Map<string, HeldLine>();
  #host: Host | undefined;

  /** @throws As {@link ProxyLines.take}. */
  static async open(config: ProxyConfig): Promise<ProxyLines> {
    const lines = new ProxyLines();
    try {
      await lines.take(config);
      return lines;
    } catch (error) {
      await lines.close();
      throw error;
    }
  }

  /**
   * Makes the lines that are new, and dials them. Those that are in the configuration no more go on until `drop`.
   *
   * @returns The configuration's lines, in its order.
   * @throws ArgumentError for names given twice; what opening an interface for PPPoE and reading secrets throw. Then
   *   nothing has changed.
   */
  async take(config: ProxyConfig): Promise<readonly (Line | RotatingLine)[]> {
    const wanted = wantedOf(config);
    const made: string[] = [];
    try {
      for (const one of wanted) {
        const key = keyOf(one);
        if (this.#held.has(key)) continue;
        await this.#closeNamesake(one, wanted);
        this.#held.set(key, await this.#make(one));
        made.push(key);
      }
    } catch (error) {
      for (const key of made) await this.#close(key);
      await this.#closeIdlePools();
      throw error;
    }
    return wanted.map((one) => this.#held.get(keyOf(one))!.line);
  }

  /** Takes a line away, and its interface when that has no others. */
  async drop(line: Line | RotatingLine): Promise<void> {
    for (const [key, held] of this.#held) if (held.line === line) await this.#close(key);
    await this.#closeIdlePools();
  }

  /** Ends every session. */
  async close(): Promise<void> {
    this.#held.clear();
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.close()));
    await this.#host?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #make(wanted: WantedLine): Promise<HeldLine> {
    if (wanted.kind === 'device') {
      return { line: new DeviceLine(wanted.exit), close: () => Promise.resolve() };
    }
    const pool = await this.#pool(wanted.pool);
    const { via } = wanted;
    const session: PppoeLine = pool.add(via === 'stack' ? { ...wanted.line, device: false } : wanted.line);
    let stackLine: StackLine | undefined;
    if (via === 'stack') {
      this.#host ??= new Host();
      stackLine = new StackLine(session, this.#host);
    }
    session.dial();
    return {
      line: stackLine ?? session,
      close: async () => {
        await session.hangUp();
        stackLine?.close();
        pool.remove(session);
      },
    };
  }

  /** A session whose own settings have changed is another one: the old one makes room, with its connections. */
  async #closeNamesake(wanted: WantedLine, all: readonly WantedLine[]): Promise<void> {
    if (wanted.kind === 'device') return;
    const kept = new Set(all.map(keyOf));
    for (const [key, { line }] of this.#held) {
      if (line.name === wanted.line.name && !kept.has(key)) await this.#close(key);
    }
  }

  async #pool(wanted: WantedPool): Promise<LinePool> {
    const key = JSON.stringify(wanted);
    const known = this.#pools.get(key);
    if (known !== undefined) return known;
    const { mac, mode, stateFile } = wanted;
    const pool = await LinePool.open(wanted.interface, {
      mac,
      mode,
      ...(stateFile === undefined ? {} : { stateFile }),
    });
    this.#pools.set(key, pool);
    return pool;
  }

  async #close(key: string): Promise<void> {
    const held = this.#held.get(key);
    this.#held.delete(key);
    await held?.close();
  }

  async #closeIdlePools(): Promise<void> {
    for (const [key, pool] of this.#pools) {
      if (pool.lines.length > 0) continue;
      this.#pools.delete(key);
      await pool.close();
    }
  }
}

function keyOf(wanted: WantedLine): string {
  return JSON.stringify(wanted);
}

function wantedOf(config: ProxyConfig): readonly WantedLine[] {
  const wanted = [
    ...config.exits.map((exit) => ({ kind: 'device', exit }) as const),
    ...config.pppoe.flatMap(sessionsOf),
  ];
  const names = new Set<string>();
  for (const one of wanted) {
    const name = one.kind === 'device' ? one.exit.name : (one.line.name ?? '');
    if (names.has(name)) {
      throw new ArgumentError(`two exits are called ${name}`, { hint: 'Give one of them another name.' });
    }
    names.add(name);
  }
  return wanted;
}

function sessionsOf(exits: PppoeExits): WantedLine[] {
  const { interface: on, mac, mode, stateFile, via, accounts, user, passwordFile, sessions } = exits;
  const { service, concentrator, mru } = exits;
  const pool = { interface: on, mac, mode, stateFile };
  const logins =
    accounts !== undefined
      ? [...readSecrets(accounts)].map(([name, { password }]) => ({ user: name, password }))
      : user !== undefined && passwordFile !== undefined
        ? [{ user, password: readPassword(passwordFile) }]
        : [{}];
  const each = logins.flatMap((login) => Array.from({ length: sessions }, () => login));
  return each.map((login, i) => ({
    kind: 'session',
    pool,
    via,
    line: {
      ...login,
      name: `${exits.name}-${i + 1}`,
      ...(service === undefined ? {} : { serviceName: service }),
      ...(concentrator === undefined ? {} : { acName: concentrator }),
      ...(mru === undefined ? {} : { mru }),
    },
  }));
}
