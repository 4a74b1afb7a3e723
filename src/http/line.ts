import type { Duplex } from 'node:stream';

/**
 * A way out to the network with an address of its own: a PPPoE session, a host of the TCP/IP stack, a device of the
 * kernel's. What HTTP and the proxy need of it, and no more; whatever fits is a line.
 */
export interface Line {
  /** Short and stable, as people see it: `line-3`. */
  readonly name: string;
  /** The addresses that others see it by; empty while it is down. */
  readonly addresses: readonly string[];
  /**
   * A TCP connection that leaves by this line and no other.
   *
   * @returns The stream, once it is connected.
   * @throws With Node's codes: `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`, …
   */
  connect(target: LineTarget): Promise<Duplex>;
  /**
   * A name's addresses, asked of the line's own servers through the line.
   *
   * @returns At least one address, those to try first in front.
   * @throws With `ENOTFOUND` when there is none, `EAI_AGAIN` when no server answered.
   */
  resolve(name: string, options?: { readonly signal?: AbortSignal }): Promise<readonly string[]>;
  /** A UDP socket of the line's; lines without one serve no UDP. */
  openUdp?(): Promise<LineUdp>;
}

export interface LineTarget {
  /** An address, never a name: names are resolved through the line. */
  readonly host: string;
  readonly port: number;
  /** Keep the own side open after the peer has ended its. Default is false, as for sockets of Node's. */
  readonly allowHalfOpen?: boolean;
  readonly signal?: AbortSignal;
}

/** Datagrams through a line. */
export interface LineUdp {
  send(payload: Uint8Array, host: string, port: number): void;
  /** Called with every datagram that arrives; the bytes are good during the call. */
  onMessage: ((payload: Uint8Array, host: string, port: number) => void) | undefined;
  /** Called once when the line is gone; nothing comes or goes any more. */
  onGone: ((reason: Error) => void) | undefined;
  close(): void;
}
