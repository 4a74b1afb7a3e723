import { Errno, Fd } from '../sys/index.ts';
import { Attribute, bpfError } from './attribute.ts';
import { type LinkInfo, linkInfo } from './info.ts';
import { openPinned, pinObject } from './pin.ts';
import type { Program } from './program.ts';
import { ATTACH_TYPE, Command, LINK_REPLACE } from './uapi.ts';

/** XDP's modes as flags of attachment (`XDP_FLAGS_*` in `linux/if_link.h`). */
const MODE_FLAG = { generic: 2, driver: 4, offload: 8 } as const;

/**
 * An attachment to an interface that lives as long as its descriptors and pins: a process that dies, however it dies,
 * leaves nothing behind.
 */
export class XdpLink implements Disposable {
  readonly fd: Fd;

  private constructor(fd: Fd) {
    this.fd = fd;
  }

  /**
   * Attaches in one mode. The result, or `-errno`: the caller knows how to explain it. Runs in the namespace of the
   * calling thread.
   */
  static tryCreate(program: Program, ifindex: number, mode: keyof typeof MODE_FLAG): XdpLink | number {
    // struct { prog_fd @0, target_ifindex @4, attach_type @8, flags @12 }
    const result = new Attribute(16)
      .u32(0, program.fd.number)
      .u32(4, ifindex)
      .u32(8, ATTACH_TYPE.xdp)
      .u32(12, MODE_FLAG[mode])
      .try(Command.linkCreate);
    return result < 0 ? result : new XdpLink(new Fd(result, `XDP link on interface ${ifindex}`));
  }

  /** Opens a link that was pinned, by this or an earlier process. */
  static openPinned(path: string): XdpLink {
    return new XdpLink(openPinned(path, `link at ${path}`));
  }

  /** Takes over a link's descriptor. */
  static fromFd(fd: Fd): XdpLink {
    return new XdpLink(fd);
  }

  info(): LinkInfo {
    return linkInfo(this.fd);
  }

  /**
   * Puts another program in place of the present one; no frame passes between them unseen.
   *
   * @param expected Refuse unless this program is the present one.
   */
  update(program: Program, expected?: Program): void {
    // struct { link_fd @0, new_prog_fd @4, flags @8, old_prog_fd @12 }
    const attribute = new Attribute(16).u32(0, this.fd.number).u32(4, program.fd.number);
    if (expected !== undefined) attribute.u32(8, LINK_REPLACE).u32(12, expected.fd.number);
    const result = attribute.try(Command.linkUpdate);
    if (result >= 0) return;
    const hint = result === -Errno.EPERM ? 'Another program than the expected one is attached.' : undefined;
    throw bpfError(
      -result,
      `put the program '${program.name}' on ${this.fd.what}`,
      hint === undefined ? {} : { hint },
    );
  }

  /** Gives the link a path on bpffs: the attachment then outlives the process. */
  pin(path: string): void {
    pinObject(this.fd, path);
  }

  /** Detaches at once, whoever else holds or pinned the link. */
  detach(): void {
    new Attribute(4).u32(0, this.fd.number).run(Command.linkDetach, `detach ${this.fd.what}`);
  }

  /** Gives the descriptor back; without other descriptors or pins that detaches. */
  close(): void {
    this.fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
