import { ArgumentError } from '../error.ts';
import { nearest } from '../nearest.ts';
import { MAX_RULES } from '../programs/redirect-ports.ts';

export const REDIRECT_PROTOCOLS = ['tcp', 'udp'] as const;
export type RedirectProtocol = (typeof REDIRECT_PROTOCOLS)[number];

/** Packets of one protocol for one port go to another. */
export interface RedirectRule {
  readonly protocol: RedirectProtocol;
  /** The port that clients ask for. */
  readonly from: number;
  /** The port where somebody listens. */
  readonly to: number;
}

/** As the IP header has it. */
export const PROTOCOL_NUMBER: Readonly<Record<RedirectProtocol, number>> = { tcp: 6, udp: 17 };

/** `udp 7999 -> 7998`. */
export function describeRule({ protocol, from, to }: RedirectRule): string {
  return `${protocol} ${from} -> ${to}`;
}

/**
 * Reads rules as they are typed: `udp 7999 7998 tcp 80 8080`.
 *
 * @throws ArgumentError
 */
export function parseRules(words: readonly string[]): RedirectRule[] {
  const rules: RedirectRule[] = [];
  for (let i = 0; i < words.length; i += 3) {
    const [protocol = '', from, to] = words.slice(i, i + 3);
    if (!isProtocol(protocol)) throw unknownProtocol(protocol);
    if (from === undefined || to === undefined) {
      throw new ArgumentError(`the rule '${words.slice(i).join(' ')}' is not complete`, {
        hint: 'Write PROTOCOL FROM TO, as in udp 7999 7998.',
      });
    }
    rules.push({ protocol, from: parsePort(from), to: parsePort(to) });
  }
  checkRules(rules);
  return rules;
}

/** Reads the rules to take away: `udp 7999 tcp 80`. @throws ArgumentError */
export function parseAsked(words: readonly string[]): Pick<RedirectRule, 'protocol' | 'from'>[] {
  const asked: Pick<RedirectRule, 'protocol' | 'from'>[] = [];
  for (let i = 0; i < words.length; i += 2) {
    const [protocol = '', from] = words.slice(i, i + 2);
    if (!isProtocol(protocol)) throw unknownProtocol(protocol);
    if (from === undefined) {
      throw new ArgumentError(`'${protocol}' needs the port that is asked for`, {
        hint: `Write PROTOCOL FROM, as in ${protocol} 7999.`,
      });
    }
    asked.push({ protocol, from: parsePort(from) });
  }
  return asked;
}

/** @throws ArgumentError for rules that cannot be, alone or together. */
export function checkRules(rules: readonly RedirectRule[]): void {
  const seen = new Map<string, RedirectRule>();
  for (const rule of rules) {
    if (!isProtocol(rule.protocol)) throw unknownProtocol(rule.protocol);
    for (const port of [rule.from, rule.to]) {
      if (!Number.isInteger(port) || port < 1 || port > 65_535) throw badPort(String(port));
    }
    if (rule.from === rule.to) {
      throw new ArgumentError(`${describeRule(rule)} leads a port to itself`, {
        hint: 'Give the port that clients ask for, then the one where somebody listens.',
      });
    }
    const key = `${rule.protocol} ${rule.from}`;
    const other = seen.get(key);
    if (other !== undefined && other.to !== rule.to) {
      throw new ArgumentError(`${key} leads to ${other.to} and to ${rule.to}`, {
        hint: 'A port has one rule per protocol.',
      });
    }
    seen.set(key, rule);
  }
  if (seen.size > MAX_RULES) {
    throw new ArgumentError(`${seen.size} rules: an interface has room for ${MAX_RULES}`);
  }
}

function isProtocol(word: string): word is RedirectProtocol {
  return (REDIRECT_PROTOCOLS as readonly string[]).includes(word);
}

function unknownProtocol(word: string): ArgumentError {
  const [near] = nearest(word, REDIRECT_PROTOCOLS, 1);
  return new ArgumentError(`'${word}' is no protocol with ports that can be redirected`, {
    hint: near === undefined ? 'Choose tcp or udp.' : `Did you mean ${near}?`,
  });
}

function parsePort(word: string): number {
  const port = /^\d{1,5}$/.test(word) ? Number(word) : 0;
  if (port < 1 || port > 65_535) throw badPort(word);
  return port;
}

function badPort(word: string): ArgumentError {
  return new ArgumentError(`'${word}' is no port`, { hint: 'Ports go from 1 to 65535.' });
}
