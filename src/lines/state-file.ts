import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { formatMac, parseMac } from '../address/index.ts';
import { BarewireError } from '../error.ts';
import { macNumber, macText } from '../packet/index.ts';
import type { PppoeWireIdentity } from '../pppoe/index.ts';

/** A process, told apart from a later one of the same number by when it began. */
interface Owner {
  readonly pid: number;
  /** In clock ticks since boot (`/proc/PID/stat`, field 22). */
  readonly startTime: number;
}

/** After so many lines the file is written anew. */
const COMPACT_AFTER = 10_000;

/**
 * Which sessions are open on a wire: what the next start needs to end them, should this process not come to it.
 *
 * Each line is added by one system call, so it is there however the process ends. It holds MAC addresses and session IDs
 * and no secrets.
 *
 *     {"owner":{"pid":4711,"startTime":123456}}
 *     {"open":"02:00:00:00:00:01 02:ac:00:00:00:01 17","vlans":[]}
 *     {"closed":"02:00:00:00:00:01 02:ac:00:00:00:01 17"}
 */
export class StateFile {
  readonly path: string;
  readonly #open = new Map<string, PppoeWireIdentity>();
  #fd: number;
  #lines = 0;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /**
   * Takes the file over, and tells which sessions its last owner has left open.
   *
   * @throws BarewireError `BW_BUSY` when the owner still runs.
   */
  static take(path: string): { readonly file: StateFile; readonly left: readonly PppoeWireIdentity[] } {
    const { owner, open } = read(path);
    if (owner !== undefined && owner.pid !== process.pid && startTimeOf(owner.pid) === owner.startTime) {
      throw new BarewireError('BW_BUSY', `process ${owner.pid} keeps its sessions in ${path}`, {
        hint: 'End that process, or name another state file.',
      });
    }
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const file = new StateFile(path, -1);
    // What was left stays written down until it is ended: this process may be killed as well.
    for (const identity of open) file.#open.set(keyOf(identity), identity);
    file.#rewrite();
    return { file, left: open };
  }

  opened(identity: PppoeWireIdentity): void {
    const key = keyOf(identity);
    if (this.#open.has(key)) return;
    this.#open.set(key, identity);
    this.#append(openLine(identity));
  }

  closed(identity: PppoeWireIdentity): void {
    const key = keyOf(identity);
    if (this.#open.delete(key)) this.#append(JSON.stringify({ closed: key }));
  }

  /** Closes the file, and removes it when no session is left open. A second call does nothing. */
  close(): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
    if (this.#open.size === 0) rmSync(this.path, { force: true });
  }

  #append(line: string): void {
    if (this.#fd < 0) return;
    writeSync(this.#fd, `${line}\n`);
    if (++this.#lines > COMPACT_AFTER) this.#rewrite();
  }

  /** Renamed into place: a reader sees the old file or the new one, whenever this process dies. */
  #rewrite(): void {
    const owner: Owner = { pid: process.pid, startTime: startTimeOf(process.pid) ?? 0 };
    const lines = [JSON.stringify({ owner }), ...[...this.#open.values()].map(openLine)];
    const draft = `${this.path}.${process.pid}`;
    rmSync(draft, { force: true });
    appendFileSync(draft, `${lines.join('\n')}\n`, { mode: 0o600 });
    renameSync(draft, this.path);
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = openSync(this.path, 'a');
    this.#lines = 0;
  }
}

function read(path: string): { readonly owner: Owner | undefined; readonly open: PppoeWireIdentity[] } {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { owner: undefined, open: [] };
    throw error;
  }
  let owner: Owner | undefined;
  const open = new Map<string, PppoeWireIdentity>();
  for (const line of text.split('\n')) {
    let entry: { owner?: Owner; open?: string; closed?: string; vlans?: PppoeWireIdentity['vlans'] };
    try {
      entry = JSON.parse(line) as typeof entry;
    } catch {
      // The last line of a machine that lost its power may be half a line.
      continue;
    }
    if (entry.owner !== undefined) owner = entry.owner;
    if (entry.closed !== undefined) open.delete(entry.closed);
    const identity = entry.open === undefined ? undefined : identityOf(entry.open, entry.vlans ?? []);
    if (identity !== undefined) open.set(keyOf(identity), identity);
  }
  return { owner, open: [...open.values()] };
}

function keyOf({ mac, peerMac, sessionId }: PppoeWireIdentity): string {
  return `${macText(macNumber(mac))} ${macText(macNumber(peerMac))} ${sessionId}`;
}

function openLine(identity: PppoeWireIdentity): string {
  return JSON.stringify({ open: keyOf(identity), vlans: identity.vlans });
}

function identityOf(key: string, vlans: PppoeWireIdentity['vlans']): PppoeWireIdentity | undefined {
  const [mac = '', peerMac = '', id] = key.split(' ');
  const sessionId = Number(id);
  if (!Number.isInteger(sessionId) || sessionId < 1 || sessionId > 0xffff || !Array.isArray(vlans)) return;
  try {
    return { mac: formatMac(parseMac(mac)), peerMac: formatMac(parseMac(peerMac)), vlans, sessionId };
  } catch {
    return undefined;
  }
}

function startTimeOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command in parentheses may hold anything, so count from behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}
