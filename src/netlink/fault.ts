import { BarewireError } from '../error.ts';
import { ATTRIBUTE_HEADER_BYTES, Attributes } from './attribute.ts';
import { type AttributePolicy, type ExtendedAck, MESSAGE_HEADER_BYTES } from './message.ts';

/** The names of a message's attributes, for people who read an error. */
export interface AttributeNames {
  /** As in `IFLA_`. */
  readonly prefix: string;
  /** Name without the prefix, to type. */
  readonly types: Readonly<Record<string, number>>;
  /** What lies within the nested ones, by type. */
  readonly nested?: Readonly<Record<number, AttributeNames>>;
}

/** What the kernel pointed at in a request that it refused. */
export interface Fault {
  /** The attribute at fault, as in `IFLA_LINKINFO > IFLA_INFO_DATA > IFLA_VLAN_ID`. */
  readonly attribute: string | undefined;
  /** The attribute that should have been there. */
  readonly missing: string | undefined;
}

/**
 * Turns the offsets and types of an extended ack into names.
 *
 * @param request The whole message that was refused, header included.
 * @param familyHeaderBytes What lies between the netlink header and the first attribute, padding included.
 */
export function locateFault(
  request: Uint8Array,
  familyHeaderBytes: number,
  extended: ExtendedAck,
  names: AttributeNames | undefined,
): Fault {
  const start = MESSAGE_HEADER_BYTES + familyHeaderBytes;
  const walk = (offset: number | undefined): number[] =>
    offset === undefined ? [] : pathTo(request, start, request.length, offset);
  const faulty = walk(extended.offset);
  const missing =
    extended.missingType === undefined ? [] : [...walk(extended.missingNestOffset), extended.missingType];
  return { attribute: nameOf(faulty, names), missing: nameOf(missing, names) };
}

/** In words, as in `expected a u32 of 68 to 65535`. */
export function describePolicy(policy: AttributePolicy): string | undefined {
  const { type, minValue, maxValue, minLength, maxLength } = policy;
  if (type === 'invalid') return undefined;
  const values = range(minValue, maxValue);
  const lengths = range(minLength, maxLength);
  return `expected ${type}${values && ` of ${values}`}${lengths && ` of ${lengths} bytes`}`;
}

function range(min: bigint | number | undefined, max: bigint | number | undefined): string {
  if (min !== undefined && max !== undefined) return min === max ? `${min}` : `${min} to ${max}`;
  if (min !== undefined) return `at least ${min}`;
  return max === undefined ? '' : `at most ${max}`;
}

/** The types on the way to the attribute whose header starts at `target`; empty when there is none. */
function pathTo(request: Uint8Array, start: number, end: number, target: number): number[] {
  let offset = start;
  try {
    for (const attribute of Attributes.decode(request.subarray(start, end), start).list) {
      if (offset === target) return [attribute.type];
      const payload = offset + ATTRIBUTE_HEADER_BYTES;
      const next = payload + Math.ceil(attribute.payload.length / 4) * 4;
      if (target < next) {
        // Into the payload: an attribute of its own, or else the fault lies in this one.
        return [attribute.type, ...pathTo(request, payload, payload + attribute.payload.length, target)];
      }
      offset = next;
    }
  } catch (error) {
    // A payload that is no attributes after all: the way ends one level higher.
    if (!(error instanceof BarewireError)) throw error;
  }
  return [];
}

function nameOf(path: readonly number[], names: AttributeNames | undefined): string | undefined {
  if (path.length === 0) return undefined;
  const words: string[] = [];
  let level = names;
  for (const type of path) {
    const known = level && Object.entries(level.types).find(([, number]) => number === type)?.[0];
    words.push(known === undefined ? `attribute ${type}` : `${level!.prefix}${known}`);
    level = level?.nested?.[type];
  }
  return words.join(' > ');
}
