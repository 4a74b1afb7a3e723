import type { StackInterface } from './interface.ts';
import type { Ip } from './ip.ts';

/** How long a smaller MTU is believed (RFC 1191, section 6.3; RFC 8201, section 5.3). In ms. */
const LIFETIME = 600_000;
const MAX_PATHS = 4096;
/** Nobody is believed who says less (RFC 8200, section 5; for IPv4, RFC 5927, section 7.2, lets hosts choose). */
const LEAST4 = 552;
const LEAST6 = 1280;
/** For routers that do not say what they can take (RFC 1191, section 7.1). */
const PLATEAUS: readonly number[] = [32000, 17914, 8166, 4352, 2002, 1492, 1006, 576];

interface KnownPath {
  readonly mtu: number;
  readonly until: number;
}

/** What is known of paths that take less than their first link does. */
export class PathMtus {
  readonly #paths: Map<string, KnownPath> = new Map<string, KnownPath>();

  /** Bytes of the longest IP packet. */
  get(via: StackInterface, remote: Ip, now: number): number {
    if (this.#paths.size === 0) return via.mtu;
    const key = `${via.id} ${remote.key}`;
    const path = this.#paths.get(key);
    if (path === undefined) return via.mtu;
    if (path.until > now) return Math.min(path.mtu, via.mtu);
    this.#paths.delete(key);
    return via.mtu;
  }

  /**
   * A router says that a packet was too big.
   *
   * @param said What it takes; 0 when it does not say.
   * @param length Of the packet that it could not take.
   * @returns whether that is news, and believable.
   */
  lower(via: StackInterface, remote: Ip, said: number, length: number, now: number): boolean {
    const least = remote.version === 4 ? LEAST4 : LEAST6;
    const guess = PLATEAUS.find((plateau) => plateau < length) ?? least;
    const mtu = Math.max(said === 0 ? guess : said, Math.min(least, via.mtu));
    if (mtu >= this.get(via, remote, now)) return false;
    if (this.#paths.size >= MAX_PATHS) {
      const [oldest] = this.#paths.keys();
      this.#paths.delete(oldest!);
    }
    this.#paths.set(`${via.id} ${remote.key}`, { mtu, until: now + LIFETIME });
    return true;
  }
}
