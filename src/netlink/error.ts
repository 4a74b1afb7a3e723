import { BarewireError } from '../error.ts';
import { nearest } from '../nearest.ts';
import { Errno } from '../sys/errno.ts';
import { SystemError } from '../sys/error.ts';
import { describePolicy, type Fault } from './fault.ts';
import type { ExtendedAck } from './message.ts';

export interface NetlinkErrorDetails {
  /** What was being done, as in `create the link 'bw0'`. */
  readonly doing: string;
  readonly extended: ExtendedAck;
  readonly fault: Fault;
  readonly hint?: string | undefined;
}

/**
 * The kernel refused a netlink request, with its own reason where it gave one.
 *
 * `code` follows from the errno, as for every SystemError.
 */
export class NetlinkError extends SystemError {
  /** The kernel's words, as in `mtu greater than device maximum`; absent when it gave none. */
  readonly reason: string | undefined;
  /** The attribute at fault, as in `IFLA_LINKINFO > IFLA_INFO_KIND`; absent when the kernel named none. */
  readonly attribute: string | undefined;
  readonly extended: ExtendedAck;

  constructor(errno: number, details: NetlinkErrorDetails) {
    const { doing, extended, fault } = details;
    const said = sayings(extended, fault).join('; ');
    const hint = details.hint ?? HINTS[errno];
    super('netlink', errno, {
      doing,
      ...(said === '' ? {} : { said }),
      ...(hint === undefined ? {} : { hint }),
    });
    this.reason = extended.message;
    this.attribute = fault.attribute ?? fault.missing;
    this.extended = extended;
  }
}

/** There is no interface of that name or index. `code` is `BW_NO_INTERFACE`. */
export class NoInterfaceError extends BarewireError {
  readonly interface: string | number;

  /** @param existing The names that there are, the alternative ones among them. */
  constructor(wanted: string | number, existing: readonly string[]) {
    const what = typeof wanted === 'number' ? `with the index ${wanted}` : `'${wanted}'`;
    super('BW_NO_INTERFACE', `there is no interface ${what}`, { hint: suggest(wanted, existing) });
    this.interface = wanted;
  }
}

const HINTS: Readonly<Record<number, string>> = {
  [Errno.EPERM]:
    'Run as root, or with CAP_NET_ADMIN over the network namespace; entering another one takes CAP_SYS_ADMIN.',
};

function sayings(extended: ExtendedAck, fault: Fault): string[] {
  const words: string[] = [];
  if (extended.message !== undefined) words.push(extended.message);
  const policy = extended.policy && describePolicy(extended.policy);
  if (fault.attribute !== undefined) words.push(`at ${fault.attribute}${policy ? `, ${policy}` : ''}`);
  if (fault.missing !== undefined) words.push(`${fault.missing} is missing`);
  return words;
}

function suggest(wanted: string | number, existing: readonly string[]): string {
  const near = typeof wanted === 'string' ? nearest(wanted, existing) : [];
  if (near.length > 0) return `Did you mean ${near.map((name) => `'${name}'`).join(' or ')}?`;
  if (existing.length === 0) return 'This network namespace has no interfaces.';
  const shown = existing.slice(0, 8).join(', ');
  const rest = existing.length - 8;
  return `There are: ${shown}${rest > 0 ? ` and ${rest} more` : ''}.`;
}
