import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ArgumentError } from '../error.ts';
import { AUTHENTICATION_METHODS, type AuthenticationMethod } from '../ppp/index.ts';
import { boolean, duration, integer, list, object, oneOf, optional, type Reader, string } from '../shape.ts';
import type { LineOptions } from './line.ts';
import type { PoolOptions } from './pool.ts';
import { readPassword, readSecrets } from './secrets.ts';

/** A pool's configuration file, read and checked. */
export interface PoolConfig {
  readonly interface: string;
  readonly pool: PoolOptions;
  readonly lines: readonly LineOptions[];
  /** Where metrics are served, as in `127.0.0.1:9469`. */
  readonly metrics: string | undefined;
}

/** What a line in the file, or an invocation of the command, says. Times are in ms. */
export interface LineSettings {
  readonly name?: string;
  readonly user?: string;
  /** Its first line is the password. */
  readonly 'password-file'?: string;
  /** A file of several users in place of one; see {@link readSecrets}. */
  readonly accounts?: string;
  /** Sessions of each account. Default is 1. */
  readonly count?: number;
  readonly service?: string;
  readonly concentrator?: string;
  /** Outermost first. */
  readonly vlans?: readonly number[];
  readonly mac?: string;
  readonly mru?: number;
  readonly address?: string;
  readonly authentication?: readonly AuthenticationMethod[];
  readonly ipv4?: boolean;
  readonly ipv6?: boolean;
  readonly delegation?: boolean;
  readonly device?: string;
  readonly queues?: number;
  readonly echo?: { readonly interval?: number; readonly failures?: number };
  readonly retry?: { readonly initial?: number; readonly maximum?: number };
  readonly 'redial-at-most-every'?: number;
}

const line: Reader<LineSettings> = object({
  name: optional(string()),
  user: optional(string()),
  'password-file': optional(string()),
  accounts: optional(string()),
  count: optional(integer(1, 65_535)),
  service: optional(string()),
  concentrator: optional(string()),
  vlans: optional(list(integer(1, 4094))),
  mac: optional(string()),
  mru: optional(integer(576, 1500)),
  address: optional(string()),
  authentication: optional(list(oneOf(AUTHENTICATION_METHODS))),
  ipv4: optional(boolean()),
  ipv6: optional(boolean()),
  delegation: optional(boolean()),
  device: optional(string()),
  queues: optional(integer(1, 256)),
  echo: optional(object({ interval: optional(duration()), failures: optional(integer(1, 100)) })),
  retry: optional(object({ initial: optional(duration()), maximum: optional(duration()) })),
  'redial-at-most-every': optional(duration()),
});

const schema = object({
  interface: string(),
  netns: optional(string()),
  mode: optional(oneOf(['auto', 'driver', 'generic'])),
  mac: optional(oneOf(['shared', 'per-session'])),
  'state-file': optional(string()),
  metrics: optional(string()),
  dialling: optional(object({ 'at-once': optional(integer(1)), 'per-mac': optional(duration()) })),
  lines: nonEmpty(list(line)),
});

/**
 * Reads a configuration, as YAML or JSON, with the files of passwords that it names; they are looked for beside it.
 *
 * @throws ArgumentError that names the place; BarewireError `BW_SECRETS_MODE`.
 */
export async function readPoolConfig(path: string): Promise<PoolConfig> {
  const { parse } = await import('yaml');
  let data: unknown;
  try {
    data = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new ArgumentError(`${path}: ${(error as Error).message}`, { cause: error });
  }
  const given = schema(data, path);
  const { netns, mode, mac, dialling } = given;
  const atOnce = dialling?.['at-once'];
  const perMac = dialling?.['per-mac'];
  return {
    interface: given.interface,
    metrics: given.metrics,
    pool: {
      ...(netns === undefined ? {} : { netns }),
      ...(mode === undefined ? {} : { mode }),
      ...(mac === undefined ? {} : { mac }),
      ...(given['state-file'] === undefined ? {} : { stateFile: given['state-file'] }),
      pacing: {
        ...(atOnce === undefined ? {} : { maxInFlight: atOnce }),
        ...(perMac === undefined ? {} : { perMacInterval: perMac }),
      },
    },
    lines: given.lines.flatMap((one) => linesOf(one, dirname(path))),
  };
}

/**
 * The lines that settings mean: as many as `count` says, or one for each account of a secrets file.
 *
 * @param folder Where files are looked for.
 */
export function linesOf(settings: LineSettings, folder: string): LineOptions[] {
  const { name, user, accounts, count, device, queues, vlans, echo, retry } = settings;
  const passwordFile = settings['password-file'];
  if (accounts !== undefined && (user !== undefined || passwordFile !== undefined)) {
    throw new ArgumentError('accounts come from a file, or are one user with a password file, not both');
  }
  if ((user === undefined) !== (passwordFile === undefined)) {
    throw new ArgumentError(
      user === undefined ? 'a password file without a user' : `no password file for ${user}`,
      {
        hint: 'Write the password, on one line, into a file that only its owner may read, and name that.',
      },
    );
  }
  const keep = <T>(key: string, value: T | undefined): Record<string, T> =>
    value === undefined ? {} : { [key]: value };
  const shared = {
    ...keep('serviceName', settings.service),
    ...keep('acName', settings.concentrator),
    ...keep(
      'vlans',
      vlans?.map((id) => ({ id })),
    ),
    ...keep('mac', settings.mac),
    ...keep('mru', settings.mru),
    ...keep('address', settings.address),
    ...keep('authentication', settings.authentication),
    ...keep('ipv4', settings.ipv4),
    ...keep('ipv6', settings.ipv6),
    ...keep('delegation', settings.delegation),
    ...keep('echo', echo),
    ...keep('retry', retry),
    ...keep('minimumRedialInterval', settings['redial-at-most-every']),
  } as LineOptions;
  const logins: { user?: string; password?: string }[] =
    accounts === undefined
      ? [user === undefined ? {} : { user, password: readPassword(resolve(folder, passwordFile!)) }]
      : [...readSecrets(resolve(folder, accounts))].map(([user, { password }]) => ({ user, password }));
  const all = logins.flatMap((login) => Array.from({ length: count ?? 1 }, () => login));
  return all.map((login, i) => {
    const several = all.length > 1;
    const own = device === undefined ? {} : { name: several ? numbered(device, i) : device };
    return {
      ...shared,
      ...login,
      ...keep('name', name === undefined ? undefined : several ? `${name}-${i + 1}` : name),
      device: { ...own, ...keep('queues', queues) },
    };
  });
}

/** A device's name for one of several lines. */
function numbered(device: string, i: number): string {
  return device.includes('%d') ? device : `${device}${i}`;
}

function nonEmpty<T>(reader: Reader<readonly T[]>): Reader<readonly T[]> {
  return (value, at) => {
    const read = reader(value, at);
    if (read.length === 0) throw new ArgumentError(`${at}: no line`);
    return read;
  };
}
