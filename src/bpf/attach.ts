import { BarewireError } from '../error.ts';
import { type Link, Netlink, NetlinkError, type XdpMode } from '../netlink/index.ts';
import { Errno, errnoMeaning, errnoName, type Netns, withNetns } from '../sys/index.ts';
import { bpfError } from './attribute.ts';
import { linkInfo, objectIds, openById, programInfo } from './info.ts';
import { probe } from './probe.ts';
import type { Program } from './program.ts';
import { remedyFor } from './remedy.ts';
import { XdpLink } from './xdp-link.ts';

export interface AttachOptions {
  /** Name or index. */
  readonly interface: string | number;
  /** Default is `auto`: driver mode, and generic mode where the driver refuses. */
  readonly mode?: XdpMode | 'auto';
  /** Where the interface lies. Default is the thread's namespace. */
  readonly netns?: Netns | string | undefined;
  /** Evict another owner's program. Default is false: the attachment fails with {@link OccupiedError}. */
  readonly replace?: boolean;
  /**
   * `link` dies with this process unless pinned. `netlink` stays until it is detached, even after a crash, and is for
   * kernels before 5.9. Default is `link` where the kernel has it.
   */
  readonly method?: 'link' | 'netlink';
}

/** A mode that was tried in vain. */
export interface ModeRefusal {
  readonly mode: XdpMode;
  /** The driver's own words where it has any, otherwise what the errno means. */
  readonly reason: string;
  /** What would mend it, where that is known. */
  readonly remedy: string | undefined;
}

/** A program on an interface. */
export interface XdpAttachment extends Disposable {
  readonly interface: { readonly name: string; readonly index: number };
  /** What was granted, read back from the kernel. */
  readonly mode: XdpMode;
  /** Better modes that were refused, and why. */
  readonly refusals: readonly ModeRefusal[];
  readonly method: 'link' | 'netlink';
  /** Puts another program in place of the present one, atomically. */
  update(program: Program): void;
  /** Gives the attachment a path on bpffs, so that it outlives the process; links only. */
  pin(path: string): void;
  /** Detaches, unless pinned. A second call does nothing. */
  close(): void;
}

/** Another program is on the interface already. `code` is `BW_OCCUPIED`. */
export class OccupiedError extends BarewireError {
  readonly interface: string;
  readonly programId: number;
  /** Undefined where this process may not ask. */
  readonly programName: string | undefined;
  readonly mode: XdpMode;

  constructor(link: Link, occupant: Occupant) {
    const name = occupant.name === undefined ? '' : ` '${occupant.name}'`;
    const how = occupant.linkId === undefined ? 'over netlink' : `by link ${occupant.linkId}`;
    super(
      'BW_OCCUPIED',
      `${link.name} has another owner's XDP program: ${occupant.programId}${name}, attached ${how} in ${occupant.mode} mode`,
      { hint: `See it with \`barewire status ${link.name}\`; --replace (replace: true) evicts it.` },
    );
    this.interface = link.name;
    this.programId = occupant.programId;
    this.programName = occupant.name;
    this.mode = occupant.mode;
  }
}

/** The kernel or the driver refused the mode. `code` is `BW_MODE_REFUSED`. */
export class ModeRefusedError extends BarewireError {
  readonly refusals: readonly ModeRefusal[];

  constructor(interfaceName: string, refusals: readonly ModeRefusal[]) {
    const words = refusals.map(({ mode, reason }) => `${mode} mode: ${reason}`).join('; ');
    const remedy = refusals.find((refusal) => refusal.remedy !== undefined)?.remedy;
    super('BW_MODE_REFUSED', `${interfaceName} does not take the program in ${words}`, {
      hint: remedy ?? `\`barewire doctor ${interfaceName}\` shows what the interface can do.`,
    });
    this.refusals = refusals;
  }
}

/** @internal Who is on the interface. */
export interface Occupant {
  readonly mode: XdpMode;
  readonly programId: number;
  readonly name: string | undefined;
  /** Undefined for an attachment over netlink. */
  readonly linkId: number | undefined;
}

/**
 * Attaches an XDP program to an interface.
 *
 * @throws OccupiedError when another program is there and `replace` is not set.
 * @throws ModeRefusedError when no mode that was asked for is granted, with the driver's own words.
 */
export function attachXdp(program: Program, options: AttachOptions): XdpAttachment {
  const { mode = 'auto', replace = false, method = probe('xdp-link') ? 'link' : 'netlink' } = options;
  // The link is created in the calling thread's namespace, so all of it happens inside.
  return withNetns(options.netns, () => {
    const net = new Netlink();
    try {
      const link = net.links.get(options.interface);
      for (const occupant of settledOccupants(net, link)) {
        if (!replace) throw new OccupiedError(link, occupant);
        evict(net, link, occupant);
      }
      const refusals: ModeRefusal[] = [];
      for (const candidate of mode === 'auto' ? (['driver', 'generic'] as const) : [mode]) {
        const attached =
          method === 'link'
            ? attachLink(net, link, program, candidate)
            : attachNetlink(net, link, program, candidate);
        if ('reason' in attached) {
          refusals.push(attached);
          continue;
        }
        return describeAttachment(net, link, candidate, refusals, attached);
      }
      throw new ModeRefusedError(link.name, refusals);
    } catch (error) {
      net.close();
      throw error;
    }
  });
}

/** How an attachment goes on once it stands. */
interface Hold {
  readonly method: 'link' | 'netlink';
  update(program: Program): void;
  pin(path: string): void;
  release(): void;
}

function describeAttachment(
  net: Netlink,
  link: Link,
  asked: XdpMode,
  refusals: readonly ModeRefusal[],
  hold: Hold,
): XdpAttachment {
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    hold.release();
    net.close();
  };
  const granted = net.links.get(link.index).xdp.find((xdp) => xdp.mode === asked) ?? { mode: asked };
  return {
    interface: { name: link.name, index: link.index },
    mode: granted.mode,
    refusals,
    method: hold.method,
    update: (program) => hold.update(program),
    pin: (path) => hold.pin(path),
    close,
    [Symbol.dispose]: close,
  };
}

function attachLink(net: Netlink, link: Link, program: Program, mode: XdpMode): Hold | ModeRefusal {
  const created = XdpLink.tryCreate(program, link.index, mode);
  if (typeof created === 'number') return refusalOf(net, link, program, mode, -created);
  return {
    method: 'link',
    update: (next) => created.update(next),
    pin: (path) => created.pin(path),
    release: () => created.close(),
  };
}

function attachNetlink(net: Netlink, link: Link, program: Program, mode: XdpMode): Hold | ModeRefusal {
  try {
    net.xdp.attach(link.index, program.fd.number, { mode });
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    return explain(net, link, mode, error.errno, error.reason);
  }
  // A descriptor of our own: the caller may close the program before the attachment.
  let current = program.fd.duplicate();
  return {
    method: 'netlink',
    update(next) {
      net.xdp.attach(link.index, next.fd.number, { mode, expectedFd: current.number });
      current.close();
      current = next.fd.duplicate();
    },
    pin() {
      throw new BarewireError('BW_UNSUPPORTED', 'an attachment over netlink cannot be pinned', {
        hint: 'It outlives the process as it is; detach it by hand when it has served.',
      });
    },
    release() {
      try {
        net.xdp.detach(link.index, { mode, expectedFd: current.number });
      } catch (error) {
        // The interface is gone, or somebody evicted the program: nothing of ours is attached any more.
        const { code } = error as BarewireError;
        if (!['BW_NOT_FOUND', 'BW_NO_INTERFACE', 'BW_EXISTS', 'BW_BUSY', 'BW_INVALID'].includes(code))
          throw error;
      } finally {
        current.close();
      }
    },
  };
}

/** Why a link was refused. bpf(2) says only a number, so netlink is asked for the driver's words. */
function refusalOf(net: Netlink, link: Link, program: Program, mode: XdpMode, errno: number): ModeRefusal {
  let reason: string | undefined;
  if (!HOPELESS.has(errno)) {
    try {
      net.xdp.attach(link.index, program.fd.number, { mode });
      // Granted after all, though not as a link; nothing may stay that would outlive this process.
      net.xdp.detach(link.index, { mode, expectedFd: program.fd.number });
    } catch (error) {
      if (error instanceof NetlinkError) reason = error.reason;
    }
  }
  return explain(net, link, mode, errno, reason);
}

/** Failures that have nothing to do with the mode. */
const HOPELESS: ReadonlySet<number> = new Set([
  Errno.EPERM,
  Errno.EACCES,
  Errno.EBUSY,
  Errno.ENODEV,
  Errno.EEXIST,
  Errno.EBADF,
]);

function explain(
  net: Netlink,
  link: Link,
  mode: XdpMode,
  errno: number,
  reason: string | undefined,
): ModeRefusal {
  if (errno === Errno.EBUSY || errno === Errno.EEXIST) {
    // Somebody was faster.
    const [occupant] = occupantsOf(net.links.get(link.index));
    if (occupant !== undefined) throw new OccupiedError(link, occupant);
  }
  if (HOPELESS.has(errno)) {
    throw bpfError(errno, `attach to ${link.name}`, reason === undefined ? {} : { said: reason });
  }
  const words = reason ?? (WORDS[errno]?.(mode) || `${errnoMeaning(errno)} (${errnoName(errno)})`);
  return { mode, reason: words, remedy: remedyFor(words, link.name) };
}

/** What the kernel means where neither it nor the driver says more than a number. */
const WORDS: Readonly<Record<number, (mode: XdpMode) => string>> = {
  [Errno.EOPNOTSUPP]: (mode) =>
    mode === 'offload'
      ? 'the card does not run XDP programs itself'
      : `the driver does not support XDP in ${mode} mode`,
};

/** How long the kernel may take to let go of a link whose last pin was removed, in ms, and how often to look. */
const RELEASE_TIME = 200;
const RELEASE_STEP = 5;

/**
 * Who is on the interface and stays.
 *
 * A link whose last pin was removed loses its id at once but its program only a moment later, from a work queue, and
 * looks like a program put there over netlink meanwhile.
 */
function settledOccupants(net: Netlink, link: Link): Occupant[] {
  let occupants = occupantsOf(link);
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; waited < RELEASE_TIME; waited += RELEASE_STEP) {
    if (occupants.every((occupant) => occupant.linkId !== undefined)) break;
    Atomics.wait(pause, 0, 0, RELEASE_STEP);
    occupants = occupantsOf(net.links.get(link.index));
  }
  return occupants;
}

/** @internal */
export function occupantsOf(link: Link): Occupant[] {
  return link.xdp.map(({ mode, programId }) => {
    let name: string | undefined;
    let linkId: number | undefined;
    try {
      using program = openById('program', programId);
      if (program !== undefined) name = programInfo(program).name;
      linkId = findLink(link.index, programId);
    } catch {
      // Without CAP_SYS_ADMIN ids cannot be opened; that somebody is there is known all the same.
    }
    return { mode, programId, name, linkId };
  });
}

/** The bpf_link by which a program is on an interface. */
function findLink(ifindex: number, programId: number): number | undefined {
  for (const id of objectIds('link')) {
    using fd = openById('link', id);
    if (fd === undefined) continue;
    const info = linkInfo(fd);
    if (info.type === 'xdp' && info.ifindex === ifindex && info.programId === programId) return id;
  }
  return undefined;
}

/** @internal Takes exactly this occupant off. */
export function evict(net: Netlink, link: Link, occupant: Occupant): void {
  if (occupant.linkId !== undefined) {
    using fd = openById('link', occupant.linkId);
    if (fd !== undefined) XdpLink.fromFd(fd).detach();
    return;
  }
  // Named by descriptor, so that a program attached since the look is left alone.
  using program = openById('program', occupant.programId);
  if (program !== undefined) net.xdp.detach(link.index, { mode: occupant.mode, expectedFd: program.number });
}
