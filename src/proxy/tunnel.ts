import type { Duplex } from 'node:stream';
import { type Meter, pump } from './pump.ts';

export interface TunnelOptions {
  /** From the client to the exit. */
  readonly up: Meter;
  /** From the exit to the client. */
  readonly down: Meter;
  /** How long neither side may be silent, in ms. */
  readonly idle: number;
}

/**
 * Two streams as one: what either says goes to the other, an end to an end (half-closed connections stay so), a
 * failure to both. Back-pressure goes through: a slow reader stops the other side's sender.
 *
 * @returns Resolves when both are closed, with the error that ended it, if one did.
 */
export async function tunnel(
  client: Duplex,
  upstream: Duplex,
  options: TunnelOptions,
): Promise<Error | undefined> {
  let last = performance.now();
  let failure: Error | undefined;
  const touch = (meter: Meter): Meter => {
    return (bytes) => {
      last = performance.now();
      return meter(bytes);
    };
  };
  pump(client, upstream, touch(options.up));
  pump(upstream, client, touch(options.down));
  return await new Promise((resolve) => {
    let open = 2;
    const watch = setInterval(
      () => {
        if (performance.now() - last < options.idle) return;
        failure ??= new Error('neither side said anything for too long');
        client.destroy();
        upstream.destroy();
      },
      Math.min(options.idle, SWEEP),
    );
    watch.unref();
    for (const [stream, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      stream.on('error', (error) => {
        failure ??= error;
        other.destroy();
      });
      stream.once('close', () => {
        // A stream that closed before it ended was cut off: the other side must not wait for more.
        if (!stream.readableEnded || stream.errored !== null) other.destroy();
        if (--open > 0) return;
        clearInterval(watch);
        resolve(failure);
      });
      if (stream.destroyed) stream.emit('close');
    }
  });
}

/** In ms. How often idle tunnels are looked for. */
const SWEEP = 5_000;
