import type { Duplex } from 'node:stream';
import { ProxyError } from './error.ts';
import { IdleWatch } from './idle.ts';
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
  let failure: Error | undefined;
  const silent = new IdleWatch(options.idle, () => {
    failure ??= new ProxyError('BW_PROXY_TIMEOUT', 'neither side said anything for too long');
    client.destroy();
    upstream.destroy();
  });
  const watched = (meter: Meter): Meter => {
    return (bytes) => {
      silent.touch();
      return meter(bytes);
    };
  };
  pump(client, upstream, watched(options.up));
  pump(upstream, client, watched(options.down));
  return await new Promise((resolve) => {
    let open = 2;
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
        silent.stop();
        resolve(failure);
      });
      if (stream.destroyed) stream.emit('close');
    }
  });
}
