/**
 * One BTF type as plain data; the nineteen kinds of `linux/btf.h`.
 *
 * Types refer to each other by ID. ID 0 is `void` and has no record; the first type of a blob is ID 1, or the first
 * ID after its base's last when the blob is split off one. An absent name is `''`.
 */
export type BtfType =
  | BtfInt
  | BtfPointer
  | BtfArray
  | BtfComposite
  | BtfEnum
  | BtfForward
  | BtfTypedef
  | BtfQualifier
  | BtfFunction
  | BtfFunctionPrototype
  | BtfVariable
  | BtfSection
  | BtfFloat
  | BtfDeclarationTag
  | BtfTypeTag
  | BtfEnum64;

export type BtfKind = BtfType['kind'];

/** The kinds by their number in the encoding; 0 is `void`. */
export const BTF_KINDS = [
  'void',
  'int',
  'ptr',
  'array',
  'struct',
  'union',
  'enum',
  'fwd',
  'typedef',
  'volatile',
  'const',
  'restrict',
  'func',
  'func_proto',
  'var',
  'datasec',
  'float',
  'decl_tag',
  'type_tag',
  'enum64',
] as const;

export interface BtfInt {
  readonly kind: 'int';
  readonly name: string;
  /** In bytes: 1, 2, 4, 8 or 16. */
  readonly size: number;
  readonly encoding: 'unsigned' | 'signed' | 'char' | 'bool';
  /** Bits that count; `size * 8` but for old bit fields. */
  readonly bits: number;
  /** Where those bits start; 0 but for old bit fields. */
  readonly bitOffset: number;
}

export interface BtfPointer {
  readonly kind: 'ptr';
  readonly type: number;
}

export interface BtfArray {
  readonly kind: 'array';
  /** The element's type. */
  readonly type: number;
  readonly indexType: number;
  /** Elements. */
  readonly length: number;
}

export interface BtfComposite {
  readonly kind: 'struct' | 'union';
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  readonly members: readonly BtfMember[];
}

export interface BtfMember {
  readonly name: string;
  readonly type: number;
  /** From the start of the struct, in bits. */
  readonly bitOffset: number;
  /** For a bit field its width; 0 for an ordinary member. */
  readonly bitSize: number;
}

export interface BtfEnum {
  readonly kind: 'enum';
  readonly name: string;
  /** In bytes: 1, 2, 4 or 8. */
  readonly size: number;
  readonly signed: boolean;
  readonly values: readonly { readonly name: string; readonly value: number }[];
}

/** An enumeration with values of more than 32 bits. */
export interface BtfEnum64 {
  readonly kind: 'enum64';
  readonly name: string;
  readonly size: number;
  readonly signed: boolean;
  readonly values: readonly { readonly name: string; readonly value: bigint }[];
}

export interface BtfForward {
  readonly kind: 'fwd';
  readonly name: string;
  readonly of: 'struct' | 'union';
}

export interface BtfTypedef {
  readonly kind: 'typedef';
  readonly name: string;
  readonly type: number;
}

export interface BtfQualifier {
  readonly kind: 'volatile' | 'const' | 'restrict';
  readonly type: number;
}

export interface BtfFunction {
  readonly kind: 'func';
  readonly name: string;
  /** Its `func_proto`. */
  readonly type: number;
  readonly linkage: BtfLinkage;
}

export interface BtfFunctionPrototype {
  readonly kind: 'func_proto';
  /** What it returns. */
  readonly type: number;
  /** A last one without name and type stands for `...`. */
  readonly parameters: readonly { readonly name: string; readonly type: number }[];
}

export interface BtfVariable {
  readonly kind: 'var';
  readonly name: string;
  readonly type: number;
  readonly linkage: BtfLinkage;
}

export type BtfLinkage = 'static' | 'global' | 'extern';

/** The linkages by their number in the encoding. */
export const BTF_LINKAGES = ['static', 'global', 'extern'] as const;

/** An ELF section and the variables in it, as in `.data` or `.maps`. */
export interface BtfSection {
  readonly kind: 'datasec';
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  readonly variables: readonly BtfSectionVariable[];
}

export interface BtfSectionVariable {
  readonly type: number;
  /** From the start of the section, in bytes. */
  readonly offset: number;
  readonly size: number;
}

export interface BtfFloat {
  readonly kind: 'float';
  readonly name: string;
  /** In bytes: 2, 4, 8, 12 or 16. */
  readonly size: number;
}

/** `btf_decl_tag`: a note on a declaration or one of its members or parameters. */
export interface BtfDeclarationTag {
  readonly kind: 'decl_tag';
  /** The note. */
  readonly name: string;
  readonly type: number;
  /** The member's or parameter's index; -1 is the declaration itself. */
  readonly component: number;
  /** Stands for a general `__attribute__` instead (since 6.15). */
  readonly attribute: boolean;
}

/** `btf_type_tag`: a note on the type that a pointer points to. */
export interface BtfTypeTag {
  readonly kind: 'type_tag';
  /** The note. */
  readonly name: string;
  readonly type: number;
  /** Stands for a general `__attribute__` instead (since 6.15). */
  readonly attribute: boolean;
}
