import type { MapSpec } from '../spec/index.ts';
import { Errno, type SystemError } from '../sys/index.ts';
import { bpfError } from './attribute.ts';

/** Why the kernel refused an operation on entries, in the words of the map. */
export function mapRefusal(spec: MapSpec, errno: number, doing: string): SystemError {
  const hints: Partial<Record<number, string>> = {
    [Errno.E2BIG]: `The ${spec.type} map holds ${spec.maxEntries} entries and is full, or the index lies beyond its end.`,
    [Errno.ENOSPC]: `The map is full: it was created for ${spec.maxEntries} entries.`,
    [Errno.ENOMEM]: 'The kernel has no memory for another entry.',
    [Errno.EPERM]: 'The map is frozen, or was opened read-only.',
    [Errno.EOPNOTSUPP]: `Maps of type ${spec.type} do not allow this from user space.`,
    [Errno.EINVAL]: `Maps of type ${spec.type} do not allow this, or the key or value is out of range.`,
  };
  const hint = hints[errno];
  return bpfError(errno, `${doing} the map '${spec.name}'`, hint === undefined ? {} : { hint });
}
