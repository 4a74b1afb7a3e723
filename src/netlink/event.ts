import { decodeAddress, type InterfaceAddress, isIpFamily } from './address.ts';
import { decodeLink, type Link } from './link.ts';
import { type Message, NLMSG } from './message.ts';
import { decodeNeighbour, type Neighbour } from './neighbour.ts';
import { decodeRoute, type Route } from './route.ts';
import { AF, RTM } from './rtnetlink.ts';
import { decodeRule, type Rule } from './rule.ts';

/** Something changed; told apart by `type`. */
export type NetlinkEvent =
  | { readonly type: 'link'; readonly action: EventAction; readonly link: Link }
  | { readonly type: 'address'; readonly action: EventAction; readonly address: InterfaceAddress }
  | { readonly type: 'route'; readonly action: EventAction; readonly route: Route }
  | { readonly type: 'rule'; readonly action: EventAction; readonly rule: Rule }
  | { readonly type: 'neighbour'; readonly action: EventAction; readonly neighbour: Neighbour }
  /** More happened than the queue could hold, and is lost: list anew what you follow. */
  | { readonly type: 'overrun' };

/** `set` for what is new and for what has changed. */
export type EventAction = 'set' | 'delete';

/**
 * The event that a notification tells of; `undefined` for those of other families, such as a bridge's view of its
 * ports.
 *
 * @throws CodecError when the message is cut off or misformed.
 */
export function decodeEvent(message: Message): NetlinkEvent | undefined {
  const family = message.payload[0];
  switch (message.type) {
    case NLMSG.OVERRUN:
      return { type: 'overrun' };
    case RTM.NEWLINK:
    case RTM.DELLINK: {
      if (family !== AF.UNSPEC) return undefined;
      return { type: 'link', action: action(message, RTM.NEWLINK), link: decodeLink(message) };
    }
    case RTM.NEWADDR:
    case RTM.DELADDR: {
      if (!isIpFamily(family)) return undefined;
      return { type: 'address', action: action(message, RTM.NEWADDR), address: decodeAddress(message) };
    }
    case RTM.NEWROUTE:
    case RTM.DELROUTE: {
      if (!isIpFamily(family)) return undefined;
      return { type: 'route', action: action(message, RTM.NEWROUTE), route: decodeRoute(message) };
    }
    case RTM.NEWRULE:
    case RTM.DELRULE: {
      if (!isIpFamily(family)) return undefined;
      return { type: 'rule', action: action(message, RTM.NEWRULE), rule: decodeRule(message) };
    }
    case RTM.NEWNEIGH:
    case RTM.DELNEIGH: {
      if (!isIpFamily(family)) return undefined;
      return {
        type: 'neighbour',
        action: action(message, RTM.NEWNEIGH),
        neighbour: decodeNeighbour(message),
      };
    }
    default:
      return undefined;
  }
}

function action(message: Message, setType: number): EventAction {
  return message.type === setType ? 'set' : 'delete';
}
