import {
  type Btf,
  type BtfMember,
  type BtfType,
  CORE_RELOCATION_KINDS,
  type CoreRelocationKind,
  formatDeclaration,
} from '../btf/index.ts';
import { BarewireError, CodecError } from '../error.ts';
import { essential, fieldsAgree, kindsAgree, typeAt, typesAgree, typesMatch } from './core-types.ts';

/**
 * CO-RE ("compile once, run everywhere"): places in a program that depend on how the running kernel lays out its types.
 *
 * The rules are those of the kernel's documentation of `struct bpf_core_relo` (`linux/bpf.h`, llvm_reloc.rst): a type of
 * the object is held against every type of the kernel with the same name, up to `___`, and members are found by name.
 */
export interface CoreResult {
  /** What this kernel does not have, by the slot that must therefore never run. */
  readonly missing: ReadonlyMap<number, string>;
}

const SLOT = 8;
/** A call of a helper that no kernel has: refused when it is reached, harmless behind a check that it is not. */
const POISON = 0xbad2310;
const MAX_DEPTH = 32;

/**
 * Fills in a program's CO-RE relocations.
 *
 * @param code Changed in place.
 * @param rows Four words each: offset in bytes, type in `local`, offset of the access string, kind.
 * @param targets The kernel's types, vmlinux first; asked for only when something depends on them.
 * @throws BarewireError `BW_RELOCATION` when a relocation contradicts its instruction or is ambiguous.
 */
export function relocateCore(
  code: Uint8Array,
  rows: Uint32Array,
  local: Btf,
  targets: () => Iterable<Btf>,
): CoreResult {
  const view = new DataView(code.buffer, code.byteOffset, code.length);
  const missing = new Map<number, string>();
  const resolver = new Resolver(local, targets);
  for (let i = 0; i + 4 <= rows.length; i += 4) {
    const [offset = 0, type = 0, access = 0, kindNumber = 0] = rows.subarray(i, i + 4);
    const kind = CORE_RELOCATION_KINDS[kindNumber];
    if (kind === undefined || offset % SLOT !== 0 || offset + SLOT > code.length) {
      throw new CodecError('btf.ext', 0, `a relocation of kind ${kindNumber} at byte ${offset} of the code`);
    }
    const relocation = { offset, type, access: local.text(access, 1024), kind };
    const result = resolver.resolve(relocation);
    const words = (): string => describe(local, relocation);
    if (result === undefined) {
      missing.set(offset / SLOT, words());
      poison(view, offset);
    } else {
      patch(view, relocation, result, words, missing);
    }
  }
  return { missing };
}

interface Relocation {
  readonly offset: number;
  readonly type: number;
  readonly access: string;
  readonly kind: CoreRelocationKind;
}

/** What a relocation comes to. */
interface Resolution {
  /** What the compiler put there, by its own types; undefined where that is not to be checked. */
  readonly expected: bigint | undefined;
  readonly value: bigint;
  /** Bytes of the field here and in the kernel, for loads that change their width. */
  readonly sizes: readonly [local: number, target: number] | undefined;
  /** The field changed its width in a way that a load cannot follow. */
  readonly unreliable: boolean;
}

/** A path into a type. */
interface Path {
  readonly btf: Btf;
  readonly root: number;
  readonly steps: readonly Step[];
  readonly bitOffset: number;
}

interface Step {
  /** The struct, array or enumeration that the step goes into; resolved. */
  readonly type: number;
  readonly index: number;
  /** Of a member or enumerator; `undefined` for an array. */
  readonly name: string | undefined;
}

class Resolver {
  readonly #local: Btf;
  readonly #targets: () => Iterable<Btf>;
  readonly #candidates = new Map<number, readonly { readonly btf: Btf; readonly id: number }[]>();

  constructor(local: Btf, targets: () => Iterable<Btf>) {
    this.#local = local;
    this.#targets = targets;
  }

  /** `undefined` when the kernel has no such thing. */
  resolve(relocation: Relocation): Resolution | undefined {
    const { kind, type } = relocation;
    if (kind === 'type_id_local') {
      return { expected: undefined, value: BigInt(type), sizes: undefined, unreliable: false };
    }
    const path = parsePath(this.#local, relocation);
    const found: Resolution[] = [];
    for (const { btf, id } of this.#candidatesOf(type)) {
      const match = matchPath(path, btf, id, kind);
      if (match === undefined) continue;
      const resolution = evaluate(kind, path, match);
      if (resolution !== undefined) found.push(resolution);
    }
    const [first] = found;
    if (first === undefined) return absent(kind, path);
    if (found.some(({ value }) => value !== first.value)) {
      throw new BarewireError(
        'BW_RELOCATION',
        `${describe(this.#local, relocation)}: this kernel has several types of that name, which differ`,
      );
    }
    return first;
  }

  #candidatesOf(type: number): readonly { readonly btf: Btf; readonly id: number }[] {
    let candidates = this.#candidates.get(type);
    if (candidates === undefined) {
      const found: { btf: Btf; id: number }[] = [];
      const name = essential(this.#local.name(type));
      if (name === '') throw new CodecError('btf.ext', 0, `a relocation by type ${type}, which has no name`);
      const kind = this.#local.kind(type);
      for (const btf of this.#targets()) {
        for (const id of btf.findAll(name)) {
          // A module's types build on the kernel's, which were looked at before.
          if (id >= btf.firstId && kindsAgree(kind, btf.kind(id))) found.push({ btf, id });
        }
        // Modules count only where the kernel proper has nothing.
        if (found.length > 0) break;
      }
      candidates = found;
      this.#candidates.set(type, candidates);
    }
    return candidates;
  }
}

const isTypeKind = (kind: CoreRelocationKind): boolean => kind.startsWith('type_');
const isEnumKind = (kind: CoreRelocationKind): boolean => kind.startsWith('enumval_');

function parsePath(btf: Btf, { type, access, kind }: Relocation): Path {
  const indices = access.split(':').map((part) => (/^\d{1,9}$/.test(part) ? Number(part) : Number.NaN));
  const bad = (problem: string): CodecError =>
    new CodecError('btf.ext', 0, `the access '${access}' of type ${type}: ${problem}`);
  if (indices.some(Number.isNaN) || indices.length > 64) throw bad('is no list of indices');
  const [first = 0, ...rest] = indices;
  if (isTypeKind(kind)) {
    if (access !== '0') throw bad('is not 0, as for a type');
    return { btf, root: type, steps: [], bitOffset: 0 };
  }
  let id = btf.resolve(type);
  if (isEnumKind(kind)) {
    const enumeration = typeAt(btf, id);
    const value =
      enumeration !== undefined && 'values' in enumeration ? enumeration.values[first] : undefined;
    if (value === undefined || rest.length > 0) throw bad('is no enumerator');
    return { btf, root: type, steps: [{ type: id, index: first, name: value.name }], bitOffset: 0 };
  }
  const steps: Step[] = [{ type: id, index: first, name: undefined }];
  let bitOffset = first * sizeOf(btf, id) * 8;
  for (const index of rest) {
    const container = typeAt(btf, id);
    if (container?.kind === 'struct' || container?.kind === 'union') {
      const member = container.members[index];
      if (member === undefined) throw bad('goes beyond the members');
      bitOffset += member.bitOffset;
      if (member.name !== '') steps.push({ type: id, index, name: member.name });
      id = btf.resolve(member.type);
    } else if (container?.kind === 'array') {
      if (index >= container.length && !isFlexible(btf, steps.at(-1), container.length)) {
        throw bad('goes beyond the array');
      }
      id = btf.resolve(container.type);
      steps.push({ type: id, index, name: undefined });
      bitOffset += index * sizeOf(btf, id) * 8;
    } else {
      throw bad('goes into what has no members');
    }
  }
  return { btf, root: type, steps, bitOffset };
}

/** Whether an array is the last member of its struct, without a length of its own. */
function isFlexible(btf: Btf, step: Step | undefined, length: number): boolean {
  if (length > 1 || step?.name === undefined) return false;
  const container = typeAt(btf, step.type);
  return container !== undefined && 'members' in container && step.index === container.members.length - 1;
}

function matchPath(path: Path, btf: Btf, root: number, kind: CoreRelocationKind): Path | undefined {
  const here: Path = { btf, root, steps: [], bitOffset: 0 };
  if (isTypeKind(kind)) {
    const fits =
      kind === 'type_matches'
        ? typesMatch(path.btf, path.root, btf, root, false, MAX_DEPTH)
        : typesAgree(path.btf, path.root, btf, root, MAX_DEPTH);
    return fits ? here : undefined;
  }
  let id = btf.resolve(root);
  if (isEnumKind(kind)) {
    const enumeration = typeAt(btf, id);
    if (enumeration === undefined || !('values' in enumeration)) return undefined;
    const wanted = essential(path.steps[0]?.name ?? '');
    const index = enumeration.values.findIndex(({ name }) => essential(name) === wanted);
    return index < 0 ? undefined : { ...here, steps: [{ type: id, index, name: wanted }] };
  }
  const steps: Step[] = [];
  let bitOffset = 0;
  for (const [i, step] of path.steps.entries()) {
    if (step.name !== undefined) {
      const found = findMember(path, step, btf, id, 0);
      if (found === undefined) return undefined;
      steps.push(found.step);
      bitOffset += found.bitOffset;
      id = btf.resolve(found.next);
      continue;
    }
    if (i > 0) {
      const array = typeAt(btf, id);
      if (array?.kind !== 'array') return undefined;
      if (step.index >= array.length && !isFlexible(btf, steps.at(-1), array.length)) return undefined;
      id = btf.resolve(array.type);
    }
    steps.push({ type: id, index: step.index, name: undefined });
    bitOffset += step.index * sizeOf(btf, id) * 8;
  }
  return { ...here, steps, bitOffset };
}

/** A member by name, also inside of anonymous structs and unions. */
function findMember(
  path: Path,
  step: Step,
  btf: Btf,
  id: number,
  depth: number,
): { step: Step; bitOffset: number; next: number } | undefined {
  const container = typeAt(btf, id);
  if (container === undefined || !('members' in container) || depth > MAX_DEPTH) return undefined;
  const localType = memberOf(path.btf, step)?.type ?? 0;
  for (const [index, member] of container.members.entries()) {
    if (member.name === '') {
      const inner = findMember(path, step, btf, btf.resolve(member.type), depth + 1);
      if (inner !== undefined) return { ...inner, bitOffset: inner.bitOffset + member.bitOffset };
    } else if (member.name === step.name) {
      if (!fieldsAgree(path.btf, localType, btf, member.type, MAX_DEPTH)) return undefined;
      return { step: { type: id, index, name: member.name }, bitOffset: member.bitOffset, next: member.type };
    }
  }
  return undefined;
}

function memberOf(btf: Btf, step: Step): BtfMember | undefined {
  const container = typeAt(btf, step.type);
  return container !== undefined && 'members' in container ? container.members[step.index] : undefined;
}

/** The value of a relocation for a kernel that has it. */
function evaluate(kind: CoreRelocationKind, path: Path, match: Path): Resolution | undefined {
  const value = measure(kind, match);
  if (value === undefined) return undefined;
  const own = measure(kind, path);
  const checked = !isTypeKind(kind) && own?.bitField !== true && !isEnumKind(kind);
  const resized = kind === 'field_byte_offset' && own !== undefined && own.size !== value.size;
  return {
    expected: checked ? own?.value : undefined,
    value: value.value,
    sizes: resized ? [own.size, value.size] : undefined,
    unreliable: resized && !resizable(path, match),
  };
}

/** Loads zero-extend, so only what is unsigned or a pointer may change its width. */
function resizable(path: Path, match: Path): boolean {
  const [left, right] = [fieldType(path), fieldType(match)];
  if (left?.kind === 'ptr' && right?.kind === 'ptr') return true;
  const unsigned = (type: BtfType | undefined): boolean => type?.kind === 'int' && type.encoding !== 'signed';
  return unsigned(left) && unsigned(right);
}

function fieldType({ btf, steps }: Path): BtfType | undefined {
  const last = steps.at(-1);
  if (last === undefined) return undefined;
  return typeAt(btf, last.name === undefined ? last.type : btf.resolve(memberOf(btf, last)?.type ?? 0));
}

interface Measured {
  readonly value: bigint;
  /** Bytes of the field. */
  readonly size: number;
  readonly bitField: boolean;
}

function measure(kind: CoreRelocationKind, path: Path): Measured | undefined {
  const { btf, root, steps, bitOffset } = path;
  const plain = (value: number | bigint, size = 0, bitField = false): Measured => ({
    value: BigInt(value),
    size,
    bitField,
  });
  const last = steps.at(-1);
  switch (kind) {
    case 'type_exists':
    case 'type_matches':
    case 'enumval_exists':
    case 'field_exists':
      return plain(1);
    case 'type_id_local':
    case 'type_id_target':
      return plain(root);
    case 'type_size':
      return plain(sizeOf(btf, root));
    case 'enumval_value': {
      const enumeration = last === undefined ? undefined : typeAt(btf, last.type);
      const found =
        enumeration !== undefined && 'values' in enumeration && last !== undefined
          ? enumeration.values[last.index]
          : undefined;
      return found === undefined ? undefined : plain(found.value);
    }
  }
  if (last === undefined) return undefined;
  if (last.name === undefined) {
    const size = sizeOf(btf, last.type);
    if (kind === 'field_byte_offset') return plain(Math.floor(bitOffset / 8), size);
    if (kind === 'field_byte_size') return plain(size);
    return undefined;
  }
  const member = memberOf(btf, last);
  if (member === undefined) return undefined;
  const type = typeAt(btf, btf.resolve(member.type));
  const bitField = member.bitSize > 0;
  let bytes = sizeOf(btf, member.type);
  let byteOffset = Math.floor(bitOffset / 8);
  const bits = bitField ? member.bitSize : bytes * 8;
  if (bitField) {
    // The aligned word that holds all of the field.
    byteOffset = Math.floor(bitOffset / 8 / bytes) * bytes;
    while (bitOffset + bits - byteOffset * 8 > bytes * 8) {
      if (bytes >= 8)
        throw new BarewireError('BW_RELOCATION', `the bit field '${last.name}' crosses 64 bits`);
      bytes *= 2;
      byteOffset = Math.floor(bitOffset / 8 / bytes) * bytes;
    }
  }
  switch (kind) {
    case 'field_byte_offset':
      return plain(byteOffset, bytes, bitField);
    case 'field_byte_size':
      return plain(bytes, 0, bitField);
    case 'field_signed': {
      const signed =
        type?.kind === 'int'
          ? type.encoding === 'signed'
          : type !== undefined && 'signed' in type && type.signed;
      return plain(signed ? 1 : 0, 0, bitField);
    }
    case 'field_lshift_u64':
      return plain(64 - (bitOffset + bits - byteOffset * 8), 0, bitField);
    case 'field_rshift_u64':
      return plain(64 - bits, 0, bitField);
  }
}

/** What a relocation comes to where the kernel has no such thing: zero for a question, nothing for an answer. */
function absent(kind: CoreRelocationKind, path: Path): Resolution | undefined {
  const asks = kind.endsWith('_exists') || isTypeKind(kind);
  if (!asks) return undefined;
  const expected = kind === 'field_exists' ? measure(kind, path)?.value : undefined;
  return { expected, value: 0n, sizes: undefined, unreliable: false };
}

function patch(
  view: DataView,
  relocation: Relocation,
  resolution: Resolution,
  words: () => string,
  missing: Map<number, string>,
): void {
  const { offset } = relocation;
  const { value, expected, sizes, unreliable } = resolution;
  const opcode = view.getUint8(offset);
  const refuse = (problem: string): BarewireError =>
    new BarewireError('BW_RELOCATION', `${words()} at slot ${offset / SLOT}: ${problem}`);
  switch (opcode & 7) {
    case 4:
    case 7: {
      const imm = view.getInt32(offset + 4, true);
      if ((opcode & 8) !== 0) throw refuse('its instruction has no immediate');
      if (expected !== undefined && BigInt(imm) !== BigInt.asIntN(32, expected)) {
        throw refuse(`its instruction holds ${imm} instead of ${expected}`);
      }
      view.setInt32(offset + 4, Number(BigInt.asIntN(32, value)), true);
      return;
    }
    case 1:
    case 2:
    case 3: {
      const displacement = view.getInt16(offset + 2, true);
      if (expected !== undefined && BigInt(displacement) !== expected) {
        throw refuse(`its instruction holds ${displacement} instead of ${expected}`);
      }
      if (value > 0x7fffn) throw refuse(`its offset ${value} does not fit an instruction`);
      if (unreliable) {
        missing.set(offset / SLOT, `${words()} of this width`);
        poison(view, offset);
        return;
      }
      view.setInt16(offset + 2, Number(value), true);
      if (sizes !== undefined) resize(view, offset, sizes, refuse);
      return;
    }
    case 0: {
      if (opcode !== 0x18 || offset + 2 * SLOT > view.byteLength) throw refuse('it has no such instruction');
      view.setInt32(offset + 4, Number(BigInt.asIntN(32, value)), true);
      view.setInt32(offset + 12, Number(BigInt.asIntN(32, value >> 32n)), true);
      return;
    }
    default:
      throw refuse(`its instruction 0x${opcode.toString(16)} takes no relocation`);
  }
}

/** Bytes of a load by the size bits of its opcode. */
const SIZE_BITS: Readonly<Record<number, number>> = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 };

function resize(
  view: DataView,
  offset: number,
  [local, target]: readonly [number, number],
  refuse: (problem: string) => BarewireError,
): void {
  const opcode = view.getUint8(offset);
  const bits = SIZE_BITS[target];
  if (bits === undefined || (opcode & 0x18) !== SIZE_BITS[local]) {
    throw refuse(`its field has ${target} bytes in this kernel instead of ${local}`);
  }
  view.setUint8(offset, (opcode & ~0x18) | bits);
}

function poison(view: DataView, offset: number): void {
  const slots = view.getUint8(offset) === 0x18 && offset + 2 * SLOT <= view.byteLength ? 2 : 1;
  for (let slot = 0; slot < slots; slot++) {
    view.setUint32(offset + slot * SLOT, 0x85, true);
    view.setInt32(offset + slot * SLOT + 4, POISON, true);
  }
}

function describe(btf: Btf, { type, access, kind }: Relocation): string {
  const name = type === 0 ? 'void' : formatDeclaration(btf, type).slice(0, 100);
  if (isTypeKind(kind)) return `the type '${name}'`;
  try {
    const names = parsePath(btf, { type, access, kind, offset: 0 }).steps.flatMap((step) => step.name ?? []);
    return isEnumKind(kind)
      ? `the enumerator '${names.join('')}' of '${name}'`
      : `the field '${name}.${names.join('.')}'`;
  } catch {
    return `the access '${access}' of '${name}'`;
  }
}

function sizeOf(btf: Btf, id: number): number {
  return btf.sizeOf(id) ?? 0;
}
