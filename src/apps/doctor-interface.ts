import { availableParallelism } from 'node:os';
import { attachXdp, load, ModeRefusedError, OccupiedError } from '../bpf/index.ts';
import { BarewireError } from '../error.ts';
import { type Channels, type Link, Netlink, type XdpCapabilities, type XdpMode } from '../netlink/index.ts';
import { counterSpec } from '../programs/counter.ts';
import { SystemError } from '../sys/index.ts';
import { type Check, check } from './check.ts';
import { findNamespaces } from './namespaces.ts';

/** What an interface is, and what stands between it and XDP in its driver. */
export interface InterfaceDiagnosis {
  readonly name: string;
  readonly index: number;
  readonly driver: string | undefined;
  readonly mtu: number;
  readonly queues: { readonly rx: number; readonly tx: number };
  /** What the driver says of itself; undefined before Linux 6.3. */
  readonly xdp: XdpCapabilities | undefined;
  readonly checks: readonly Check[];
  /** The best mode that nothing known stands in the way of. */
  readonly mode: XdpMode;
}

export interface InterfaceCheckOptions {
  readonly interface: string;
  readonly netns?: string | undefined;
  /**
   * Attach a program for a moment, so that the driver itself answers. Default is false: nothing is changed. Some
   * cards reset their link when a program comes or goes.
   */
  readonly attempt?: boolean;
}

/** Everything the checks look at, read once. */
interface Facts {
  readonly link: Link;
  readonly driver: string | undefined;
  readonly channels: Channels | undefined;
  readonly xdp: XdpCapabilities | undefined;
  /** Offloads that are on, and whether each can be switched. */
  readonly active: ReadonlyMap<string, { readonly changeable: boolean }>;
  readonly tcpDataSplit: boolean;
  readonly queues: { readonly rx: number; readonly tx: number };
}

/** @throws NoInterfaceError, which names the nearest ones. */
export function checkInterface(options: InterfaceCheckOptions): InterfaceDiagnosis {
  using net = new Netlink({ netns: options.netns });
  const facts = gather(net, options.interface);
  const { link, driver, xdp, queues } = facts;
  const checks = [
    ...describe(facts),
    ...checkDriver(facts),
    ...checkFrames(facts),
    ...checkQueues(facts),
    ...checkVeth(facts),
    ...checkOccupants(facts),
    ...(options.attempt ? [attempt(options)] : []),
  ];
  const blocked = checks.some(({ state }) => state === 'blocks') || xdp?.features.includes('basic') === false;
  return {
    name: link.name,
    index: link.index,
    driver,
    mtu: link.mtu,
    queues,
    xdp,
    checks,
    mode: blocked ? 'generic' : 'driver',
  };
}

function gather(net: Netlink, name: string): Facts {
  const link = net.links.get(name);
  const channels = unlessUnsupported(() => net.ethtool.channels(link.index));
  const features = unlessUnsupported(() => net.ethtool.features(link.index)) ?? [];
  const { rx, tx, combined } = channels?.current ?? { rx: 0, tx: 0, combined: 0 };
  return {
    link,
    driver: unlessUnsupported(() => net.ethtool.driver(link.index))?.driver ?? link.kind,
    channels,
    xdp: unlessUnsupported(() => net.netdev.xdp(link.index)),
    active: new Map(features.filter((feature) => feature.active).map((feature) => [feature.name, feature])),
    tcpDataSplit: unlessUnsupported(() => net.ethtool.rings(link.index))?.tcpDataSplit === true,
    queues: { rx: rx + combined || link.rxQueues, tx: tx + combined || link.txQueues },
  };
}

function describe({ link, driver, queues, xdp, active }: Facts): Check[] {
  const count = (n: number, what: string): string => `${n} ${what} queue${n === 1 ? '' : 's'}`;
  const facts = [
    check(
      'interface',
      'fact',
      `${driver ?? 'No driver that says its name'}, ${count(queues.rx, 'receive')}, ${count(queues.tx, 'transmit')}, MTU ${link.mtu}`,
    ),
  ];
  if (!link.up)
    facts.push(
      check('up', 'warning', `${link.name} is down: nothing comes in`, `ip link set dev ${link.name} up`),
    );
  else if (link.carrier === false)
    facts.push(check('carrier', 'warning', `${link.name} has no carrier: nothing comes in`));
  if (active.has('rx-vlan-hw-parse')) {
    facts.push(
      check(
        'rx-vlan',
        'fact',
        'VLAN tags are taken off before programs see the frame',
        `ethtool -K ${link.name} rxvlan off`,
      ),
    );
  }
  if (xdp !== undefined && xdp.rxMetadata.length > 0) {
    facts.push(check('rx-metadata', 'fact', `Programs can read: ${xdp.rxMetadata.join(', ')}`));
  }
  return facts;
}

function checkDriver({ link, driver, xdp }: Facts): Check[] {
  if (xdp === undefined) {
    return [
      check(
        'xdp-driver',
        'fact',
        'What the driver can do is not known before Linux 6.3',
        `barewire doctor ${link.name} --attempt`,
      ),
    ];
  }
  const { features } = xdp;
  if (!features.includes('basic')) {
    const who = driver === undefined ? 'The driver' : `The driver ${driver}`;
    return [
      check(
        'xdp-driver',
        'warning',
        `${who} has no XDP of its own: programs run in the stack (generic mode), slower`,
      ),
    ];
  }
  const zeroCopy = features.includes('xsk-zerocopy');
  return [
    check('xdp-driver', 'ok', `XDP in the driver: ${features.join(', ')}`),
    zeroCopy
      ? check('zero-copy', 'ok', 'AF_XDP without copies')
      : check('zero-copy', 'fact', 'AF_XDP copies every frame: the driver has no zero copy'),
  ];
}

/** A frame, its headroom (256), and the end of its buffer (320) fit one page of 4096; no driver takes more in one. */
const LARGEST_SINGLE_BUFFER_MTU = 3498;

/** What makes frames of a kind that drivers do not give to programs. */
function checkFrames({ link, driver, xdp, active, tcpDataSplit }: Facts): Check[] {
  const checks: Check[] = [];
  const { name, mtu } = link;
  if (xdp?.features.includes('basic') !== true) return checks;
  if (mtu > LARGEST_SINGLE_BUFFER_MTU && !xdp.features.includes('rx-sg')) {
    checks.push(
      check(
        'mtu',
        'blocks',
        `An MTU of ${mtu} takes several buffers a frame, which the driver has no XDP for`,
        `ip link set dev ${name} mtu 1500`,
      ),
    );
  }
  if (active.has('rx-lro')) {
    checks.push(
      check(
        'lro',
        'blocks',
        'Large receive offload (LRO) is on, which does not go with XDP',
        `ethtool -K ${name} lro off`,
      ),
    );
  }
  const groHw = active.get('rx-gro-hw');
  if (groHw !== undefined && !(driver === 'virtio_net' && groHw.changeable)) {
    // virtio_net switches it off by itself, where the host lets it.
    const remedy = groHw.changeable
      ? `ethtool -K ${name} rx-gro-hw off`
      : 'Switch the guest offloads (guest_tso4, guest_tso6, guest_ufo) off on the host';
    checks.push(
      check('gro-hw', 'blocks', 'The card merges packets (hardware GRO), which does not go with XDP', remedy),
    );
  }
  if (tcpDataSplit && !xdp.features.includes('rx-sg')) {
    checks.push(
      check(
        'tcp-data-split',
        'blocks',
        'Headers and data are split into two buffers',
        `ethtool -G ${name} tcp-data-split off`,
      ),
    );
  }
  return checks;
}

/** Drivers that take their XDP transmit queues from the upper half of those they have. */
const HALF_FOR_XDP: ReadonlySet<string> = new Set(['ena', 'gve']);

function checkQueues({ link, driver, channels }: Facts): Check[] {
  if (channels === undefined || driver === undefined) return [];
  const { current, max } = channels;
  if (HALF_FOR_XDP.has(driver) && current.combined > max.combined / 2) {
    const half = Math.max(1, Math.floor(max.combined / 2));
    return [
      check(
        'queues',
        'blocks',
        `${driver} needs half of its ${max.combined} queues for XDP, and ${current.combined} are in use`,
        `ethtool -L ${link.name} combined ${half}`,
      ),
    ];
  }
  if (driver === 'bnxt_en' && current.combined === 0) {
    const rx = Math.max(1, Math.min(current.rx, max.combined));
    return [
      check(
        'queues',
        'blocks',
        'bnxt_en takes programs on combined queues only',
        `ethtool -L ${link.name} rx 0 tx 0 combined ${rx}`,
      ),
    ];
  }
  const cpus = availableParallelism();
  if (driver === 'virtio_net' && current.combined + cpus > max.combined) {
    const fewest = max.combined - cpus;
    const finding = `XDP_TX and XDP_REDIRECT share ${current.combined} queue${current.combined === 1 ? '' : 's'} between ${cpus} CPUs under a lock: slower`;
    return [
      check(
        'queues',
        'warning',
        finding,
        fewest >= 1
          ? `ethtool -L ${link.name} combined ${fewest}`
          : `Give the machine ${current.combined + cpus} queues on its host`,
      ),
    ];
  }
  return [];
}

/** A veth refuses a program while its peer has more transmit queues than it has receive queues (drivers/net/veth.c). */
function checkVeth({ link, channels, queues }: Facts): Check[] {
  if (link.kind !== 'veth' || link.link === undefined) return [];
  const peer = findPeer(link);
  if (peer === undefined) return [];
  const { tx } = peer.queues;
  if (tx <= queues.rx) return [];
  const finding = `The other end of the wire, ${peer.name}, has ${tx} transmit queues for ${queues.rx} receive queue${queues.rx === 1 ? '' : 's'} here`;
  const enough = channels !== undefined && channels.max.rx >= tx;
  const inside = peer.netns === undefined ? '' : `ip netns exec ${peer.netns} `;
  return [
    check(
      'peer-queues',
      'blocks',
      finding,
      enough ? `ethtool -L ${link.name} rx ${tx}` : `${inside}ethtool -L ${peer.name} tx ${queues.rx}`,
    ),
  ];
}

/** The other end, in whichever namespace it is. */
function findPeer(
  link: Link,
): { name: string; netns: string | undefined; queues: Facts['queues'] } | undefined {
  for (const netns of findNamespaces()) {
    try {
      using net = new Netlink({ netns });
      const peer = link.link === undefined ? undefined : net.links.find(link.link);
      // The index alone may be another interface's there; a wire has two ends that name each other.
      if (peer?.kind === 'veth' && peer.link === link.index) {
        return { name: peer.name, netns, queues: gather(net, peer.name).queues };
      }
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
    }
  }
  return undefined;
}

function checkOccupants({ link }: Facts): Check[] {
  return link.xdp.map(({ mode, programId }) =>
    check(
      'occupied',
      'warning',
      `Program ${programId} is attached in ${mode} mode`,
      `barewire status ${link.name}`,
    ),
  );
}

/** Lets the driver answer. */
function attempt(options: InterfaceCheckOptions): Check {
  try {
    using loaded = load(counterSpec({ frags: true }));
    using attachment = attachXdp(loaded.program, {
      interface: options.interface,
      netns: options.netns,
      mode: 'driver',
    });
    return check('attempt', 'ok', `The driver took a program in ${attachment.mode} mode`);
  } catch (error) {
    if (error instanceof ModeRefusedError) {
      const { reason = '', remedy } = error.refusals[0] ?? {};
      return check('attempt', 'blocks', `The driver refused a program: ${reason}`, remedy);
    }
    if (error instanceof OccupiedError) {
      return check('attempt', 'fact', 'Not tried, for another owner has a program there', error.hint);
    }
    if (!(error instanceof BarewireError)) throw error;
    return check('attempt', 'fails', `The attempt failed: ${error.message}`, error.hint);
  }
}

/** Undefined where driver or kernel know no such thing. */
function unlessUnsupported<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (
      error instanceof BarewireError &&
      (error.code === 'BW_UNSUPPORTED' || error.code === 'BW_PERMISSION')
    ) {
      return undefined;
    }
    throw error;
  }
}
