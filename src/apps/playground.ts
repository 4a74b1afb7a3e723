import { BarewireError } from '../error.ts';
import {
  Lab,
  type LabHost,
  type LabRecord,
  type LabSpec,
  namespacePath,
  type ProcessId,
} from '../lab/index.ts';
import { type ProcessRef, runningProcess } from './holders.ts';

/** A named lab to play in: `pair` is two hosts on a wire, `chain` has a router between them. */
export interface PlaygroundOptions {
  readonly name: string;
  /** Default is `pair`. */
  readonly shape?: LabShape;
  /** Of every wire, in bytes. Default is 1500. */
  readonly mtu?: number;
  /** Receive and transmit queues of every interface. Default is 1. */
  readonly queues?: number;
}

export const LAB_SHAPES = ['pair', 'chain'] as const;
export type LabShape = (typeof LAB_SHAPES)[number];

/** A lab that stands, as one would describe it. */
export interface LabDescription {
  readonly name: string;
  readonly hosts: readonly LabHostDescription[];
  /** The process that made it and takes it along when it ends; undefined for a lab that stands by itself. */
  readonly owner: ProcessRef | undefined;
}

export interface LabHostDescription {
  readonly name: string;
  /** As `ip netns` lists it. */
  readonly namespace: string;
  /** The namespace's file, for `nsenter --net=`. */
  readonly path: string;
  readonly interfaces: readonly { readonly name: string; readonly addresses: readonly string[] }[];
}

/** Makes a lab that stands until it is taken down. */
export function labUp(options: PlaygroundOptions): LabDescription {
  const lab = Lab.create(specOf(options));
  try {
    return describe(lab.name, lab.hosts, undefined);
  } finally {
    lab.close();
  }
}

/** Every lab that stands, by name. Labs whose maker died are cleared away first. */
export function labList(): LabDescription[] {
  Lab.clearLeftovers();
  return Lab.list().flatMap((record) => {
    try {
      const lab = Lab.open(record.name);
      try {
        return [describe(record.name, lab.hosts, ownerOf(record))];
      } finally {
        lab.close();
      }
    } catch (error) {
      // Taken down between the listing and the look, or half of it taken away by hand.
      if (!(error instanceof BarewireError)) throw error;
      if (error.code === 'BW_NO_LAB') return [];
      return [{ name: record.name, hosts: [], owner: ownerOf(record) }];
    }
  });
}

/**
 * Ends a lab's processes and takes it down.
 *
 * @param force Also when it belongs to a process that still runs. Default is false.
 * @throws BarewireError `BW_NO_LAB`; `BW_BUSY` when it belongs to somebody else.
 */
export function labDown(name: string, force = false): void {
  const record = Lab.list().find((known) => known.name === name);
  const owner = record && ownerOf(record);
  if (owner !== undefined && !force) {
    throw new BarewireError(
      'BW_BUSY',
      `the lab '${name}' belongs to process ${owner.pid} (${owner.command})`,
      {
        hint: 'End that process, or take the lab from it with --force.',
      },
    );
  }
  Lab.remove(name);
}

function specOf({ name, shape = 'pair', ...wire }: PlaygroundOptions): LabSpec {
  if (shape === 'pair') {
    return {
      name,
      persistent: true,
      hosts: ['client', 'server'],
      wires: [{ between: ['client', 'server'], ...wire }],
    };
  }
  return {
    name,
    persistent: true,
    hosts: [
      { name: 'client', gateway: '10.77.0.2' },
      { name: 'router', forwarding: true },
      { name: 'server', gateway: '10.77.1.1' },
    ],
    wires: [
      { between: ['client', 'router'], ...wire },
      { between: ['router', 'server'], ...wire },
    ],
  };
}

function describe(name: string, hosts: readonly LabHost[], owner: ProcessRef | undefined): LabDescription {
  return {
    name,
    owner,
    hosts: hosts.map((host) => ({
      name: host.name,
      namespace: host.namespace,
      path: namespacePath(host.namespace),
      interfaces: host.net.links
        .list()
        .filter((link) => link.type !== 'loopback')
        .map((link) => ({
          name: link.name,
          addresses: host.net.addresses
            .list({ link: link.index })
            .filter(({ scope }) => scope !== 'link')
            .map(({ address, prefixLength }) => `${address}/${prefixLength}`),
        })),
    })),
  };
}

function ownerOf(record: LabRecord): ProcessRef | undefined {
  const id: ProcessId | null = record.owner;
  return id === null ? undefined : runningProcess(id.pid);
}
