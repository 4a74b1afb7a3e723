import { ArgumentError } from '../error.ts';
import { StringTable } from './string-table.ts';
import { BTF_KINDS, BTF_LINKAGES, type BtfType } from './type.ts';

/** `struct btf_header` (`linux/btf.h`). */
export const BTF_MAGIC = 0xeb9f;
export const BTF_VERSION = 1;
export const BTF_HEADER_SIZE = 24;
/** Largest member count of one type. */
const MAX_VLEN = 0xffff;

/** Where a split blob begins: after the last ID and the last string byte of its base. */
export interface BtfBase {
  /** The base's first free ID. */
  readonly nextId: number;
  /** The base's string section, in bytes. */
  readonly stringsSize: number;
}

/**
 * A `.BTF` blob, little-endian: the first of `types` gets ID 1, or the base's first free ID.
 *
 * @param strings Names to share with `.BTF.ext` or line info; names of types are added to it.
 * @throws ArgumentError when a field does not fit its encoding.
 */
export function encodeBtf(
  types: readonly BtfType[],
  strings: StringTable = new StringTable(),
  base?: BtfBase,
): Uint8Array {
  const words = new Words();
  const firstString = base?.stringsSize ?? 0;
  for (const [index, type] of types.entries()) {
    const id = index + (base?.nextId ?? 1);
    encodeType(words, type, (name) => (name === '' ? 0 : firstString + strings.add(name)), id);
  }
  const body = words.bytes();
  const names = strings.bytes();
  const blob = new Uint8Array(BTF_HEADER_SIZE + body.length + names.length);
  const view = new DataView(blob.buffer);
  view.setUint16(0, BTF_MAGIC, true);
  view.setUint8(2, BTF_VERSION);
  view.setUint32(4, BTF_HEADER_SIZE, true);
  view.setUint32(12, body.length, true);
  view.setUint32(16, body.length, true);
  view.setUint32(20, names.length, true);
  blob.set(body, BTF_HEADER_SIZE);
  blob.set(names, BTF_HEADER_SIZE + body.length);
  return blob;
}

type NameOffset = (name: string) => number;

/** `struct btf_type` and what follows it for its kind. */
function encodeType(out: Words, type: BtfType, name: NameOffset, id: number): void {
  const head = (text: string, count: number, flag: boolean, last: number): void => {
    if (count > MAX_VLEN) throw new ArgumentError(`BTF type ${id}: ${count} members, more than ${MAX_VLEN}`);
    out.push(name(text), (flag ? 0x8000_0000 : 0) + BTF_KINDS.indexOf(type.kind) * 0x100_0000 + count, last);
  };
  switch (type.kind) {
    case 'int': {
      const encoding = ['unsigned', 'signed', 'char', '', 'bool'].indexOf(type.encoding);
      if (type.bits > 0xff || type.bitOffset > 0xff) throw new ArgumentError(`BTF type ${id}: too many bits`);
      head(type.name, 0, false, type.size);
      out.push(encoding * 0x100_0000 + type.bitOffset * 0x1_0000 + type.bits);
      break;
    }
    case 'ptr':
    case 'volatile':
    case 'const':
    case 'restrict':
      head('', 0, false, type.type);
      break;
    case 'array':
      head('', 0, false, 0);
      out.push(type.type, type.indexType, type.length);
      break;
    case 'struct':
    case 'union': {
      const bitFields = type.members.some((member) => member.bitSize !== 0);
      head(type.name, type.members.length, bitFields, type.size);
      for (const member of type.members) {
        if (bitFields && (member.bitOffset > 0xff_ffff || member.bitSize > 0xff)) {
          throw new ArgumentError(`BTF type ${id}: member '${member.name}' lies too far for a bit field`);
        }
        out.push(name(member.name), member.type, member.bitSize * 0x100_0000 + member.bitOffset);
      }
      break;
    }
    case 'enum':
      head(type.name, type.values.length, type.signed, type.size);
      for (const { name: text, value } of type.values) out.pushInteger(name(text), value);
      break;
    case 'enum64':
      head(type.name, type.values.length, type.signed, type.size);
      for (const { name: text, value } of type.values) {
        out.push(name(text), Number(BigInt.asUintN(32, value)), Number(BigInt.asUintN(32, value >> 32n)));
      }
      break;
    case 'fwd':
      head(type.name, 0, type.of === 'union', 0);
      break;
    case 'typedef':
      head(type.name, 0, false, type.type);
      break;
    case 'func':
      head(type.name, BTF_LINKAGES.indexOf(type.linkage), false, type.type);
      break;
    case 'func_proto':
      head('', type.parameters.length, false, type.type);
      for (const parameter of type.parameters) out.push(name(parameter.name), parameter.type);
      break;
    case 'var':
      head(type.name, 0, false, type.type);
      out.push(BTF_LINKAGES.indexOf(type.linkage));
      break;
    case 'datasec':
      head(type.name, type.variables.length, false, type.size);
      for (const variable of type.variables) out.push(variable.type, variable.offset, variable.size);
      break;
    case 'float':
      head(type.name, 0, false, type.size);
      break;
    case 'decl_tag':
      head(type.name, 0, type.attribute, type.type);
      out.pushInteger(type.component);
      break;
    case 'type_tag':
      head(type.name, 0, type.attribute, type.type);
      break;
  }
}

/** A growing run of 32-bit words, the unit of everything in BTF. */
class Words {
  #words = new Uint32Array(256);
  #length = 0;

  /** Unsigned words. */
  push(...values: readonly number[]): void {
    for (const value of values) {
      if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw misfit(value);
      this.#append(value);
    }
  }

  /** Words of either sign, negative ones as two's complement. */
  pushInteger(...values: readonly number[]): void {
    for (const value of values) {
      if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0xffff_ffff) throw misfit(value);
      this.#append(value >>> 0);
    }
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.#length * 4);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < this.#length; i++) view.setUint32(i * 4, this.#words[i]!, true);
    return bytes;
  }

  #append(value: number): void {
    if (this.#length === this.#words.length) {
      const wider = new Uint32Array(this.#words.length * 2);
      wider.set(this.#words);
      this.#words = wider;
    }
    this.#words[this.#length++] = value;
  }
}

function misfit(value: number): ArgumentError {
  return new ArgumentError(`BTF: ${value} does not fit 32 bits`);
}
