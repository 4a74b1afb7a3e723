import { CodecError } from '../error.ts';
import { type DecodedDnsMessage, type DnsQuestion, DnsResponseCode, decodeDns } from '../packet/index.ts';

/** What an answer says about a question. */
export type Verdict =
  | { readonly kind: 'addresses'; readonly addresses: readonly string[] /** In s. */; readonly ttl: number }
  /** The name goes on under another one that the answer says nothing of. */
  | { readonly kind: 'alias'; readonly name: string; readonly ttl: number }
  | { readonly kind: 'none'; readonly missing: boolean; readonly ttl: number }
  /** Too long for a datagram: ask over TCP. */
  | { readonly kind: 'truncated' }
  /** The server cannot say; another may. */
  | { readonly kind: 'failed'; readonly responseCode: number };

/** A chain of aliases that is longer is a circle, or somebody's joke. */
const MAX_ALIASES = 8;

/**
 * Whether the bytes answer this very query: the identifier, the question word for word, and not a query themselves. A
 * resolver that takes less can be told anything by anyone who guesses sixteen bits (RFC 5452 section 9.1).
 */
export function answers(bytes: Uint8Array, id: number, question: DnsQuestion): DecodedDnsMessage | undefined {
  let message: DecodedDnsMessage;
  try {
    message = decodeDns(bytes);
  } catch (error) {
    if (error instanceof CodecError) return undefined;
    throw error;
  }
  const [echoed, second] = message.questions;
  const same =
    message.id === id &&
    message.response &&
    message.opcode === 0 &&
    echoed !== undefined &&
    second === undefined &&
    sameName(echoed.name, question.name) &&
    echoed.type === question.type;
  return same ? message : undefined;
}

/** What the message says of the question's name, aliases within it followed. */
export function judge(message: DecodedDnsMessage, question: DnsQuestion): Verdict {
  if (message.truncated) return { kind: 'truncated' };
  const { responseCode } = message;
  if (responseCode !== DnsResponseCode.noError && responseCode !== DnsResponseCode.nameError) {
    return { kind: 'failed', responseCode };
  }
  let name = question.name;
  let ttl = Number.POSITIVE_INFINITY;
  for (let hops = 0; hops <= MAX_ALIASES; hops++) {
    const own = message.answers.filter((record) => sameName(record.name, name));
    const addresses: string[] = [];
    for (const record of own) {
      if ((record.type === 'A' || record.type === 'AAAA') && record.type === question.type) {
        addresses.push(record.address);
        ttl = Math.min(ttl, record.ttl);
      }
    }
    if (addresses.length > 0) return { kind: 'addresses', addresses, ttl };
    const alias = own.find((record) => record.type === 'CNAME');
    if (alias?.type !== 'CNAME') break;
    ttl = Math.min(ttl, alias.ttl);
    name = alias.target;
  }
  const aliased = !sameName(name, question.name);
  const soa = message.authorities.find((record) => record.type === 'SOA');
  // RFC 2308 section 5: without a SOA record nothing says how long to believe in nothing.
  if (aliased && soa === undefined && responseCode === DnsResponseCode.noError) {
    return { kind: 'alias', name, ttl: Number.isFinite(ttl) ? ttl : 0 };
  }
  const negative = soa?.type === 'SOA' ? Math.min(soa.ttl, soa.minimum, LONGEST_NEGATIVE) : 0;
  return { kind: 'none', missing: responseCode === DnsResponseCode.nameError, ttl: negative };
}

/** In s. RFC 2308 section 5 advises one to three hours; lines that change their address want it shorter. */
const LONGEST_NEGATIVE = 300;

function sameName(a: string, b: string): boolean {
  return plain(a) === plain(b);
}

function plain(name: string): string {
  return (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase();
}
