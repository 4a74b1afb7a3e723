import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { NETNS_DIRECTORY, Netns } from '../sys/index.ts';

/** Where labs are written down, so that a later process finds those whose maker died. */
const DIRECTORY = '/run/barewire/labs';

/** A process, told apart from a later one of the same number by when it began. */
export interface ProcessId {
  readonly pid: number;
  /** In clock ticks since boot (`/proc/PID/stat`, field 22). */
  readonly startTime: number;
}

/** What is written down about a lab before anything of it is made. */
export interface LabRecord {
  readonly name: string;
  /** Who made it and takes it down; null for a lab that outlives its maker. */
  readonly owner: ProcessId | null;
  /** Namespace names, in the order of `hosts`. */
  readonly namespaces: readonly string[];
  readonly hosts: readonly string[];
  /** Processes that the lab started. */
  readonly processes: readonly ProcessId[];
}

/** The name a lab's host has among the namespaces. */
export function namespaceName(lab: string, host: string): string {
  return `bw-${lab}-${host}`;
}

export function writeRecord(record: LabRecord): void {
  mkdirSync(DIRECTORY, { recursive: true, mode: 0o755 });
  const path = `${DIRECTORY}/${record.name}.json`;
  // Renamed into place: a reader sees the old record or the new one, whenever this process dies.
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(record));
  renameSync(draft, path);
}

export function readRecord(name: string): LabRecord | undefined {
  try {
    return JSON.parse(readFileSync(`${DIRECTORY}/${name}.json`, 'utf8')) as LabRecord;
  } catch {
    return undefined;
  }
}

export function removeRecord(name: string): void {
  rmSync(`${DIRECTORY}/${name}.json`, { force: true });
}

/** Every lab that is written down, by name. */
export function allRecords(): LabRecord[] {
  let files: string[];
  try {
    files = readdirSync(DIRECTORY);
  } catch {
    return [];
  }
  return files
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => readRecord(file.slice(0, -'.json'.length)))
    .filter((record) => record !== undefined);
}

/** This process. */
export function ownProcess(): ProcessId {
  return { pid: process.pid, startTime: startTimeOf(process.pid) ?? 0 };
}

/** The process of that number, if there is one. */
export function processOf(pid: number): ProcessId | undefined {
  const startTime = startTimeOf(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

export function isAlive(id: ProcessId): boolean {
  return startTimeOf(id.pid) === id.startTime;
}

/** Whether a lab's maker is gone, so that the lab is a leftover. */
export function isLeftover(record: LabRecord): boolean {
  return record.owner !== null && !isAlive(record.owner);
}

/** Ends the lab's processes and takes its namespaces away. Works on what a dead process left as well. */
export function destroyRecorded(record: LabRecord): void {
  for (const id of record.processes) {
    if (!isAlive(id)) continue;
    try {
      process.kill(id.pid, 'SIGKILL');
    } catch {
      // It ended by itself in between.
    }
  }
  const prefix = namespaceName(record.name, '');
  for (const name of record.namespaces) {
    // A record that was tampered with must not take other people's namespaces away.
    if (name.startsWith(prefix)) Netns.remove(name);
  }
  removeRecord(record.name);
}

/** The path by which `nsenter --net=` enters a host. */
export function namespacePath(name: string): string {
  return `${NETNS_DIRECTORY}/${name}`;
}

function startTimeOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command in parentheses may hold anything, so count from behind it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended; only its parent has not asked yet.
    return fields[0] === 'Z' ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}
