import type { Filter } from '../../filter/filter.ts';
import { UsageError } from '../errors.ts';
import { interfaceName, type Kind } from '../kinds.ts';
import { netns } from '../standard-options.ts';
import type { OptionValues, ValueOption } from '../table.ts';

/** Which filter a command means. */
export const target: { readonly [N in 'dev' | 'netns']: ValueOption & { readonly kind: Kind<string> } } = {
  dev: {
    kind: interfaceName(),
    short: 'd',
    summary: 'The interface; the only one with a filter unless given',
  },
  netns: { ...netns, summary: 'The network namespace of the interface' },
};

/** The filter that is named, or the only one that is kept. */
export async function filterOf(
  options: OptionValues<typeof target>,
  named?: string | undefined,
): Promise<Filter> {
  const { Filter } = await import('../../filter/filter.ts');
  if (named !== undefined && options.dev !== undefined && named !== options.dev) {
    throw new UsageError(`both ${named} and --dev ${options.dev} are given`, 'Name the interface once.');
  }
  const name = named ?? options.dev;
  if (name !== undefined) return new Filter({ interface: name, netns: options.netns });
  const { placesKept } = await import('../../filter/place.ts');
  const places = placesKept('filter').filter(
    ({ key }) => options.netns === undefined || key.endsWith(`@${options.netns}`),
  );
  const [only] = places;
  if (only === undefined) {
    throw new UsageError('no interface has a filter', 'Attach one: barewire filter attach INTERFACE');
  }
  if (places.length > 1) {
    throw new UsageError(
      `${places.length} interfaces have filters: ${places.map(({ key }) => key).join(', ')}`,
      'Say which with --dev (and --netns).',
    );
  }
  return new Filter({ interface: only.interface, netns: only.netns });
}
