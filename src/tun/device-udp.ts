import { type BoundOptions, datagramThrough } from './bound-socket.ts';

/** Datagrams of both IP versions by one device. */
export interface DeviceUdp {
  send(payload: Uint8Array, host: string, port: number): void;
  /** Called with every datagram that arrives; the bytes are good during the call. */
  onMessage: ((payload: Uint8Array, host: string, port: number) => void) | undefined;
  /** Called once when the line is gone, by whoever owns it. */
  onGone: ((reason: Error) => void) | undefined;
  close(): void;
}

/**
 * Sockets for datagrams whose packets leave and come in by one device only.
 *
 * @param where The device.
 * @throws SystemError when there is no such device.
 */
export async function openDeviceUdp(where: BoundOptions): Promise<DeviceUdp> {
  const ipv4 = await datagramThrough({ ...where, version: 4 });
  const ipv6 = await datagramThrough({ ...where, version: 6 }).catch((error: unknown) => {
    ipv4.close();
    throw error;
  });
  let closed = false;
  const udp: DeviceUdp = {
    onMessage: undefined,
    onGone: undefined,
    send(payload, host, port) {
      if (closed) return;
      // A datagram that cannot go is a datagram lost, as on any network.
      (host.includes(':') ? ipv6 : ipv4).send(payload, port, host, () => undefined);
    },
    close() {
      if (closed) return;
      closed = true;
      for (const socket of [ipv4, ipv6]) socket.close();
    },
  };
  for (const socket of [ipv4, ipv6]) {
    socket.on('error', () => undefined);
    socket.on('message', (message, from) => udp.onMessage?.(message, from.address, from.port));
  }
  return udp;
}
