/** TUN and TAP devices, and sockets bound to one device. @module barewire/tun */
export {
  type BoundOptions,
  boundSocket,
  type ConnectOptions,
  connectThrough,
  datagramThrough,
} from './bound-socket.ts';
export { TunDevice, type TunOptions } from './device.ts';
export { DeviceLine, type DeviceLineOptions } from './device-line.ts';
export { type DeviceUdp, openDeviceUdp } from './device-udp.ts';
export { boundDnsTransport } from './dns-transport.ts';
export { TunQueue, type TunVisit } from './queue.ts';
