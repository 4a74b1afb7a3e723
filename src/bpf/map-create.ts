import { mapBtf } from '../btf/index.ts';
import { type MapSpec, mapFlagBits, mapTypeNumber } from '../spec/index.ts';
import { Errno, Fd, type SystemError } from '../sys/index.ts';
import { Attribute, bpfError } from './attribute.ts';
import { loadBtf } from './btf-object.ts';
import { Command } from './uapi.ts';

/** Key and value size as the kernel is told; a ring buffer has neither. */
export function mapSizes(spec: MapSpec): { keySize: number; valueSize: number } {
  if (spec.type === 'ringbuf') return { keySize: 0, valueSize: 0 };
  return { keySize: spec.key.size, valueSize: spec.value.size };
}

/** Creates a map of the spec's shape and returns its descriptor. */
export function createMap(spec: MapSpec, inner: Fd | undefined): Fd {
  const { keySize, valueSize } = mapSizes(spec);
  const doing = `create the map '${spec.name}' (${spec.type}, ${spec.maxEntries} entries)`;
  const build = (): Attribute => {
    // struct { map_type @0, key_size @4, value_size @8, max_entries @12, map_flags @16, inner_map_fd @20,
    //          numa_node @24, map_name @28, map_ifindex @44, btf_fd @48, btf_key_type_id @52, btf_value_type_id @56 }
    const attribute = new Attribute(60)
      .u32(0, mapTypeNumber(spec.type))
      .u32(4, keySize)
      .u32(8, valueSize)
      .u32(12, spec.maxEntries)
      .u32(16, mapFlagBits(spec))
      .name(28, spec.name);
    if (inner !== undefined) attribute.u32(20, inner.number);
    return attribute;
  };
  const what = `map '${spec.name}'`;
  const types = mapBtf(spec);
  if (types !== undefined) {
    using btf = loadBtf(types.btf, what);
    const attribute = build().u32(48, btf.number).u32(52, types.keyTypeId).u32(56, types.valueTypeId);
    const result = attribute.try(Command.mapCreate);
    if (result >= 0) return new Fd(result, what);
    // Types only describe; a kernel that does not take them for this map still makes the map.
    if (result !== -Errno.EINVAL && result !== -Errno.ENOTSUPP) throw creationError(spec, -result, doing);
  }
  const result = build().try(Command.mapCreate);
  if (result < 0) throw creationError(spec, -result, doing);
  return new Fd(result, what);
}

function creationError(spec: MapSpec, errno: number, doing: string): SystemError {
  const hints: Partial<Record<number, string>> = {
    [Errno.EINVAL]: `This kernel has no maps of type ${spec.type}, or not with these sizes and flags.`,
    [Errno.E2BIG]: 'The map is larger than the kernel allows.',
    [Errno.ENOMEM]: 'There is not enough memory for so many entries.',
  };
  const hint = hints[errno];
  return bpfError(errno, doing, hint === undefined ? {} : { hint });
}
