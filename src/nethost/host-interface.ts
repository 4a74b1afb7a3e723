import type { StackInterface } from '../netstack/index.ts';
import type { Host } from './host.ts';
import type { HostLink } from './link.ts';

/** Packets between two flushes: enough to make ACKs and system calls few, few enough to keep round trips short. */
const BATCH = 64;
/** Batches before other events of the process have their turn. */
const BATCHES = 16;

/** An interface of a host. */
export class HostInterface implements AsyncDisposable {
  readonly host: Host;
  readonly stackInterface: StackInterface;
  /** Name servers to ask through it. */
  dns: readonly string[];
  readonly link: HostLink | undefined;
  readonly #onClose: () => void;
  #pending: NodeJS.Immediate | undefined;
  #closed = false;
  readonly #take = (bytes: Uint8Array, offset: number, length: number): void => {
    this.host.stack.input(this.stackInterface, bytes, offset, length, this.#now);
  };
  #now = 0;

  constructor(
    host: Host,
    stackInterface: StackInterface,
    dns: readonly string[],
    link: HostLink | undefined,
    onClose: () => void,
  ) {
    this.host = host;
    this.stackInterface = stackInterface;
    this.dns = dns;
    this.link = link;
    this.#onClose = onClose;
  }

  get name(): string {
    return this.stackInterface.name;
  }

  /** Own addresses, without their lengths. */
  get addresses(): readonly string[] {
    return this.stackInterface.addresses.map(({ ip }) => String(ip));
  }

  get closed(): boolean {
    return this.#closed;
  }

  start(): void {
    this.link?.start({
      onReadable: () => this.#pull(),
      onWritable: () => this.writable(),
      onGone: () => void this.close(),
    });
  }

  /** Takes a packet that came in. What follows from it happens at `host.flush()`, or at the end of this turn. */
  input(bytes: Uint8Array, offset: number, length: number): void {
    this.host.stack.input(this.stackInterface, bytes, offset, length, performance.now());
  }

  /** `output` takes packets again. */
  writable(): void {
    this.host.stack.writable(this.stackInterface);
    this.host.flush();
  }

  /** Takes the interface away: its connections fail with ENETDOWN. A second call does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#pending !== undefined) clearImmediate(this.#pending);
    this.host.stack.removeInterface(this.stackInterface);
    this.host.flush();
    this.#onClose();
    await this.link?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Reads what is there, batch by batch, and answers each batch at once. */
  #pull(): void {
    const link = this.link!;
    for (let batch = 0; batch < BATCHES; batch++) {
      if (this.#closed) return;
      this.#now = performance.now();
      const count = link.receive(this.#take, BATCH);
      if (count > 0) this.host.flush();
      if (count < BATCH) return;
    }
    // There may be more; not every link says so again.
    this.#pending ??= setImmediate(() => {
      this.#pending = undefined;
      this.#pull();
    });
  }
}
