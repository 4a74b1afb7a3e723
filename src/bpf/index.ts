/** eBPF in the kernel: maps, programs, links, objects. @module barewire/bpf */

export * from '../spec/index.ts';
export {
  type AttachOptions,
  attachXdp,
  type ModeRefusal,
  ModeRefusedError,
  OccupiedError,
  type XdpAttachment,
} from './attach.ts';
export {
  type DispatchedProgram,
  type Dispatcher,
  dispatcherOn,
  type Joined,
  joinDispatcher,
  leaveDispatcher,
  type Newcomer,
} from './dispatcher.ts';
export { dispatcherRefusal } from './dispatcher-program.ts';
export * from './info.ts';
export { kernelTypes, typesById } from './kernel-types.ts';
export { type LiveMap, type LiveMaps, type Loaded, type LoadOptions, load } from './load.ts';
export { BpfMap, type MapOf } from './map.ts';
export type { PackedEntries } from './map-batch.ts';
export type { HasFd, ReadValue, WriteValue } from './map-value.ts';
export {
  type LoadableObject,
  type LoadedObject,
  type LoadObjectOptions,
  loadObject,
  loadObjectSpec,
} from './object.ts';
export { type MapTypes, ObjectMap } from './object-map.ts';
export type { LiveVariable } from './object-variable.ts';
export { explainPermission, NEEDED_CAPABILITIES } from './permission.ts';
export { BPFFS, ensureBpffs, isOnBpffs, unpin } from './pin.ts';
export { bpffsMounts, type Pin, pins } from './pins.ts';
export { FEATURE_SINCE, FEATURES, type Feature, probe, probeHelper, probeMapType } from './probe.ts';
export { Program, type ProgramOptions } from './program.ts';
export { remedyFor } from './remedy.ts';
export { type RecordCallback, RingBuffer } from './ring-buffer.ts';
export { type AttachTcxOptions, TcxLink, tcxPrograms } from './tcx-link.ts';
export type { TestRun, TestRunOptions, XdpContext } from './test-run.ts';
export {
  MAP_TYPE_NAMES as MAP_TYPES_BY_NUMBER,
  type UpdateMode,
  XDP_ACTIONS,
  type XdpAction,
} from './uapi.ts';
export { VerifierError } from './verifier.ts';
export { XdpLink } from './xdp-link.ts';
