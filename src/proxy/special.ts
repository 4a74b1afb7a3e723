import { type IpAddress, type Prefix, parsePrefix, prefixContains } from '../address/index.ts';

/**
 * Why an address is no destination on the public Internet, or `undefined` when it is one. After IANA's special-purpose
 * address registries (RFC 6890): whatever they do not call globally reachable is named here.
 *
 * An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4) is as good as the address in it, or it would be
 * a way around the rule.
 */
export function specialPurpose(address: IpAddress): string | undefined {
  const inner = embedded(address);
  if (inner !== undefined) return specialPurpose(inner);
  return SPECIAL.find(({ prefix }) => prefixContains(prefix, address))?.name;
}

/** The IPv4 address that translators and tunnels would send a packet for this IPv6 address to. */
function embedded(address: IpAddress): IpAddress | undefined {
  for (const { prefix, offset } of CARRIERS) {
    if (prefixContains(prefix, address)) {
      return { version: 4, bytes: address.bytes.subarray(offset, offset + 4) };
    }
  }
  return undefined;
}

const CARRIERS: readonly { readonly prefix: Prefix; readonly offset: number }[] = [
  { prefix: parsePrefix('::ffff:0:0/96'), offset: 12 }, // IPv4-mapped, RFC 4291 section 2.5.5.2
  { prefix: parsePrefix('::ffff:0:0:0/96'), offset: 12 }, // IPv4-translated, RFC 2765
  { prefix: parsePrefix('64:ff9b::/96'), offset: 12 }, // NAT64, RFC 6052
  { prefix: parsePrefix('2002::/16'), offset: 2 }, // 6to4, RFC 3056
];

const SPECIAL: readonly { readonly prefix: Prefix; readonly name: string }[] = (
  [
    ['0.0.0.0/8', 'this network'],
    ['10.0.0.0/8', 'private'],
    ['100.64.0.0/10', 'shared by carrier NAT'],
    ['127.0.0.0/8', 'loopback'],
    ['169.254.0.0/16', 'link-local'],
    ['172.16.0.0/12', 'private'],
    ['192.0.0.0/24', 'protocol assignments'],
    ['192.0.2.0/24', 'documentation'],
    ['192.88.99.0/24', '6to4 relay'],
    ['192.168.0.0/16', 'private'],
    ['198.18.0.0/15', 'benchmarking'],
    ['198.51.100.0/24', 'documentation'],
    ['203.0.113.0/24', 'documentation'],
    ['224.0.0.0/4', 'multicast'],
    ['240.0.0.0/4', 'reserved'],
    ['::/128', 'unspecified'],
    ['::1/128', 'loopback'],
    ['::/96', 'IPv4-compatible'],
    ['64:ff9b:1::/48', 'local NAT64'],
    ['100::/64', 'discard-only'],
    ['2001::/23', 'protocol assignments'],
    ['2001:db8::/32', 'documentation'],
    ['3fff::/20', 'documentation'],
    ['5f00::/16', 'segment routing'],
    ['fc00::/7', 'private'],
    ['fe80::/10', 'link-local'],
    ['fec0::/10', 'site-local'],
    ['ff00::/8', 'multicast'],
  ] as const
).map(([prefix, name]) => ({ prefix: parsePrefix(prefix), name }));
