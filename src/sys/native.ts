import { createRequire } from 'node:module';
import { arch } from 'node:process';
import { fileURLToPath } from 'node:url';
import { BarewireError } from '../error.ts';

/** What a system call takes: a value, or memory by its address; null is 0. */
export type SyscallArgument = number | bigint | NodeJS.ArrayBufferView | null;

/** The addon, as `native/barewire.c` exports it. */
export interface Native {
  /** The call's result, or `-errno`. A result beyond 2^53 loses precision; no call used here has one. */
  syscall(nr: number, ...args: SyscallArgument[]): number;
  /** Where the view's first byte lies. A view on a growable SharedArrayBuffer never moves. */
  addressOf(view: NodeJS.ArrayBufferView): number;
  /** Nothing: the cost of the crossing, for benchmarks. */
  nothing(): void;
  /** A number for `pollControl`, or `-errno`. */
  poll(fd: number, events: number, callback: (events: number) => void): number;
  /** Other events; 0 pauses, -1 closes. 0 or `-errno`. */
  pollControl(id: number, events: number): number;
}

/** Where the addon may lie, in order of preference: as shipped, as built here. */
export function nativeCandidates(): string[] {
  const names = [`native/prebuilt/linux-${arch}/barewire.node`, 'native/build/barewire.node'];
  // From dist/src/sys, and from src/sys where Node strips the types itself.
  const roots = ['../../../', '../../'];
  return names.flatMap((name) => roots.map((root) => fileURLToPath(new URL(root + name, import.meta.url))));
}

/** Loads an addon file; tests compare the shipped with the built one through this. */
export function loadNative(path: string): Native {
  return createRequire(import.meta.url)(path) as Native;
}

function findNative(): Native {
  const failures: string[] = [];
  for (const path of nativeCandidates()) {
    try {
      return loadNative(path);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'MODULE_NOT_FOUND') failures.push(message.split('\n')[0] ?? message);
    }
  }
  const why = failures.length > 0 ? failures.join('; ') : `none is shipped for linux-${arch}`;
  throw new BarewireError('BW_NATIVE', `the native part of Barewire does not load: ${why}`, {
    hint: 'Build it with native/build.sh in the package folder; a C compiler is all it needs.',
  });
}

export const native: Native = findNative();
