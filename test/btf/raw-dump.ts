import type { Btf, BtfType } from '../../src/btf/index.ts';

/** The lines of `bpftool btf dump … format raw` for a blob's own types. */
export function rawDump(btf: Btf): string[] {
  const lines: string[] = [];
  let id = btf.firstId;
  for (const type of btf.types()) lines.push(`[${id++}] ${head(type)}`, ...members(type, btf));
  return lines;
}

const named = (name: string): string => `'${name === '' ? '(anon)' : name}'`;

function head(type: BtfType): string {
  const kind = type.kind.toUpperCase();
  switch (type.kind) {
    case 'int': {
      const encoding = type.encoding === 'unsigned' ? '(none)' : type.encoding.toUpperCase();
      const bits = `bits_offset=${type.bitOffset} nr_bits=${type.bits} encoding=${encoding}`;
      return `${kind} ${named(type.name)} size=${type.size} ${bits}`;
    }
    case 'ptr':
    case 'volatile':
    case 'const':
    case 'restrict':
      return `${kind} '(anon)' type_id=${type.type}`;
    case 'array':
      return `${kind} '(anon)' type_id=${type.type} index_type_id=${type.indexType} nr_elems=${type.length}`;
    case 'struct':
    case 'union':
      return `${kind} ${named(type.name)} size=${type.size} vlen=${type.members.length}`;
    case 'enum':
    case 'enum64': {
      const encoding = type.signed ? 'SIGNED' : 'UNSIGNED';
      return `${kind} ${named(type.name)} encoding=${encoding} size=${type.size} vlen=${type.values.length}`;
    }
    case 'fwd':
      return `${kind} ${named(type.name)} fwd_kind=${type.of}`;
    case 'typedef':
    case 'type_tag':
      return `${kind} ${named(type.name)} type_id=${type.type}`;
    case 'func':
      return `${kind} ${named(type.name)} type_id=${type.type} linkage=${type.linkage}`;
    case 'func_proto':
      return `${kind} '(anon)' ret_type_id=${type.type} vlen=${type.parameters.length}`;
    case 'var':
      return `${kind} ${named(type.name)} type_id=${type.type}, linkage=${type.linkage}`;
    case 'datasec':
      return `${kind} ${named(type.name)} size=${type.size} vlen=${type.variables.length}`;
    case 'float':
      return `${kind} ${named(type.name)} size=${type.size}`;
    case 'decl_tag':
      return `${kind} ${named(type.name)} type_id=${type.type} component_idx=${type.component}`;
  }
}

function members(type: BtfType, btf: Btf): string[] {
  switch (type.kind) {
    case 'struct':
    case 'union':
      return type.members.map(({ name, type: id, bitOffset, bitSize }) => {
        const width = bitSize === 0 ? '' : ` bitfield_size=${bitSize}`;
        return `\t${named(name)} type_id=${id} bits_offset=${bitOffset}${width}`;
      });
    case 'enum':
      return type.values.map(({ name, value }) => `\t${named(name)} val=${value}`);
    case 'enum64':
      return type.values.map(({ name, value }) => `\t${named(name)} val=${value}${type.signed ? '' : 'U'}LL`);
    case 'func_proto':
      return type.parameters.map(({ name, type: id }) => `\t${named(name)} type_id=${id}`);
    case 'datasec':
      return type.variables.map(
        ({ type: id, offset, size }) =>
          `\ttype_id=${id} offset=${offset} size=${size} (${btf.kind(id).toUpperCase()} '${btf.name(id)}')`,
      );
    default:
      return [];
  }
}
