import { type Attribute, type Attributes, u32Attribute, u64Attribute } from './attribute.ts';
import type { AttributeNames } from './fault.ts';
import { GENERIC_DUMP, type GenericNetlink } from './generic.ts';
import type { LinkRef } from './link-spec.ts';
import type { Links } from './links.ts';

/** What an interface's driver can do for XDP (Linux 6.3). */
export interface XdpCapabilities {
  readonly index: number;
  readonly features: readonly XdpFeature[];
  /** Hints that a program can read on this interface (Linux 6.8). */
  readonly rxMetadata: readonly XdpRxMetadata[];
  /** What AF_XDP can ask of the card when it sends (Linux 6.8). */
  readonly xskFeatures: readonly XskFeature[];
  /** How many buffers one zero-copy packet may span; absent without zero copy (Linux 6.6). */
  readonly zeroCopyMaxSegments: number | undefined;
}

/** `enum netdev_xdp_act` (linux/netdev.h). */
const XDP_FEATURES = {
  basic: 1n,
  redirect: 2n,
  'ndo-xmit': 4n,
  'xsk-zerocopy': 8n,
  'hw-offload': 16n,
  'rx-sg': 32n,
  'ndo-xmit-sg': 64n,
} as const;

/**
 * `basic`: runs XDP programs in the driver; `redirect`: XDP_REDIRECT from it; `ndo-xmit`: XDP_REDIRECT to it;
 * `xsk-zerocopy`: AF_XDP without copies; `hw-offload`: programs on the card; `rx-sg`, `ndo-xmit-sg`: packets in
 * several buffers.
 */
export type XdpFeature = keyof typeof XDP_FEATURES;

/** `enum netdev_xdp_rx_metadata`. */
const RX_METADATA = { timestamp: 1n, hash: 2n, 'vlan-tag': 4n } as const;

export type XdpRxMetadata = keyof typeof RX_METADATA;

/** `enum netdev_xsk_flags`. */
const XSK_FEATURES = { 'tx-timestamp': 1n, 'tx-checksum': 2n, 'tx-launch-time-fifo': 4n } as const;

export type XskFeature = keyof typeof XSK_FEATURES;

/** One queue of an interface that is up (Linux 6.8). */
export interface Queue {
  readonly id: number;
  readonly type: 'rx' | 'tx';
  /** The NAPI instance that serves it; busy polling asks for it. */
  readonly napiId: number | undefined;
  /** Whether an AF_XDP socket is bound to it (Linux 6.15). */
  readonly xsk: boolean;
}

/** A NAPI instance: what takes packets off one or several queues (Linux 6.8). */
export interface Napi {
  readonly id: number;
  readonly irq: number | undefined;
  /** Of its kernel thread, in threaded mode. */
  readonly pid: number | undefined;
  readonly deferHardIrqs: number | undefined;
  /** In ns, as the next. */
  readonly groFlushTimeout: bigint | undefined;
  readonly irqSuspendTimeout: bigint | undefined;
}

/** What can be changed of a NAPI instance; what is absent stays. */
export type NapiChanges = Partial<
  Record<'deferHardIrqs', number> & Record<'groFlushTimeout' | 'irqSuspendTimeout', bigint>
>;

const CMD = { DEV_GET: 1, QUEUE_GET: 10, NAPI_GET: 11, NAPI_SET: 14 } as const;

const DEV = {
  IFINDEX: 1,
  PAD: 2,
  XDP_FEATURES: 3,
  XDP_ZC_MAX_SEGS: 4,
  XDP_RX_METADATA_FEATURES: 5,
  XSK_FEATURES: 6,
} as const;

const QUEUE = { ID: 1, IFINDEX: 2, TYPE: 3, NAPI_ID: 4, DMABUF: 5, IO_URING: 6, XSK: 7 } as const;

const NAPI = {
  IFINDEX: 1,
  ID: 2,
  IRQ: 3,
  PID: 4,
  DEFER_HARD_IRQS: 5,
  GRO_FLUSH_TIMEOUT: 6,
  IRQ_SUSPEND_TIMEOUT: 7,
} as const;

const DEV_NAMES: AttributeNames = { prefix: 'NETDEV_A_DEV_', types: DEV };
const QUEUE_NAMES: AttributeNames = { prefix: 'NETDEV_A_QUEUE_', types: QUEUE };
const NAPI_NAMES: AttributeNames = { prefix: 'NETDEV_A_NAPI_', types: NAPI };

const FAMILY_MISSING = 'It takes Linux 6.3 or later.';

/** What the kernel tells of network devices besides links: XDP capabilities, queues, NAPI instances. */
export class Netdev {
  readonly #generic: GenericNetlink;
  readonly #links: Links;

  constructor(generic: GenericNetlink, links: Links) {
    this.#generic = generic;
    this.#links = links;
  }

  /** @throws BarewireError `BW_UNSUPPORTED` before Linux 6.3. */
  xdp(link: LinkRef): XdpCapabilities {
    const family = this.#generic.family('netdev', FAMILY_MISSING);
    return this.#links.withIndex(link, (index) => {
      const [reply] = this.#generic.request(family, {
        command: CMD.DEV_GET,
        attributes: [u32Attribute(DEV.IFINDEX, index)],
        doing: `read the XDP capabilities of '${link}'`,
        names: DEV_NAMES,
      });
      return decodeXdpCapabilities(reply!);
    });
  }

  /**
   * The queues in use: none while the interface is down.
   *
   * @throws NetlinkError `BW_UNSUPPORTED` before Linux 6.8.
   */
  queues(link: LinkRef): Queue[] {
    return this.#list(CMD.QUEUE_GET, link, QUEUE.IFINDEX, QUEUE_NAMES, 'queues').map(decodeQueue);
  }

  /**
   * The NAPI instances: none while the interface is down.
   *
   * @throws NetlinkError `BW_UNSUPPORTED` before Linux 6.8.
   */
  napis(link: LinkRef): Napi[] {
    return this.#list(CMD.NAPI_GET, link, NAPI.IFINDEX, NAPI_NAMES, 'NAPI instances').map(decodeNapi);
  }

  /**
   * Changes how a NAPI instance waits between interrupts.
   *
   * @throws NetlinkError `BW_UNSUPPORTED` before Linux 6.13, `BW_NOT_FOUND` when there is no such instance.
   */
  setNapi(id: number, changes: NapiChanges): void {
    const family = this.#generic.family('netdev', FAMILY_MISSING);
    const attributes: Attribute[] = [u32Attribute(NAPI.ID, id)];
    const { deferHardIrqs, groFlushTimeout, irqSuspendTimeout } = changes;
    if (deferHardIrqs !== undefined) attributes.push(u32Attribute(NAPI.DEFER_HARD_IRQS, deferHardIrqs));
    if (groFlushTimeout !== undefined) attributes.push(u64Attribute(NAPI.GRO_FLUSH_TIMEOUT, groFlushTimeout));
    if (irqSuspendTimeout !== undefined) {
      attributes.push(u64Attribute(NAPI.IRQ_SUSPEND_TIMEOUT, irqSuspendTimeout));
    }
    this.#generic.request(family, {
      command: CMD.NAPI_SET,
      attributes,
      doing: `change the NAPI instance ${id}`,
      names: NAPI_NAMES,
      hint: () => (family.commands.has(CMD.NAPI_SET) ? undefined : 'It takes Linux 6.13 or later.'),
    });
  }

  #list(command: number, link: LinkRef, type: number, names: AttributeNames, what: string): Attributes[] {
    const family = this.#generic.family('netdev', FAMILY_MISSING);
    return this.#links.withIndex(link, (index) => {
      const attributes: Attribute[] = [u32Attribute(type, index)];
      return this.#generic.request(family, {
        command,
        flags: GENERIC_DUMP,
        attributes,
        doing: `list the ${what} of '${link}'`,
        names,
        hint: () => (family.commands.has(command) ? undefined : 'It takes Linux 6.8 or later.'),
      });
    });
  }
}

/** @throws CodecError when the attributes have wrong sizes; so do the next two. */
export function decodeXdpCapabilities(attributes: Attributes): XdpCapabilities {
  return {
    index: attributes.u32(DEV.IFINDEX) ?? 0,
    features: bitNames(attributes.u64(DEV.XDP_FEATURES), XDP_FEATURES),
    rxMetadata: bitNames(attributes.u64(DEV.XDP_RX_METADATA_FEATURES), RX_METADATA),
    xskFeatures: bitNames(attributes.u64(DEV.XSK_FEATURES), XSK_FEATURES),
    zeroCopyMaxSegments: attributes.u32(DEV.XDP_ZC_MAX_SEGS),
  };
}

export function decodeQueue(attributes: Attributes): Queue {
  return {
    id: attributes.u32(QUEUE.ID) ?? 0,
    type: attributes.u32(QUEUE.TYPE) === 1 ? 'tx' : 'rx',
    napiId: attributes.u32(QUEUE.NAPI_ID),
    xsk: attributes.has(QUEUE.XSK),
  };
}

export function decodeNapi(attributes: Attributes): Napi {
  return {
    id: attributes.u32(NAPI.ID) ?? 0,
    irq: attributes.u32(NAPI.IRQ),
    pid: attributes.u32(NAPI.PID),
    deferHardIrqs: attributes.u32(NAPI.DEFER_HARD_IRQS),
    groFlushTimeout: attributes.uint(NAPI.GRO_FLUSH_TIMEOUT),
    irqSuspendTimeout: attributes.uint(NAPI.IRQ_SUSPEND_TIMEOUT),
  };
}

function bitNames<Name extends string>(
  bits: bigint | undefined,
  table: Readonly<Record<Name, bigint>>,
): Name[] {
  const names: Name[] = [];
  for (const name in table) if (((bits ?? 0n) & table[name]) !== 0n) names.push(name);
  return names;
}
