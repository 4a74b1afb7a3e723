import { readlinkSync, statSync } from 'node:fs';
import { NETNS_DIRECTORY, Netns } from '../sys/index.ts';
import { processIds } from './holders.ts';

/**
 * Every network namespace that can be found: the caller's own, those with a name, and those without one that a
 * process (a container's, for one) is in. Each comes once, whatever names it has.
 *
 * @returns what `--netns` takes: a name, or a path such as `/proc/1234/ns/net`; undefined is the caller's own.
 */
export function findNamespaces(): (string | undefined)[] {
  const found = new Map<string, string | undefined>();
  const add = (identity: string | undefined, netns: string | undefined): void => {
    if (identity !== undefined && !found.has(identity)) found.set(identity, netns);
  };
  add(ofProcess('thread-self'), undefined);
  for (const name of Netns.names()) add(ofFile(`${NETNS_DIRECTORY}/${name}`), name);
  for (const pid of processIds()) add(ofProcess(`${pid}`), `/proc/${pid}/ns/net`);
  return [...found.values()];
}

/** As in `net:[4026531840]`; undefined for a process that has ended or belongs to somebody else. */
function ofProcess(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

function ofFile(path: string): string | undefined {
  try {
    return `net:[${statSync(path).ino}]`;
  } catch {
    return undefined;
  }
}
