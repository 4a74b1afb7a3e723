import { BarewireError } from '../error.ts';
import { Netlink } from '../netlink/index.ts';
import type { Netns } from '../sys/index.ts';

/** An interface, and how many queues it receives on, numbered from 0. */
export interface InterfaceQueues {
  readonly name: string;
  readonly index: number;
  /** In bytes, without the Ethernet header. */
  readonly mtu: number;
  /** As in `02:00:5e:00:53:01`; absent where it has none. */
  readonly address: string | undefined;
  readonly queues: number;
}

/**
 * Asks the kernel.
 *
 * @throws NoInterfaceError, which names the nearest ones.
 */
export function discoverQueues(ref: string | number, netns: Netns | string | undefined): InterfaceQueues {
  using net = new Netlink({ netns });
  const { name, index, mtu, address } = net.links.get(ref);
  return { name, index, mtu, address, queues: countQueues(net, index) };
}

function countQueues(net: Netlink, index: number): number {
  try {
    const { current } = net.ethtool.channels(index);
    return Math.max(1, (current.rx ?? 0) + (current.combined ?? 0));
  } catch (error) {
    // A driver that knows nothing of channels has one queue.
    if (error instanceof BarewireError && error.code === 'BW_UNSUPPORTED') return 1;
    throw error;
  }
}
