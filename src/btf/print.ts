import { CodecError } from '../error.ts';
import type { Btf } from './decode.ts';
import type { BtfMember, BtfType } from './type.ts';

/**
 * BTF types as C text.
 *
 * A hostile blob can describe types that nest for ever or grow exponentially, so depth and length are bounded.
 */

/** Text longer than this is refused; the longest in a kernel is 17 kB. */
const MAX_TEXT = 1 << 17;
/** Pointers to pointers and so on longer than this are refused. */
const MAX_CHAIN = 64;
/** Anonymous structs deeper than this are refused. */
const MAX_DEPTH = 32;

/**
 * A declaration of `name` with the type, as in `const struct page *pages[4]`; without a name the type alone.
 *
 * @throws CodecError when the type refers to itself without end or its text is beyond all measure.
 */
export function formatDeclaration(btf: Btf, id: number, name = ''): string {
  return new Printer(btf).declare(id, name, 0);
}

/**
 * The definition behind an ID as C would have it: a struct with its members, an enum with its values, a typedef, a
 * function's prototype. For a type that needs no definition, its declaration.
 *
 * @throws CodecError as `formatDeclaration`.
 */
export function formatDefinition(btf: Btf, id: number): string {
  const printer = new Printer(btf);
  if (id === 0) return 'void';
  const type = btf.type(id);
  switch (type.kind) {
    case 'struct':
    case 'union':
    case 'enum':
    case 'enum64':
      return `${printer.body(type, 0)};`;
    case 'fwd':
      return `${type.of} ${type.name};`;
    case 'typedef':
      return `typedef ${printer.declare(type.type, type.name, 0)};`;
    case 'func':
    case 'var': {
      const storage = type.linkage === 'global' ? '' : `${type.linkage} `;
      return `${storage}${printer.declare(type.type, type.name, 0)};`;
    }
    case 'datasec':
      return `/* section ${type.name}, ${type.size} bytes, ${type.variables.length} variables */`;
    case 'decl_tag':
      return `/* btf_decl_tag("${type.name}") on ${btf.name(type.type)} */`;
    default:
      return printer.declare(id, '', 0);
  }
}

type Composite = Extract<BtfType, { kind: 'struct' | 'union' }>;
type Enumeration = Extract<BtfType, { kind: 'enum' | 'enum64' }>;

class Printer {
  readonly #btf: Btf;
  #written = 0;

  constructor(btf: Btf) {
    this.#btf = btf;
  }

  /** Builds a declarator from the inside out: every pointer, array or prototype wraps what is there. */
  declare(id: number, name: string, depth: number): string {
    let inner = name;
    let qualifiers = '';
    let pointed = false;
    let current = id;
    for (let steps = 0; steps <= MAX_CHAIN; steps++) {
      if (current === 0) return this.#count(join(`${qualifiers}void`, inner));
      const type = this.#btf.type(current);
      switch (type.kind) {
        case 'ptr':
          inner = inner === '' ? `*${qualifiers.trimEnd()}` : `*${qualifiers}${inner}`;
          qualifiers = '';
          break;
        case 'const':
        case 'volatile':
        case 'restrict':
          // A constant array of constants is one `const` in C.
          if (!qualifiers.includes(type.kind)) qualifiers = `${qualifiers}${type.kind} `;
          break;
        case 'type_tag':
          break;
        case 'array':
          inner = `${pointed ? `(${inner})` : inner}[${type.length}]`;
          break;
        case 'func_proto':
          inner = `${pointed ? `(${inner})` : inner}(${this.#parameters(type, depth)})`;
          break;
        default:
          return this.#count(join(`${qualifiers}${this.#named(type, depth)}`, inner));
      }
      if (type.kind === 'ptr') pointed = true;
      else if (type.kind === 'array' || type.kind === 'func_proto') pointed = false;
      this.#count(inner);
      current = type.type;
    }
    throw new CodecError('btf', 0, `type ${id} refers to itself or to too many in a row`);
  }

  /** `struct name { … }` or `enum name { … }`, without the semicolon. */
  body(type: Composite | Enumeration, depth: number): string {
    if (depth > MAX_DEPTH) throw new CodecError('btf', 0, 'types nest too deeply to print');
    const indent = '\t'.repeat(depth + 1);
    const keyword = type.kind === 'enum64' ? 'enum' : type.kind;
    const lines =
      'members' in type
        ? type.members.map((member) => this.#count(`${indent}${this.#member(member, depth)};\n`))
        : type.values.map(({ name, value }) => this.#count(`${indent}${name} = ${value},\n`));
    if (lines.length === 0) return `${join(keyword, type.name)} {}`;
    return `${join(keyword, type.name)} {\n${lines.join('')}${'\t'.repeat(depth)}}`;
  }

  #member(member: BtfMember, depth: number): string {
    const width = member.bitSize === 0 ? '' : `: ${member.bitSize}`;
    return `${this.declare(member.type, member.name, depth + 1)}${width}`;
  }

  #parameters(type: Extract<BtfType, { kind: 'func_proto' }>, depth: number): string {
    if (depth > MAX_DEPTH) throw new CodecError('btf', 0, 'types nest too deeply to print');
    if (type.parameters.length === 0) return 'void';
    return type.parameters
      .map((parameter, index) => {
        const rest = index === type.parameters.length - 1 && parameter.type === 0 && parameter.name === '';
        return rest ? '...' : this.declare(parameter.type, parameter.name, depth + 1);
      })
      .join(', ');
  }

  /** The type at the heart of a declaration; anonymous structs and enums are written out. */
  #named(type: BtfType, depth: number): string {
    switch (type.kind) {
      case 'struct':
      case 'union':
      case 'enum':
      case 'enum64':
        if (type.name === '') return this.body(type, depth);
        return `${type.kind === 'enum64' ? 'enum' : type.kind} ${type.name}`;
      case 'fwd':
        return `${type.of} ${type.name}`;
      case 'int':
      case 'float':
      case 'typedef':
        return type.name;
      default:
        throw new CodecError('btf', 0, `a ${type.kind} is no type of a value`);
    }
  }

  #count(text: string): string {
    this.#written += text.length;
    if (this.#written > MAX_TEXT) throw new CodecError('btf', 0, 'the type is too long to print');
    return text;
  }
}

function join(type: string, declarator: string): string {
  return declarator === '' ? type : `${type} ${declarator}`;
}
