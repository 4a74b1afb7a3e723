import {
  formatIp,
  formatPrefix,
  type IpAddress,
  type Prefix,
  parsePrefix,
  prefixContains,
  tryParseIp,
} from '../address/index.ts';
import { ProxyError } from './error.ts';
import { specialPurpose } from './special.ts';

/** Where a client wants to go: a name or an IP literal (without brackets), and a port. */
export interface Destination {
  readonly host: string;
  readonly port: number;
}

/** Which destinations are let through. */
export interface DestinationRules {
  /** Prefixes that are let through although they are private or the proxy's own. Default is none. */
  readonly allow?: readonly string[];
  /** Prefixes that are refused beside those. Default is none. */
  readonly deny?: readonly string[];
  /** The ports that may be asked for. Default is all. */
  readonly ports?: readonly number[];
}

/**
 * What clients may reach. A proxy stands inside its operator's network, so by default only the public Internet: no
 * private, link-local or otherwise special address, and none of the proxy's own.
 *
 * Names are judged twice, before they are resolved and by every address they resolve to.
 */
export class DestinationPolicy {
  readonly #allow: readonly Prefix[];
  readonly #deny: readonly Prefix[];
  readonly #ports: ReadonlySet<number> | undefined;
  readonly #own: () => Iterable<string>;

  /**
   * @param own The proxy's own addresses at this moment, exits' included.
   * @throws ArgumentError for what is no prefix.
   */
  constructor(rules: DestinationRules, own: () => Iterable<string>) {
    this.#allow = (rules.allow ?? []).map((text) => parsePrefix(text));
    this.#deny = (rules.deny ?? []).map((text) => parsePrefix(text));
    this.#ports = rules.ports === undefined ? undefined : new Set(rules.ports);
    this.#own = own;
  }

  /**
   * Judges what the client wrote.
   *
   * @returns The address when it is one; `undefined` for a name, which is to be resolved.
   * @throws ProxyError `BW_PROXY_DESTINATION`
   */
  judge(destination: Destination): IpAddress | undefined {
    const { host, port } = destination;
    if (this.#ports !== undefined && !this.#ports.has(port)) throw refused(`port ${port} is not allowed`);
    const address = tryParseIp(host);
    if (address !== undefined) {
      this.judgeAddress(address);
      return address;
    }
    judgeName(host);
    return undefined;
  }

  /** @throws ProxyError `BW_PROXY_DESTINATION` unless packets may go there. */
  judgeAddress(address: IpAddress): void {
    const denied = this.#deny.find((prefix) => prefixContains(prefix, address));
    if (denied !== undefined) throw refused(`${formatIp(address.bytes)} is in ${formatPrefix(denied)}`);
    if (this.#allow.some((prefix) => prefixContains(prefix, address))) return;
    const special = specialPurpose(address);
    if (special !== undefined) {
      throw refused(
        `${formatIp(address.bytes)} is no public address (${special})`,
        'targets.allow lets it through.',
      );
    }
    const text = formatIp(address.bytes);
    for (const own of this.#own()) {
      if (own === text) throw refused(`${text} is an address of the proxy itself`);
    }
  }
}

/**
 * Refuses names that some resolver may take for an address: WHATWG's URL parser and inet_aton read `127.1`,
 * `0x7f000001` and `2130706433` as 127.0.0.1. No name on the Internet ends in a number.
 */
function judgeName(host: string): void {
  const name = host.endsWith('.') ? host.slice(0, -1) : host;
  if (name.length === 0 || name.length > 253 || !/^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/i.test(name)) {
    throw refused('this is no host name');
  }
  const last = name.slice(name.lastIndexOf('.') + 1).toLowerCase();
  if (/^(0x[0-9a-f]*|\d+)$/.test(last)) throw refused(`${name} is neither a host name nor an IP address`);
  // RFC 6761 section 6.3: localhost names are loopback and nothing else.
  if (last === 'localhost') throw refused(`${name} means the proxy itself`);
}

function refused(reason: string, hint?: string): ProxyError {
  return new ProxyError('BW_PROXY_DESTINATION', `the destination is refused: ${reason}`, { hint });
}
