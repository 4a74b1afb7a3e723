import { setTimeout as sleep } from 'node:timers/promises';
import { formatIPv4, formatIPv6 } from '../address/index.ts';
import type { BpfMap, RingBuffer } from '../bpf/index.ts';
import { BarewireError } from '../error.ts';
import { codecOf } from '../layout/index.ts';
import { type RedirectEvent, type RedirectSettings, redirectEvent } from '../programs/redirect-ports.ts';
import { PROTOCOL_NUMBER, type RedirectProtocol } from './redirect-rule.ts';

/** One packet that went to another port. */
export interface PortRedirect {
  readonly time: Date;
  readonly protocol: RedirectProtocol;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  /** The port that was asked for. */
  readonly from: number;
  readonly to: number;
  /** Of the frame, in bytes. */
  readonly length: number;
}

/** How long the program makes events after a reader's last sign of life, and how often there is one, in ns. */
const LISTENING = 3_000_000_000n;
const SIGN_OF_LIFE = 1_000_000_000n;
/** Events that are taken at once, and how long to wait when there are none, in ms. */
const AT_ONCE = 1024;
const PAUSE = 10;

const codec = codecOf(redirectEvent);

/**
 * Events from now on, until the signal ends them. The program makes them only while somebody reads.
 *
 * @throws BarewireError `BW_BUSY` when somebody else reads: each event goes to one reader.
 */
export async function* portRedirects(
  ring: RingBuffer<RedirectEvent>,
  settings: BpfMap<number, RedirectSettings>,
  signal: AbortSignal,
): AsyncGenerator<PortRedirect> {
  const present = settings.get(0) ?? { until: 0n, replies: 0 };
  const start = process.hrtime.bigint();
  if (present.until > start) {
    throw new BarewireError('BW_BUSY', 'another process reads the events already', {
      hint: 'Each event goes to one reader: end the other one; when it was killed, wait three seconds.',
    });
  }
  const listen = (): void => {
    const { replies } = settings.get(0) ?? present;
    settings.set(0, { until: process.hrtime.bigint() + LISTENING, replies });
  };
  // What an earlier reader left.
  ring.drain(() => {});
  listen();
  try {
    for (let heard = start; ; ) {
      const batch: PortRedirect[] = [];
      ring.drain((view, offset) => batch.push(readable(codec.read(view, offset))), AT_ONCE);
      yield* batch;
      if (signal.aborted) return;
      if (process.hrtime.bigint() - heard > SIGN_OF_LIFE) {
        heard = process.hrtime.bigint();
        listen();
      }
      // Also after a full batch: in a flood, timers and signals must have their turn.
      await sleep(batch.length === 0 ? PAUSE : 0, undefined, { signal }).catch(() => {});
    }
  } finally {
    // Unless its owner closed it meanwhile.
    if (!settings.fd.closed) settings.set(0, { until: 0n, replies: (settings.get(0) ?? present).replies });
  }
}

function readable(event: RedirectEvent): PortRedirect {
  const { time, protocol, sourcePort, from, to, length } = event;
  const ago = Number((process.hrtime.bigint() - time) / 1000n) / 1000;
  return {
    time: new Date(Date.now() - ago),
    protocol: protocol === PROTOCOL_NUMBER.tcp ? 'tcp' : 'udp',
    source: addressOf(event.source, event.sourceLow),
    sourcePort,
    destination: addressOf(event.destination, event.destinationLow),
    from,
    to,
    length,
  };
}

/** Two halves of 64 bits as text; IPv4 lies in IPv6 as RFC 4291, section 2.5.5.2, says. */
function addressOf(high: bigint, low: bigint): string {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, high);
  view.setBigUint64(8, low);
  return high === 0n && low >> 32n === 0xffffn ? formatIPv4(bytes.subarray(12)) : formatIPv6(bytes);
}
