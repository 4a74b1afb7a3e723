import { IpcpOptionType, PppOptionCursor, PppProtocol } from '../packet/index.ts';
import { type ControlOwner, ControlProtocol, type OptionVerdict } from './control-protocol.ts';
import { putWordOption, wordAt } from './lcp.ts';

/** What IPCP asks for and gives. Addresses are unsigned 32-bit numbers; 0 is none. */
export interface IpcpOptions {
  /** Our own address; 0 lets the peer choose. */
  readonly local: number;
  /** The address that the peer gets; 0 takes the one it has. */
  readonly peer: number;
  /** Name servers that the peer may ask for. */
  readonly dns: readonly number[];
  readonly nbns: readonly number[];
  readonly asksDns: boolean;
  readonly asksNbns: boolean;
}

/** The four server options of RFC 1877 in the order in which we keep them. */
const SERVERS = [
  IpcpOptionType.primaryDns,
  IpcpOptionType.secondaryDns,
  IpcpOptionType.primaryNbns,
  IpcpOptionType.secondaryNbns,
] as const;

const cursor = new PppOptionCursor();

/** The Internet Protocol Control Protocol (RFC 1332) with name servers (RFC 1877). */
export class Ipcp extends ControlProtocol {
  /** The peer has no address for us. */
  noAddress = false;
  readonly #options: IpcpOptions;
  #local: number;
  #peer = 0;
  /** By {@link SERVERS}; -1 where we do not ask. */
  readonly #servers: Float64Array;

  constructor(owner: ControlOwner, options: IpcpOptions) {
    super(owner, PppProtocol.ipcp);
    this.#options = options;
    this.#local = options.local;
    const { asksDns, asksNbns } = options;
    this.#servers = Float64Array.of(asksDns ? 0 : -1, asksDns ? 0 : -1, asksNbns ? 0 : -1, asksNbns ? 0 : -1);
  }

  get local(): number {
    return this.#local;
  }

  /** 0 if the peer tells none. */
  get peer(): number {
    return this.#peer;
  }

  get dns(): number[] {
    return [...this.#servers.subarray(0, 2)].filter((server) => server > 0);
  }

  get nbns(): number[] {
    return [...this.#servers.subarray(2, 4)].filter((server) => server > 0);
  }

  protected override begin(now: number): void {
    super.begin(now);
    this.#peer = 0;
  }

  protected writeRequest(out: Uint8Array, start: number): number {
    let at = putWordOption(out, start, IpcpOptionType.address, this.#local);
    for (const [i, type] of SERVERS.entries()) {
      const server = this.#servers[i]!;
      if (server >= 0) at = putWordOption(out, at, type, server);
    }
    return at;
  }

  protected judge(type: number, bytes: Uint8Array, from: number, to: number): OptionVerdict {
    if (to - from !== 4) return 'reject';
    const value = wordAt(bytes, from);
    if (type === IpcpOptionType.address) {
      const { peer } = this.#options;
      if (peer === 0) return isHost(value) ? 'ack' : 'reject';
      return value === peer ? 'ack' : 'nak';
    }
    const server = this.#offered(type);
    if (server === 0) return 'reject';
    return value === server ? 'ack' : 'nak';
  }

  protected writeNak(
    type: number,
    _bytes: Uint8Array,
    _from: number,
    _to: number,
    out: Uint8Array,
    at: number,
  ): number {
    const value = type === IpcpOptionType.address ? this.#options.peer : this.#offered(type);
    return putWordOption(out, at, type, value);
  }

  /** A peer that gets its address from us has to ask for one. */
  protected override writeMissing(
    bytes: Uint8Array,
    from: number,
    to: number,
    out: Uint8Array,
    at: number,
  ): number {
    const { peer } = this.#options;
    if (peer === 0) return at;
    cursor.start(bytes, from, to);
    while (cursor.next()) if (cursor.type === IpcpOptionType.address) return at;
    return putWordOption(out, at, IpcpOptionType.address, peer);
  }

  protected accept(bytes: Uint8Array, from: number, to: number): void {
    this.#peer = 0;
    cursor.start(bytes, from, to);
    while (cursor.next()) {
      if (cursor.type === IpcpOptionType.address) this.#peer = wordAt(bytes, cursor.dataOffset);
    }
  }

  protected naked(type: number, bytes: Uint8Array, from: number, to: number): void {
    if (to - from !== 4) return;
    const value = wordAt(bytes, from);
    if (type === IpcpOptionType.address) {
      if (isHost(value)) this.#local = value;
      else this.noAddress = true;
      return;
    }
    const server = SERVERS.indexOf(type as (typeof SERVERS)[number]);
    if (server >= 0 && this.#servers[server]! >= 0) this.#servers[server] = value;
  }

  protected rejected(type: number): void {
    if (type === IpcpOptionType.address) this.noAddress = true;
    const server = SERVERS.indexOf(type as (typeof SERVERS)[number]);
    if (server >= 0) this.#servers[server] = -1;
  }

  /** The server that a peer gets for an option; 0 if none. With a single one it is both. */
  #offered(type: number): number {
    const { dns, nbns } = this.#options;
    switch (type) {
      case IpcpOptionType.primaryDns:
        return dns[0] ?? 0;
      case IpcpOptionType.secondaryDns:
        return dns[1] ?? dns[0] ?? 0;
      case IpcpOptionType.primaryNbns:
        return nbns[0] ?? 0;
      case IpcpOptionType.secondaryNbns:
        return nbns[1] ?? nbns[0] ?? 0;
      default:
        return 0;
    }
  }
}

/** Whether a host can have this address: not 0/8, not 127/8, not multicast or above. */
function isHost(address: number): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}
