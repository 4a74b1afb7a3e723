import type { Btf, BtfType } from '../btf/index.ts';

/**
 * Which types of the kernel a type of an object stands for, by the rules of CO-RE (`bpf_core_fields_are_compat` and its
 * like in the kernel's documentation). Depth is bounded: types may refer to themselves.
 */

/** The name without the flavour that a compiler was given to keep versions apart: `task_struct___old`. */
export function essential(name: string): string {
  const at = name.indexOf('___');
  return at > 0 ? name.slice(0, at) : name;
}

const isEnum = (kind: string): boolean => kind === 'enum' || kind === 'enum64';
const isComposite = (kind: string): boolean => kind === 'struct' || kind === 'union';

export function kindsAgree(a: string, b: string): boolean {
  return a === b || (isEnum(a) && isEnum(b));
}

/** Whether a field of one type can be read as the other: same kind, whatever its size. */
export function fieldsAgree(a: Btf, aId: number, b: Btf, bId: number, depth: number): boolean {
  const left = typeAt(a, a.resolve(aId));
  const right = typeAt(b, b.resolve(bId));
  if (left === undefined || right === undefined) return left === right;
  if (isComposite(left.kind) && isComposite(right.kind)) return true;
  if (!kindsAgree(left.kind, right.kind) || depth === 0) return false;
  switch (left.kind) {
    case 'ptr':
    case 'float':
      return true;
    case 'fwd':
    case 'enum':
    case 'enum64': {
      const [one, other] = [essential(left.name), 'name' in right ? essential(right.name) : ''];
      return one === '' || other === '' || one === other;
    }
    case 'int':
      return left.bitOffset === 0 && right.kind === 'int' && right.bitOffset === 0;
    case 'array':
      return right.kind === 'array' && fieldsAgree(a, left.type, b, right.type, depth - 1);
    default:
      return false;
  }
}

/** Whether two types are the same kind of thing, as existence and size want it; members do not count. */
export function typesAgree(a: Btf, aId: number, b: Btf, bId: number, depth: number): boolean {
  const left = typeAt(a, a.resolve(aId));
  const right = typeAt(b, b.resolve(bId));
  if (left === undefined || right === undefined) return left === right;
  if (!kindsAgree(left.kind, right.kind) || depth === 0) return false;
  switch (left.kind) {
    case 'struct':
    case 'union':
    case 'enum':
    case 'enum64':
    case 'fwd':
      return true;
    case 'int':
      return left.bitOffset === 0 && right.kind === 'int' && right.bitOffset === 0;
    case 'ptr':
      return right.kind === 'ptr' && typesAgree(a, left.type, b, right.type, depth - 1);
    case 'array':
      return right.kind === 'array' && typesAgree(a, left.type, b, right.type, depth - 1);
    case 'func_proto':
      return (
        right.kind === 'func_proto' &&
        left.parameters.length === right.parameters.length &&
        left.parameters.every((parameter, i) =>
          typesAgree(a, parameter.type, b, right.parameters[i]?.type ?? 0, depth - 1),
        ) &&
        typesAgree(a, left.type, b, right.type, depth - 1)
      );
    default:
      return false;
  }
}

/** Whether the kernel's type has everything that the object's has (`bpf_core_type_matches`). */
export function typesMatch(
  a: Btf,
  aId: number,
  b: Btf,
  bId: number,
  behindPointer: boolean,
  depth: number,
): boolean {
  const left = typeAt(a, a.resolve(aId));
  const right = typeAt(b, b.resolve(bId));
  if (left === undefined || right === undefined) return left === right;
  if (depth === 0 || essential(nameOf(left)) !== essential(nameOf(right))) return false;
  switch (left.kind) {
    case 'fwd':
      return right.kind === 'fwd' ? left.of === right.of : right.kind === left.of;
    case 'enum':
    case 'enum64':
      return (
        'values' in right &&
        left.values.every(({ name }) =>
          right.values.some((other) => essential(other.name) === essential(name)),
        )
      );
    case 'struct':
    case 'union': {
      if (behindPointer) return right.kind === left.kind || (right.kind === 'fwd' && right.of === left.kind);
      if (right.kind !== left.kind) return false;
      return left.members.every((member) =>
        right.members.some(
          (other) =>
            other.name === member.name && typesMatch(a, member.type, b, other.type, false, depth - 1),
        ),
      );
    }
    case 'int':
      return (
        right.kind === 'int' &&
        left.size === right.size &&
        (left.encoding === 'signed') === (right.encoding === 'signed')
      );
    case 'ptr':
      return right.kind === 'ptr' && typesMatch(a, left.type, b, right.type, true, depth - 1);
    case 'array':
      return (
        right.kind === 'array' &&
        left.length === right.length &&
        typesMatch(a, left.type, b, right.type, behindPointer, depth - 1)
      );
    case 'func_proto':
      return (
        right.kind === 'func_proto' &&
        left.parameters.length === right.parameters.length &&
        left.parameters.every((parameter, i) =>
          typesMatch(a, parameter.type, b, right.parameters[i]?.type ?? 0, false, depth - 1),
        ) &&
        typesMatch(a, left.type, b, right.type, false, depth - 1)
      );
    default:
      return false;
  }
}

function nameOf(type: BtfType): string {
  return 'name' in type ? type.name : '';
}

/** The type with an ID, unless that is 0 for `void`. */
export function typeAt(btf: Btf, id: number): BtfType | undefined {
  return id === 0 ? undefined : btf.type(id);
}
