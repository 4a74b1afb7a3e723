import type { StackInterface } from './interface.ts';
import { type Ip, putHalf, putWord } from './ip.ts';
import { HEADROOM, IPV4_HEADER, IPV6_HEADER, writeIpHeader } from './ip-header.ts';
import { FRAGMENT } from './ip-input.ts';

const MORE = 0x2000;

/** Sends packets that are not TCP's: their payload is written first, then the header before it, in pieces if need be. */
export class IpOutput {
  /** A packet is written here: see `payload`. */
  readonly scratch: Uint8Array;
  readonly #pieces: Uint8Array = new Uint8Array(65536 + 128);
  readonly #nextId: () => number;
  readonly #mtu: (via: StackInterface, remote: Ip) => number;

  constructor(scratch: Uint8Array, nextId: () => number, mtu: (via: StackInterface, remote: Ip) => number) {
    this.scratch = scratch;
    this.#nextId = nextId;
    this.#mtu = mtu;
  }

  /** Where in `scratch` the payload of a packet begins. */
  payload(version: number): number {
    return HEADROOM + (version === 4 ? IPV4_HEADER : IPV6_HEADER);
  }

  /** Sends `length` bytes that lie at `payload`; what the link does not take is lost. */
  send(via: StackInterface, source: Ip, destination: Ip, protocol: number, length: number, hops = 64): void {
    const header = source.version === 4 ? IPV4_HEADER : IPV6_HEADER;
    if (header + length > this.#mtu(via, destination)) {
      this.#fragment(via, source, destination, protocol, length, hops);
      return;
    }
    // What may be fragmented on its way needs an ID; datagrams other than TCP's may (RFC 6864).
    writeIpHeader(this.scratch, HEADROOM, source, destination, protocol, length, this.#nextId(), hops, 0);
    via.transmit(this.scratch, HEADROOM, header + length, destination);
  }

  #fragment(
    via: StackInterface,
    source: Ip,
    destination: Ip,
    protocol: number,
    length: number,
    hops: number,
  ): void {
    const ipv4 = source.version === 4;
    const from = this.payload(source.version);
    const overhead = ipv4 ? IPV4_HEADER : IPV6_HEADER + 8;
    const room = (this.#mtu(via, destination) - overhead) & ~7;
    const id = ipv4 ? this.#nextId() : (this.#nextId() << 16) | this.#nextId();
    const out = this.#pieces;
    for (let at = 0; at < length; at += room) {
      const size = Math.min(room, length - at);
      const more = at + size < length;
      const payload = HEADROOM + overhead;
      out.set(this.scratch.subarray(from + at, from + at + size), payload);
      if (ipv4) {
        writeIpHeader(
          out,
          HEADROOM,
          source,
          destination,
          protocol,
          size,
          id,
          hops,
          (at >> 3) | (more ? MORE : 0),
        );
      } else {
        writeIpHeader(out, HEADROOM, source, destination, FRAGMENT, 8 + size, 0, hops);
        putHalf(out, payload - 8, protocol << 8);
        putHalf(out, payload - 6, at | (more ? 1 : 0));
        putWord(out, payload - 4, id);
      }
      if (!via.transmit(out, HEADROOM, overhead + size, destination)) return;
    }
  }
}
