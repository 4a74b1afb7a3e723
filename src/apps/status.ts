import { type DispatchedProgram, dispatcherOn } from '../bpf/index.ts';
import { BarewireError } from '../error.ts';
import { type AttachedXdp, Netlink, type XdpMode } from '../netlink/index.ts';
import { SystemError } from '../sys/index.ts';
import { findNamespaces } from './namespaces.ts';
import { type Owner, Ownership, type ProgramDetails } from './ownership.ts';

/** One XDP program on one interface. */
export interface AttachedProgram {
  /** Where the interface is: a namespace's name or path; undefined for the caller's own. */
  readonly netns: string | undefined;
  readonly interface: { readonly name: string; readonly index: number };
  readonly mode: XdpMode;
  readonly program: ProgramDetails;
  readonly owner: Owner;
  /** The programs that it runs, in their order, where it is a dispatcher; absent otherwise. */
  readonly dispatches?: readonly DispatchedProgram[];
}

export interface StatusOptions {
  /** Only this namespace, by name or path. Default is every one that can be found. */
  readonly netns?: string | undefined;
  /** Only interfaces of this name. */
  readonly interface?: string | undefined;
}

export interface Status {
  readonly programs: readonly AttachedProgram[];
  /** Namespaces that could not be looked into, and why. */
  readonly unseen: readonly { readonly netns: string; readonly error: SystemError }[];
  /** Why details of the programs are missing, if they are. */
  readonly limited: SystemError | undefined;
}

/**
 * Every XDP program on every interface, with its owner.
 *
 * @throws NoInterfaceError when none of the namespaces has an interface of the name that is asked for.
 */
export function status(options: StatusOptions = {}): Status {
  const found: { netns: string | undefined; name: string; index: number; xdp: AttachedXdp }[] = [];
  const unseen: { netns: string; error: SystemError }[] = [];
  const asked = options.netns !== undefined;
  let known = options.interface === undefined;
  for (const netns of asked ? [options.netns] : findNamespaces()) {
    try {
      using net = new Netlink({ netns });
      for (const { name, altNames, index, xdp } of net.links.list()) {
        if (options.interface !== undefined && ![name, ...altNames].includes(options.interface)) continue;
        known = true;
        for (const attached of xdp) found.push({ netns, name, index, xdp: attached });
      }
    } catch (error) {
      // The one that was asked for has to work; of the others, some go meanwhile, some are not ours to enter.
      if (asked || netns === undefined) throw error;
      if (error instanceof BarewireError && error.code === 'BW_NO_NETNS') continue;
      if (!(error instanceof SystemError)) throw error;
      if (error.code !== 'BW_NOT_FOUND') unseen.push({ netns, error });
    }
  }
  if (!known) requireInterface(options.interface ?? '', options.netns);
  if (found.length === 0) return { programs: [], unseen, limited: undefined };
  const ownership = new Ownership();
  const programs = found.map(({ netns, name, index, xdp }) => ({
    netns,
    interface: { name, index },
    mode: xdp.mode,
    program: ownership.program(xdp.programId),
    owner: ownership.owner(index, xdp.programId),
    ...dispatchedBy(index, xdp.programId),
  }));
  return { programs, unseen, limited: ownership.limited };
}

function dispatchedBy(ifindex: number, programId: number): Pick<AttachedProgram, 'dispatches'> {
  try {
    const programs = dispatcherOn(ifindex, programId)?.programs;
    return programs === undefined ? {} : { dispatches: programs };
  } catch (error) {
    // Who may not open programs sees no more than that one is there; that is said already.
    if (error instanceof SystemError && error.code === 'BW_PERMISSION') return {};
    throw error;
  }
}

/** Lets netlink say which names are near. */
function requireInterface(name: string, netns: string | undefined): void {
  using net = new Netlink({ netns });
  net.links.get(name);
}
