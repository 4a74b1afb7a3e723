/** AF_XDP: sockets that share memory with the kernel. @module barewire/xsk */
export type { CopyMode, Refusal, RingSizes } from './bind.ts';
export type { BusyPollOptions } from './busy-poll.ts';
export { type Driven, type DriveOptions, type Driver, drive, driveBlocking, Sleeper } from './driver.ts';
export { InterfaceGoneError, NoQueueError, QueueBusyError } from './error.ts';
export type { Rewrite } from './forwarder.ts';
export type { HintFunctions } from './hint-code.ts';
export {
  type BatchOptions,
  type InterfaceEvents,
  type InterfaceOptions,
  openInterface,
  XskInterface,
} from './interface.ts';
export type { FrameBuild, FrameVisit, LinkLayer } from './link-layer.ts';
export type { Match, MatchRule, PortRange } from './match.ts';
export { MemoryLink, type MemoryLinkOptions, memoryLinkPair } from './memory-link.ts';
export { type NapiTiming, restoreNapiLeftovers } from './napi-settings.ts';
export { FrameOwnershipError, type OwnerName } from './ownership.ts';
export { PacketBatch } from './packet-batch.ts';
export { PacketLink, type PacketLinkOptions, type PacketStatistics } from './packet-link.ts';
export type { CompletionVisit } from './queue-rings.ts';
export type { Visit } from './receiver.ts';
export { matchCode, type RedirectMaps, type RedirectOptions, redirectSpec } from './redirect.ts';
export type { RingPlace } from './ring.ts';
export { findHintFunctions, RxHints } from './rx-hints.ts';
export type { Build } from './sender.ts';
export {
  type Traffic,
  XskSocket,
  type XskSocketHandle,
  type XskSocketOptions,
} from './socket.ts';
export type { XskStatistics } from './statistics.ts';
export { completeChecksum, TxMetadata, type TxRequest } from './tx-metadata.ts';
export { DescriptorOption } from './uapi.ts';
export { type PageKind, Umem, type UmemHandle, type UmemOptions } from './umem.ts';
export type { LinkState } from './wakeup.ts';
export { adoptQueue, startWorkers, type WorkerOptions, type WorkerQueue, type Workers } from './worker.ts';
export { openXskLink, XskLink } from './xsk-link.ts';
