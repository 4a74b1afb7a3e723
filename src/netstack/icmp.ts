import { checksum, transportChecksum } from '../packet/checksum.ts';
import { NetError, type NetErrorCode } from './error.ts';
import type { StackInterface } from './interface.ts';
import { halfAt, Ip, putHalf, putWord, wordAt } from './ip.ts';
import type { IpOutput } from './ip-output.ts';
import type { IpPacket } from './packet.ts';
import { UDP } from './udp.ts';

/** IANA protocol numbers. */
export const ICMP = 1;
export const ICMPV6 = 58;
const TCP = 6;

const HEADER = 8;
/** Errors that we send, a second (RFC 1812, section 4.3.2.8; RFC 4443, section 2.4 f). */
const ERRORS_PER_SECOND = 100;
/** Echo requests that are answered, a second. */
const ECHOES_PER_SECOND = 10_000;

/** What an ICMP error says of a packet of ours. */
export interface IcmpReport {
  readonly interface: StackInterface;
  readonly local: Ip;
  readonly remote: Ip;
  readonly protocol: number;
  readonly localPort: number;
  readonly remotePort: number;
  /** TCP's, where it is TCP. */
  readonly seq: number;
  /** What became of it; `EMSGSIZE` means that it was too long for the path. */
  readonly code: NetErrorCode;
  /** With `EMSGSIZE`: what the path takes, 0 when not said; and how long the packet was. */
  readonly mtu: number;
  readonly length: number;
}

/** The answer to an echo request. */
export interface EchoReply {
  readonly from: Ip;
  readonly hops: number;
  readonly bytes: number;
}

/** ICMP (RFC 792, RFC 1122 section 3.2.2) and ICMPv6 (RFC 4443) of a stack; neighbour discovery has its own file. */
export class IcmpLayer {
  readonly #output: IpOutput;
  readonly #onReport: (report: IcmpReport) => void;
  readonly #echoes: Map<number, (reply: EchoReply) => void> = new Map<number, (reply: EchoReply) => void>();
  #second = 0;
  #errors = 0;
  #answers = 0;

  constructor(output: IpOutput, onReport: (report: IcmpReport) => void) {
    this.#output = output;
    this.#onReport = onReport;
  }

  /** A message came; false when it is none of ours, as neighbour discovery. */
  input(packet: IpPacket, now: number): boolean {
    const { bytes, transport: at, end, version } = packet;
    if (end - at < HEADER || !hasRightChecksum(packet)) return true;
    const type = bytes[at]!;
    if (type === (version === 4 ? 8 : 128)) this.#onEcho(packet, now);
    else if (type === (version === 4 ? 0 : 129)) this.#onEchoReply(packet);
    else if (version === 4 ? type === 3 || type === 11 || type === 12 : type < 128) this.#onError(packet);
    else return false;
    return true;
  }

  /** Sends an echo request; `onReply` is called for each answer until `stopEcho`. */
  echo(
    via: StackInterface,
    local: Ip,
    remote: Ip,
    id: number,
    sequence: number,
    bytes: number,
    onReply: (reply: EchoReply) => void,
  ): void {
    this.#echoes.set((id << 16) | sequence, onReply);
    const out = this.#output.scratch;
    const at = this.#output.payload(local.version);
    putWord(out, at, local.version === 4 ? 0x0800_0000 : 0x8000_0000);
    putHalf(out, at + 4, id);
    putHalf(out, at + 6, sequence);
    for (let i = 0; i < bytes; i++) out[at + HEADER + i] = i;
    this.#send(via, local, remote, HEADER + bytes);
  }

  stopEcho(id: number, sequence: number): void {
    this.#echoes.delete((id << 16) | sequence);
  }

  /** Answers a packet that nobody takes: an unknown protocol or a port without a listener (RFC 1122, section 3.2.2.1). */
  unreachable(packet: IpPacket, what: 'protocol' | 'port', now: number): void {
    // Never for what was sent to many, from nobody, or about an error.
    if (!packet.unicast || packet.source.isUnspecified || !this.#may(now, 'error')) return;
    const { version, bytes, start } = packet;
    // A packet put together from fragments has no header any more to quote.
    if (packet.transport === start) return;
    const out = this.#output.scratch;
    const at = this.#output.payload(version);
    // RFC 1812, section 4.3.2.3: as much as fits into 576 bytes; RFC 4443: into 1280.
    const quoted = Math.min(packet.end - start, version === 4 ? 576 - 28 : 1280 - 48);
    if (version === 4) putWord(out, at, what === 'port' ? 0x0303_0000 : 0x0302_0000);
    // An unknown next header is a parameter problem in IPv6 (RFC 4443, section 3.4).
    else putWord(out, at, what === 'port' ? 0x0104_0000 : 0x0401_0000);
    putWord(out, at + 4, version === 6 && what === 'protocol' ? 6 : 0);
    out.set(bytes.subarray(start, start + quoted), at + HEADER);
    this.#send(packet.interface, packet.destination, packet.source, HEADER + quoted);
  }

  #onEcho(packet: IpPacket, now: number): void {
    const { bytes, transport, end, version } = packet;
    // RFC 1122, section 3.2.2.6 lets a host be silent to those who ask everybody; IPv6 hosts answer.
    if ((!packet.unicast && version === 4) || packet.source.isUnspecified || !this.#may(now, 'echo')) return;
    const local = packet.unicast ? packet.destination : packet.interface.sourceFor(packet.source);
    if (local === undefined) return;
    const out = this.#output.scratch;
    const at = this.#output.payload(version);
    const length = end - transport;
    out.set(bytes.subarray(transport, end), at);
    out[at] = version === 4 ? 0 : 129;
    this.#send(packet.interface, local, packet.source, length);
  }

  #onEchoReply(packet: IpPacket): void {
    const { bytes, transport: at } = packet;
    this.#echoes.get(wordAt(bytes, at + 4))?.({
      from: packet.source,
      hops: packet.hops,
      bytes: packet.end - at - HEADER,
    });
  }

  #onError(packet: IpPacket): void {
    const report = readReport(packet);
    if (report !== undefined) this.#onReport(report);
  }

  /** Fills in the checksum and sends `length` bytes that lie at `payload`. */
  #send(via: StackInterface, source: Ip, destination: Ip, length: number): void {
    const out = this.#output.scratch;
    const at = this.#output.payload(source.version);
    putHalf(out, at + 2, 0);
    const sum =
      source.version === 4
        ? checksum(out, at, at + length)
        : transportChecksum(out, at, at + length, source.sum + destination.sum, ICMPV6);
    putHalf(out, at + 2, sum);
    this.#output.send(via, source, destination, source.version === 4 ? ICMP : ICMPV6, length);
  }

  #may(now: number, what: 'error' | 'echo'): boolean {
    if (now - this.#second >= 1000) {
      this.#second = now;
      this.#errors = 0;
      this.#answers = 0;
    }
    return what === 'error' ? this.#errors++ < ERRORS_PER_SECOND : this.#answers++ < ECHOES_PER_SECOND;
  }
}

function hasRightChecksum({ bytes, transport, end, version, addressSum }: IpPacket): boolean {
  if (version === 4) return checksum(bytes, transport, end) === 0;
  return transportChecksum(bytes, transport, end, addressSum, ICMPV6) === 0;
}

/** Reads which packet of ours an error quotes, and what is said of it; undefined when it is none of ours. */
function readReport(packet: IpPacket): IcmpReport | undefined {
  const { bytes, transport: at, end, version, interface: via } = packet;
  const quoted = at + HEADER;
  const least = version === 4 ? 20 : 40;
  if (quoted + least + 8 > end || bytes[quoted]! >>> 4 !== version) return undefined;
  const header = version === 4 ? (bytes[quoted]! & 15) << 2 : 40;
  const ports = quoted + header;
  if (header < least || ports + 8 > end) return undefined;
  const protocol = bytes[quoted + (version === 4 ? 9 : 6)]!;
  if (protocol !== TCP && protocol !== UDP && protocol !== ICMP && protocol !== ICMPV6) return undefined;
  const local = version === 4 ? Ip.v4(wordAt(bytes, quoted + 12)) : Ip.v6(bytes, quoted + 8);
  const remote = version === 4 ? Ip.v4(wordAt(bytes, quoted + 16)) : Ip.v6(bytes, quoted + 24);
  if (!via.owns(local.w0, local.w1, local.w2, local.w3)) return undefined;
  const code = meaningOf(version, bytes[at]!, bytes[at + 1]!);
  if (code === undefined) return undefined;
  return {
    interface: via,
    local,
    remote,
    protocol,
    localPort: halfAt(bytes, ports),
    remotePort: halfAt(bytes, ports + 2),
    seq: wordAt(bytes, ports + 4),
    code,
    mtu: code !== 'EMSGSIZE' ? 0 : version === 4 ? halfAt(bytes, at + 6) : wordAt(bytes, at + 4) >>> 0,
    length: version === 4 ? halfAt(bytes, quoted + 2) : 40 + halfAt(bytes, quoted + 4),
  };
}

/** RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1; RFC 4443 section 3. */
function meaningOf(version: number, type: number, code: number): NetErrorCode | undefined {
  if (version === 4) {
    if (type === 3) {
      if (code === 2 || code === 3) return 'ECONNREFUSED';
      if (code === 4) return 'EMSGSIZE';
      return code === 0 || code === 6 || code === 9 || code === 11 ? 'ENETUNREACH' : 'EHOSTUNREACH';
    }
    return type === 11 ? 'EHOSTUNREACH' : undefined;
  }
  if (type === 1) return code === 4 ? 'ECONNREFUSED' : code === 0 ? 'ENETUNREACH' : 'EHOSTUNREACH';
  if (type === 2) return 'EMSGSIZE';
  if (type === 3) return 'EHOSTUNREACH';
  return type === 4 && code === 1 ? 'ECONNREFUSED' : undefined;
}

/** As an application is told of it. */
export function reportError(report: IcmpReport, syscall: string): NetError {
  return new NetError(report.code, { syscall, address: String(report.remote), port: report.remotePort });
}
