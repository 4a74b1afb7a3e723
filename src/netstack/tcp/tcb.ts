import type { NetError } from '../error.ts';
import type { StackInterface } from '../interface.ts';
import type { Ip } from '../ip.ts';
import { Timer, type TimerOwner } from '../timer-wheel.ts';
import type { CongestionControl } from './congestion.ts';
import { Flight } from './flight.ts';
import type { TcpLayer } from './layer.ts';
import type { TcpListener } from './listener.ts';
import { ReceiveBuffer } from './receive-buffer.ts';
import { RttEstimator } from './rtt.ts';
import { SendQueue } from './send-queue.ts';

/** States of RFC 9293, section 3.3.2. LISTEN is a {@link TcpListener}. */
export const State = {
  closed: 0,
  synSent: 2,
  synReceived: 3,
  established: 4,
  finWait1: 5,
  finWait2: 6,
  closeWait: 7,
  closing: 8,
  lastAck: 9,
  timeWait: 10,
} as const;
export type State = (typeof State)[keyof typeof State];

/** Phases of loss recovery. */
export const Phase = {
  /** Nothing is known to be lost. */
  open: 0,
  /** Losses that were reported are being repaired (RFC 6675, RFC 6937). */
  recovery: 1,
  /** A time-out has been: everything in flight counts as lost. */
  loss: 2,
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** What the probe timer is set for. */
export const Probe = { none: 0, tail: 1, reordering: 2, window: 3 } as const;
export type Probe = (typeof Probe)[keyof typeof Probe];

/** What the slow timer is set for. */
export const Slow = { none: 0, keepAlive: 1, finWait: 2, timeWait: 3 } as const;
export type Slow = (typeof Slow)[keyof typeof Slow];

/** What the application has not been told yet. */
export const Told = { connect: 1, read: 2, write: 4, close: 8 } as const;

/** Told of what happens to a connection, never from inside a call of its own. */
export interface TcpHandler {
  /** The connection stands. */
  onConnect?(connection: Tcb): void;
  /** There is something to `read()`, or the end has come. */
  onReadable?(connection: Tcb): void;
  /** `writable` has become true again. */
  onWritable?(connection: Tcb): void;
  /** The last call: it is over. Without an error both sides have ended their streams. */
  onClose?(connection: Tcb, error: NetError | undefined): void;
}

/** Keep-alive (RFC 9293, section 3.8.4). Times in ms. */
export interface KeepAlive {
  /** Silence before the first probe. Default is 7,200,000: two hours. */
  readonly idle?: number;
  /** Between two probes. Default is 75,000. */
  readonly interval?: number;
  /** Unanswered probes before the connection is given up. Default is 9. */
  readonly count?: number;
}

/** Settings of a connection. */
export interface TcpOptions {
  /** Send small segments at once, instead of waiting for the ACK of what is in flight (Nagle). Default is true. */
  readonly noDelay?: boolean;
  /** Default is none. */
  readonly keepAlive?: KeepAlive | undefined;
  /** Ms until a connection must stand. Default is 60,000. */
  readonly connectTimeout?: number;
  /** Ms without any progress until a connection is given up (RFC 9293, section 3.8.3). Default is 120,000. */
  readonly userTimeout?: number;
  /** Most bytes that wait for the application. Default is 16 MiB; a connection begins with 256 KiB. */
  readonly receiveBuffer?: number;
  /** Most bytes that wait for acknowledgement. Default is 16 MiB. */
  readonly sendBuffer?: number;
  /** Offer and take selective acknowledgements (RFC 2018). Default is true. */
  readonly sack?: boolean;
  /** Offer and take timestamps (RFC 7323). Default is true. */
  readonly timestamps?: boolean;
  /** Offer and take windows beyond 64 KiB (RFC 7323). Default is true. */
  readonly windowScaling?: boolean;
  /** Default is `cubic`. */
  readonly congestion?: 'cubic' | 'reno';
}

/**
 * One connection: the transmission control block, and what an application holds of it.
 *
 * The files beside this one each treat one subject of the protocol as functions over it; only `write`, `read`, `end`,
 * `abort` and what they return are for applications.
 */
export class Tcb implements TimerOwner {
  readonly layer: TcpLayer;
  readonly interface: StackInterface;
  readonly local: Ip;
  readonly localPort: number;
  readonly remote: Ip;
  readonly remotePort: number;
  /** What the addresses add to a pseudo-header. */
  readonly addressSum: number;
  options: TcpOptions;
  handler: TcpHandler;
  /** Whose half-open or unaccepted connection it is. */
  listener: TcpListener | undefined = undefined;
  /** For the application's use. */
  user: unknown = undefined;
  state: State = State.closed;
  /** Why it was closed. */
  error: NetError | undefined = undefined;
  /** Next in its bucket of the table. */
  chain: Tcb | undefined = undefined;
  hash = 0;

  // Sending (section 3.3.1).
  iss = 0;
  sndUna = 0;
  sndNxt = 0;
  /** In bytes, scaled. */
  sndWnd = 0;
  sndWl1 = 0;
  sndWl2 = 0;
  /** The largest window that the peer ever offered. */
  maxSndWnd = 0;
  sndShift = 0;
  /** Payload of a full segment, without options. */
  mss = 536;
  /** What the peer's MSS option allows. */
  peerMss = 536;
  readonly queue: SendQueue;
  readonly flight: Flight = new Flight();
  /** The application has ended its stream. */
  ending = false;
  finSent = false;
  /** When something was sent last, in ms. */
  lastSent = 0;

  // Receiving.
  irs = 0;
  /** The next sequence number that is expected. */
  rcvNxt = 0;
  /** Right edge of the window that was advertised last. */
  rcvEdge = 0;
  rcvShift = 0;
  readonly received: ReceiveBuffer;
  /** The most that may wait for the application at present; grows with the traffic. */
  rcvLimit = 0;
  finReceived = false;
  /** Sequence number of a FIN that came too early; only with `finEarly`. */
  finSeq = 0;
  finEarly = false;
  /** The application does not want to read any more: data is an error from now on. */
  deaf = false;
  /** Bytes that came since the last ACK was sent, and what the peer's segments hold. */
  unacked = 0;
  rcvMss = 536;
  ackNow = false;
  /** ACKs at once at the beginning, while the peer's window is small. */
  quickAcks = 16;
  /** Where the most recently received blocks begin, the last one first (RFC 2018, section 4). */
  recent: number[] = NO_BLOCKS;
  /** A duplicate to report (RFC 2883). */
  dsackStart = 0;
  dsackEnd = 0;
  /** Growing the window: how much the application has read since when. */
  readBytes = 0;
  readSince = 0;
  lastReceived = 0;

  // Options.
  timestamps = false;
  sack = false;
  tsOffset = 0;
  tsRecent = 0;
  tsRecentAt = 0;
  /** Last.ACK.sent of RFC 7323. */
  lastAckSent = 0;

  // Loss recovery.
  readonly rtt: RttEstimator = new RttEstimator();
  /** From the moment on at which the connection stands. */
  congestion!: CongestionControl;
  phase: Phase = Phase.open;
  /** Recovery ends when this has been acknowledged. */
  recoveryPoint = 0;
  duplicateAcks = 0;
  /** Time-outs in a row. */
  backoff = 0;
  /** Highest sequence number that was reported by SACK (RACK.fack). */
  fack = 0;
  reordering = false;
  /** Time and end of the latest segment that is known to have arrived, and its round trip (RACK). */
  rackTime = -1;
  rackEnd = 0;
  rackRtt = 0;
  /** Multiplier of the reordering window, and for how many recoveries it stays. */
  reorderSteps = 1;
  reorderPersist = 0;
  /** DSACKs count once a round trip: up to here. */
  dsackRound = 0;
  /** Bytes delivered since recovery was looked at last, and whether SND.UNA moved or something was lost meanwhile. */
  delivered = 0;
  advanced = 0;
  lossSeen = false;
  /** Recovery is to be looked at although no ACK came. */
  examine = false;
  lastRtt = 0;
  /** PRR (RFC 6937). */
  prrDelivered = 0;
  prrOut = 0;
  prrFlight = 0;
  /** TLP.end_seq and whether the probe was a retransmission; only while `tlpOut`. */
  tlpEnd = 0;
  tlpOut = false;
  tlpResent = false;
  /** Timestamp of the first retransmission of this recovery, for Eifel detection (RFC 3522). */
  resentStamp = 0;
  undoable = false;
  /** The window was what kept data back. */
  limited = false;
  /** The blocks of the last SACK option, which need not be walked again. */
  seenBlocks: Int32Array | undefined = undefined;

  // Timers: absolute, in ms.
  readonly timer: Timer;
  rtoAt: number = Number.POSITIVE_INFINITY;
  probeAt: number = Number.POSITIVE_INFINITY;
  probe: Probe = Probe.none;
  ackAt: number = Number.POSITIVE_INFINITY;
  slowAt: number = Number.POSITIVE_INFINITY;
  slow: Slow = Slow.none;
  trimAt: number = Number.POSITIVE_INFINITY;
  /** When the oldest unanswered thing was sent; for giving up. Infinity while nothing is. */
  waitingSince: number = Number.POSITIVE_INFINITY;
  /** Probes of a closed window in a row, and of a silent peer without an answer. */
  windowProbes = 0;
  keepAliveProbes = 0;
  /** A byte was sent beyond the window to test it. */
  windowProbed = false;

  // Towards application and stack.
  dirty = false;
  told = 0;
  /** What is received counts as the stack's memory. */
  counted = true;
  /** The application waits for `onWritable`. */
  full = false;
  /** The application has been told that it is over. */
  over = false;
  /** Challenge ACKs in the second that began at (RFC 5961, section 7). */
  challengeSecond = 0;
  challenges = 0;

  constructor(
    layer: TcpLayer,
    via: StackInterface,
    local: Ip,
    localPort: number,
    remote: Ip,
    remotePort: number,
    options: TcpOptions,
    handler: TcpHandler,
  ) {
    this.layer = layer;
    this.interface = via;
    this.local = local;
    this.localPort = localPort;
    this.remote = remote;
    this.remotePort = remotePort;
    this.addressSum = local.sum + remote.sum;
    this.options = options;
    this.handler = handler;
    this.queue = new SendQueue(layer.release);
    this.received = new ReceiveBuffer(0, layer.allocate);
    this.timer = new Timer(this);
  }

  /** Whether data can be written without overfilling the send buffer. */
  get writable(): boolean {
    return this.canSend && this.queue.length < this.sendLimit;
  }

  /** Whether the stream outward is open. */
  get canSend(): boolean {
    return !this.ending && !this.over && this.error === undefined;
  }

  /** Whether the peer has ended its stream and everything has been read. */
  get ended(): boolean {
    return this.finReceived && this.received.readable === 0;
  }

  /** Bytes that have been written and not acknowledged. */
  get unsent(): number {
    return this.queue.length;
  }

  /** How much may wait to be acknowledged: two windows' worth, so that the path never waits for the application. */
  get sendLimit(): number {
    const { sendBuffer = DEFAULT_BUFFER } = this.options;
    return Math.min(
      sendBuffer,
      this.layer.fairShare,
      Math.max(FIRST_SEND_BUFFER, 2 * (this.state < State.established ? 0 : this.congestion.window)),
    );
  }

  /** Bytes in flight by estimate ("pipe" of RFC 6675). */
  get inFlight(): number {
    const { flight } = this;
    const sent =
      ((this.sndNxt - this.sndUna) | 0) - flight.sackedBytes - flight.lostBytes + flight.resentBytes;
    return this.sack ? sent : Math.max(0, sent - this.duplicateAcks * this.mss);
  }

  /**
   * Sends bytes. They belong to the stack until they are acknowledged: they must not change.
   *
   * @returns `writable`: whether more should be written now; if not, `onWritable` will be called.
   * @throws NetError EPIPE once the stream was ended or the connection is over.
   */
  write(bytes: Uint8Array): boolean {
    this.layer.requireSending(this);
    if (bytes.length > 0) {
      this.queue.append(bytes);
      this.layer.memory += bytes.length;
      this.layer.touch(this);
    }
    const room = this.writable;
    if (!room) this.full = true;
    return room;
  }

  /**
   * The next bytes that came, in order; they are the caller's. Undefined when there are none at present or none are to
   * come (`ended`).
   */
  read(): Uint8Array | undefined {
    const before = this.received.memory;
    const bytes = this.received.read();
    if (bytes === undefined) return undefined;
    if (this.counted) this.layer.memory -= before - this.received.memory;
    this.readBytes += bytes.length;
    this.layer.touch(this);
    return bytes;
  }

  /** Ends the stream outward: the peer sees its end after everything that was written. */
  end(): void {
    this.layer.end(this);
  }

  /** The application has no interest in what the peer may still send: that will be answered with a reset. */
  ignore(): void {
    this.layer.ignore(this);
  }

  /** Resets the connection, at once. */
  abort(): void {
    this.layer.abort(this);
  }

  onTimer(now: number): void {
    this.layer.onTimer(this, now);
  }
}

/** What a connection may fill in each direction, unless it is told otherwise. */
export const DEFAULT_BUFFER: number = 16 << 20;
const FIRST_SEND_BUFFER = 256 << 10;
const NO_BLOCKS: number[] = [];
