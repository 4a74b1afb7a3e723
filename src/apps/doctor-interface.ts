import { availableParallelism } from 'node:os';
import { attachXdp, load, ModeRefusedError, OccupiedError } from '../bpf/index.ts';
import { BarewireError } from '../error.ts';
import { type Channels, type Link, Netlink, type XdpCapabilities, type XdpMode } from '../netlink/index.ts';
import { counterSpec } from '../programs/counter.ts';
import { Netns } from '../sys/index.ts';
import { type Check, check } from './check.ts';
import { type InterfaceFacts, interfaceChecks, type QueueCounts } from './interface-checks.ts';
import { findNamespaces } from './namespaces.ts';

/** What an interface is, and what stands between it and XDP in its driver. */
export interface InterfaceDiagnosis {
  readonly name: string;
  readonly index: number;
  readonly driver: string | undefined;
  readonly mtu: number;
  readonly queues: { readonly rx: number; readonly tx: number };
  /** What the driver says of itself; undefined before Linux 6.3. */
  readonly xdp: Pick<XdpCapabilities, 'features' | 'rxMetadata'> | undefined;
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

/** @throws NoInterfaceError, which names the nearest ones. */
export function checkInterface(options: InterfaceCheckOptions): InterfaceDiagnosis {
  using net = new Netlink({ netns: options.netns });
  const facts = gather(net, options.interface, options.netns);
  const { link, driver, xdp, queues } = facts;
  const checks = [...interfaceChecks(facts), ...(options.attempt ? [attempt(options)] : [])];
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

function gather(
  net: Netlink,
  name: string,
  netns: string | undefined,
): InterfaceFacts & { readonly link: Link } {
  const link = net.links.get(name);
  const channels = channelsOf(net, link);
  const features = unlessUnsupported(() => net.ethtool.features(link.index)) ?? [];
  return {
    link,
    driver: unlessUnsupported(() => net.ethtool.driver(link.index))?.driver ?? link.kind,
    channels,
    xdp: unlessUnsupported(() => net.netdev.xdp(link.index)),
    active: new Map(features.filter((feature) => feature.active).map((feature) => [feature.name, feature])),
    tcpDataSplit: unlessUnsupported(() => net.ethtool.rings(link.index))?.tcpDataSplit === true,
    queues: countQueues(link, channels),
    peer: findPeer(net, link, netns),
    inside: insideOf(netns),
    cpus: availableParallelism(),
  };
}

/** The other end of a veth, in whichever namespace it is. */
function findPeer(net: Netlink, link: Link, netns: string | undefined): InterfaceFacts['peer'] {
  if (link.kind !== 'veth' || link.link === undefined) return undefined;
  const home = link.linkNetnsId === undefined ? { netns } : findNamespace(net, link.linkNetnsId);
  if (home === undefined) return undefined;
  using there = new Netlink(home);
  const peer = there.links.find(link.link);
  if (peer === undefined) return undefined;
  return {
    name: peer.name,
    inside: insideOf(home.netns),
    queues: countQueues(peer, channelsOf(there, peer)),
  };
}

/** The namespace that another one knows by this number. */
function findNamespace(net: Netlink, id: number): { netns: string | undefined } | undefined {
  for (const netns of findNamespaces()) {
    try {
      using opened = netns === undefined ? Netns.current() : Netns.open(netns);
      if (net.netnsIds.get(opened) === id) return { netns };
    } catch (error) {
      // Gone meanwhile, or not ours to enter.
      if (!(error instanceof BarewireError)) throw error;
    }
  }
  return undefined;
}

/** What goes before a command that is to run in a namespace. */
function insideOf(netns: string | undefined): string {
  if (netns === undefined) return '';
  return netns.includes('/') ? `nsenter --net=${netns} ` : `ip netns exec ${netns} `;
}

function channelsOf(net: Netlink, link: Link): Channels | undefined {
  return unlessUnsupported(() => net.ethtool.channels(link.index));
}

function countQueues(link: Link, channels: Channels | undefined): QueueCounts {
  const { rx, tx, combined } = channels?.current ?? { rx: 0, tx: 0, combined: 0 };
  return { rx: rx + combined || link.rxQueues, tx: tx + combined || link.txQueues };
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
