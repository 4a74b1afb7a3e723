import { Netlink } from '../netlink/index.ts';
import type { Netns } from '../sys/index.ts';

/** How many queues an interface receives on, numbered from 0. */
export function queueCount(name: string, netns: Netns | string | undefined): number {
  using net = new Netlink({ netns });
  const link = net.links.get(name);
  return link.rxQueues;
}
