import type { Channels, Link, XdpCapabilities } from '../netlink/index.ts';
import { type Check, check } from './check.ts';

/** What is known of an interface: all that the checks look at. */
export interface InterfaceFacts {
  readonly link: Pick<Link, 'name' | 'kind' | 'mtu' | 'up' | 'carrier' | 'xdp'>;
  /** As in `virtio_net`; undefined where the driver does not say. */
  readonly driver: string | undefined;
  /** Undefined where the driver has no such setting. */
  readonly channels: Channels | undefined;
  /** Undefined before Linux 6.3. */
  readonly xdp: Pick<XdpCapabilities, 'features' | 'rxMetadata'> | undefined;
  /** Offloads that are on, and whether each can be switched. */
  readonly active: ReadonlyMap<string, { readonly changeable: boolean }>;
  /** Whether headers and data come in separate buffers. */
  readonly tcpDataSplit: boolean;
  readonly queues: QueueCounts;
  /** The other end of a veth, where it was found. */
  readonly peer: { readonly name: string; readonly inside: string; readonly queues: QueueCounts } | undefined;
  /** What goes before a command that is to run where the interface is, as in `ip netns exec red `; else empty. */
  readonly inside: string;
  /** How many CPUs there are. */
  readonly cpus: number;
}

export interface QueueCounts {
  readonly rx: number;
  readonly tx: number;
}

/** What an interface is, and what stands between it and XDP in its driver. Pure. */
export function interfaceChecks(facts: InterfaceFacts): Check[] {
  return [
    ...describe(facts),
    ...checkDriver(facts),
    ...checkFrames(facts),
    ...checkQueues(facts),
    ...checkVeth(facts),
    ...checkOccupants(facts),
  ];
}

function describe({ link, driver, queues, xdp, active, inside }: InterfaceFacts): Check[] {
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
      check(
        'up',
        'warning',
        `${link.name} is down: nothing comes in`,
        `${inside}ip link set dev ${link.name} up`,
      ),
    );
  else if (link.carrier === false)
    facts.push(check('carrier', 'warning', `${link.name} has no carrier: nothing comes in`));
  if (active.has('rx-vlan-hw-parse')) {
    facts.push(
      check(
        'rx-vlan',
        'fact',
        'VLAN tags are taken off before programs see the frame',
        `${inside}ethtool -K ${link.name} rxvlan off`,
      ),
    );
  }
  if (xdp !== undefined && xdp.rxMetadata.length > 0) {
    facts.push(check('rx-metadata', 'fact', `Programs can read: ${xdp.rxMetadata.join(', ')}`));
  }
  return facts;
}

function checkDriver({ link, driver, xdp }: InterfaceFacts): Check[] {
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
function checkFrames({ link, driver, xdp, active, tcpDataSplit, inside }: InterfaceFacts): Check[] {
  const checks: Check[] = [];
  const { name, mtu } = link;
  if (xdp?.features.includes('basic') !== true) return checks;
  if (mtu > LARGEST_SINGLE_BUFFER_MTU && !xdp.features.includes('rx-sg')) {
    checks.push(
      check(
        'mtu',
        'blocks',
        `An MTU of ${mtu} takes several buffers a frame, which the driver has no XDP for`,
        `${inside}ip link set dev ${name} mtu 1500`,
      ),
    );
  }
  if (active.has('rx-lro')) {
    checks.push(
      check(
        'lro',
        'blocks',
        'Large receive offload (LRO) is on, which does not go with XDP',
        `${inside}ethtool -K ${name} lro off`,
      ),
    );
  }
  const groHw = active.get('rx-gro-hw');
  if (groHw !== undefined && !(driver === 'virtio_net' && groHw.changeable)) {
    // virtio_net switches it off by itself, where the host lets it.
    const remedy = groHw.changeable
      ? `${inside}ethtool -K ${name} rx-gro-hw off`
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
        `${inside}ethtool -G ${name} tcp-data-split off`,
      ),
    );
  }
  return checks;
}

/** Drivers that take their XDP transmit queues from the upper half of those they have. */
const HALF_FOR_XDP: ReadonlySet<string> = new Set(['ena', 'gve']);

function checkQueues({ link, driver, channels, cpus, inside }: InterfaceFacts): Check[] {
  if (channels === undefined || driver === undefined) return [];
  const { current, max } = channels;
  if (HALF_FOR_XDP.has(driver) && current.combined > max.combined / 2) {
    const half = Math.max(1, Math.floor(max.combined / 2));
    return [
      check(
        'queues',
        'blocks',
        `${driver} needs half of its ${max.combined} queues for XDP, and ${current.combined} are in use`,
        `${inside}ethtool -L ${link.name} combined ${half}`,
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
        `${inside}ethtool -L ${link.name} rx 0 tx 0 combined ${rx}`,
      ),
    ];
  }
  if (driver === 'virtio_net' && current.combined + cpus > max.combined) {
    const fewest = max.combined - cpus;
    const finding = `XDP_TX and XDP_REDIRECT share ${current.combined} queue${current.combined === 1 ? '' : 's'} between ${cpus} CPUs under a lock: slower`;
    return [
      check(
        'queues',
        'warning',
        finding,
        fewest >= 1
          ? `${inside}ethtool -L ${link.name} combined ${fewest}`
          : `Give the machine ${current.combined + cpus} queues on its host`,
      ),
    ];
  }
  return [];
}

/** A veth refuses a program while its peer has more transmit queues than it has receive queues (drivers/net/veth.c). */
function checkVeth({ link, channels, queues, peer, inside }: InterfaceFacts): Check[] {
  if (peer === undefined || peer.queues.tx <= queues.rx) return [];
  const { tx } = peer.queues;
  const here = `${queues.rx} receive queue${queues.rx === 1 ? '' : 's'} here`;
  const finding = `The other end of the wire, ${peer.name}, has ${tx} transmit queues for ${here}`;
  const enough = channels !== undefined && channels.max.rx >= tx;
  const remedy = enough
    ? `${inside}ethtool -L ${link.name} rx ${tx}`
    : `${peer.inside}ethtool -L ${peer.name} tx ${queues.rx}`;
  return [check('peer-queues', 'blocks', finding, remedy)];
}

function checkOccupants({ link }: InterfaceFacts): Check[] {
  return link.xdp.map(({ mode, programId }) =>
    check(
      'occupied',
      'warning',
      `Program ${programId} is attached in ${mode} mode`,
      `barewire status ${link.name}`,
    ),
  );
}
