/** Numbers of `linux/if_tun.h`, `linux/virtio_net.h` and `asm-generic/socket.h`. */

export const TUNSETIFF = 0x4004_54ca;
export const TUNSETPERSIST = 0x4004_54cb;
export const TUNSETOFFLOAD = 0x4004_54d0;
export const TUNSETVNETHDRSZ = 0x4004_54d8;

export const IFF_TUN = 0x0001;
export const IFF_TAP = 0x0002;
export const IFF_MULTI_QUEUE = 0x0100;
export const IFF_NO_PI = 0x1000;
export const IFF_VNET_HDR = 0x4000;
export const IFF_TUN_EXCL = 0x8000;

/** What a reader of the device promises to finish itself: checksums, and segmentation of TCP over IPv4 and IPv6. */
export const TUN_F_CSUM = 0x01;
export const TUN_F_TSO4 = 0x02;
export const TUN_F_TSO6 = 0x04;

/** `struct virtio_net_hdr`: flags @0, gso_type @1, hdr_len @2, gso_size @4, csum_start @6, csum_offset @8. */
export const VNET_HEADER = 10;

/** `IFNAMSIZ`, the final zero included. */
export const NAME_BYTES = 16;
/** `struct ifreq`: the name, and flags of 16 bits behind it. */
export const IFREQ_BYTES = 40;

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_BINDTODEVICE = 25;
