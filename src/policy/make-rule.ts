import type { Prefix } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import { describePorts, type PortRange, PROTOCOLS_WITH_PORTS, protocolName, type Rule } from './rule.ts';

/** What a rule says, not yet checked for sense. */
export type RuleParts = Omit<Rule, 'added' | 'list'>;

/** Whether a rule says no more than one address or prefix, and so is an entry of a table. */
export function isAddressRule(rule: RuleParts): boolean {
  return (
    rule.action !== 'limit' &&
    (rule.source === undefined) !== (rule.destination === undefined) &&
    rule.protocol === undefined &&
    rule.ports === undefined &&
    rule.sourcePorts === undefined &&
    rule.segment === undefined
  );
}

/** Holds a rule to what can be: contradictions are errors, not rules that never apply. */
export function checkRule<R extends RuleParts>(rule: R): R {
  const { source, destination, protocol, ports, sourcePorts, segment, limit, action } = rule;
  requireSameVersion(source, destination);
  if (segment !== undefined && protocol !== undefined && protocol !== 6) {
    throw new ArgumentError(`'${segment}' is about TCP, and the rule is for ${protocolName(protocol)}`);
  }
  if ((ports ?? sourcePorts) !== undefined) {
    if (protocol === undefined && segment === undefined) {
      throw new ArgumentError('ports belong to a protocol, and the rule names none', {
        hint: 'Name it: udp or tcp (two rules for both).',
      });
    }
    if (protocol !== undefined && !PROTOCOLS_WITH_PORTS.includes(protocol)) {
      throw new ArgumentError(`${protocolName(protocol)} has no ports`);
    }
  }
  requireApart(ports);
  requireApart(sourcePorts);
  if (action === 'limit') {
    if (limit === undefined || (limit.packets === undefined && limit.bytes === undefined)) {
      throw new ArgumentError('a limit says how much: packets, bytes or both each second');
    }
  } else if (limit !== undefined) {
    throw new ArgumentError(`a rule to ${action} has no rate`, {
      hint: "Make it a limit; within: 'allow' lets through what keeps to it.",
    });
  }
  const version = (source ?? destination)?.version;
  if (version === 6 && protocol === 1) {
    throw new ArgumentError('ICMP over IPv6 is icmpv6', { hint: 'Write icmpv6.' });
  }
  if (version === 4 && protocol === 58) {
    throw new ArgumentError('ICMPv6 does not go over IPv4', { hint: 'Write icmp.' });
  }
  // TCP's flags are TCP's.
  return segment !== undefined && protocol === undefined ? { ...rule, protocol: 6 } : rule;
}

function requireSameVersion(source: Prefix | undefined, destination: Prefix | undefined): void {
  if (source === undefined || destination === undefined || source.version === destination.version) return;
  throw new ArgumentError(
    `no packet is from IPv${source.version} to IPv${destination.version}: the rule would never apply`,
  );
}

function requireApart(ports: readonly PortRange[] | undefined): void {
  if (ports === undefined) return;
  const sorted = ports.toSorted((a, b) => a.from - b.from);
  for (let i = 1; i < sorted.length; i++) {
    if (sorted[i]!.from <= sorted[i - 1]!.to) {
      throw new ArgumentError(`the ports ${describePorts([sorted[i - 1]!, sorted[i]!])} overlap`);
    }
  }
  if (ports.length > 16) {
    throw new ArgumentError(`${ports.length} ranges of ports are more than the 16 of one rule`, {
      hint: 'Split it into several rules.',
    });
  }
}
