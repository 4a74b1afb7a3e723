import { addressOf, call, Fd, type Netns, syscall, withNetns } from '../sys/index.ts';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
/** `linux/sockios.h` and `linux/ethtool.h`. */
const SIOCETHTOOL = 0x8946;
const ETHTOOL_GCHANNELS = 0x3c;

/**
 * How many queues an interface receives on, numbered from 0.
 *
 * @param name By its primary name: the request knows no other.
 */
export function queueCount(name: string, netns: Netns | string | undefined): number {
  // struct ethtool_channels { cmd, max_rx, max_tx, max_other, max_combined, rx, tx, other, combined }
  const channels = new Uint32Array(9);
  channels[0] = ETHTOOL_GCHANNELS;
  // struct ifreq { name @0 (16 bytes), data @16 }
  const request = new Uint8Array(40);
  request.set(new TextEncoder().encode(name).subarray(0, 15));
  new DataView(request.buffer).setBigUint64(16, BigInt(addressOf(channels)), true);
  const result = withNetns(netns, () => {
    using fd = new Fd(call('socket', AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'a socket to ask by');
    return syscall('ioctl', fd.number, SIOCETHTOOL, request);
  });
  // A driver that knows nothing of channels has one queue.
  return result < 0 ? 1 : Math.max(1, channels[5]! + channels[8]!);
}
