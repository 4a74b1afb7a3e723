import { EventEmitter, on } from 'node:events';
import { formatMac, parseMac } from '../address/index.ts';
import { ArgumentError } from '../error.ts';
import {
  emitPadt,
  PppoeClient,
  type PppoeClientEvent,
  type PppoeClientSession,
  type PppoePacing,
  type PppoeWireIdentity,
} from '../pppoe/index.ts';
import type { InterfaceGoneError } from '../xsk/index.ts';
import { type LineOptions, PppoeLine } from './line.ts';
import { clearLeftovers } from './line-device.ts';
import { StateFile } from './state-file.ts';
import { PppoeWire, type WireOptions } from './wire.ts';

export interface PoolOptions extends WireOptions {
  /**
   * Whether all sessions have the interface's MAC address, or each one of its own: some concentrators allow one session
   * for each. Default is `shared`.
   */
  readonly mac?: 'shared' | 'per-session';
  /** How dialling is spread. */
  readonly pacing?: PppoePacing;
  /** Where open sessions are noted, so that the next start ends those that a killed process left. Default is nowhere. */
  readonly stateFile?: string;
}

/** What happens in a pool, one kind of event for all lines. */
export type PoolEvent =
  | { readonly line: PppoeLine; readonly event: PppoeClientEvent }
  | { readonly carrier: boolean };

export interface PoolEvents {
  event: [event: PoolEvent];
  /** `close` was called, and every session is ended. */
  closed: [];
  /** The interface was deleted. */
  gone: [error: InterfaceGoneError];
}

/** "bw", and a number for each pool. */
const DEVICE_GROUPS = 0x6277_0000;
/** How long sessions have to say goodbye, in ms. */
const FAREWELL = 1000;

/**
 * Any number of PPPoE lines on one interface.
 *
 * @example
 * await using pool = await LinePool.open('eth1');
 * const line = pool.add({ user: 'alice', password: await readPassword() });
 * const { local } = await line.up();
 * const socket = await line.connect({ host: '203.0.113.1', port: 80 });
 */
export class LinePool extends EventEmitter<PoolEvents> implements AsyncDisposable {
  readonly wire: PppoeWire;
  readonly #client: PppoeClient;
  readonly #lines = new Map<PppoeClientSession, PppoeLine>();
  readonly #noted = new Map<PppoeClientSession, PppoeWireIdentity>();
  readonly #macs = new Map<PppoeClientSession, Uint8Array>();
  readonly #perSession: boolean;
  /** Of all its devices, so that they can be deleted together. */
  readonly #group: number;
  readonly #state: StateFile | undefined;
  readonly #names = new Set<string>();
  #linesDue = Number.POSITIVE_INFINITY;
  #count = 0;
  #closing: Promise<void> | undefined;
  #fault: InterfaceGoneError | undefined;

  private constructor(
    wire: PppoeWire,
    client: PppoeClient,
    options: PoolOptions,
    state: StateFile | undefined,
  ) {
    super();
    this.wire = wire;
    this.#client = client;
    this.#perSession = options.mac === 'per-session';
    this.#group = DEVICE_GROUPS | crypto.getRandomValues(new Uint16Array(1))[0]!;
    this.#state = state;
    // Each open line listens, and there may be thousands.
    this.setMaxListeners(0);
  }

  /**
   * Takes the interface's PPPoE frames, and ends what a killed predecessor has left: its sessions by the state file, its
   * routing rules by their devices being gone.
   *
   * @throws As `PppoeWire.open`; BarewireError `BW_BUSY` when another process has the state file.
   */
  static async open(ref: string | number, options: PoolOptions = {}): Promise<LinePool> {
    const taken = options.stateFile === undefined ? undefined : StateFile.take(options.stateFile);
    let pool: LinePool | undefined;
    try {
      await PppoeWire.open(ref, options, (wire) => {
        const client = new PppoeClient({
          random: (bytes) => void crypto.getRandomValues(bytes),
          transmit: (bytes, offset, length) => wire.transmit(bytes, offset, length),
          receive: (session, bytes, offset, length) =>
            pool!.#lines.get(session)?.receive(bytes, offset, length),
          event: (session, event) => pool!.#handle(session, event),
          ...(options.pacing === undefined ? {} : { pacing: options.pacing }),
        });
        const made = new LinePool(wire, client, options, taken?.file);
        pool = made;
        return {
          get deadline() {
            return Math.min(client.deadline, made.#linesDue);
          },
          input: (bytes, offset, length, now) => client.input(bytes, offset, length, now),
          advance: (now) => made.#advance(now),
          carrier: (up, now) => {
            client.carrier(up, now);
            made.emit('event', { carrier: up });
          },
          gone: (error) => made.#vanish(error),
        };
      });
    } catch (error) {
      taken?.file.close();
      throw error;
    }
    const opened = pool!;
    if (!opened.wire.carrier) opened.#client.carrier(false, opened.wire.now());
    clearLeftovers(opened.wire.net);
    if (taken !== undefined) opened.#endLeft(taken.left, taken.file);
    return opened;
  }

  /** In the order in which they were added. */
  get lines(): readonly PppoeLine[] {
    return [...this.#lines.values()];
  }

  /** Why the pool ended by itself. */
  get fault(): InterfaceGoneError | undefined {
    return this.#fault;
  }

  /** Makes a line; `dial` or `up` brings it up. */
  add(options: LineOptions = {}): PppoeLine {
    this.#count++;
    const { name = `line-${this.#count}`, mac, device, delegation, ...session } = options;
    if (this.#names.has(name)) throw new ArgumentError(`there is a line '${name}' already`);
    const own = mac === undefined ? undefined : parseMac(mac);
    const address = own ?? (this.#perSession ? this.#macOf(this.#count) : this.wire.interface.address);
    const core = this.#client.add({ ...session, mac: formatMac(address) });
    if (!sameBytes(address, this.wire.interface.address)) {
      this.wire.listenFor(address);
      this.#macs.set(core, address);
    }
    const line = new PppoeLine({
      wire: this.wire,
      name,
      session: core,
      options,
      mac: address,
      group: this.#group,
      scheduled: (changed) => this.#scheduled(changed),
    });
    this.#names.add(name);
    this.#lines.set(core, line);
    return line;
  }

  /** Ends a line's session, takes its device away and forgets it. */
  remove(line: PppoeLine): void {
    const { session } = line;
    if (!this.#lines.has(session)) return;
    this.#client.remove(session, this.wire.now());
    this.#note(session);
    line.remove();
    this.#names.delete(line.name);
    this.#lines.delete(session);
    const mac = this.#macs.get(session);
    if (mac !== undefined) this.wire.ignore(mac);
    this.#macs.delete(session);
    this.wire.settle();
  }

  /** Everything that happens, until the signal is aborted or the pool is closed. */
  async *events(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<PoolEvent, void> {
    const { signal } = options;
    try {
      const events = on(this, 'event', {
        ...(signal === undefined ? {} : { signal }),
        close: ['gone', 'closed'],
      });
      for await (const [event] of events) yield event as PoolEvent;
    } catch (error) {
      if (!(signal?.aborted === true && (error as Error).name === 'AbortError')) throw error;
    }
  }

  /**
   * Ends every session, gracefully where the other side answers within a second, takes the devices away and gives the
   * interface back. A second call waits for the first.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const goodbyes = this.#fault === undefined ? this.lines.map((line) => line.hangUp()) : [];
    const late = new Promise((resolve) => setTimeout(resolve, FAREWELL).unref());
    await Promise.race([Promise.allSettled(goodbyes), late]);
    this.#deleteDevices();
    for (const line of this.lines) this.remove(line);
    this.emit('closed');
    await this.wire.close();
    this.#state?.close();
  }

  /** All at once: one after the other, a thousand of them take the kernel half a minute, for each waits for every CPU. */
  #deleteDevices(): void {
    if (!this.lines.some((line) => line.device !== undefined)) return;
    try {
      this.wire.net.links.deleteGroup(this.#group);
    } catch {
      // Somebody has deleted them already; whatever is left goes with its descriptor.
    }
  }

  /** The earliest of any line's own deadlines is kept here; they change seldom, and are asked for with every packet. */
  #scheduled(line: PppoeLine): void {
    const { deadline } = line;
    if (deadline < this.#linesDue) this.#linesDue = deadline;
  }

  #advance(now: number): void {
    this.#client.advance(now);
    if (now < this.#linesDue) return;
    let due = Number.POSITIVE_INFINITY;
    for (const line of this.#lines.values()) {
      if (line.deadline <= now) line.advance(now);
      due = Math.min(due, line.deadline);
    }
    this.#linesDue = due;
  }

  #handle(session: PppoeClientSession, event: PppoeClientEvent): void {
    const line = this.#lines.get(session);
    if (event.type === 'state' || event.type === 'closed') this.#note(session);
    if (line === undefined) return;
    line.handle(event);
    this.emit('event', { line, event });
  }

  /** Keeps the state file in step with what the session is on the wire. */
  #note(session: PppoeClientSession): void {
    if (this.#state === undefined) return;
    const known = this.#noted.get(session);
    const now = session.wireIdentity;
    if (known?.sessionId === now?.sessionId && known?.peerMac === now?.peerMac) return;
    if (known !== undefined) this.#state.closed(known);
    if (now === undefined) {
      this.#noted.delete(session);
    } else {
      this.#state.opened(now);
      this.#noted.set(session, now);
    }
  }

  #endLeft(left: readonly PppoeWireIdentity[], state: StateFile): void {
    const frame = new Uint8Array(128);
    for (const identity of left) {
      const length = emitPadt(frame, 0, identity, 'left by a process that was killed');
      this.wire.transmit(frame, 0, length);
      state.closed(identity);
    }
    this.wire.settle();
  }

  #vanish(error: InterfaceGoneError): void {
    this.#fault = error;
    this.#client.carrier(false, this.wire.now());
    this.emit('gone', error);
  }

  /** Locally administered, and the same at the next start: the interface's last three bytes and a number. */
  #macOf(count: number): Uint8Array {
    const own = this.wire.interface.address;
    return Uint8Array.of(0x06, own[3]!, own[4]!, own[5]!, count >> 8, count & 0xff);
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i]);
}
