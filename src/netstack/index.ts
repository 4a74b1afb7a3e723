/** A TCP/IP stack as a pure core: bytes and time in, bytes and events out. @module barewire/netstack */
export { NetError, type NetErrorCode, type NetErrorDetails } from './error.ts';
export type { EchoReply } from './icmp.ts';
export type { InterfaceCounters, InterfaceOptions, Output, OwnAddress, StackInterface } from './interface.ts';
export { Ip, Network } from './ip.ts';
export {
  NetStack,
  type StackConnectOptions,
  type StackEchoOptions,
  type StackListenOptions,
  type StackOptions,
  type StackUdpOptions,
} from './stack.ts';
export { summedMemory } from './summed-memory.ts';
export type { TcpCounters } from './tcp/layer.ts';
export type { TcpListener } from './tcp/listener.ts';
export {
  type KeepAlive,
  State as TcpState,
  type Tcb as TcpConnection,
  type TcpHandler,
  type TcpOptions,
} from './tcp/tcb.ts';
export type { UdpHandler, UdpSocket } from './udp.ts';
export { Path, seededRandom, type Weather } from './weather.ts';
