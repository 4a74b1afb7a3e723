import { formatIPv4, formatIPv6 } from '../address/index.ts';
import type { BpfMap, RingBuffer } from '../bpf/index.ts';
import { BarewireError } from '../error.ts';
import type { RedirectEvent, RedirectSettings } from '../programs/redirect-ports.ts';
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

/** How long the program makes events after a reader's last sign of life, in ns, and how often there is one, in ms. */
const LISTENING = 3_000_000_000n;
const SIGN_OF_LIFE = 1000;

/**
 * Events from now on. The program makes them only while somebody reads.
 *
 * @throws BarewireError `BW_BUSY` when somebody else reads: each event goes to one reader.
 */
export async function* portRedirects(
  ring: RingBuffer<RedirectEvent>,
  settings: BpfMap<number, RedirectSettings>,
  signal: AbortSignal | undefined,
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
  const alive = setInterval(listen, SIGN_OF_LIFE);
  try {
    for await (const event of ring.events(signal === undefined ? {} : { signal })) yield readable(event);
  } finally {
    clearInterval(alive);
    settings.set(0, { until: 0n, replies: (settings.get(0) ?? present).replies });
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
