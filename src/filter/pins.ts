import { mkdirSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { programInfo } from '../bpf/info.ts';
import { BPFFS, ensureBpffs, isOnBpffs, openPinned, unpin } from '../bpf/pin.ts';
import { XdpLink } from '../bpf/xdp-link.ts';
import { BarewireError } from '../error.ts';

/** What a generation is made of: everything here can be pinned. */
export interface Pinnable {
  pin(path: string): void;
}

/**
 * The pins of one interface:
 *
 *     FOLDER/link          the attachment; without it nothing of this runs
 *     FOLDER/g7/program    of generation 7, pinned last: a generation without it is a torso
 *     FOLDER/g7/NAME       its maps
 *
 * Which generation lives is asked of the link itself, so that replacing its program is the one step that changes it:
 * whoever dies before or after leaves the old generation or the new one, and a torso that the next one clears away.
 */
export class Pins {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Opens the attachment; undefined when there is none, or when its interface has gone and it runs nowhere. */
  openLink(): XdpLink | undefined {
    const path = join(this.folder, 'link');
    if (!exists(path)) return undefined;
    const link = XdpLink.openPinned(path);
    if (link.info().ifindex !== 0) return link;
    link.close();
    return undefined;
  }

  /** The generation that the link runs; undefined when there is none, or when it runs somebody else's program. */
  living(link: XdpLink): number | undefined {
    const { programId } = link.info();
    return this.generations().find((generation) => this.programId(generation) === programId);
  }

  /** All generations, torsos too, the latest first. */
  generations(): number[] {
    return namesIn(this.folder)
      .flatMap((name) => (/^g\d+$/.test(name) ? [Number(name.slice(1))] : []))
      .sort((a, b) => b - a);
  }

  programId(generation: number): number | undefined {
    const path = this.path(generation, 'program');
    if (!exists(path)) return undefined;
    using fd = openPinned(path, `the program at ${path}`);
    return programInfo(fd).id;
  }

  path(generation: number, name: string): string {
    return join(this.folder, `g${generation}`, name);
  }

  /** Names of a generation's pins. */
  names(generation: number): string[] {
    return namesIn(join(this.folder, `g${generation}`));
  }

  /** Pins a generation, its program last. */
  pinGeneration(generation: number, program: Pinnable, maps: Readonly<Record<string, Pinnable>>): void {
    requireLastingBpffs(this.folder);
    this.removeGeneration(generation);
    for (const [name, map] of Object.entries(maps)) map.pin(this.path(generation, name));
    program.pin(this.path(generation, 'program'));
  }

  /** The program first, so that what is left behind on the way is a torso. */
  removeGeneration(generation: number): void {
    const folder = join(this.folder, `g${generation}`);
    if (!exists(folder)) return;
    unpin(join(folder, 'program'));
    for (const name of namesIn(folder)) unpin(join(folder, name));
    rmdirSync(folder);
  }

  /** Removes every generation but these. */
  keepOnly(generations: readonly number[]): void {
    for (const generation of this.generations()) {
      if (!generations.includes(generation)) this.removeGeneration(generation);
    }
  }

  pinLink(link: Pinnable): void {
    unpin(join(this.folder, 'link'));
    link.pin(join(this.folder, 'link'));
  }

  /** Detaches at once, whoever holds the link beside its pin. */
  detach(): void {
    const link = this.openLink();
    link?.detach();
    link?.close();
  }

  /** Takes everything away: the link first, so that nothing runs when its maps go. */
  removeAll(): void {
    unpin(join(this.folder, 'link'));
    this.keepOnly([]);
    for (const name of namesIn(this.folder)) unpin(join(this.folder, name));
    try {
      rmdirSync(this.folder);
    } catch {
      // It was not there.
    }
  }
}

/** Mounts bpffs where it is expected and missing, and refuses where its pins would vanish with the caller. */
export function requireLastingBpffs(folder: string): void {
  if (!folder.startsWith(`${BPFFS}/`) || isOnBpffs(BPFFS)) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return;
  }
  if (mountNamespace('self') !== mountNamespace('1')) {
    throw new BarewireError(
      'BW_NO_BPFFS',
      `no BPF file system is mounted at ${BPFFS} in this mount namespace, and one mounted here would end with it`,
      {
        hint: 'Work from outside of `ip netns exec` and name the namespace: --netns NAME.',
      },
    );
  }
  ensureBpffs();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
}

function mountNamespace(pid: string): number | undefined {
  try {
    return statSync(`/proc/${pid}/ns/mnt`).ino;
  } catch {
    return undefined;
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
