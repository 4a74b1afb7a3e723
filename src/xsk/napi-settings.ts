import { fstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { BarewireError } from '../error.ts';
import { Netlink } from '../netlink/index.ts';
import { Netns } from '../sys/index.ts';

/** How long the card's interrupts are held back while somebody polls. */
export interface NapiTiming {
  /** Polls without packets before the interrupt is switched on again. */
  readonly deferHardIrqs: number;
  /** After how many ns without a poll the kernel polls by itself. */
  readonly groFlushTimeout: number;
}

/** How many times this process has changed settings, so that each has a file of its own. */
let changes = 0;

/** Where it is written what to restore, should we die before we can. */
const DIRECTORY = '/run/barewire/napi';

/** What an instance had before. Its number stays the same while the driver stays. */
interface Saved extends NapiTiming {
  readonly napi: number;
}

interface SavedState {
  readonly pid: number;
  /** In clock ticks since boot: tells the process from a later one of the same number. */
  readonly startTime: number;
  /** Of the network namespace, and the interface in it. */
  readonly netns: string;
  readonly ifindex: number;
  readonly instances: readonly Saved[];
}

/**
 * The timing of the NAPI instances behind an interface's queues, changed for as long as this is open.
 *
 * The former values are on disk meanwhile: when the process is killed, the next one that opens an interface in the same
 * namespace restores them.
 */
export class NapiSettings implements Disposable {
  readonly #net: Netlink;
  readonly #state: SavedState;
  readonly #file: string;
  #closed = false;

  private constructor(net: Netlink, state: SavedState, file: string) {
    this.#net = net;
    this.#state = state;
    this.#file = file;
  }

  /** @throws NetlinkError `BW_UNSUPPORTED` before Linux 6.13. */
  static apply(
    ifindex: number,
    queues: readonly number[],
    timing: NapiTiming,
    netns: Netns | string | undefined,
  ): NapiSettings {
    const net = new Netlink({ netns });
    try {
      const saved = instancesOf(net, ifindex, queues);
      const namespace = namespaceOf(netns);
      const startTime = startTimeOf(process.pid) ?? 0;
      const state = { pid: process.pid, startTime, netns: namespace, ifindex, instances: saved };
      const settings = new NapiSettings(
        net,
        state,
        `${DIRECTORY}/${namespace}-${ifindex}-${process.pid}-${++changes}.json`,
      );
      write(settings.#file, state);
      for (const { napi } of saved) set(net, napi, timing);
      return settings;
    } catch (error) {
      net.close();
      throw error;
    }
  }

  /** Restores what was. A second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      restore(this.#net, this.#state);
      rmSync(this.#file, { force: true });
    } finally {
      this.#net.close();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Restores what processes that died have left in this namespace; the interfaces that were mended, by index. */
export function restoreNapiLeftovers(netns: Netns | string | undefined): number[] {
  let names: string[];
  try {
    names = readdirSync(DIRECTORY);
  } catch {
    return [];
  }
  const mended: number[] = [];
  const namespace = namespaceOf(netns);
  for (const name of names.filter((one) => one.startsWith(`${namespace}-`) && one.endsWith('.json'))) {
    const file = `${DIRECTORY}/${name}`;
    const state = read(file);
    if (state !== undefined && startTimeOf(state.pid) === state.startTime) continue;
    if (state !== undefined) {
      using net = new Netlink({ netns });
      restore(net, state);
      mended.push(state.ifindex);
    }
    rmSync(file, { force: true });
  }
  return mended;
}

function restore(net: Netlink, state: SavedState): void {
  for (const { napi, ...timing } of state.instances) {
    try {
      set(net, napi, timing);
    } catch (error) {
      // The instance is gone, and its settings with it.
      if (!(error instanceof BarewireError) || error.code !== 'BW_NOT_FOUND') throw error;
    }
  }
}

/**
 * The instances behind the queues, as they are; of drivers that do not say which serves which queue, all.
 *
 * None for an interface that is down.
 */
function instancesOf(net: Netlink, ifindex: number, queues: readonly number[]): Saved[] {
  const serving = net.netdev.queues(ifindex).filter((queue) => queue.type === 'rx');
  const known = serving.every((queue) => queue.napiId !== undefined);
  const wanted = new Set(serving.filter(({ id }) => queues.includes(id)).map(({ napiId }) => napiId));
  return net.netdev
    .napis(ifindex)
    .filter((napi) => !known || wanted.has(napi.id))
    .map((napi) => ({
      napi: napi.id,
      deferHardIrqs: napi.deferHardIrqs ?? 0,
      groFlushTimeout: Number(napi.groFlushTimeout ?? 0n),
    }));
}

function set(net: Netlink, id: number, timing: NapiTiming): void {
  net.netdev.setNapi(id, {
    deferHardIrqs: timing.deferHardIrqs,
    groFlushTimeout: BigInt(timing.groFlushTimeout),
  });
}

function write(file: string, state: SavedState): void {
  mkdirSync(DIRECTORY, { recursive: true, mode: 0o755 });
  const half = `${file}.${process.pid}`;
  writeFileSync(half, JSON.stringify(state), { mode: 0o600 });
  renameSync(half, file);
}

/** Undefined for a file that was cut short or is no such record. */
function read(file: string): SavedState | undefined {
  try {
    const state = JSON.parse(readFileSync(file, 'utf8')) as Partial<SavedState>;
    const { pid, startTime, ifindex, instances } = state;
    if (![pid, startTime, ifindex].every(Number.isInteger) || !Array.isArray(instances)) return undefined;
    const sound = instances.every((one) =>
      [one.napi, one.deferHardIrqs, one.groFlushTimeout].every(Number.isInteger),
    );
    return sound ? (state as SavedState) : undefined;
  } catch {
    return undefined;
  }
}

/** The inode of the namespace, by which the kernel tells namespaces apart. */
function namespaceOf(netns: Netns | string | undefined): string {
  const opened =
    netns instanceof Netns ? undefined : netns === undefined ? Netns.current() : Netns.open(netns);
  try {
    const { fd } = (netns instanceof Netns ? netns : opened)!;
    return String(fstatSync(fd.number).ino);
  } finally {
    opened?.close();
  }
}

/** The 22nd field of /proc/PID/stat; the second may hold spaces and parentheses. */
function startTimeOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  } catch {
    return undefined;
  }
}
