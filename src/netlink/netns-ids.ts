import { encode } from '../layout/index.ts';
import { Netns } from '../sys/netns.ts';
import { type Attribute, i32Attribute, u32Attribute } from './attribute.ts';
import type { AttributeNames } from './fault.ts';
import type { NetnsRef } from './link-spec.ts';
import { type Message, NLM_F } from './message.ts';
import { decodeBody, RTM, rtgenmsg } from './rtnetlink.ts';
import type { NetlinkSocket } from './socket.ts';

/** linux/net_namespace.h. */
const NETNSA = { NSID: 1, PID: 2, FD: 3, TARGET_NSID: 4, CURRENT_NSID: 5 } as const;

const NAMES: AttributeNames = { prefix: 'NETNSA_', types: NETNSA };

/** `NETNSA_NSID_NOT_ASSIGNED`; in a request, the kernel chooses. */
const NOT_ASSIGNED = -1;

/**
 * The numbers by which one network namespace knows others, as in a link's `linkNetnsId`. They mean nothing outside it.
 */
export class NetnsIds {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** All that are assigned, in ascending order. */
  list(): number[] {
    return this.#request(RTM.GETNSID, NLM_F.DUMP, [], 'list the namespace IDs')
      .filter((message) => message.type === RTM.NEWNSID)
      .flatMap((message) => decodeNetnsId(message) ?? [])
      .sort((a, b) => a - b);
  }

  /** The number of a namespace; absent when it has none here. */
  get(netns: NetnsRef): number | undefined {
    return withFd(netns, (fd) => {
      const attributes = [u32Attribute(NETNSA.FD, fd)];
      const [message] = this.#request(RTM.GETNSID, 0, attributes, 'look up a namespace ID');
      return message && decodeNetnsId(message);
    });
  }

  /**
   * Gives a namespace a number and returns it; for one that has a number already, that one.
   *
   * @param id Default is the kernel's choice.
   * @throws NetlinkError `BW_EXISTS` when the namespace has another number already.
   */
  assign(netns: NetnsRef, id?: number): number {
    const known = this.get(netns);
    if (known !== undefined && (id === undefined || id === known)) return known;
    return withFd(netns, (fd) => {
      const attributes = [u32Attribute(NETNSA.FD, fd), i32Attribute(NETNSA.NSID, id ?? NOT_ASSIGNED)];
      this.#request(RTM.NEWNSID, 0, attributes, 'assign a namespace ID');
      return this.get(netns)!;
    });
  }

  #request(type: number, flags: number, attributes: readonly Attribute[], doing: string): readonly Message[] {
    const header = encode(rtgenmsg, { family: 0, pad1: 0, pad2: 0 });
    return this.#socket.request({ type, flags, header, attributes, doing, names: NAMES });
  }
}

/**
 * The ID in a NEWNSID message; absent when none is assigned.
 *
 * @throws CodecError when the message is cut off or misformed.
 */
export function decodeNetnsId(message: Message): number | undefined {
  const id = decodeBody(rtgenmsg, message).attributes.i32(NETNSA.NSID);
  return id === undefined || id === NOT_ASSIGNED ? undefined : id;
}

function withFd<T>(netns: NetnsRef, task: (fd: number) => T): T {
  if (netns instanceof Netns) return task(netns.fd.number);
  using opened = Netns.open(netns);
  return task(opened.fd.number);
}
