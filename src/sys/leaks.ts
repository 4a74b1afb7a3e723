import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { BarewireError } from '../error.ts';

/** What this process holds of the kernel's, as `/proc/self` shows it. */
export interface Holdings {
  /** Descriptor number to what it is, as in `anon_inode:bpf-map` or `socket:[1234]`. */
  readonly fds: ReadonlyMap<number, string>;
  /** Kernel objects mapped into memory, as in `anon_inode:bpf-map`, each with how many mappings there are. */
  readonly mappings: ReadonlyMap<string, number>;
}

/** Takes stock: descriptors (maps, programs, links, sockets, pollers' among them) and mappings of kernel objects. */
export function takeStock(): Holdings {
  const fds = new Map<number, string>();
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      fds.set(Number(name), readlinkSync(`/proc/self/fd/${name}`));
    } catch {
      // The descriptor of this very listing, closed by now.
    }
  }
  const mappings = new Map<string, number>();
  for (const line of readFileSync('/proc/self/maps', 'utf8').split('\n')) {
    const object = /\s((?:anon_inode|socket):\S+)/.exec(line)?.[1];
    if (object !== undefined) mappings.set(object, (mappings.get(object) ?? 0) + 1);
  }
  return { fds, mappings };
}

/** What `after` holds beyond `before`, one line each; empty when nothing leaked. */
export function leaksSince(before: Holdings, after: Holdings = takeStock()): string[] {
  const leaks: string[] = [];
  for (const [fd, what] of after.fds) {
    if (before.fds.get(fd) !== what) leaks.push(`descriptor ${fd}: ${what}`);
  }
  for (const [object, count] of after.mappings) {
    const more = count - (before.mappings.get(object) ?? 0);
    if (more > 0) leaks.push(`${more} mapping${more === 1 ? '' : 's'} of ${object}`);
  }
  return leaks;
}

/** @throws BarewireError `BW_LEAK` that lists what was not given back since `before`. */
export function requireNoLeaks(before: Holdings): void {
  const leaks = leaksSince(before);
  if (leaks.length > 0) throw new BarewireError('BW_LEAK', `not given back: ${leaks.join('; ')}`);
}
