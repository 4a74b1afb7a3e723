/** An XDP filter that outlives its process. @module barewire/filter */

import { type AttachFilterOptions, Filter } from './filter.ts';

export { ConfigError, type FilterConfig } from '../policy/config.ts';
export { ListError } from '../policy/list.ts';
export type { ApplyOptions, Changes } from './apply.ts';
export type { FilterEntry, FilterRule } from './entries.ts';
export type { FeedOptions, FeedReport } from './feed.ts';
export {
  type AddEntry,
  type Attached,
  type AttachFilterOptions,
  type EntryOptions,
  Filter,
  type FilterPlace,
  type FilterStatus,
  type TableFill,
} from './filter.ts';
export type { Imported, ImportOptions } from './import.ts';
export type { Drop, Explanation, OutcomeTally } from './look.ts';
export { filterMetrics } from './metrics.ts';
export { adminPeer } from './peer.ts';
export { type Place, placesKept, type Roots } from './place.ts';
export type { Trial, TriedFrame } from './try.ts';

/**
 * The filter on an interface, attached unless it is already.
 *
 * @example
 * const filter = await createFilter({ interface: 'eth0' });
 * await filter.deny('2001:db8::/32', { expires: 600_000, reason: 'port scan' });
 */
export async function createFilter(options: AttachFilterOptions): Promise<Filter> {
  const { interface: name, netns, roots, ...rest } = options;
  const filter = new Filter({ interface: name, netns, roots });
  if (!filter.attached) await filter.attach(rest);
  return filter;
}
