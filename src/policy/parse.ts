import { type Prefix, parsePrefix } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import { nearest } from '../nearest.ts';
import { type Limit, type PortRange, PROTOCOL_NAMES, protocolNumber, type Rate } from './rule.ts';

/** An address or a prefix; host bits are refused, with the prefix that was probably meant. */
export function parseTarget(text: string): Prefix {
  return parsePrefix(text.trim());
}

/** `53`, `80,443`, `27015-27030`, in any combination. @throws ArgumentError */
export function parsePorts(text: string): PortRange[] {
  return text.split(',').map((part) => {
    const match = /^\s*(\d{1,6})(?:\s*-\s*(\d{1,6}))?\s*$/.exec(part);
    if (match === null) {
      throw new ArgumentError(`'${part.trim()}' is not a port or a range of ports`, {
        hint: 'Write ports as in 53, 80,443 or 27015-27030.',
      });
    }
    const from = Number(match[1]);
    const to = match[2] === undefined ? from : Number(match[2]);
    for (const port of [from, to]) {
      if (port > 65_535) throw new ArgumentError(`port ${port} is beyond 65535`);
    }
    if (from > to) {
      throw new ArgumentError(`the range of ports ${from}-${to} runs backwards`, {
        hint: `Write ${to}-${from}.`,
      });
    }
    return { from, to };
  });
}

/** A protocol's name or number. @throws ArgumentError that names the nearest. */
export function parseProtocol(text: string): number {
  const name = text.trim().toLowerCase();
  if (/^\d{1,3}$/.test(name)) {
    const number = Number(name);
    if (number > 255) throw new ArgumentError(`protocol ${number} is beyond 255`);
    return number;
  }
  const number = protocolNumber(name);
  if (number !== undefined) return number;
  const near = nearest(name, PROTOCOL_NAMES, 1)[0];
  throw new ArgumentError(`'${text}' is not a protocol`, {
    hint:
      near === undefined ? `Give a number, or one of ${PROTOCOL_NAMES.join(', ')}.` : `Did you mean ${near}?`,
  });
}

/** `1000`, `10k`, `2.5M` packets each second, with `/s`, `pps` or nothing behind. @throws ArgumentError */
export function parsePacketRate(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kMG]?)\s*(?:\/s|pps|\/min|\/m|\/h)?\s*$/.exec(text);
  if (match === null) {
    throw new ArgumentError(`'${text}' is not a rate of packets`, {
      hint: 'Write it as in 100/s, 10k/s or 30/min.',
    });
  }
  const each = /\/(min|m|h)\s*$/.exec(text)?.[1];
  const seconds = each === undefined ? 1 : each === 'h' ? 3600 : 60;
  return requireRate(text, (Number(match[1]) * (SCALE[match[2] ?? ''] ?? 1)) / seconds, 1 / 3600, 1e9);
}

/** `1MB/s`, `500kB/s`, `10Mbit/s`: bytes each second. @throws ArgumentError */
export function parseByteRate(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kMG]?)(B|bit)\/s\s*$/.exec(text);
  if (match === null) {
    throw new ArgumentError(`'${text}' is not a rate of bytes`, {
      hint: 'Write it as in 500kB/s, 1MB/s or 10Mbit/s.',
    });
  }
  const bytes = Number(match[1]) * (SCALE[match[2] ?? ''] ?? 1) * (match[3] === 'bit' ? 1 / 8 : 1);
  return requireRate(text, bytes, 1, 1e12);
}

const SCALE: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9 };

function requireRate(text: string, rate: number, least: number, most: number): number {
  if (rate >= least && rate <= most) return rate;
  throw new ArgumentError(`the rate ${text.trim()} is out of range`, {
    hint: rate < least ? 'To let nothing through, deny it.' : 'No interface is that fast.',
  });
}

/** A rate with what may come at once after a pause; default is what a second brings, at least one. */
export function makeRate(perSecond: number, burst: number | undefined, least: number): Rate {
  if (burst !== undefined && !(Number.isFinite(burst) && burst >= 1)) {
    throw new ArgumentError(`a burst of ${burst} is not a number of at least 1`);
  }
  const most = perSecond * 3600;
  const chosen = Math.max(least, Math.round(burst ?? perSecond));
  if (burst !== undefined && burst > most && burst > least) {
    throw new ArgumentError(`a burst of ${burst} is more than an hour of ${perSecond} each second`);
  }
  return { perSecond, burst: chosen };
}

/** Whom a limit counts together: `source`, `all`, or prefixes of sources as in `/24`, `/64` or `/24,/64`. */
export function parsePer(text: string): Limit['per'] {
  const word = text.trim();
  if (word === 'source') return { ipv4: 32, ipv6: 128 };
  if (word === 'all') return { ipv4: 0, ipv6: 0 };
  const lengths = word.split(',').map((part) => /^\s*\/(\d{1,3})\s*$/.exec(part)?.[1]);
  if (lengths.length <= 2 && lengths.every((length) => length !== undefined)) {
    const [first, second] = lengths.map(Number) as [number, number | undefined];
    if (second !== undefined && first <= 32 && second <= 128) return { ipv4: first, ipv6: second };
    if (second === undefined && first <= 32) return { ipv4: first, ipv6: 64 };
    if (second === undefined && first <= 128) return { ipv4: 32, ipv6: first };
  }
  throw new ArgumentError(`'${text}' does not say whom a limit counts together`, {
    hint: 'Write source, all, or prefix lengths for IPv4 and IPv6 as in /24,/64.',
  });
}
