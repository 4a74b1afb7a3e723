import type { Layout, MapSpec } from '../../../src/compiler/index.ts';
import type { HeaderName } from '../../../src/packet/headers.ts';
import type { Tree } from './tree.ts';

/** A number's piece of source, and where its value lies as far as the generator knows. */
export interface Num {
  readonly tree: Tree;
  readonly lo: number;
  readonly hi: number;
}

/** The same for a bigint. */
export interface Big {
  readonly tree: Tree;
  readonly lo: bigint;
  readonly hi: bigint;
}

/** Something with a name that expressions may use. */
export type Variable =
  /** `name` may be a path such as `o.a`. Whatever is assigned stays between `lo` and `hi`. */
  | {
      readonly kind: 'num';
      readonly name: string;
      readonly mutable: boolean;
      readonly lo: number;
      readonly hi: number;
    }
  | {
      readonly kind: 'big';
      readonly name: string;
      readonly mutable: boolean;
      readonly lo: bigint;
      readonly hi: bigint;
    }
  | { readonly kind: 'bool'; readonly name: string; readonly mutable: boolean }
  | { readonly kind: 'verdict'; readonly name: string; readonly mutable: boolean }
  | { readonly kind: 'bytes'; readonly name: string; readonly size: number }
  | {
      readonly kind: 'numbers';
      readonly name: string;
      readonly length: number;
      readonly lo: number;
      readonly hi: number;
    }
  | HeaderVariable
  | EntryVariable;

/** A header of the packet; of no use once the packet's ends moved. */
export interface HeaderVariable {
  readonly kind: 'header';
  readonly name: string;
  readonly header: HeaderName;
  stale: boolean;
}

/** A map's entry that is known to be there; of no use once the map was written to as a whole. */
export interface EntryVariable {
  readonly kind: 'entry';
  readonly name: string;
  readonly map: MapSpec;
  /** How many loops stood around its declaration. */
  readonly loops: number;
  stale: boolean;
}

/** A map under the name that the function has for it. */
export interface NamedMap {
  readonly name: string;
  readonly spec: MapSpec;
}

/** A helper function of env that gives a number or a bigint. */
export interface Helper {
  readonly name: string;
  readonly parameters: readonly HelperParameter[];
  readonly result:
    | { readonly kind: 'num'; readonly lo: number; readonly hi: number }
    | { readonly kind: 'big' };
}

export type HelperParameter =
  | { readonly kind: 'num'; readonly lo: number; readonly hi: number }
  | { readonly kind: 'big' }
  | { readonly kind: 'bool' }
  | { readonly kind: 'pkt' }
  | { readonly kind: 'map'; readonly map: NamedMap };

/** A number or bytes within a map's value, by the text that leads there. */
export interface Part {
  readonly path: readonly (string | Tree)[];
  readonly layout: Layout;
}

/** What names a function sees. */
export class Scope {
  readonly variables: Variable[] = [];

  /** The variables of one kind. */
  of<K extends Variable['kind']>(kind: K): Extract<Variable, { kind: K }>[] {
    return this.variables.filter((v): v is Extract<Variable, { kind: K }> => v.kind === kind);
  }

  /** Runs something whose declarations nobody else sees. */
  within<T>(make: () => T): T {
    const before = this.variables.length;
    const made = make();
    this.variables.length = before;
    return made;
  }
}
