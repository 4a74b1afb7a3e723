import { setTimeout as sleep } from 'node:timers/promises';
import { ObjectMap } from '../bpf/object-map.ts';

/** Opens a map by its id, a path on bpffs, or its name. */
export function openMap(which: string): ObjectMap {
  return ObjectMap.open(/^\d+$/.test(which) ? Number(which) : which);
}

/** One difference between two looks at a map. */
export interface MapChange {
  readonly time: Date;
  readonly change: 'added' | 'changed' | 'deleted';
  readonly key: unknown;
  readonly value: unknown;
}

/** What changes in a map, looked at again and again; the entries that are there at first count as added. */
export async function* watchMap(
  map: ObjectMap,
  options: { readonly interval?: number; readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<MapChange> {
  const { interval = 1000, signal } = options;
  const stopped = (): boolean => signal?.aborted ?? false;
  let before = new Map<string, { key: unknown; value: unknown; bytes: string }>();
  for (;;) {
    const now = new Map<string, { key: unknown; value: unknown; bytes: string }>();
    for (const [key, value] of map) {
      const name = Buffer.from(map.encodeKey(key)).toString('hex');
      now.set(name, { key, value, bytes: Buffer.from(map.encodeValue(value)).toString('hex') });
    }
    const time = new Date();
    for (const [name, { key, value, bytes }] of now) {
      const old = before.get(name);
      if (old === undefined) yield { time, change: 'added', key, value };
      else if (old.bytes !== bytes) yield { time, change: 'changed', key, value };
    }
    for (const [name, { key, value }] of before) {
      if (!now.has(name)) yield { time, change: 'deleted', key, value };
    }
    before = now;
    if (stopped()) return;
    try {
      await sleep(interval, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      if (stopped()) return;
      throw error;
    }
  }
}
