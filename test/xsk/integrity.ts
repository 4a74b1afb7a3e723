import assert from 'node:assert/strict';
import { Lab } from '../../src/lab/index.ts';
import type { Netlink } from '../../src/netlink/index.ts';
import { openInterface, type XskInterface, type XskSocket } from '../../src/xsk/index.ts';
import { TEST_ETHER_TYPE } from './link-layer-suite.ts';

/** Frames of this kind: addresses, EtherType, their number (32 bits), then bytes that follow from the number. */
const NUMBER_AT = 14;
const BODY_AT = 18;
const LENGTHS = [60, 64, 65, 127, 128, 256, 577, 1024, 1513, 1514];

export interface Result {
  readonly sent: number;
  readonly returned: number;
  /** Sent, and never seen again. */
  readonly missing: number;
  /** What the interfaces of both ends count as dropped: on a veth also what found a socket without room. */
  readonly byInterfaces: number;
  /** That, and what our socket counts. */
  readonly counted: number;
}

/** Two hosts on a wire, the first with an interface that numbers frames and checks them when they come back. */
export class Track implements AsyncDisposable {
  readonly lab: Lab;
  readonly near: XskInterface;
  readonly #seen: Uint8Array;
  readonly #before: Map<string, bigint>;
  #sent = 0;
  #returned = 0;
  /** Frames that are known to be lost, and not waited for any more. */
  #lost = 0;

  private constructor(lab: Lab, near: XskInterface, frames: number) {
    this.lab = lab;
    this.near = near;
    this.#seen = new Uint8Array(frames);
    this.#before = dropsOf(lab);
  }

  /** @param frames How many may be sent in all. */
  static async open(
    frames: number,
    options: { readonly debug: boolean; readonly queues?: number },
  ): Promise<Track> {
    const lab = Lab.create({
      hosts: ['near', 'far'],
      wires: [{ between: ['near', 'far'], queues: options.queues ?? 1 }],
    });
    try {
      const near = await openInterface('eth0', {
        netns: lab.host('near').netns,
        match: { etherTypes: [TEST_ETHER_TYPE] },
        umem: { debug: options.debug },
      });
      return new Track(lab, near, frames);
    } catch (error) {
      lab.destroy();
      throw error;
    }
  }

  /** Opens the far end, to reflect. */
  openFar(debug: boolean): Promise<XskInterface> {
    return openInterface('eth0', {
      netns: this.lab.host('far').netns,
      match: { etherTypes: [TEST_ETHER_TYPE] },
      umem: { debug },
    });
  }

  get farNet(): Netlink {
    return this.lab.host('far').net;
  }

  get sent(): number {
    return this.#sent;
  }

  /** Frames that are not waited for. */
  get lost(): number {
    return this.#lost;
  }

  get returned(): number {
    return this.#returned;
  }

  /** Sends up to `count` more frames, evenly over the queues, and no more than `window` beyond those that returned. */
  send(count: number, window: number): number {
    const { sockets } = this.near;
    let sent = 0;
    for (const socket of sockets) {
      const room = window - (this.#sent - this.#returned - this.#lost);
      const share = Math.min(
        Math.ceil(count / sockets.length),
        count - sent,
        room,
        this.#seen.length - this.#sent,
      );
      if (share <= 0) continue;
      const base = this.#sent;
      const done = socket.send(share, (bytes, at, _room, index) => writeFrame(bytes, at, base + index));
      this.#sent += done;
      sent += done;
    }
    return sent;
  }

  /** Checks the frames that have come back; how many. */
  receive(): number {
    let count = 0;
    for (const socket of this.near.sockets) count += socket.receive(this.#check);
    return count;
  }

  readonly #check = (bytes: Uint8Array, at: number, length: number): void => {
    const number = readNumber(bytes, at);
    if (number >= this.#sent) assert.fail(`frame ${number} came back and was never sent`);
    if (this.#seen[number] !== 0) assert.fail(`frame ${number} came back twice`);
    if (length !== LENGTHS[number % LENGTHS.length])
      assert.fail(`frame ${number} came back with ${length} bytes`);
    for (let i = BODY_AT; i < length; i++) {
      if (bytes[at + i] !== bodyByte(number, i))
        assert.fail(`frame ${number} came back altered at byte ${i}`);
    }
    this.#seen[number] = 1;
    this.#returned++;
  };

  /** Sends frames until `until` have been sent, `step` by `step`; `reflect` has the far end do its part. */
  async run(until: number, window: number, reflect: () => void): Promise<void> {
    let idle = 0;
    for (let turns = 0; this.#sent < until || this.#returned + this.#lost < this.#sent; turns++) {
      const sent = this.send(Math.min(64, until - this.#sent), window);
      reflect();
      const came = this.receive();
      idle = sent + came > 0 ? 0 : idle + 1;
      // Others need the CPU to bring frames back; a wait without any frame at its end means that the rest is lost.
      if (idle > 200) await new Promise((resolve) => setTimeout(resolve, 1));
      else if (idle > 0 || turns % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
      if (idle > 700) {
        this.giveUp();
        idle = 0;
      }
    }
  }

  /** Waits no longer for what has not come back. */
  giveUp(): void {
    this.#lost = this.#sent - this.#returned;
  }

  result(): Result {
    let counted = 0n;
    for (const [name, drops] of dropsOf(this.lab)) counted += drops - (this.#before.get(name) ?? 0n);
    const byInterfaces = Number(counted);
    const { rxDropped, rxRingFull, rxFillRingEmpty, txInvalidDescriptors } = this.near.statistics();
    counted += rxDropped + rxRingFull + rxFillRingEmpty + txInvalidDescriptors;
    return {
      sent: this.#sent,
      returned: this.#returned,
      missing: this.#sent - this.#returned,
      byInterfaces,
      counted: Number(counted),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.near.close();
    this.lab.destroy();
  }
}

/** Sends every frame back where it came from. */
export function reflectBack(socket: XskSocket): number {
  return socket.forward(swapAddresses);
}

export function swapAddresses(bytes: Uint8Array, at: number, length: number): number {
  for (let i = at; i < at + 6; i++) {
    const byte = bytes[i]!;
    bytes[i] = bytes[i + 6]!;
    bytes[i + 6] = byte;
  }
  return length;
}

/** As a broadcast reflector does. */
export function toBroadcast(bytes: Uint8Array, at: number, length: number): number {
  for (let i = at; i < at + 6; i++) bytes[i] = 0xff;
  return length;
}

/** Every frame of the interface's memory is in the pool or waits for packets; those of `debug` know by name. */
export async function requireAllFrames(owner: XskInterface): Promise<void> {
  for (const socket of owner.sockets) {
    assert.ok(
      await socket.drain(),
      `${socket.held.sending} frames of ${owner.name} never came back from sending`,
    );
    const { filled, sending } = socket.held;
    const { pool, frames } = socket.umem;
    assert.equal(pool.available + filled + sending, frames, `frames of ${owner.name}, queue ${socket.queue}`);
    const owners = socket.umem.owners();
    if (owners !== undefined) {
      assert.deepEqual(owners, { pool: pool.available, user: 0, fill: filled, rx: 0, tx: 0, completion: 0 });
    }
  }
}

function writeFrame(bytes: Uint8Array, at: number, number: number): number {
  const length = LENGTHS[number % LENGTHS.length]!;
  for (let i = 0; i < 12; i++) bytes[at + i] = i < 6 ? 0x02 : 0x06;
  bytes[at + 12] = TEST_ETHER_TYPE >> 8;
  bytes[at + 13] = TEST_ETHER_TYPE & 0xff;
  bytes[at + NUMBER_AT] = number >>> 24;
  bytes[at + NUMBER_AT + 1] = number >>> 16;
  bytes[at + NUMBER_AT + 2] = number >>> 8;
  bytes[at + NUMBER_AT + 3] = number;
  for (let i = BODY_AT; i < length; i++) bytes[at + i] = bodyByte(number, i);
  return length;
}

function readNumber(bytes: Uint8Array, at: number): number {
  const i = at + NUMBER_AT;
  return ((bytes[i]! << 24) | (bytes[i + 1]! << 16) | (bytes[i + 2]! << 8) | bytes[i + 3]!) >>> 0;
}

function bodyByte(number: number, i: number): number {
  return (number * 31 + i * 7 + (number >>> 8)) & 0xff;
}

/** What both ends of the wire count as dropped. */
function dropsOf(lab: Lab): Map<string, bigint> {
  const drops = new Map<string, bigint>();
  for (const host of lab.hosts) {
    const { stats } = host.net.links.get('eth0');
    drops.set(`${host.name} rx`, stats?.rxDropped ?? 0n);
    drops.set(`${host.name} tx`, stats?.txDropped ?? 0n);
  }
  return drops;
}
