import { BTF_KINDS } from '../btf/index.ts';
import type { ObjectSpec } from './spec.ts';

/** The record lengths of `linux/btf.h`, in words: fixed ones, and those a member. */
const FIXED: Readonly<Record<string, number>> = { int: 4, array: 6, var: 4, decl_tag: 4 };
const PER_MEMBER: Readonly<Record<string, number>> = {
  struct: 3,
  union: 3,
  enum: 2,
  func_proto: 2,
  datasec: 3,
  enum64: 3,
};
const INT = 1;
const PTR = 2;
const STRUCT = 4;
const DECL_TAG = 17;

/**
 * The object's `.BTF` as the kernel takes it.
 *
 * Compilers leave to the linker where variables lie and how large sections are, and the kernel knows no externs. Records
 * keep their place and length, so that no ID and no string moves: kernel functions become pointers to their prototype,
 * kernel variables integers, the section that lists them a struct.
 */
export function kernelBtf(spec: ObjectSpec): Uint8Array | undefined {
  if (spec.btf === undefined || spec.byteOrder === 'big') return undefined;
  const { bytes, types } = spec.btf;
  const blob = bytes.slice();
  const view = new DataView(blob.buffer);
  const start = view.getUint32(4, true) + view.getUint32(8, true);
  const end = start + view.getUint32(12, true);
  const converted = new Set<number>();
  const tags: number[] = [];
  const staticFunctions = new Set(
    spec.functions.filter((func) => func.linkage === 'static' && func.type !== 0).map((func) => func.type),
  );
  let id = types.firstId;
  for (let at = start; at < end; id++) {
    const info = view.getUint32(at + 4, true);
    const kind = BTF_KINDS[(info >>> 24) & 31] ?? 'void';
    const vlen = info & 0xffff;
    const length = FIXED[kind] ?? 3 + vlen * (PER_MEMBER[kind] ?? 0);
    switch (kind) {
      case 'func':
        if (vlen === 2) {
          view.setUint32(at, 0, true);
          view.setUint32(at + 4, PTR << 24, true);
          converted.add(id);
        } else if (staticFunctions.has(id)) {
          // Hidden functions are global to the compiler only.
          view.setUint32(at + 4, info & ~0xffff, true);
        }
        break;
      case 'var':
        if (view.getUint32(at + 12, true) === 2) {
          if (isConfiguration(spec, types.name(id))) {
            view.setUint32(at + 12, 1, true);
          } else {
            view.setUint32(at + 4, INT << 24, true);
            view.setUint32(at + 8, 4, true);
            view.setUint32(at + 12, 32, true);
            converted.add(id);
          }
        }
        break;
      case 'datasec':
        if (types.name(id) === '.ksyms') {
          view.setUint32(at, 0, true);
          view.setUint32(at + 4, (STRUCT << 24) | vlen, true);
          view.setUint32(at + 8, vlen * 8, true);
          for (let i = 0; i < vlen; i++) {
            const member = at + 12 + i * 12;
            const type = view.getUint32(member, true);
            view.setUint32(member, 0, true);
            view.setUint32(member + 4, type, true);
            view.setUint32(member + 8, i * 64, true);
          }
        } else placeVariables(spec, view, at, vlen, types.name(id));
        break;
      case 'decl_tag':
        tags.push(at);
        break;
    }
    at += length * 4;
  }
  for (const at of tags) {
    // A note on what is no declaration any more.
    if (!converted.has(view.getUint32(at + 8, true))) continue;
    view.setUint32(at, nameOfInt(spec), true);
    view.setUint32(at + 4, INT << 24, true);
    view.setUint32(at + 8, 4, true);
    view.setUint32(at + 12, 32, true);
  }
  return blob;
}

function isConfiguration(spec: ObjectSpec, name: string): boolean {
  return spec.externs[name]?.kind === 'kconfig';
}

/** Fills in the size of a section and the offsets of its variables, which have to rise. */
function placeVariables(spec: ObjectSpec, view: DataView, at: number, count: number, section: string): void {
  const types = spec.btf?.types;
  const described = spec.btf?.sections.get(section);
  const rows = Array.from({ length: count }, (_, i) => {
    const row = at + 12 + i * 12;
    const type = view.getUint32(row, true);
    const size = view.getUint32(row + 8, true);
    const name = types?.name(type) ?? '';
    const extern = section === '.kconfig' ? spec.externs[name] : undefined;
    const offset = extern?.offset ?? described?.offsets.get(name) ?? view.getUint32(row + 4, true);
    return { type, size, offset, placed: described?.offsets.has(name) ?? true };
  }).sort((a, b) => Number(b.placed) - Number(a.placed) || a.offset - b.offset);
  // What the compiler put elsewhere follows behind, for the kernel wants an order.
  let end = described?.size ?? 0;
  for (const row of rows) {
    if (row.placed || row.offset >= end) end = Math.max(end, row.offset + row.size);
    else {
      row.offset = Math.ceil(end / 8) * 8;
      end = row.offset + row.size;
    }
  }
  const last = rows.at(-1);
  const needed = last === undefined ? 0 : last.offset + last.size;
  const size = Math.max(
    described?.size ?? spec.maps[section]?.data?.size ?? view.getUint32(at + 8, true),
    needed,
  );
  view.setUint32(at + 8, size, true);
  for (const [i, { type, offset, size: bytes }] of rows.entries()) {
    const row = at + 12 + i * 12;
    view.setUint32(row, type, true);
    view.setUint32(row + 4, offset, true);
    view.setUint32(row + 8, bytes, true);
  }
}

/** The name of any integer: every object has one, and a name offset is all that is needed. */
function nameOfInt(spec: ObjectSpec): number {
  const btf = spec.btf;
  if (btf === undefined) return 0;
  const view = new DataView(btf.bytes.buffer, btf.bytes.byteOffset, btf.bytes.length);
  const start = view.getUint32(4, true) + view.getUint32(8, true);
  const end = start + view.getUint32(12, true);
  for (let at = start; at < end; ) {
    const info = view.getUint32(at + 4, true);
    const number = (info >>> 24) & 31;
    const kind = BTF_KINDS[number] ?? 'void';
    if (number === INT || number === DECL_TAG) return view.getUint32(at, true);
    at += (FIXED[kind] ?? 3 + (info & 0xffff) * (PER_MEMBER[kind] ?? 0)) * 4;
  }
  return 0;
}
