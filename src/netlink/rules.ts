import type { IpVersion } from '../address/index.ts';
import { encode } from '../layout/index.ts';
import { Errno } from '../sys/errno.ts';
import { familyOf, isIpFamily } from './address.ts';
import { NLM_F } from './message.ts';
import { fibRuleHeader, RTM } from './rtnetlink.ts';
import { decodeRule, encodeRule, RULE_ATTRIBUTE_NAMES, type Rule, type RuleSpec } from './rule.ts';
import type { NetlinkSocket } from './socket.ts';

/** The routing policy of one network namespace. */
export class Rules {
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** In the order they are asked in, IPv4 first. */
  list(filter: { readonly version?: IpVersion } = {}): Rule[] {
    return this.#socket
      .request({
        type: RTM.GETRULE,
        flags: NLM_F.DUMP,
        header: encode(fibRuleHeader, {
          family: familyOf(filter.version),
          destinationLength: 0,
          sourceLength: 0,
          tos: 0,
          table: 0,
          reserved1: 0,
          reserved2: 0,
          action: 0,
          flags: 0,
        }),
        attributes: [],
        doing: 'list the rules',
        names: RULE_ATTRIBUTE_NAMES,
      })
      .filter((message) => message.type === RTM.NEWRULE && isIpFamily(message.payload[0]))
      .map(decodeRule)
      .sort((a, b) => a.version - b.version || a.priority - b.priority);
  }

  /** @throws NetlinkError `BW_EXISTS` when there is the very same one. */
  add(spec: RuleSpec): void {
    this.#socket.request({
      type: RTM.NEWRULE,
      flags: NLM_F.CREATE | NLM_F.EXCL,
      ...encodeRule(spec, 'make'),
      doing: 'add the rule',
      names: RULE_ATTRIBUTE_NAMES,
    });
  }

  /**
   * Deletes the first rule that has everything the spec states.
   *
   * @throws NetlinkError when there is none.
   */
  delete(spec: RuleSpec): void {
    this.#socket.request({
      type: RTM.DELRULE,
      ...encodeRule(spec, 'delete'),
      doing: 'delete the rule',
      names: RULE_ATTRIBUTE_NAMES,
      hint: (errno) =>
        errno === Errno.ENOENT ? 'No rule has all that was stated; list() shows those there are.' : undefined,
    });
  }
}
