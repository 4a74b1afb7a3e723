import { ArgumentError } from '../error.ts';
import { type Codec, codecOf } from '../layout/index.ts';
import { isPerCpu, type MapSpec, type MapType, type PerCpuMapType } from '../spec/index.ts';
import { Fd, possibleCpus } from '../sys/index.ts';

/** Anything that a map can refer to by its descriptor: a program, a map, an AF_XDP socket. */
export interface HasFd {
  readonly fd: Fd;
}

/** Map types whose values are descriptors when written and ids when read. */
type ReferenceMapType = 'prog_array' | 'array_of_maps' | 'hash_of_maps' | 'xskmap';

/** What `get` yields: one value per possible CPU for per-CPU maps, an id where descriptors were put in. */
export type ReadValue<T extends MapType, V> = T extends PerCpuMapType
  ? V[]
  : T extends ReferenceMapType
    ? number
    : V;

/** What `set` takes. */
export type WriteValue<T extends MapType, V> = T extends PerCpuMapType
  ? V[]
  : T extends ReferenceMapType
    ? HasFd
    : V;

/** How values go over bpf(2): per-CPU values as one 8-byte-rounded slot per possible CPU, references as descriptors. */
export function valueCodec(spec: MapSpec): Codec<unknown> {
  const element = codecOf(spec.value);
  if (isPerCpu(spec.type)) return perCpuCodec(element);
  if (spec.type === 'prog_array' || spec.type === 'xskmap' || spec.inner !== undefined)
    return REFERENCE_CODEC;
  return element;
}

const REFERENCE_CODEC: Codec<unknown> = {
  size: 4,
  read: (view, offset) => view.getUint32(offset, true),
  write(view, offset, value) {
    const fd = (value as Partial<HasFd> | null)?.fd;
    if (!(fd instanceof Fd))
      throw new ArgumentError('this map takes a program, a map or a socket as its value');
    view.setInt32(offset, fd.number, true);
  },
};

function perCpuCodec(element: Codec<unknown>): Codec<unknown> {
  const step = Math.ceil(element.size / 8) * 8;
  const cpus = possibleCpus();
  return {
    size: step * cpus,
    read: (view, offset) => Array.from({ length: cpus }, (_, cpu) => element.read(view, offset + cpu * step)),
    write(view, offset, value) {
      if (!Array.isArray(value) || value.length !== cpus) {
        throw new ArgumentError(`a per-CPU map takes an array of ${cpus} values, one for each possible CPU`);
      }
      for (let cpu = 0; cpu < cpus; cpu++) element.write(view, offset + cpu * step, value[cpu]);
    },
  };
}
