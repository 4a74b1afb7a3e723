/** Programs and maps as plain data. */

export { parseProgram, serializeProgram } from './artifact.ts';
export {
  array,
  arrayOfMaps,
  type CpumapValue,
  cpuMap,
  type DevmapValue,
  devMap,
  devMapHash,
  hash,
  hashOfMaps,
  isPerCpu,
  lpmTrie,
  lruHash,
  lruPerCpuHash,
  type MapFlags,
  type MapSpec,
  type MapType,
  type PerCpuMapType,
  type Prefix,
  perCpuArray,
  perCpuHash,
  programArray,
  ringBuffer,
  xskMap,
} from './map.ts';
export { mapFlagBits, mapTypeNumber } from './map-number.ts';
export * from './program.ts';
