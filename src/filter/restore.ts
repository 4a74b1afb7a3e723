import { BarewireError } from '../error.ts';
import { Filter } from './filter.ts';
import { placesKept, type Roots } from './place.ts';

/** What became of one saved filter. */
export interface Restored {
  readonly interface: string;
  readonly entries?: number;
  /** Why it is not attached, where it is not. */
  readonly error?: BarewireError;
}

/** Attaches every filter that is saved and not attached, as at boot. One that fails does not keep the others. */
export async function* restoreAll(roots?: Roots): AsyncGenerator<Restored> {
  for (const place of placesKept('filter', roots)) {
    const filter = new Filter({ interface: place.interface, netns: place.netns, roots });
    try {
      if (filter.attached || !filter.saved) continue;
      const { restored } = await filter.attach();
      yield { interface: place.key, entries: restored };
    } catch (error) {
      if (!(error instanceof BarewireError)) throw error;
      yield { interface: place.key, error };
    }
  }
}
