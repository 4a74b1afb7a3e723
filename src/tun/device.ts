import { writeFileSync } from 'node:fs';
import { ArgumentError, BarewireError } from '../error.ts';
import { Netlink } from '../netlink/index.ts';
import {
  callTo,
  Errno,
  type Fd,
  type Netns,
  O_NONBLOCK,
  O_RDWR,
  openPath,
  SystemError,
  syscall,
  withNetns,
} from '../sys/index.ts';
import { TunQueue } from './queue.ts';
import {
  IFF_MULTI_QUEUE,
  IFF_NO_PI,
  IFF_TAP,
  IFF_TUN,
  IFF_TUN_EXCL,
  IFF_VNET_HDR,
  IFREQ_BYTES,
  NAME_BYTES,
  TUN_F_CSUM,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUNSETIFF,
  TUNSETOFFLOAD,
} from './uapi.ts';

export interface TunOptions {
  /** Up to 15 bytes; `%d` in it stands for the first free number. Default is `bw%d`. */
  readonly name?: string;
  /** `tun` carries IP packets, `tap` Ethernet frames. Default is `tun`. */
  readonly kind?: 'tun' | 'tap';
  /** The namespace it lies in: by name, path or object. Default is the caller's. */
  readonly netns?: Netns | string | undefined;
  /** Each a descriptor of its own; the kernel spreads flows over them. 1 to 256, default is 1. */
  readonly queues?: number;
  /**
   * Puts the ten bytes of `struct virtio_net_hdr` before each packet, and lets the kernel hand over TCP segments of up to
   * 64 KiB with their checksums unfinished. Default is false.
   */
  readonly vnetHeader?: boolean;
  /** The configuration of that namespace, where the caller has it open already. */
  readonly net?: Netlink;
  /** In bytes. Default is 1500. */
  readonly mtu?: number;
  /** With prefix length, as in `192.0.2.1/32`. */
  readonly addresses?: readonly string[];
  /** Default is true. */
  readonly up?: boolean;
}

/**
 * A TUN or TAP device: an interface of the kernel whose wire ends in this process.
 *
 * It is gone with its last descriptor, so it does not outlive the process however that ends.
 *
 * @example
 * using tun = TunDevice.open({ name: 'bwtest', addresses: ['192.0.2.1/24'] });
 * tun.queues[0]?.watch(() => tun.queues[0]?.receive((bytes, at, length) => console.log(length)));
 */
export class TunDevice implements Disposable {
  readonly name: string;
  readonly index: number;
  readonly kind: 'tun' | 'tap';
  readonly queues: readonly TunQueue[];
  readonly vnetHeader: boolean;
  readonly netns: Netns | string | undefined;
  #closed = false;

  private constructor(name: string, index: number, queues: readonly TunQueue[], options: TunOptions) {
    this.name = name;
    this.index = index;
    this.queues = queues;
    this.kind = options.kind ?? 'tun';
    this.vnetHeader = options.vnetHeader ?? false;
    this.netns = options.netns;
  }

  /**
   * Makes the device. One of that name must not be there yet: another's device is never joined.
   *
   * @throws ArgumentError; SystemError `BW_BUSY` when the name is taken; BarewireError `BW_NO_NETNS`.
   */
  static open(options: TunOptions = {}): TunDevice {
    const { name = 'bw%d', queues = 1 } = options;
    if (!/^[^\s/:]{1,15}$/.test(name) || name === '.' || name === '..') {
      throw new ArgumentError(`'${name}' cannot name a device`, {
        hint: 'Use up to 15 characters without blanks, slashes and colons.',
      });
    }
    if (!Number.isInteger(queues) || queues < 1 || queues > 256) {
      throw new ArgumentError(`a device has 1 to 256 queues, not ${queues}`);
    }
    const fds: Fd[] = [];
    try {
      // The device is made in the namespace in which /dev/net/tun was opened.
      const granted = withNetns(options.netns, () => makeDevice(name, queues, options, fds));
      const index = prepare(granted, options);
      return new TunDevice(
        granted,
        index,
        fds.map((fd) => new TunQueue(fd)),
        options,
      );
    } catch (error) {
      for (const fd of fds) fd.close();
      throw error;
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sets a value below `net.ipv4.conf` or `net.ipv6.conf` of this device; false where the kernel has none of that name. */
  configure(version: 'ipv4' | 'ipv6', name: string, value: number): boolean {
    return withNetns(this.netns, () => setOption(this.name, version, name, value));
  }

  /** Takes the device away. A second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const queue of this.queues) queue.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Inside the namespace: one descriptor a queue, put into `fds`; the name that the kernel gave. */
function makeDevice(name: string, queues: number, options: TunOptions, fds: Fd[]): string {
  const { kind = 'tun', vnetHeader = false } = options;
  const flags =
    (kind === 'tun' ? IFF_TUN : IFF_TAP) |
    IFF_NO_PI |
    (queues > 1 ? IFF_MULTI_QUEUE : 0) |
    (vnetHeader ? IFF_VNET_HDR : 0);
  let given = name;
  for (let queue = 0; queue < queues; queue++) {
    const fd = openTun(name);
    fds.push(fd);
    given = attach(fd, given, queue === 0 ? flags | IFF_TUN_EXCL : flags);
    if (vnetHeader) {
      const offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
      callTo(`set the offloads of ${given}`, 'ioctl', fd.number, TUNSETOFFLOAD, offloads);
    }
  }
  // Nobody else is on the wire: no duplicate address to look for, and no link-local address by chance.
  setOption(given, 'ipv6', 'accept_dad', 0);
  setOption(given, 'ipv6', 'addr_gen_mode', 1);
  return given;
}

function prepare(name: string, { netns, net, mtu, up = true, addresses = [] }: TunOptions): number {
  const own = net === undefined ? new Netlink({ netns }) : undefined;
  const { links, addresses: known } = (net ?? own)!;
  try {
    const index = links.index(name);
    links.set(index, { ...(mtu === undefined ? {} : { mtu }), up });
    for (const address of addresses) known.add(index, address, address.includes(':') ? { noDad: true } : {});
    return index;
  } finally {
    own?.close();
  }
}

function openTun(name: string): Fd {
  try {
    return openPath('/dev/net/tun', O_RDWR | O_NONBLOCK, `the device '${name}'`);
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== Errno.ENOENT) throw error;
    throw new BarewireError('BW_UNSUPPORTED', 'this machine has no /dev/net/tun', {
      hint: 'Load the tun module (modprobe tun), or give the container the device.',
      cause: error,
    });
  }
}

/** `TUNSETIFF`; returns the name. */
function attach(fd: Fd, name: string, flags: number): string {
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(new TextEncoder().encode(name).subarray(0, NAME_BYTES - 1));
  new DataView(request.buffer).setUint16(NAME_BYTES, flags, true);
  const result = syscall('ioctl', fd.number, TUNSETIFF, request);
  if (result < 0) {
    throw new SystemError('ioctl', -result, {
      doing: `make the device '${name}'`,
      ...(result === -Errno.EBUSY || result === -Errno.EINVAL
        ? { code: 'BW_BUSY', hint: 'A device of that name is there already: choose another name.' }
        : {}),
    });
  }
  return new TextDecoder().decode(request.subarray(0, request.indexOf(0)));
}

/** In the namespace of the thread. */
function setOption(device: string, version: 'ipv4' | 'ipv6', name: string, value: number): boolean {
  try {
    writeFileSync(`/proc/sys/net/${version}/conf/${device}/${name}`, String(value));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
