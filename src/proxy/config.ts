import { parsePrefix } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import {
  dictionary,
  duration,
  integer,
  list,
  object,
  oneOf,
  optional,
  type Read,
  type Reader,
  string,
  text,
} from '../shape.ts';
import { STRATEGIES } from './choice.ts';
import type { HealthOptions } from './health.ts';
import { parseHash } from './password.ts';
import type { ListenAddress, ProxySettings } from './proxy.ts';
import type { RotateEvery } from './router.ts';
import type { UserSpec } from './users.ts';

/** A proxy's configuration file, read and checked. */
export interface ProxyConfig {
  readonly listen: ListenAddress;
  readonly settings: ProxySettings;
  readonly exits: readonly DeviceExit[];
  readonly pppoe: readonly PppoeExits[];
  readonly health: HealthOptions | undefined;
  readonly admin: AdminConfig | undefined;
  /** The access log's file; `-` is the standard output. */
  readonly log: string | undefined;
  readonly maxClients: number | undefined;
}

/** An exit that is a device of the kernel's: a PPPoE session's TUN, a second line's interface. */
export interface DeviceExit {
  readonly name: string;
  readonly device: string;
  /** The name servers to ask through it. */
  readonly dns: readonly string[];
}

/** Exits that are PPPoE sessions of the proxy's own, dialled on an interface. */
export interface PppoeExits {
  readonly interface: string;
  /** Exits are called `NAME-1`, `NAME-2` and so on. Default is the interface's name. */
  readonly name: string;
  /** Who the sessions log in as, each with the password in the file's first line. */
  readonly user: string | undefined;
  readonly passwordFile: string | undefined;
  /** A file of several users, as pppd has it; in the place of one user. */
  readonly accounts: string | undefined;
  /** Of each account. */
  readonly sessions: number;
  /** `tun`: sockets of the kernel's on a device for each session. `stack`: a TCP/IP stack in the proxy's own process. */
  readonly via: 'tun' | 'stack';
  readonly service: string | undefined;
  readonly concentrator: string | undefined;
  readonly mac: 'shared' | 'per-session';
  /** Where the XDP program runs. */
  readonly mode: 'auto' | 'driver' | 'generic';
  /** Largest IP packet that is taken, in bytes. */
  readonly mru: number | undefined;
  /** Where open sessions are noted, so that the next start ends those that a killed proxy left. */
  readonly stateFile: string | undefined;
}

export interface AdminConfig {
  readonly listen: ListenAddress;
  /** The file that holds the token. */
  readonly tokenFile: string;
}

const listenAddress: Reader<ListenAddress> = text('HOST:PORT', parseListen);

/** A text that a parser takes, as it is. */
function checked(parse: (text: string) => unknown): (text: string) => string {
  return (given) => {
    parse(given);
    return given;
  };
}

const prefix = text(
  'a prefix such as 192.0.2.0/24',
  checked((given) => parsePrefix(given)),
);

const user = object({
  password: optional(text('a password hash', checked(parseHash))),
  from: optional(list(prefix)),
  connections: optional(integer(1)),
  rate: optional(text('bytes a second such as 10MB', parseBytes)),
  bytes: optional(text('bytes such as 100GB', parseBytes)),
  exits: optional(list(string())),
});

const pppoe = object({
  interface: string(),
  name: optional(string()),
  user: optional(string()),
  'password-file': optional(string()),
  accounts: optional(string()),
  sessions: optional(integer(1, 65_535)),
  via: optional(oneOf(['tun', 'stack'])),
  service: optional(string()),
  concentrator: optional(string()),
  mac: optional(oneOf(['shared', 'per-session'])),
  mode: optional(oneOf(['auto', 'driver', 'generic'])),
  mru: optional(integer(576, 1500)),
  'state-file': optional(string()),
});

const schema = object({
  listen: optional(listenAddress),
  users: dictionary(user),
  exits: optional(dictionary(object({ device: string(), dns: list(string()) }))),
  pppoe: optional(list(pppoe)),
  strategy: optional(oneOf(STRATEGIES)),
  rotate: optional(text("'request', a duration such as 10m or bytes such as 100MB", parseRotate)),
  sessions: optional(object({ lifetime: optional(duration()), mode: optional(oneOf(['soft', 'hard'])) })),
  targets: optional(
    object({
      allow: optional(list(prefix)),
      deny: optional(list(prefix)),
      ports: optional(list(integer(1, 65_535))),
    }),
  ),
  drain: optional(duration()),
  'rotate-at-most-every': optional(duration()),
  timeouts: optional(
    object({ request: optional(duration()), connect: optional(duration()), idle: optional(duration()) }),
  ),
  health: optional(
    object({
      connect: text('HOST:PORT', parseListen),
      every: optional(duration()),
      timeout: optional(duration()),
    }),
  ),
  admin: optional(object({ listen: optional(listenAddress), 'token-file': string() })),
  log: optional(string()),
  'max-clients': optional(integer(1)),
});

/**
 * Checks what a configuration file holds.
 *
 * @throws ArgumentError that names the key.
 */
export function readConfig(data: unknown): ProxyConfig {
  const given = schema(data, '');
  const devices = Object.entries(given.exits ?? {}).map(([name, exit]) => ({ name, ...exit }));
  const sessions = (given.pppoe ?? []).map(pppoeOf);
  if (devices.length + sessions.length === 0) {
    throw new ArgumentError('exits: there is none', {
      hint: 'Name a device, as in exits: { a: { device: tun0, dns: [192.0.2.53] } }, or PPPoE sessions in pppoe.',
    });
  }
  const users = Object.entries(given.users).map(([name, spec]) => userOf(name, spec));
  if (users.length === 0) {
    throw new ArgumentError('users: there is none, so nobody could use the proxy', {
      hint: 'Name one with a password hash (barewire proxy hash makes it), or with from and the addresses of its clients.',
    });
  }
  const { health, admin } = given;
  return {
    listen: given.listen ?? { host: '127.0.0.1', port: 8080 },
    settings: {
      users,
      routing: { ...definedOf({ strategy: given.strategy, rotate: given.rotate }), ...given.sessions },
      destinations: given.targets ?? {},
      timeouts: given.timeouts ?? {},
      exit: definedOf({ drain: given.drain, minimumInterval: given['rotate-at-most-every'] }),
    },
    exits: devices,
    pppoe: sessions,
    health:
      health === undefined
        ? undefined
        : {
            host: health.connect.host ?? '127.0.0.1',
            port: health.connect.port,
            ...definedOf({ every: health.every, timeout: health.timeout }),
          },
    admin:
      admin === undefined
        ? undefined
        : { listen: admin.listen ?? { host: '127.0.0.1', port: 8081 }, tokenFile: admin['token-file'] },
    log: given.log,
    maxClients: given['max-clients'],
  };
}

function userOf(name: string, { password, ...rest }: Read<typeof user>): UserSpec {
  if (password === undefined && (rest.from ?? []).length === 0) {
    throw new ArgumentError(`users.${name}: neither a password nor addresses to come from`, {
      hint: 'Give password (barewire proxy hash makes its hash) or from.',
    });
  }
  return { name, ...rest, ...(password === undefined ? {} : { passwordHash: password }) };
}

function pppoeOf(given: Read<typeof pppoe>, i: number): PppoeExits {
  const { user, accounts } = given;
  const passwordFile = given['password-file'];
  if (accounts !== undefined && (user !== undefined || passwordFile !== undefined)) {
    throw new ArgumentError(
      `pppoe[${i}].accounts: a file of users, or one user with a password-file, not both`,
    );
  }
  if ((user === undefined) !== (passwordFile === undefined)) {
    const missing = user === undefined ? 'user' : 'password-file';
    throw new ArgumentError(
      `pppoe[${i}].${missing}: missing beside ${user === undefined ? 'password-file' : 'user'}`,
      {
        hint: 'Write the password, on one line, into a file that only its owner may read, and name that.',
      },
    );
  }
  return {
    interface: given.interface,
    name: given.name ?? given.interface,
    user,
    passwordFile,
    accounts,
    sessions: given.sessions ?? 1,
    via: given.via ?? 'tun',
    service: given.service,
    concentrator: given.concentrator,
    mac: given.mac ?? 'shared',
    mode: given.mode ?? 'auto',
    mru: given.mru,
    stateFile: given['state-file'],
  };
}

function parseListen(given: string): ListenAddress & { readonly host: string } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(given);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535) {
    throw new ArgumentError(`'${given}' is not HOST:PORT`, { hint: 'Write 127.0.0.1:8080 or [::1]:8080.' });
  }
  return { host, port };
}

/** `500`, `10kB`, `100MB`, `2GB`: powers of ten, as rates and traffic are counted. */
export function parseBytes(given: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(B|kB|KB|MB|GB|TB)?(?:\/s)?$/.exec(given);
  const unit = { B: 1, kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 }[match?.[2] ?? 'B'];
  const value = Number(match?.[1]) * (unit ?? Number.NaN);
  if (!(value > 0)) {
    throw new ArgumentError(`'${given}' is no number of bytes`, {
      hint: 'Write it as in 500kB, 10MB or 2GB.',
    });
  }
  return value;
}

function parseRotate(given: string): RotateEvery {
  if (given === 'request') return { unit: 'request' };
  if (/B$/.test(given)) return { unit: 'bytes', bytes: parseBytes(given) };
  return { unit: 'time', span: duration()(given, 'the time') };
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The same without keys whose value is undefined. */
function definedOf<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>;
}
