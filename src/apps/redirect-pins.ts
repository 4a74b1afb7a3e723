import { readdirSync, rmdirSync } from 'node:fs';
import { unpin } from '../bpf/index.ts';
import { BarewireError } from '../error.ts';
import { type Place, placeOf, placesKept, type Roots } from '../filter/place.ts';
import { readIfThere, removeFolder, writeDurably } from '../filter/store.ts';
import { checkRules, type RedirectRule } from './redirect-rule.ts';

/** The pins of one interface, which keep program and rules while the machine runs. */
export interface RedirectPins {
  readonly place: Place;
  /** The attachment to the interface. */
  readonly link: string;
  /** The attachment that sends replies. */
  readonly replies: string;
  map(name: string): string;
}

/** What is written to disk, and makes the same anew after a reboot. */
export interface SavedRedirect {
  readonly rules: readonly RedirectRule[];
  readonly replies: boolean;
  readonly flows: number;
  readonly mode: 'auto' | 'driver' | 'generic';
}

const SUBJECT = 'redirect';
const FORMAT = 1;

export function pinsOf(interfaceName: string, netns: string | undefined, roots?: Roots): RedirectPins {
  const place = placeOf(SUBJECT, interfaceName, netns, roots);
  return {
    place,
    link: `${place.pins}/link`,
    replies: `${place.pins}/replies`,
    map: (name) => `${place.pins}/map-${name}`,
  };
}

/** Interfaces of which something is kept, in all namespaces. */
export function keptPlaces(roots?: Roots): Place[] {
  return placesKept(SUBJECT, roots);
}

/** Takes every pin of an interface away, the attachments first. Whether there were any. */
export function removePins({ place }: RedirectPins): boolean {
  const names = entries(place.pins);
  const last = (name: string): number => (name.startsWith('map-') ? 1 : 0);
  for (const name of names.toSorted((a, b) => last(a) - last(b))) unpin(`${place.pins}/${name}`);
  try {
    rmdirSync(place.pins);
  } catch {
    // It was not there.
  }
  return names.length > 0;
}

/** Whether anything of the interface is pinned. */
export function isPinned({ place }: RedirectPins): boolean {
  return entries(place.pins).length > 0;
}

/** Writes down what is to be there after a reboot, in one step. */
export function save({ state }: Place, saved: SavedRedirect): void {
  const text = JSON.stringify({ format: FORMAT, ...saved }, undefined, 2);
  writeDurably(`${state}/rules.json`, [Buffer.from(`${text}\n`)]);
}

/**
 * What was written down; undefined for nothing.
 *
 * @throws BarewireError `BW_STATE` for what this version did not write.
 */
export function readSaved({ state }: Place): SavedRedirect | undefined {
  const path = `${state}/rules.json`;
  const bytes = readIfThere(path);
  if (bytes === undefined) return undefined;
  try {
    const saved = JSON.parse(Buffer.from(bytes).toString()) as SavedRedirect & { readonly format: number };
    if (saved.format !== FORMAT || !Array.isArray(saved.rules)) throw new Error(`format ${saved.format}`);
    checkRules(saved.rules);
    return saved;
  } catch (error) {
    throw new BarewireError('BW_STATE', `${path} is none that this version wrote`, {
      cause: error,
      hint: 'Mend it by hand, or detach the interface and add its rules anew.',
    });
  }
}

/** Forgets what was written down; whether there was anything. */
export function forget({ state }: Place): boolean {
  const there = readIfThere(`${state}/rules.json`) !== undefined;
  removeFolder(state);
  return there;
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
