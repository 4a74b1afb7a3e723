import type { StackInterface } from '../interface.ts';
import { MAPPED } from '../ip.ts';
import type { Tcb } from './tcb.ts';

const FIRST_BUCKETS = 64;

/**
 * Connections by interface, addresses and ports. The hash is keyed, so that nobody outside can fill one bucket.
 */
export class ConnectionTable {
  #buckets: (Tcb | undefined)[] = new Array<Tcb | undefined>(FIRST_BUCKETS).fill(undefined);
  #mask: number = FIRST_BUCKETS - 1;
  readonly #seed: number;
  #last: Tcb | undefined;
  size = 0;

  /** @param seed 32 bits that nobody can guess. */
  constructor(seed: number) {
    this.#seed = seed | 0;
  }

  /** Addresses as words, the remote one first; ports alike. */
  find(
    via: StackInterface,
    r0: number,
    r1: number,
    r2: number,
    r3: number,
    l0: number,
    l1: number,
    l2: number,
    l3: number,
    remotePort: number,
    localPort: number,
  ): Tcb | undefined {
    // Most segments are for the same connection as the one before.
    const last = this.#last;
    if (
      last !== undefined &&
      last.remotePort === remotePort &&
      last.localPort === localPort &&
      last.interface === via &&
      last.remote.is(r0, r1, r2, r3) &&
      last.local.is(l0, l1, l2, l3)
    )
      return last;
    const hash = this.#hash(via.id, r0, r1, r2, r3, l0, l1, l2, l3, (remotePort << 16) | localPort);
    for (let tcb = this.#buckets[hash & this.#mask]; tcb !== undefined; tcb = tcb.chain) {
      if (
        tcb.hash === hash &&
        tcb.remotePort === remotePort &&
        tcb.localPort === localPort &&
        tcb.interface === via &&
        tcb.remote.is(r0, r1, r2, r3) &&
        tcb.local.is(l0, l1, l2, l3)
      ) {
        this.#last = tcb;
        return tcb;
      }
    }
    return undefined;
  }

  add(tcb: Tcb): void {
    const { local, remote } = tcb;
    tcb.hash = this.#hash(
      tcb.interface.id,
      remote.w0,
      remote.w1,
      remote.w2,
      remote.w3,
      local.w0,
      local.w1,
      local.w2,
      local.w3,
      (tcb.remotePort << 16) | tcb.localPort,
    );
    if (this.size > this.#mask) this.#grow();
    this.#put(tcb);
    this.size++;
  }

  remove(tcb: Tcb): void {
    if (this.#last === tcb) this.#last = undefined;
    const bucket = tcb.hash & this.#mask;
    let previous: Tcb | undefined;
    for (let at = this.#buckets[bucket]; at !== undefined; at = at.chain) {
      if (at === tcb) {
        if (previous === undefined) this.#buckets[bucket] = tcb.chain;
        else previous.chain = tcb.chain;
        tcb.chain = undefined;
        this.size--;
        return;
      }
      previous = at;
    }
  }

  /** All of them, as they are now. */
  all(): Tcb[] {
    const found: Tcb[] = [];
    for (const first of this.#buckets) {
      for (let tcb = first; tcb !== undefined; tcb = tcb.chain) found.push(tcb);
    }
    return found;
  }

  #put(tcb: Tcb): void {
    const bucket = tcb.hash & this.#mask;
    tcb.chain = this.#buckets[bucket];
    this.#buckets[bucket] = tcb;
  }

  #grow(): void {
    const all = this.all();
    const length = 2 * this.#buckets.length;
    this.#buckets = new Array<Tcb | undefined>(length).fill(undefined);
    this.#mask = length - 1;
    for (const tcb of all) this.#put(tcb);
  }

  #hash(
    via: number,
    r0: number,
    r1: number,
    r2: number,
    r3: number,
    l0: number,
    l1: number,
    l2: number,
    l3: number,
    ports: number,
  ): number {
    let h = this.#seed ^ via;
    if (r2 !== MAPPED || r1 !== 0 || r0 !== 0) {
      h = stir(stir(stir(h, r0), r1), r2);
      h = stir(stir(stir(h, l0), l1), l2);
    }
    h = stir(stir(stir(h, r3), l3), ports);
    return (h ^ (h >>> 15)) | 0;
  }
}

/** One step of MurmurHash3's mixing. */
function stir(h: number, word: number): number {
  const k = Math.imul(word, 0xcc9e_2d51);
  const x = h ^ Math.imul((k << 15) | (k >>> 17), 0x1b87_3593);
  return (Math.imul((x << 13) | (x >>> 19), 5) + 0xe654_6b64) | 0;
}
