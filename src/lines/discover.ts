import { formatMac } from '../address/index.ts';
import { type PppoeConcentratorInfo, PppoeScan, type PppoeVlan } from '../pppoe/index.ts';
import { PppoeWire, type WireOptions } from './wire.ts';

export interface DiscoverOptions extends WireOptions {
  /** Outermost first. Default is none. */
  readonly vlans?: readonly PppoeVlan[];
  /** Default is any. */
  readonly serviceName?: string;
  /** How long to wait for answers, in ms. Default is 3000. */
  readonly timeout?: number;
  readonly signal?: AbortSignal | undefined;
  /** Called with each concentrator when it answers. */
  readonly found?: (concentrator: PppoeConcentratorInfo) => void;
}

/** Asked again so often within the time, for those who missed a question. */
const QUESTIONS = 3;

/**
 * Asks which concentrators there are, and asks them for nothing else.
 *
 * @returns In the order of their answers.
 * @throws As `PppoeWire.open`.
 */
export async function discoverConcentrators(
  ref: string | number,
  options: DiscoverOptions = {},
): Promise<readonly PppoeConcentratorInfo[]> {
  const { vlans, serviceName, timeout = 3000, signal, found = () => {} } = options;
  let scan: PppoeScan | undefined;
  await using wire = await PppoeWire.open(ref, options, (made) => {
    const asking = new PppoeScan({
      mac: formatMac(made.interface.address),
      ...(vlans === undefined ? {} : { vlans }),
      ...(serviceName === undefined ? {} : { serviceName }),
      random: (bytes) => void crypto.getRandomValues(bytes),
      transmit: (bytes, offset, length) => made.transmit(bytes, offset, length),
      found,
    });
    scan = asking;
    return {
      deadline: Number.POSITIVE_INFINITY,
      input: (bytes, offset, length, now) => asking.input(bytes, offset, length, now),
      advance: () => {},
    };
  });
  for (let question = 0; question < QUESTIONS && signal?.aborted !== true; question++) {
    scan?.ask(wire.now());
    wire.settle();
    await pause(timeout / QUESTIONS, signal);
  }
  return scan?.concentrators ?? [];
}

function pause(time: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, time);
    function end(): void {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    }
    signal?.addEventListener('abort', end, { once: true });
  });
}
