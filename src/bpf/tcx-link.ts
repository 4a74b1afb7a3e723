import { BarewireError } from '../error.ts';
import { Netlink } from '../netlink/index.ts';
import { Errno, Fd, type Netns, withNetns } from '../sys/index.ts';
import { Attribute, bpfError } from './attribute.ts';
import { type LinkInfo, linkInfo } from './info.ts';
import { openPinned, pinObject } from './pin.ts';
import type { Program } from './program.ts';
import { ATTACH_TYPE, Command } from './uapi.ts';

export interface AttachTcxOptions {
  /** Name or index. */
  readonly interface: string | number;
  /** Frames that come in, or that go out. */
  readonly direction: 'ingress' | 'egress';
  /** Where the interface lies. Default is the thread's namespace. */
  readonly netns?: Netns | string | undefined;
}

/** Programs that a query has room for; the kernel takes 64 at one place. */
const MOST = 64;

/** Ids of the programs at an interface's traffic control (tcx), whoever they belong to, in the order they run in. */
export function tcxPrograms(options: AttachTcxOptions): number[] {
  return withNetns(options.netns, () => {
    using net = new Netlink();
    const { index, name } = net.links.get(options.interface);
    const ids = new Uint32Array(MOST);
    // struct { target_ifindex @0, attach_type @4, query_flags @8, attach_flags @12, prog_ids @16, prog_cnt @24 }
    const attribute = new Attribute(64)
      .u32(0, index)
      .u32(4, ATTACH_TYPE[`tcx/${options.direction}`])
      .pointer(16, ids)
      .u32(24, MOST);
    const result = attribute.try(Command.programQuery);
    // Nothing was ever attached, or the kernel has no tcx.
    if (result === -Errno.ENOENT || result === -Errno.EINVAL) return [];
    if (result < 0) throw bpfError(-result, `ask for the programs at the ${options.direction} of ${name}`);
    return [...ids.subarray(0, attribute.readU32(24))];
  });
}

/** `BPF_F_BEFORE` of link create: in front of whoever is there. */
const BEFORE = 1 << 3;

/**
 * A program at an interface's traffic control, beside those of others (tcx, Linux 6.6). It lives as long as its
 * descriptors and pins.
 */
export class TcxLink implements Disposable {
  readonly fd: Fd;

  private constructor(fd: Fd) {
    this.fd = fd;
  }

  /**
   * Attaches in front of the programs that are there: what they let pass or drop, this one has seen. Others are run
   * after it when it returns `TCX_NEXT`.
   *
   * @throws BarewireError `BW_UNSUPPORTED` where the kernel has no tcx.
   */
  static attach(program: Program, options: AttachTcxOptions): TcxLink {
    return withNetns(options.netns, () => {
      using net = new Netlink();
      const { index, name } = net.links.get(options.interface);
      // struct { prog_fd @0, target_ifindex @4, attach_type @8, flags @12, relative_fd @16, expected_revision @24 }
      const result = new Attribute(32)
        .u32(0, program.fd.number)
        .u32(4, index)
        .u32(8, ATTACH_TYPE[`tcx/${options.direction}`])
        .u32(12, BEFORE)
        .try(Command.linkCreate);
      if (result >= 0) return new TcxLink(new Fd(result, `tcx ${options.direction} link on ${name}`));
      const doing = `attach '${program.name}' to the ${options.direction} of ${name}`;
      if (result === -Errno.EINVAL) {
        throw new BarewireError('BW_UNSUPPORTED', `${doing}: this kernel has no tcx`, {
          hint: 'It came with Linux 6.6.',
        });
      }
      throw bpfError(-result, doing);
    });
  }

  /** Opens a link that was pinned, by this or an earlier process. */
  static openPinned(path: string): TcxLink {
    return new TcxLink(openPinned(path, `link at ${path}`));
  }

  info(): LinkInfo {
    return linkInfo(this.fd);
  }

  /** Puts another program in place of the present one; no frame passes between them unseen. */
  update(program: Program): void {
    // struct { link_fd @0, new_prog_fd @4, flags @8, old_prog_fd @12 }
    new Attribute(16)
      .u32(0, this.fd.number)
      .u32(4, program.fd.number)
      .run(Command.linkUpdate, `put the program '${program.name}' on ${this.fd.what}`);
  }

  /** Gives the link a path on bpffs: the attachment then outlives the process. */
  pin(path: string): void {
    pinObject(this.fd, path);
  }

  /** Gives the descriptor back; without other descriptors or pins that detaches. */
  close(): void {
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
