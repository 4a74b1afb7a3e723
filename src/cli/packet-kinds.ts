import { parseMac, parsePrefix } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import { EtherType, IpProtocol } from '../packet/headers.ts';
import type { PortRange } from '../xsk/match.ts';
import { type Kind, text } from './kinds.ts';

// Kinds of values that packets are made of or told apart by.

/** A MAC address. */
export function mac(): Kind<string> {
  return {
    placeholder: 'MAC',
    accepts: 'a MAC address, such as 02:00:5e:00:53:01',
    completion: { from: 'nowhere' },
    parse(given) {
      parseMac(given);
      return given;
    },
  };
}

/** An address or a network. */
export function addressOrNetwork(): Kind<string> {
  return {
    placeholder: 'ADDRESS[/LENGTH]',
    accepts: 'an address or a network, such as 192.0.2.1 or 192.0.2.0/24',
    completion: { from: 'nowhere' },
    parse(given) {
      parsePrefix(given);
      return given;
    },
  };
}

/** A port, or the first and the last of several. */
export function ports(): Kind<readonly [number, number]> {
  return {
    placeholder: 'PORT[-PORT]',
    accepts: 'a port of 1 to 65535, or two with a dash between',
    completion: { from: 'nowhere' },
    parse(given) {
      const [, low, high] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(given) ?? [];
      const range = [Number(low), Number(high ?? low)] as const;
      if (!(range[0] >= 1 && range[1] <= 0xffff && range[0] <= range[1])) {
        throw new ArgumentError(`'${given}' is not a port or a range of ports`, {
          hint: 'Give a port of 1 to 65535, or two with a dash between, as in 1024-65535.',
        });
      }
      return range;
    },
  };
}

/** For matches, which know a port and a range apart. */
export function asPortRange([first, last]: readonly [number, number]): PortRange {
  return first === last ? first : [first, last];
}

/** A number that has names, as EtherTypes and protocols do. */
function named(
  placeholder: string,
  what: string,
  names: Readonly<Record<string, number>>,
  max: number,
): Kind<number> {
  const words = Object.keys(names);
  return {
    placeholder,
    accepts: `${what}: a number of 0 to ${max}, or one of ${words.join(', ')}`,
    completion: { from: 'words', words },
    parse(given) {
      const byName = names[given.toLowerCase()];
      if (byName !== undefined) return byName;
      const number = /^(0x[0-9a-f]+|\d+)$/i.test(given) ? Number(given) : Number.NaN;
      if (!(number <= max)) {
        throw new ArgumentError(`'${given}' is not ${what}`, {
          hint: `Give a number of 0 to ${max}, or one of ${words.join(', ')}.`,
        });
      }
      return number;
    },
  };
}

export function etherType(): Kind<number> {
  const { ipv4, ipv6, arp, lldp } = EtherType;
  return named('TYPE', 'an EtherType', { ipv4, ipv6, arp, lldp }, 0xffff);
}

export function ipProtocol(): Kind<number> {
  const { icmp, tcp, udp, icmpv6, gre, esp, sctp } = IpProtocol;
  return named('PROTOCOL', 'an IP protocol', { icmp, tcp, udp, icmpv6, gre, esp, sctp }, 255);
}

/** A DNS name as it is asked for; the codec checks it. */
export function domain(): Kind<string> {
  return { ...text('NAME'), accepts: 'a domain name, such as example.org' };
}
