/** BPF Type Format: types, encoder, decoder. @module barewire/btf */
export { BtfBuilder } from './builder.ts';
export { Btf, decodeBtf, decodeKernelBtf } from './decode.ts';
export { type BtfBase, encodeBtf } from './encode.ts';
export {
  type BtfExt,
  type BtfExtRows,
  type BtfExtSection,
  type BtfExtSectionRows,
  CORE_RELOCATION_KINDS,
  type CoreRelocation,
  type CoreRelocationKind,
  decodeBtfExt,
  encodeBtfExt,
  type FunctionInfo,
  type LineInfo,
  readBtfExt,
} from './ext.ts';
export { addCInt, btfOf, type MapBtf, mapBtf } from './layout.ts';
export { formatDeclaration, formatDefinition } from './print.ts';
export { addFunction, FUNC_INFO_SIZE, LINE_INFO_SIZE, type ProgramBtf, programBtf } from './program.ts';
export { StringTable } from './string-table.ts';
export * from './type.ts';
export { type BtfCodec, type BtfValue, valueCodec } from './value.ts';
