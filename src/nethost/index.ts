/** A TCP/IP stack that runs: real time, real links, Node's streams. @module barewire/nethost */
export { FrameLink } from './frame-link.ts';
export {
  type AttachOptions,
  Host,
  type HostConnectOptions,
  type HostOptions,
  type PingOptions,
  type PlainInterfaceOptions,
} from './host.ts';
export { HostInterface, type LineTarget } from './host-interface.ts';
export type { HostLink, LinkEvents, PacketVisit } from './link.ts';
export { HostServer, type HostServerEvents, type HostServerOptions } from './server.ts';
export { HostSocket, type HostSocketAddress, type HostSocketOptions } from './socket.ts';
export { TunLink } from './tun-link.ts';
export { HostUdp, type HostUdpEvents, type HostUdpOptions } from './udp.ts';
export { WeatherLink } from './weather-link.ts';
