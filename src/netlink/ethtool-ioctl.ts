import { addressOf, callTo } from '../sys/call.ts';
import type { Fd } from '../sys/fd.ts';
import { decodeString } from './attribute.ts';

/*
 * The two questions that ethtool's netlink family does not answer: who drives the interface, and the driver's own
 * counters. They go the old way, SIOCETHTOOL with a struct behind a pointer (linux/ethtool.h); any socket in the
 * interface's network namespace will do, a netlink one too.
 */
const SIOCETHTOOL = 0x8946;
const ETHTOOL_GDRVINFO = 0x03;
const ETHTOOL_GSTRINGS = 0x1b;
const ETHTOOL_GSTATS = 0x1d;
const ETHTOOL_GSSET_INFO = 0x37;
const ETH_SS_STATS = 1;
const STRING_BYTES = 32;
/** `struct ifreq`: a name of 16 bytes, then a union of which the pointer is used here. */
const IFREQ_BYTES = 40;

/** Who drives an interface. */
export interface DriverInfo {
  /** As in `veth` or `virtio_net`. */
  readonly driver: string;
  /** The driver's own, or the kernel's. */
  readonly version: string;
  readonly firmwareVersion: string;
  /** As in a PCI address; empty for virtual links. */
  readonly bus: string;
}

export function readDriverInfo(socket: Fd, name: string): DriverInfo {
  // struct ethtool_drvinfo: 196 bytes, texts of 32 behind the command.
  const info = new Uint8Array(196);
  command(info, ETHTOOL_GDRVINFO);
  ethtoolIoctl(socket, name, info, 'ask for the driver');
  const text = (index: number): string => decodeString(info.subarray(4 + 32 * index, 36 + 32 * index));
  return { driver: text(0), version: text(1), firmwareVersion: text(2), bus: text(3) };
}

/** The driver's counters by its own names, in its order; empty when it has none. */
export function readDriverStats(socket: Fd, name: string): Map<string, bigint> {
  const names = readStatNames(socket, name);
  const stats = new Map<string, bigint>();
  if (names.length === 0) return stats;
  // struct ethtool_stats: command, count, then the counters.
  const bytes = new Uint8Array(8 + 8 * names.length);
  const view = command(bytes, ETHTOOL_GSTATS);
  view.setUint32(4, names.length, true);
  ethtoolIoctl(socket, name, bytes, 'read the counters of the driver');
  names.forEach((stat, i) => {
    stats.set(stat, view.getBigUint64(8 + 8 * i, true));
  });
  return stats;
}

function readStatNames(socket: Fd, name: string): string[] {
  // struct ethtool_sset_info: command, reserved, a mask of sets, and the size of each set that exists.
  const sizes = new Uint8Array(24);
  const sizesView = command(sizes, ETHTOOL_GSSET_INFO);
  sizesView.setBigUint64(8, 1n << BigInt(ETH_SS_STATS), true);
  ethtoolIoctl(socket, name, sizes, 'count the counters of the driver');
  const count = sizesView.getBigUint64(8, true) === 0n ? 0 : sizesView.getUint32(16, true);
  if (count === 0) return [];
  // struct ethtool_gstrings: command, set, count, then 32 bytes each.
  const strings = new Uint8Array(12 + STRING_BYTES * count);
  const view = command(strings, ETHTOOL_GSTRINGS);
  view.setUint32(4, ETH_SS_STATS, true);
  view.setUint32(8, count, true);
  ethtoolIoctl(socket, name, strings, 'name the counters of the driver');
  return Array.from({ length: count }, (_, i) =>
    decodeString(strings.subarray(12 + STRING_BYTES * i, 12 + STRING_BYTES * (i + 1))),
  );
}

function command(bytes: Uint8Array, number: number): DataView {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  view.setUint32(0, number, true);
  return view;
}

function ethtoolIoctl(socket: Fd, name: string, argument: Uint8Array, doing: string): void {
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(new TextEncoder().encode(name).subarray(0, 15));
  new DataView(request.buffer).setBigUint64(16, BigInt(addressOf(argument)), true);
  callTo(`${doing} of '${name}'`, 'ioctl', socket.number, SIOCETHTOOL, request);
}
