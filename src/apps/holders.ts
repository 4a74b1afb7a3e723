import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process, as `ps` shows it. */
export interface ProcessRef {
  readonly pid: number;
  /** Its command line; its name in brackets where it has none. */
  readonly command: string;
}

/** Which processes hold BPF links and programs open. */
export interface Holders {
  /** By the link's id. */
  readonly links: ReadonlyMap<number, readonly ProcessRef[]>;
  /** By the program's id. */
  readonly programs: ReadonlyMap<number, readonly ProcessRef[]>;
}

const LINK = { table: 'links', id: /^link_id:\s*(\d+)/m } as const;
const KINDS = {
  // The kernel spells a new link's descriptor so, and that of one opened by path or id otherwise.
  'anon_inode:bpf_link': LINK,
  'anon_inode:bpf-link': LINK,
  'anon_inode:bpf-prog': { table: 'programs', id: /^prog_id:\s*(\d+)/m },
} as const;

/** Looks through the descriptors of every process; those of others take root (or CAP_SYS_PTRACE) to see. */
export function findHolders(): Holders {
  const holders = { links: new Map<number, ProcessRef[]>(), programs: new Map<number, ProcessRef[]>() };
  for (const pid of processIds()) {
    for (const fd of list(`/proc/${pid}/fd`)) {
      const kind = KINDS[target(`/proc/${pid}/fd/${fd}`) as keyof typeof KINDS];
      if (kind === undefined) continue;
      const id = Number(kind.id.exec(read(`/proc/${pid}/fdinfo/${fd}`))?.[1]);
      const known = holders[kind.table].get(id) ?? [];
      if (!known.some((process) => process.pid === pid)) known.push({ pid, command: commandOf(pid) });
      holders[kind.table].set(id, known);
    }
  }
  return holders;
}

/** Every process that `/proc` shows. */
export function processIds(): number[] {
  return list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** The process of that number, if it runs. */
export function runningProcess(pid: number): ProcessRef | undefined {
  return read(`/proc/${pid}/comm`) === '' ? undefined : { pid, command: commandOf(pid) };
}

function commandOf(pid: number): string {
  const line = read(`/proc/${pid}/cmdline`).split('\0').join(' ').trim();
  return line === '' ? `[${read(`/proc/${pid}/comm`).trim()}]` : line;
}

// A process may end, and its files with it, at any moment of the walk.

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function target(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
