import { type Attribute, i32Attribute, nestedAttribute, u32Attribute } from './attribute.ts';
import type { AttachedXdp, XdpMode } from './link.ts';
import { IFLA, IFLA_XDP, linkAttributeNames } from './link-attributes.ts';
import { type LinkRef, linkHeader } from './link-spec.ts';
import type { Links } from './links.ts';
import { numberIn, RTM } from './rtnetlink.ts';
import type { NetlinkSocket } from './socket.ts';

/** `XDP_FLAGS_` (linux/if_link.h). */
const XDP_FLAGS = { UPDATE_IF_NOEXIST: 1, REPLACE: 16 } as const;
const MODE_FLAGS: Readonly<Record<XdpMode, number>> = { generic: 2, driver: 4, offload: 8 };

export interface XdpAttachOptions {
  readonly mode: XdpMode;
  /**
   * Descriptor of the program that may be replaced; the kernel refuses when another one is attached (Linux 5.7).
   * Default: nothing may be replaced.
   */
  readonly expectedFd?: number;
}

export interface XdpDetachOptions {
  readonly mode: XdpMode;
  /** Descriptor of the program to detach; the kernel refuses when another one is attached (Linux 5.7). */
  readonly expectedFd?: number;
}

/**
 * XDP programs attached the old way, without a `bpf_link`: they stay until they are detached, whoever ends.
 *
 * Refusals carry the driver's own words, which `bpf(2)` does not.
 */
export class XdpAttachments {
  readonly #socket: NetlinkSocket;
  readonly #links: Links;

  constructor(socket: NetlinkSocket, links: Links) {
    this.#socket = socket;
    this.#links = links;
  }

  /** The programs on a link, those of a `bpf_link` among them. */
  list(link: LinkRef): readonly AttachedXdp[] {
    return this.#links.get(link).xdp;
  }

  /**
   * @param programFd Descriptor of a loaded XDP program.
   * @throws NetlinkError with the driver's reason; `BW_BUSY` when there is a program and none may be replaced.
   */
  attach(link: LinkRef, programFd: number, options: XdpAttachOptions): void {
    this.#set(`attach an XDP program to '${link}' in ${options.mode} mode`, link, programFd, options);
  }

  /** Detaches the program of one mode; does nothing when there is none and none is expected. */
  detach(link: LinkRef, options: XdpDetachOptions): void {
    this.#set(`detach the XDP program from '${link}' in ${options.mode} mode`, link, -1, options);
  }

  #set(doing: string, link: LinkRef, programFd: number, options: XdpAttachOptions): void {
    const { mode, expectedFd } = options;
    let flags = numberIn('XDP mode', MODE_FLAGS, mode);
    const xdp: Attribute[] = [i32Attribute(IFLA_XDP.FD, programFd)];
    if (expectedFd !== undefined) {
      flags |= XDP_FLAGS.REPLACE;
      xdp.push(i32Attribute(IFLA_XDP.EXPECTED_FD, expectedFd));
    } else if (programFd >= 0) {
      flags |= XDP_FLAGS.UPDATE_IF_NOEXIST;
    }
    xdp.push(u32Attribute(IFLA_XDP.FLAGS, flags));
    this.#links.withIndex(link, (index) =>
      this.#socket.request({
        type: RTM.SETLINK,
        header: linkHeader(index),
        attributes: [nestedAttribute(IFLA.XDP, xdp)],
        doing,
        names: linkAttributeNames(),
      }),
    );
  }
}
