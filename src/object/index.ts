/** Object files: programs as clang and libbpf exchange them. @module barewire/object */
export { type CoreResult, relocateCore } from './core.ts';
export {
  DISPATCHER_CONFIG_SIZE,
  DISPATCHER_MAP,
  DISPATCHER_NAME,
  DISPATCHER_VERSION,
  type DispatcherCode,
  type DispatcherConfig,
  type DispatcherEntry,
  decodeDispatcherConfig,
  dispatcherCode,
  dispatcherVersionOf,
  encodeDispatcherConfig,
  MAX_DISPATCHED,
  slotFunction,
} from './dispatcher.ts';
export { type ElfObject, readElf } from './elf-reader.ts';
export { type GenerateOptions, generateModule } from './generate.ts';
export { type LinkedFunction, type LinkedProgram, linkProgram } from './link.ts';
export { readObject } from './read.ts';
export { DEFAULT_RUN_CONFIG, type RunConfig, runConfigOf } from './run-config.ts';
export { kernelBtf } from './sanitize.ts';
export { type ProgramKind, programKind } from './section-name.ts';
export * from './spec.ts';
export { writeObject } from './write.ts';
