import {
  type ChildProcess,
  type SpawnOptions,
  type SpawnSyncReturns,
  spawn,
  spawnSync,
} from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { BarewireError } from '../error.ts';
import { Netlink } from '../netlink/index.ts';
import type { Netns } from '../sys/index.ts';
import type { FloodOrder } from './udp-flood.ts';

const FLOOD_PROGRAM = fileURLToPath(new URL(`udp-flood${import.meta.url.slice(-3)}`, import.meta.url));

/** One host of a lab: a network namespace with the ends of its wires. */
export class LabHost {
  readonly name: string;
  /** Its namespace's name, as `ip netns` lists it. */
  readonly namespace: string;
  readonly netns: Netns;
  /** Its network configuration; closed with the lab. */
  readonly net: Netlink;
  readonly #onSpawn: (child: ChildProcess) => void;

  constructor(name: string, namespace: string, netns: Netns, onSpawn: (child: ChildProcess) => void) {
    this.name = name;
    this.namespace = namespace;
    this.netns = netns;
    this.net = new Netlink({ netns });
    this.#onSpawn = onSpawn;
  }

  /** Runs a synchronous task with this thread inside the host; see {@link Netns.run}. */
  run<T>(task: () => T): T {
    return this.netns.run(task);
  }

  /** Starts a program inside the host. The lab ends it when it is destroyed. */
  spawn(command: string, args: readonly string[] = [], options: SpawnOptions = {}): ChildProcess {
    const child = this.netns.run(() => spawn(command, args, options));
    this.#onSpawn(child);
    return child;
  }

  /**
   * Runs a program inside the host to its end and returns what it printed.
   *
   * @throws BarewireError `BW_COMMAND` when it ends with another code than 0.
   */
  exec(command: string, args: readonly string[] = [], options: { readonly timeout?: number } = {}): string {
    const result: SpawnSyncReturns<string> = this.netns.run(() =>
      spawnSync(command, args, { encoding: 'utf8', ...options }),
    );
    if (result.error !== undefined) throw result.error;
    if (result.status !== 0) {
      const said = `${result.stderr}${result.stdout}`.trim();
      throw new BarewireError(
        'BW_COMMAND',
        `${command} on host ${this.name} ended with ${result.status}: ${said}`,
      );
    }
    return result.stdout;
  }

  /**
   * Sends UDP datagrams from the host through an ordinary kernel socket, in a process of its own.
   *
   * @returns How many the socket took.
   * @throws BarewireError `BW_COMMAND` when the process fails.
   */
  async flood(order: FloodOrder): Promise<{ readonly sent: number }> {
    const child = this.spawn(process.execPath, [FLOOD_PROGRAM, JSON.stringify(order)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [output, complaint, [code]] = await Promise.all([
      text(child.stdout as Readable),
      text(child.stderr as Readable),
      once(child, 'exit'),
    ]);
    if (code !== 0)
      throw new BarewireError('BW_COMMAND', `the sender on host ${this.name} failed: ${complaint}`);
    return JSON.parse(output) as { sent: number };
  }

  /** Sets a kernel parameter of the host's network, as in `sysctl('net.ipv4.ip_forward', 1)`. */
  sysctl(name: string, value: string | number): void {
    // /proc/sys/net shows the namespace of the thread that opens the file.
    this.netns.run(() => writeFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, String(value)));
  }

  /** Gives back the descriptors; the namespace is the lab's to remove. */
  close(): void {
    this.net.close();
    this.netns.close();
  }
}
