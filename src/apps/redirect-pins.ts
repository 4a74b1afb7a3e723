import { readdirSync, rmdirSync, statSync } from 'node:fs';
import { BPFFS, unpin } from '../bpf/index.ts';
import { withNetns } from '../sys/index.ts';

/** Where what outlives the process is pinned: a folder of bpffs per network namespace, and in it one per interface. */
const FOLDER = `${BPFFS}/barewire/redirect`;

/** The pins of one interface. */
export interface RedirectPins {
  readonly folder: string;
  /** The attachment to the interface. */
  readonly link: string;
  /** The attachment that sends replies. */
  readonly replies: string;
  map(name: string): string;
}

export function pinsOf(netns: string | undefined, interfaceName: string): RedirectPins {
  const folder = `${FOLDER}/${namespaceInode(netns)}/${interfaceName}`;
  return {
    folder,
    link: `${folder}/link`,
    replies: `${folder}/replies`,
    map: (name) => `${folder}/map-${name}`,
  };
}

/** Names of interfaces of a namespace that have pins. */
export function pinnedInterfaces(netns: string | undefined): string[] {
  return entries(`${FOLDER}/${namespaceInode(netns)}`);
}

/** Takes every pin of an interface away, the attachments first. Whether there were any. */
export function removePins(pins: RedirectPins): boolean {
  const names = entries(pins.folder);
  const last = (name: string): number => (name.startsWith('map-') ? 1 : 0);
  for (const name of names.toSorted((a, b) => last(a) - last(b))) unpin(`${pins.folder}/${name}`);
  try {
    rmdirSync(pins.folder);
    rmdirSync(pins.folder.slice(0, pins.folder.lastIndexOf('/')));
  } catch {
    // Not there, or another interface's pins are beside it.
  }
  return names.length > 0;
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** What tells namespaces apart as long as they live: bpffs is one for all of them. */
function namespaceInode(netns: string | undefined): string {
  return withNetns(netns, () => String(statSync('/proc/thread-self/ns/net').ino));
}
