import { readFileSync } from 'node:fs';
import {
  linkInfo,
  mapInfo,
  objectIds,
  openById,
  type Pin,
  type ProgramInfo,
  pins,
  programInfo,
} from '../bpf/index.ts';
import { SystemError } from '../sys/index.ts';
import { findHolders, type Holders, type ProcessRef } from './holders.ts';

export interface ProgramDetails {
  readonly id: number;
  /** What follows is absent where the caller may not ask (CAP_SYS_ADMIN), or the program has gone meanwhile. */
  readonly name?: string;
  /** SHA of the instructions, as `bpftool` prints it. */
  readonly tag?: string;
  readonly loadedAt?: Date;
  readonly maps?: readonly MapDetails[];
}

export interface MapDetails {
  readonly id: number;
  /** As `bpftool` names it. */
  readonly type: string;
  readonly name: string;
}

/**
 * What keeps a program attached: a link, for as long as a process holds it or a path on bpffs names it; otherwise
 * netlink put it there, where it stays until somebody takes it off.
 */
export interface Owner {
  readonly kind: 'link' | 'netlink';
  /** The link's id; absent for netlink. */
  readonly linkId?: number;
  /** Who holds the link; for netlink, who holds the program. */
  readonly processes: readonly ProcessRef[];
  /** Paths on bpffs of the link; for netlink, of the program. */
  readonly pins: readonly string[];
}

/** What the kernel and `/proc` tell of programs, their maps, and who keeps them. Taken once, when it is made. */
export class Ownership {
  /** Why details are missing, if they are. */
  limited: SystemError | undefined;
  readonly #holders: Holders = findHolders();
  readonly #pins: readonly Pin[] = [...pins()];
  readonly #links: { id: number; ifindex: number; programId: number }[];
  readonly #bootedAt: number = Date.now() - uptime();

  constructor() {
    this.#links = this.#allowed(listXdpLinks) ?? [];
  }

  program(id: number): ProgramDetails {
    const info = this.#allowed((): ProgramInfo | undefined => {
      using fd = openById('program', id);
      return fd && programInfo(fd);
    });
    if (info === undefined) return { id };
    const { name, tag, loadedAt, mapIds } = info;
    return {
      id,
      name,
      tag,
      loadedAt: new Date(this.#bootedAt + Number(loadedAt / 1_000_000n)),
      maps: mapIds.flatMap((mapId) => this.#map(mapId) ?? []),
    };
  }

  /** A link does not tell its namespace: of two with the same index and program, each is named once. */
  owner(ifindex: number, programId: number): Owner {
    const at = this.#links.findIndex((link) => link.ifindex === ifindex && link.programId === programId);
    const [link] = at < 0 ? [] : this.#links.splice(at, 1);
    if (link === undefined) {
      return {
        kind: 'netlink',
        processes: this.#holders.programs.get(programId) ?? [],
        pins: this.#pinsOf('program', programId),
      };
    }
    return {
      kind: 'link',
      linkId: link.id,
      processes: this.#holders.links.get(link.id) ?? [],
      pins: this.#pinsOf('link', link.id),
    };
  }

  #map(id: number): MapDetails | undefined {
    return this.#allowed(() => {
      using fd = openById('map', id);
      if (fd === undefined) return undefined;
      const { type, name } = mapInfo(fd);
      return { id, type, name };
    });
  }

  #pinsOf(kind: Pin['kind'], id: number): string[] {
    return this.#pins.filter((pin) => pin.kind === kind && pin.id === id).map((pin) => pin.path);
  }

  #allowed<T>(ask: () => T): T | undefined {
    try {
      return ask();
    } catch (error) {
      if (!(error instanceof SystemError) || error.code !== 'BW_PERMISSION') throw error;
      this.limited = error;
      return undefined;
    }
  }
}

function listXdpLinks(): { id: number; ifindex: number; programId: number }[] {
  return [...objectIds('link')].flatMap((id) => {
    using fd = openById('link', id);
    const info = fd && linkInfo(fd);
    return info?.type === 'xdp' ? [{ id, ifindex: info.ifindex, programId: info.programId }] : [];
  });
}

/** Since boot, in ms, time asleep included: the clock that the kernel stamps programs with. */
function uptime(): number {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000;
}
