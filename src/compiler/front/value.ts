import type { ArrayLayout, Layout, StructLayout } from '../../layout/index.ts';
import type { HeaderLayout } from '../../packet/headers.ts';
import type { MapSpec } from '../../spec/index.ts';
import type { Node } from '../middle/ir.ts';
import type { ParsedFunction } from './parse.ts';

/** What an expression stands for while the function is being lowered. */
export type Val =
  | Scalar
  | BytesVal
  | ViewVal
  | HeaderVal
  | { readonly kind: 'object'; readonly fields: ReadonlyMap<string, Val> }
  | { readonly kind: 'tuple'; readonly items: readonly Val[] }
  | { readonly kind: 'undefined' }
  /** A division whose quotient has not been made whole yet. */
  | { readonly kind: 'quotient'; readonly a: Node; readonly b: Node; readonly at: number }
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'map'; readonly spec: MapSpec; readonly key: string }
  | { readonly kind: 'packet' }
  | { readonly kind: 'store' }
  | { readonly kind: 'whole'; readonly store: boolean }
  | { readonly kind: 'kernel' }
  | { readonly kind: 'global'; readonly name: 'Math' | 'BigInt' | 'Number' | 'Boolean' }
  | { readonly kind: 'function'; readonly name: string; readonly parsed: () => ParsedFunction }
  /** A method not called yet. */
  | { readonly kind: 'method'; readonly of: Val; readonly name: string }
  /** Different things on the paths that meet here. */
  | { readonly kind: 'mixed'; readonly what: string };

export interface Scalar {
  readonly kind: 'num' | 'big' | 'bool' | 'verdict';
  readonly node: Node;
}

/** A range of bytes held in registers, each chunk as it lies in memory. */
export interface BytesVal {
  readonly kind: 'bytes';
  readonly size: number;
  readonly chunks: readonly Chunk[];
}

export interface Chunk {
  readonly off: number;
  readonly size: 1 | 2 | 4 | 8;
  readonly node: Node;
}

/** Memory behind a pointer: a map value or a part of it. */
export interface ViewVal {
  readonly kind: 'view';
  readonly ptr: Node;
  readonly off: number;
  readonly layout: Layout;
  readonly map: MapSpec;
  /** A map value that is no struct is reached through `.value`. */
  readonly cell: boolean;
  /** The map was written since: the entry may be another's by now. */
  readonly stale?: boolean;
}

export interface HeaderVal {
  readonly kind: 'header';
  readonly name: string;
  readonly layout: HeaderLayout;
  readonly base: Node;
  /** The epoch of the packet pointers it belongs to. */
  readonly epoch: number;
}

export function isScalar(val: Val): val is Scalar {
  return val.kind === 'num' || val.kind === 'big' || val.kind === 'bool' || val.kind === 'verdict';
}

export function isStruct(layout: Layout): layout is Layout & StructLayout {
  return layout.kind === 'struct';
}

export function isArray(layout: Layout): layout is Layout & ArrayLayout {
  return layout.kind === 'array';
}

/** A value in the words of an error message. */
export function describeVal(val: Val): string {
  switch (val.kind) {
    case 'num':
      return 'a number';
    case 'big':
      return 'a bigint';
    case 'bool':
      return 'a boolean';
    case 'verdict':
      return 'a verdict';
    case 'bytes':
      return `${val.size} bytes`;
    case 'view':
      return `a value of map ${val.map.name}`;
    case 'header':
      return `a view of the ${val.name} header`;
    case 'object':
      return 'an object';
    case 'tuple':
      return 'an array';
    case 'undefined':
      return 'undefined';
    case 'quotient':
      return 'a quotient that may have a fraction';
    case 'string':
      return `the string '${val.text}'`;
    case 'map':
      return `map ${val.spec.name}`;
    case 'packet':
      return 'the packet';
    case 'store':
      return 'pkt.store';
    case 'whole':
      return 'pkt.whole';
    case 'kernel':
      return 'the kernel';
    case 'global':
      return val.name;
    case 'function':
      return `the function ${val.name}`;
    case 'method':
      return `the method ${val.name}`;
    case 'mixed':
      return val.what;
  }
}
