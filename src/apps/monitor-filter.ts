import { type IpVersion, type Prefix, parsePrefix, prefixContains, tryParseIp } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import { nearest } from '../nearest.ts';
import { PROTOCOL_NAMES, protocolNumber } from './monitor-talkers.ts';

/** What a filter looks at: a conversation, or a packet as one. */
export interface Conversation {
  readonly protocol: number;
  readonly remote: string;
  readonly local: string;
  readonly remotePort: number;
  readonly localPort: number;
}

/** Which conversations are shown and recorded. */
export interface MonitorFilter {
  /** As it was given. */
  readonly text: string;
  matches(conversation: Conversation): boolean;
}

type Test = (conversation: Conversation) => boolean;

/**
 * Reads a filter: words that must all hold, each `tcp`, `udp` and the like, `ip4`, `ip6`, an address, a prefix or a
 * port, with `not` before what must not; `host`, `net` and `port` may stand before their value.
 *
 *     udp port 53 not 192.0.2.0/24
 *
 * @throws ArgumentError that names the word.
 */
export function parseMonitorFilter(text: string): MonitorFilter {
  const tests: Test[] = [];
  let negate = false;
  let expected: Noun | undefined;
  for (const word of text.toLowerCase().split(/[\s,]+/)) {
    if (word === '' || word === 'and') continue;
    if (word === 'not' || word === '!') {
      negate = !negate;
      continue;
    }
    if (expected === undefined && isNoun(word)) {
      expected = word;
      continue;
    }
    const test = testOf(word, expected);
    const wanted = !negate;
    tests.push((conversation) => test(conversation) === wanted);
    negate = false;
    expected = undefined;
  }
  if (expected !== undefined) throw new ArgumentError(`the filter ends after '${expected}'`, HINTS[expected]);
  if (negate) throw new ArgumentError("the filter ends after 'not'", { hint: 'Say what must not be.' });
  return { text: text.trim(), matches: (conversation) => tests.every((test) => test(conversation)) };
}

/** Everything. */
export const NO_FILTER: MonitorFilter = { text: '', matches: () => true };

const NOUNS = ['host', 'net', 'port'] as const;
type Noun = (typeof NOUNS)[number];

const HINTS: Readonly<Record<Noun, { readonly hint: string }>> = {
  host: { hint: 'Give an address, as in host 192.0.2.1.' },
  net: { hint: 'Give a prefix, as in net 192.0.2.0/24.' },
  port: { hint: 'Give a port, as in port 53.' },
};

function isNoun(word: string): word is Noun {
  return (NOUNS as readonly string[]).includes(word);
}

function testOf(word: string, expected: Noun | undefined): Test {
  if (expected === 'port' || (expected === undefined && /^\d+$/.test(word))) return portTest(word);
  if (word.includes('/') && expected !== 'host') return prefixTest(parsePrefix(word));
  const address = tryParseIp(word);
  if (address !== undefined) {
    return prefixTest(parsePrefix(`${word}/${address.version === 4 ? 32 : 128}`));
  }
  if (expected !== undefined)
    throw new ArgumentError(`'${word}' cannot follow '${expected}'`, HINTS[expected]);
  if (word === 'ip4' || word === 'ip6') {
    const version: IpVersion = word === 'ip4' ? 4 : 6;
    return ({ remote }) => remote.includes(':') === (version === 6);
  }
  const protocol = protocolNumber(word);
  if (protocol !== undefined) return (conversation) => conversation.protocol === protocol;
  const [near] = nearest(word, [...PROTOCOL_NAMES, ...NOUNS, 'not', 'ip4', 'ip6'], 1);
  throw new ArgumentError(`'${word}' is no word of a filter`, {
    hint:
      near === undefined
        ? 'Use protocols, addresses, prefixes and ports, as in udp 53 not 192.0.2.0/24.'
        : `Did you mean ${near}?`,
  });
}

function portTest(word: string): Test {
  const port = /^\d{1,5}$/.test(word) ? Number(word) : 0;
  if (port < 1 || port > 65_535)
    throw new ArgumentError(`'${word}' is no port`, { hint: 'Ports go from 1 to 65535.' });
  return ({ remotePort, localPort }) => remotePort === port || localPort === port;
}

/** Addresses come again and again: what they were is remembered, within bounds. */
function prefixTest(prefix: Prefix): Test {
  const known = new Map<string, boolean>();
  const inside = (text: string): boolean => {
    let answer = known.get(text);
    if (answer === undefined) {
      const address = tryParseIp(text);
      answer = address !== undefined && prefixContains(prefix, address);
      if (known.size > 10_000) known.clear();
      known.set(text, answer);
    }
    return answer;
  };
  return ({ remote, local }) => inside(remote) || inside(local);
}
