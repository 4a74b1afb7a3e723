import { closeSync, openSync, writeSync } from 'node:fs';
import type { Capture } from '../../apps/capture.ts';
import { BarewireError } from '../../error.ts';
import { duration, file, integer, interfaceName, oneOf } from '../kinds.ts';
import { matchOf, matchOptions } from '../match-options.ts';
import type { Output } from '../output.ts';
import { grouped } from '../quantity.ts';
import { json, netns } from '../standard-options.ts';
import { type Command, command } from '../table.ts';

export const capture: Command = command({
  name: 'capture',
  summary: 'Write the packets that an interface receives to a pcapng file, or show them',
  description: [
    'An XDP program copies the packets on their way into a ring buffer and lets them pass: the host gets all of them, before and after. When the reader is too slow the ring fills up, and what does not fit is counted as dropped, in the summary and in the file. Packets that leave the interface are not seen: XDP sees those that come in.',
    'With --steal AF_XDP sockets take the packets instead, and the host does not get them.',
    'Without -w each packet is shown as a line.',
  ],
  positionals: [{ name: 'interface', kind: interfaceName(), summary: 'The interface' }],
  options: {
    write: { kind: file(), short: 'w', summary: 'Write pcapng to this file; - is the standard output' },
    snaplen: {
      kind: integer({ min: 1, max: 16_384, placeholder: 'BYTES' }),
      short: 's',
      default: '16384',
      summary: 'Most bytes of each packet to keep',
    },
    ...matchOptions,
    count: { kind: integer({ min: 1 }), short: 'n', summary: 'End after so many packets' },
    duration: { kind: duration({ min: '1ms' }), short: 'd', summary: 'End after so long' },
    steal: { kind: 'flag', summary: 'Take the packets from the host, over AF_XDP' },
    buffer: {
      kind: integer({ min: 1, max: 1024, placeholder: 'MIB' }),
      default: '16',
      summary: 'Memory that packets wait in, rounded up to a power of two',
    },
    mode: {
      kind: oneOf('MODE', ['auto', 'driver', 'generic']),
      default: 'auto',
      summary: 'Where the program runs: auto takes the best that the driver grants',
    },
    replace: { kind: 'flag', summary: "Evict another owner's program from the interface" },
    netns: { ...netns, summary: 'The network namespace of the interface' },
    json,
  },
  examples: [
    { does: 'Ten packets, as lines', line: 'barewire capture eth0 -n 10' },
    { does: 'DNS for a minute, into a file', line: 'barewire capture eth0 -w dns.pcapng --port 53 -d 1m' },
    { does: 'Into another program', line: 'barewire capture eth0 -w - | tshark -r -' },
  ],
  async run({ args, options }, { output, signal, verbose }) {
    const { openCapture } = await import('../../apps/capture.ts');
    const { netns, mode, replace, steal, snaplen, count, duration, write } = options;
    const sink = write === undefined ? undefined : new FileSink(write);
    try {
      await using capture = await openCapture({
        interface: args.interface,
        netns,
        match: matchOf(options),
        snapLength: snaplen,
        ringSize: 2 ** Math.ceil(Math.log2(options.buffer)) * 1024 * 1024,
        mode,
        replace,
        steal,
      });
      output.note(greeting(capture));
      for (const refusal of capture.refusals) {
        if (verbose || !refusal.startsWith('zero copy')) output.note(refusal);
      }
      const limits = { count, duration, signal };
      let captured = 0;
      if (sink === undefined) {
        captured = await show(capture, limits, options.json, output);
      } else {
        captured = await record(capture, limits, sink);
      }
      const { received, dropped } = capture.statistics();
      const summary = { interface: capture.interface, mode: capture.mode, captured, received, dropped };
      if (options.json && write !== '-') output.json(summary);
      else output.note(`${grouped(captured)} captured, ${grouped(dropped)} dropped`);
    } finally {
      sink?.close();
    }
  },
});

interface Limits {
  readonly count: number | undefined;
  readonly duration: number | undefined;
  readonly signal: AbortSignal;
}

function greeting({ interface: name, mode, steals }: Capture): string {
  const how = steals ? 'the host does not get what is captured' : 'the host gets its packets all the same';
  return `Capturing on ${name} in ${mode} mode; ${how}`;
}

async function show(capture: Capture, limits: Limits, asJson: boolean, output: Output): Promise<number> {
  const { describePacket } = await import('../../packet/index.ts');
  let captured = 0;
  await capture.run((bytes, start, kept, length, time) => {
    captured++;
    const stamp = new Date(Number(time / 1_000_000n)).toISOString();
    const summary = describePacket(bytes, start, start + kept);
    if (asJson) output.json({ time: stamp, length, summary });
    else output.write(`${stamp} ${summary}\n`);
  }, limits);
  return captured;
}

/** Bytes that are written at once. */
const CHUNK = 256 * 1024;

async function record(capture: Capture, limits: Limits, sink: FileSink): Promise<number> {
  const { PcapngWriter } = await import('../../packet/index.ts');
  const writer = new PcapngWriter({ application: 'barewire', os: `${process.platform}` });
  const id = writer.addInterface({ name: capture.interface, snapLength: capture.snapLength });
  let captured = 0;
  const flush = (): void => {
    if (writer.size > 0) sink.write(writer.take());
  };
  try {
    await capture.run(
      (bytes, start, kept, length, time) => {
        captured++;
        if (kept === length) writer.packet(bytes, start, start + kept, time);
        else writer.packet(bytes, start, start + kept, time, { originalLength: length });
        if (writer.size >= CHUNK) flush();
      },
      { ...limits, idle: flush },
    );
  } finally {
    // Also when the interface went away: what was captured is in the file.
    const { received, dropped } = capture.statistics();
    const timestamp = BigInt(Date.now()) * 1_000_000n;
    writer.statistics(id, { timestamp, received, dropped, delivered: BigInt(captured) });
    flush();
  }
  return captured;
}

/** A file that is made at once, so that a path that cannot be is told before anything is attached. */
class FileSink {
  readonly #path: string;
  readonly #fd: number;

  constructor(path: string) {
    this.#path = path === '-' ? 'the standard output' : path;
    try {
      this.#fd = path === '-' ? 1 : openSync(path, 'w', 0o644);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      try {
        done += writeSync(this.#fd, bytes, done);
      } catch (error) {
        // A pipe whose reader is slow; there is nothing to do but to wait for it.
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw this.#failed(error);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      }
    }
  }

  close(): void {
    if (this.#fd !== 1) closeSync(this.#fd);
  }

  #failed(error: unknown): BarewireError {
    const { code, message } = error as NodeJS.ErrnoException;
    return new BarewireError('BW_FILE', `cannot write to ${this.#path}: ${code ?? message}`, {
      cause: error,
    });
  }
}
