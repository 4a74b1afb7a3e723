import { createWriteStream, type WriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { BarewireError } from '../error.ts';
import { flowOf, PacketLayers, PcapngWriter } from '../packet/index.ts';
import { PacketLink } from '../xsk/index.ts';
import { type MonitorFilter, NO_FILTER } from './monitor-filter.ts';

export interface RecorderOptions {
  readonly interface: string;
  readonly netns?: string | undefined;
  /** A pcapng file; one that is there is an error. */
  readonly file: string;
}

/** Flags of a packet in pcapng: its direction. */
const INBOUND = 1;
const OUTBOUND = 2;
/** Frames that wait in the kernel's ring, and of them as many as are taken at once. */
const FRAMES = 16_384;
const BATCH = 2048;
/** What waits to be written at most, in bytes; packets beyond it are dropped and counted. */
const MOST_WAITING = 64 * 1024 * 1024;

/**
 * Records the packets of an interface that the monitor's filter lets through, both ways, with whole contents.
 *
 * They are copies that an AF_PACKET socket makes: of what comes in, behind XDP.
 */
export class Recorder implements AsyncDisposable {
  readonly file: string;
  /** Which packets are kept; may change while it records. */
  filter: MonitorFilter = NO_FILTER;
  readonly #link: PacketLink;
  readonly #writer: PcapngWriter;
  readonly #interface: number;
  readonly #out: WriteStream;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #layers = new PacketLayers();
  #failed: Error | undefined;
  #closed = false;
  #recorded = 0;
  #dropped = 0;

  private constructor(link: PacketLink, out: WriteStream, options: RecorderOptions) {
    this.file = options.file;
    this.#link = link;
    this.#out = out;
    this.#writer = new PcapngWriter({ application: 'barewire monitor' });
    this.#interface = this.#writer.addInterface({ name: options.interface });
    out.on('error', (error) => {
      this.#failed = error;
      this.#stop.abort();
    });
    this.#running = this.#run();
    // What it throws is thrown where it is awaited.
    this.#running.catch(() => {});
  }

  /** @throws NoInterfaceError; BarewireError `BW_FILE` when the file cannot be made. */
  static async open(options: RecorderOptions): Promise<Recorder> {
    const out = createWriteStream(options.file, { flags: 'wx', mode: 0o600 });
    try {
      await new Promise<void>((resolve, reject) => {
        out.once('open', () => resolve());
        out.once('error', reject);
      });
    } catch (error) {
      throw fileError(options.file, error as NodeJS.ErrnoException);
    }
    try {
      const link = PacketLink.open(options.interface, {
        netns: options.netns,
        outgoing: true,
        frames: FRAMES,
      });
      return new Recorder(link, out, options);
    } catch (error) {
      out.destroy();
      throw error;
    }
  }

  /** Packets that were written. */
  get recorded(): number {
    return this.#recorded;
  }

  /** Packets that came too fast to be written. */
  get dropped(): number {
    return this.#dropped;
  }

  /** What keeps it from going on; undefined for nothing. */
  get failed(): Error | undefined {
    return this.#failed;
  }

  /** Writes what is there and ends. A second call does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#stop.abort();
    await this.#running.catch((error: Error) => {
      this.#failed ??= error;
    });
    this.#out.end();
    await finished(this.#out).catch((error: Error) => {
      this.#failed ??= error;
    });
    await this.#link.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const own = Buffer.from(this.#link.address);
    for (;;) {
      const time = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
      const got = this.#link.receive((bytes, offset, length) => {
        if (!this.#wanted(bytes, offset, length)) return;
        if (this.#out.writableLength > MOST_WAITING) {
          this.#dropped++;
          return;
        }
        const outbound = own.equals(bytes.subarray(offset + 6, offset + 12));
        this.#writer.packet(bytes, offset, offset + length, time, {
          interfaceId: this.#interface,
          flags: outbound ? OUTBOUND : INBOUND,
        });
        this.#recorded++;
      }, BATCH);
      this.#dropped += this.#link.statistics().dropped;
      this.#flush();
      if (signal.aborted) return;
      if (got === 0) await this.#link.readable(signal);
      else await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #wanted(bytes: Uint8Array, offset: number, length: number): boolean {
    if (this.filter.text === '') return true;
    const flow = flowOf(this.#layers.decode(bytes, offset, offset + length));
    if (flow === undefined) return false;
    const { protocol, source, destination, sourcePort, destinationPort } = flow;
    const ends = { remote: source, local: destination, remotePort: sourcePort, localPort: destinationPort };
    return this.filter.matches({ protocol, ...ends });
  }

  #flush(): void {
    if (this.#writer.size > 0) this.#out.write(this.#writer.take());
  }
}

function fileError(file: string, { code, message }: NodeJS.ErrnoException): BarewireError {
  if (code === 'EEXIST') {
    return new BarewireError('BW_FILE', `${file} is there already`, { hint: 'Choose another name.' });
  }
  return new BarewireError('BW_FILE', `${file} cannot be written: ${message}`, {
    hint: 'Choose a place where you may write.',
  });
}
