import { readFileSync } from 'node:fs';
import { formatIp, parsePrefix, tryParseIp } from '../address/index.ts';
import type { Rule } from '../policy/rule.ts';

/** The other end of the session that somebody works in. */
export interface AdminPeer {
  readonly address: string;
}

/** How long it is allowed for, in ms: long enough to mend what one has done. */
const ALLOWED = 86_400_000;

/**
 * Where the caller comes from, if that is over SSH: told by the environment, or, where `sudo` has cleared that, by the
 * environment of the processes that started this one.
 */
export function adminPeer(environment: NodeJS.ProcessEnv = process.env): AdminPeer | undefined {
  const own = peerIn(environment.SSH_CONNECTION ?? environment.SSH_CLIENT);
  if (own !== undefined) return own;
  let pid = process.ppid;
  for (let left = 32; left > 0 && pid > 1; left--) {
    const peer = peerIn(connectionOf(pid));
    if (peer !== undefined) return peer;
    const parent = parentOf(pid);
    if (parent === undefined) return undefined;
    pid = parent;
  }
  return undefined;
}

/** A rule that lets the peer pass for a day. */
export function peerRule({ address }: AdminPeer, now: number): Omit<Rule, 'list'> {
  return {
    action: 'allow',
    source: parsePrefix(address),
    expires: now + ALLOWED,
    reason: 'SSH session of whoever changed the filter',
    added: now,
  };
}

/** `SSH_CONNECTION` is the client's address and port and the server's; an IPv6 address may name its zone. */
function peerIn(connection: string | undefined): AdminPeer | undefined {
  const text = connection
    ?.trim()
    .split(/\s+/)[0]
    ?.replace(/%.*$/, '')
    .replace(/^::ffff:(?=\d+\.)/i, '');
  const found = text === undefined ? undefined : tryParseIp(text);
  if (found === undefined) return undefined;
  const address = formatIp(found.bytes);
  return address === '127.0.0.1' || address === '::1' ? undefined : { address };
}

function connectionOf(pid: number): string | undefined {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
    return environment.find((entry) => /^SSH_C(ONNECTION|LIENT)=/.test(entry))?.replace(/^[^=]*=/, '');
  } catch {
    return undefined;
  }
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined;
  }
}
