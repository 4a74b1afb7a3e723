import type { Readable, Writable } from 'node:stream';

/** Counts what has been moved. @returns How long to hold still, in ms; 0 to go on. */
export type Meter = (bytes: number) => number;

/** As `pipe`, with every chunk metered, and slowed down as the meter says. */
export function pump(from: Readable, to: Writable, meter: Meter): void {
  // Why the sender stands still: the other side is full, the rate is used up, or both.
  let holds = 0;
  const hold = (): void => {
    if (holds++ === 0) from.pause();
  };
  const release = (): void => {
    if (--holds === 0) from.resume();
  };
  from.on('data', (chunk: Buffer) => {
    const wait = meter(chunk.length);
    if (!to.writable) return;
    if (!to.write(chunk)) {
      hold();
      to.once('drain', release);
    }
    if (wait > 0) {
      hold();
      setTimeout(release, wait);
    }
  });
  from.on('end', () => to.end());
}
