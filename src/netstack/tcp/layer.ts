import { ArgumentError } from '../../error.ts';
import { NetError, type NetErrorCode } from '../error.ts';
import type { StackInterface } from '../interface.ts';
import type { Ip } from '../ip.ts';
import type { KeyedHash } from '../keyed-hash.ts';
import type { IpPacket } from '../packet.ts';
import type { TimerWheel } from '../timer-wheel.ts';
import { NewReno } from './congestion.ts';
import { Cubic } from './cubic.ts';
import { emitReset, emitSegment } from './emit.ts';
import { learnOptions, onSegment } from './input.ts';
import { type ListenOptions, TcpListener } from './listener.ts';
import { output } from './output.ts';
import { EPHEMERAL_COUNT, EPHEMERAL_FIRST } from './ports.ts';
import type { Allocate } from './receive-buffer.ts';
import { recover, resendAll } from './recovery.ts';
import { ACK, RST, Segment, SYN } from './segment.ts';
import type { Release } from './send-queue.ts';
import { before } from './sequence.ts';
import { ConnectionTable } from './table.ts';
import { DEFAULT_BUFFER, Slow, State, Tcb, type TcpHandler, type TcpOptions, Told } from './tcb.ts';
import { onDue, schedule } from './timers.ts';
import { FIRST_WINDOW, LEAST_WINDOW, shiftFor } from './window.ts';

/** What the layer needs of its stack. */
export interface TcpEnvironment {
  readonly scratch: Uint8Array;
  readonly wheel: TimerWheel;
  readonly random: KeyedHash;
  readonly allocate: Allocate;
  readonly release: Release | undefined;
  /** Bytes that all connections may hold together. */
  readonly memoryLimit: number;
  readonly maxConnections: number;
  /** In ms. */
  readonly timeWait: number;
  /** In ms, of the latest call from outside. */
  now(): number;
  nextId(): number;
  /** Something waits for `flush`. */
  wake(): void;
  /** Bytes of an IP packet that the path takes. */
  pathMtu(via: StackInterface, remote: Ip): number;
}

export interface ConnectOptions extends TcpOptions {
  readonly interface: StackInterface;
  readonly local: Ip;
  readonly remote: Ip;
  readonly port: number;
  /** Default is a free one that nobody can guess (RFC 6056). */
  readonly localPort?: number;
}

/** What has happened, in numbers. */
export interface TcpCounters {
  segmentsIn: number;
  segmentsOut: number;
  malformed: number;
  retransmitted: number;
  timeouts: number;
  tailProbes: number;
  recoveries: number;
  undone: number;
  duplicates: number;
  challenges: number;
  resetsOut: number;
  memoryDrops: number;
  halfOpenDrops: number;
}

/** How long FIN-WAIT-2 lasts when nobody reads any more, in ms. */
const ORPHAN = 60_000;
const NO_HANDLER: TcpHandler = {};

/** All TCP of a stack: connections, listeners, and what they share. */
export class TcpLayer {
  readonly counters: TcpCounters = {
    segmentsIn: 0,
    segmentsOut: 0,
    malformed: 0,
    retransmitted: 0,
    timeouts: 0,
    tailProbes: 0,
    recoveries: 0,
    undone: 0,
    duplicates: 0,
    challenges: 0,
    resetsOut: 0,
    memoryDrops: 0,
    halfOpenDrops: 0,
  };
  readonly scratch: Uint8Array;
  readonly allocate: Allocate;
  readonly release: Release | undefined;
  readonly memoryLimit: number;
  /** Bytes that all connections hold. */
  memory = 0;
  readonly #environment: TcpEnvironment;
  readonly #table: ConnectionTable;
  readonly #listeners: Map<string, TcpListener> = new Map<string, TcpListener>();
  readonly #segment: Segment = new Segment();
  #dirty: Tcb[] = [];
  #spare: Tcb[] = [];
  readonly #deferred: Tcb[] = [];
  /** For the sequence of ports (RFC 6056, section 3.3.4). */
  #portCounter = 0;

  constructor(environment: TcpEnvironment) {
    this.#environment = environment;
    this.scratch = environment.scratch;
    this.allocate = environment.allocate;
    this.release = environment.release;
    this.memoryLimit = environment.memoryLimit;
    this.#table = new ConnectionTable(environment.random.next());
  }

  /** Connections in any state, TIME-WAIT included. */
  get connections(): number {
    return this.#table.size;
  }

  /** What one connection may take, so that all get on when memory is short. */
  get fairShare(): number {
    const free = this.memoryLimit - this.memory;
    if (free > this.memoryLimit >> 1) return DEFAULT_BUFFER;
    return Math.max(LEAST_WINDOW, free >> 3);
  }

  nextId(): number {
    return this.#environment.nextId();
  }

  /** Opens a connection (section 3.10.1). The SYN goes with the next flush. */
  connect(options: ConnectOptions, handler: TcpHandler): Tcb {
    const { interface: via, local, remote, port } = options;
    if (this.#table.size >= this.#environment.maxConnections) {
      throw new NetError('ENOBUFS', {
        syscall: 'connect',
        reason: 'the stack has all the connections it may',
      });
    }
    const localPort = options.localPort ?? this.#choosePort(via, local, remote, port);
    const tcb = this.#create(via, local, localPort, remote, port, options, handler);
    tcb.state = State.synSent;
    this.#table.add(tcb);
    this.touch(tcb);
    return tcb;
  }

  /** @throws NetError EADDRINUSE when somebody listens there already. */
  listen(options: ListenOptions): TcpListener {
    const { interface: via, address } = options;
    let port = options.port ?? 0;
    if (!Number.isInteger(port) || port < 0 || port > 0xffff) throw new ArgumentError(`${port} is no port`);
    for (let tries = 0; port === 0 && tries < EPHEMERAL_COUNT; tries++) {
      const candidate = EPHEMERAL_FIRST + this.#environment.random.below(EPHEMERAL_COUNT);
      if (!this.#listeners.has(listenKey(via, address, candidate))) port = candidate;
    }
    const key = listenKey(via, address, port);
    if (this.#listeners.has(key)) {
      throw new NetError('EADDRINUSE', {
        syscall: 'listen',
        address: address === undefined ? '::' : String(address),
        port,
      });
    }
    const listener = new TcpListener(this, port, options);
    this.#listeners.set(key, listener);
    return listener;
  }

  unlisten(listener: TcpListener): void {
    const { interface: via, address } = listener.options;
    this.#listeners.delete(listenKey(via, address, listener.port));
    for (const tcb of [...listener.halfOpen]) this.abort(tcb);
  }

  /** A segment came; its checksum has been found right. */
  input(packet: IpPacket): void {
    const segment = this.#segment;
    if (!segment.read(packet.bytes, packet.transport, packet.end)) {
      this.counters.malformed++;
      return;
    }
    this.counters.segmentsIn++;
    // RFC 9293, section 3.9.2.3: what was sent to many is not for TCP.
    if (!packet.unicast) return;
    const tcb = this.#find(packet, segment);
    const now = this.#environment.now();
    if (tcb !== undefined) {
      if (tcb.state === State.timeWait && this.#reopens(tcb, segment)) this.#remove(tcb);
      else {
        onSegment(tcb, segment, now);
        return;
      }
    }
    this.#onListen(packet, segment, now);
  }

  /**
   * Tells applications what happened, and sends what that makes possible.
   *
   * @param limit Connections that are dealt with at most.
   * @returns whether some are left.
   */
  flush(now: number, limit: number): boolean {
    let left = limit;
    for (const tcb of this.#deferred.splice(0)) this.touch(tcb);
    while (this.#dirty.length > 0) {
      const batch = this.#dirty;
      const count = Math.min(batch.length, left);
      this.#dirty = this.#spare;
      for (let i = 0; i < count; i++) {
        const tcb = batch[i]!;
        tcb.dirty = false;
        if (tcb.told !== 0) this.#tell(tcb);
        if (tcb.state === State.closed) continue;
        recover(tcb, now);
        output(tcb, now);
      }
      left -= count;
      for (let i = count; i < batch.length; i++) this.#dirty.push(batch[i]!);
      batch.length = 0;
      this.#spare = batch;
      if (left === 0) break;
    }
    return this.#dirty.length + this.#deferred.length > 0;
  }

  /** It goes on in the next flush, not in this one. */
  defer(tcb: Tcb): void {
    this.#deferred.push(tcb);
  }

  /** It has something to do in the next flush. */
  touch(tcb: Tcb): void {
    if (tcb.dirty) return;
    tcb.dirty = true;
    this.#dirty.push(tcb);
    if (this.#dirty.length === 1) this.#environment.wake();
  }

  schedule(tcb: Tcb): void {
    schedule(tcb, this.#environment.wheel);
  }

  onTimer(tcb: Tcb, now: number): void {
    onDue(tcb, now);
    this.schedule(tcb);
  }

  /** Once the peer's options are known: what a segment holds, and how much may be in flight. */
  prepare(tcb: Tcb, now: number): void {
    this.adaptMss(tcb);
    tcb.congestion = tcb.options.congestion === 'reno' ? new NewReno(tcb.mss) : new Cubic(tcb.mss);
    // RFC 5681, section 3.1: a lost SYN is a sign of congestion; RFC 6298, section 5.7.
    if (tcb.backoff > 0) {
      tcb.congestion.window = tcb.mss;
      tcb.rtt.rto = Math.max(tcb.rtt.rto, 3000);
    }
    tcb.backoff = 0;
    tcb.fack = tcb.sndUna;
    tcb.rtoAt = Number.POSITIVE_INFINITY;
    tcb.waitingSince = Number.POSITIVE_INFINITY;
    tcb.lastSent = now;
    if (tcb.options.keepAlive !== undefined) this.armKeepAlive(tcb, now);
  }

  /** The path to the peer, or what is known of it, has changed. */
  adaptMss(tcb: Tcb): void {
    const path = this.#environment.pathMtu(tcb.interface, tcb.remote);
    const fits = path - (tcb.local.version === 4 ? 40 : 60);
    const mss = Math.max(32, Math.min(tcb.peerMss, fits) - (tcb.timestamps ? 12 : 0));
    const smaller = mss < tcb.mss;
    tcb.mss = mss;
    if (tcb.congestion !== undefined) tcb.congestion.mss = mss;
    if (smaller && tcb.flight.count > 0) tcb.flight.split(mss);
  }

  armKeepAlive(tcb: Tcb, now: number): void {
    const { keepAlive } = tcb.options;
    if (tcb.slow === Slow.timeWait || tcb.slow === Slow.finWait) return;
    tcb.slow = keepAlive === undefined ? Slow.none : Slow.keepAlive;
    tcb.slowAt = keepAlive === undefined ? Number.POSITIVE_INFINITY : now + (keepAlive.idle ?? 7_200_000);
    this.schedule(tcb);
  }

  /** Turns keep-alive on, or off with undefined. */
  setKeepAlive(tcb: Tcb, keepAlive: TcpOptions['keepAlive']): void {
    tcb.options = { ...tcb.options, keepAlive };
    if (tcb.state >= State.established) this.armKeepAlive(tcb, this.#environment.now());
  }

  /** @throws NetError EPIPE. */
  requireSending(tcb: Tcb): void {
    if (tcb.canSend) return;
    throw (
      tcb.error ??
      new NetError('EPIPE', { syscall: 'write', address: String(tcb.remote), port: tcb.remotePort })
    );
  }

  /** CLOSE of section 3.10.4. */
  end(tcb: Tcb): void {
    if (tcb.ending || tcb.state === State.closed) return;
    tcb.ending = true;
    this.touch(tcb);
  }

  ignore(tcb: Tcb): void {
    if (tcb.deaf || tcb.state === State.closed) return;
    tcb.deaf = true;
    const unread = tcb.received.readable > 0;
    if (tcb.counted) this.memory -= tcb.received.memory;
    tcb.received.discard();
    if (unread && tcb.state !== State.timeWait) this.abort(tcb);
    else if (tcb.state === State.finWait2) this.awaitFin(tcb, this.#environment.now());
  }

  /** ABORT of section 3.10.5. */
  abort(tcb: Tcb): void {
    if (tcb.state === State.closed) return;
    if (tcb.state !== State.synSent && tcb.state !== State.timeWait) {
      this.counters.resetsOut++;
      emitSegment(tcb, tcb.sndNxt, RST | ACK, 0, 0, this.#environment.now());
    }
    this.finish(tcb, new NetError('ECONNABORTED', { address: String(tcb.remote), port: tcb.remotePort }));
  }

  /** Answers with a reset what belongs to nobody. */
  reset(via: StackInterface, local: Ip, remote: Ip, segment: Segment): void {
    if (segment.flags & RST) return;
    this.counters.resetsOut++;
    emitReset(via, this.scratch, local, remote, segment, this.nextId());
  }

  resendSyn(tcb: Tcb): void {
    tcb.sndNxt = tcb.iss;
    this.touch(tcb);
  }

  fail(tcb: Tcb, code: NetErrorCode, reason?: string): void {
    const syscall = tcb.state === State.synSent ? 'connect' : 'read';
    const { remotePort: port } = tcb;
    this.finish(
      tcb,
      new NetError(code, {
        syscall,
        address: String(tcb.remote),
        port,
        ...(reason === undefined ? {} : { reason }),
      }),
    );
  }

  /** It is over: forgotten by the stack, and the application is told. */
  finish(tcb: Tcb, error: NetError | undefined): void {
    if (tcb.state === State.closed) return;
    this.#remove(tcb);
    tcb.state = State.closed;
    tcb.error = error;
    tcb.listener?.halfOpen.delete(tcb);
    this.#close(tcb);
  }

  /** Our FIN is acknowledged and nobody reads what the peer may still send: it has a minute to end as well. */
  awaitFin(tcb: Tcb, now: number): void {
    tcb.slow = Slow.finWait;
    tcb.slowAt = now + ORPHAN;
    this.schedule(tcb);
  }

  enterTimeWait(tcb: Tcb, now: number): void {
    const again = tcb.state === State.timeWait;
    tcb.state = State.timeWait;
    tcb.slow = Slow.timeWait;
    tcb.slowAt = now + this.#environment.timeWait;
    tcb.rtoAt = Number.POSITIVE_INFINITY;
    tcb.probeAt = Number.POSITIVE_INFINITY;
    if (!again) this.#close(tcb);
    this.schedule(tcb);
  }

  /** Ends every connection of an interface, and the listeners that are bound to it. */
  closeInterface(via: StackInterface): void {
    for (const listener of [...this.#listeners.values()]) {
      if (listener.options.interface === via) listener.close();
    }
    for (const tcb of this.#table.all()) {
      if (tcb.interface === via) this.fail(tcb, 'ENETDOWN');
    }
  }

  /** ICMP says that a segment did not arrive: final while a connection opens, a hint later (RFC 5927, section 5.2). */
  onIcmpError(tcb: Tcb, code: NetErrorCode): void {
    if (tcb.state === State.synSent) this.fail(tcb, code);
  }

  /** The path to a host takes less than it did: what is too long is cut and sent again (RFC 1191, section 6.5). */
  onPathChange(via: StackInterface, remote: Ip): void {
    for (const tcb of this.#table.all()) {
      if (tcb.interface !== via || !tcb.remote.equals(remote)) continue;
      const before = tcb.mss;
      this.adaptMss(tcb);
      if (tcb.mss < before && tcb.flight.count > 0) resendAll(tcb);
      this.touch(tcb);
    }
  }

  /** Nobody on the link answers for hosts that `concerns` means: connections that are opening fail. */
  onUnreachable(via: StackInterface, concerns: (remote: Ip) => boolean): void {
    for (const tcb of this.#table.all()) {
      if (tcb.interface === via && tcb.state === State.synSent && concerns(tcb.remote))
        this.fail(tcb, 'EHOSTUNREACH');
    }
  }

  /** Every connection, for lists and for what concerns many. */
  all(): Tcb[] {
    return this.#table.all();
  }

  /** The connection that an ICMP error quotes, if its sequence number lies in flight (RFC 5927, section 4.1). */
  quoted(
    via: StackInterface,
    local: Ip,
    remote: Ip,
    localPort: number,
    remotePort: number,
    seq: number,
  ): Tcb | undefined {
    const tcb = this.#table.find(
      via,
      remote.w0,
      remote.w1,
      remote.w2,
      remote.w3,
      local.w0,
      local.w1,
      local.w2,
      local.w3,
      remotePort,
      localPort,
    );
    if (tcb === undefined || before(seq, tcb.sndUna) || before(tcb.sndNxt, seq)) return undefined;
    return tcb;
  }

  #find(packet: IpPacket, segment: Segment): Tcb | undefined {
    return this.#table.find(
      packet.interface,
      packet.s0,
      packet.s1,
      packet.s2,
      packet.s3,
      packet.d0,
      packet.d1,
      packet.d2,
      packet.d3,
      segment.sourcePort,
      segment.destinationPort,
    );
  }

  /** Sections 3.10.7.1 and 3.10.7.2. */
  #onListen(packet: IpPacket, segment: Segment, now: number): void {
    const { flags } = segment;
    if (flags & RST) return;
    const via = packet.interface;
    const listener = this.#listenerFor(packet, segment.destinationPort);
    if (listener === undefined || flags & ACK || (flags & SYN) === 0) {
      // A listener has no use for anything else either; only what is neither SYN, ACK nor RST is dropped in silence.
      if (listener === undefined || flags & ACK) this.reset(via, packet.destination, packet.source, segment);
      return;
    }
    const { halfOpen = 1024 } = listener.options;
    if (listener.halfOpen.size >= halfOpen) {
      const [oldest] = listener.halfOpen;
      this.counters.halfOpenDrops++;
      if (oldest !== undefined) this.finish(oldest, undefined);
    }
    if (this.#table.size >= this.#environment.maxConnections) return;
    const tcb = this.#create(
      via,
      packet.destination,
      segment.destinationPort,
      packet.source,
      segment.sourcePort,
      listener.options,
      NO_HANDLER,
    );
    tcb.state = State.synReceived;
    tcb.listener = listener;
    tcb.irs = segment.seq;
    tcb.rcvNxt = (segment.seq + 1) | 0;
    tcb.received.rebase(tcb.rcvNxt);
    tcb.rcvEdge = (tcb.rcvNxt + Math.min(0xffff, tcb.rcvLimit)) | 0;
    learnOptions(tcb, segment, now);
    listener.halfOpen.add(tcb);
    this.#table.add(tcb);
    this.touch(tcb);
  }

  /** The most exact listener: by interface and address, by interface, by address, for all. */
  #listenerFor(packet: IpPacket, port: number): TcpListener | undefined {
    if (this.#listeners.size === 0) return undefined;
    const via = packet.interface;
    const address = packet.destination;
    return (
      this.#listeners.get(listenKey(via, address, port)) ??
      this.#listeners.get(listenKey(via, undefined, port)) ??
      this.#listeners.get(listenKey(undefined, address, port)) ??
      this.#listeners.get(listenKey(undefined, undefined, port))
    );
  }

  /**
   * Whether a SYN may end TIME-WAIT early: only one that cannot be an old duplicate (RFC 9293, section 3.6.1; RFC 6191).
   */
  #reopens(tcb: Tcb, segment: Segment): boolean {
    if ((segment.flags & (SYN | ACK | RST)) !== SYN) return false;
    if (tcb.timestamps && segment.hasTimestamps && segment.tsValue !== tcb.tsRecent) {
      return before(tcb.tsRecent, segment.tsValue);
    }
    return before(tcb.rcvNxt, segment.seq);
  }

  #create(
    via: StackInterface,
    local: Ip,
    localPort: number,
    remote: Ip,
    remotePort: number,
    options: TcpOptions,
    handler: TcpHandler,
  ): Tcb {
    const tcb = new Tcb(this, via, local, localPort, remote, remotePort, options, handler);
    const { receiveBuffer = DEFAULT_BUFFER } = options;
    tcb.rcvLimit = Math.min(receiveBuffer, FIRST_WINDOW);
    tcb.rcvShift = shiftFor(receiveBuffer);
    this.#number(tcb);
    return tcb;
  }

  /** RFC 6528: M, a clock of 4 microseconds, and a keyed hash of who talks to whom; RFC 7323, section 5.4, likewise. */
  #number(tcb: Tcb): void {
    const { local, remote } = tcb;
    const { random } = this.#environment;
    const words = [
      tcb.interface.id,
      local.w0,
      local.w1,
      local.w2,
      local.w3,
      remote.w0,
      remote.w1,
      remote.w2,
      remote.w3,
      (tcb.localPort << 16) | tcb.remotePort,
    ];
    const clock = Math.floor(this.#environment.now() * 250) % 2 ** 32;
    tcb.iss = (random.hash(words) + clock) | 0;
    tcb.tsOffset = random.high;
    tcb.sndUna = tcb.iss;
    tcb.sndNxt = tcb.iss;
  }

  /**
   * RFC 6056, section 3.3.4 (double-hash port selection, here with one table): the sequence of ports for each peer
   * begins where only the key tells.
   */
  #choosePort(via: StackInterface, local: Ip, remote: Ip, port: number): number {
    const { random } = this.#environment;
    const offset = random.hash([
      local.w0,
      local.w1,
      local.w2,
      local.w3,
      remote.w0,
      remote.w1,
      remote.w2,
      remote.w3,
      port,
    ]);
    for (let tries = 0; tries < EPHEMERAL_COUNT; tries++) {
      const candidate = EPHEMERAL_FIRST + (((offset >>> 0) + this.#portCounter++) % EPHEMERAL_COUNT);
      const taken = this.#table.find(
        via,
        remote.w0,
        remote.w1,
        remote.w2,
        remote.w3,
        local.w0,
        local.w1,
        local.w2,
        local.w3,
        port,
        candidate,
      );
      if (taken === undefined) return candidate;
    }
    throw new NetError('EADDRNOTAVAIL', {
      syscall: 'connect',
      address: String(remote),
      port,
      reason: 'all ports towards that peer are in use',
    });
  }

  #tell(tcb: Tcb): void {
    if (tcb.listener !== undefined) {
      if (!(tcb.told & Told.connect)) {
        // Nobody ever heard of it.
        tcb.told = 0;
        return;
      }
      tcb.listener.take(tcb);
    }
    const { told, handler } = tcb;
    tcb.told = 0;
    if (told & Told.connect) handler.onConnect?.(tcb);
    if (told & Told.read && !tcb.deaf) handler.onReadable?.(tcb);
    if (told & Told.write && tcb.full && tcb.writable) {
      tcb.full = false;
      handler.onWritable?.(tcb);
    }
    if (told & Told.close) {
      tcb.over = true;
      tcb.handler = NO_HANDLER;
      handler.onClose?.(tcb, tcb.error);
    }
  }

  /** Both streams are at their end, or the connection failed. */
  #close(tcb: Tcb): void {
    this.memory -= tcb.queue.length;
    tcb.queue.clear();
    tcb.flight.clear();
    // What is still to be read is the application's from now on.
    if (tcb.counted) this.memory -= tcb.received.memory;
    tcb.counted = false;
    if (tcb.over) return;
    tcb.told |= Told.close;
    this.touch(tcb);
  }

  #remove(tcb: Tcb): void {
    this.#table.remove(tcb);
    this.#environment.wheel.clear(tcb.timer);
    tcb.interface.unblock(tcb);
    if (tcb.state === State.timeWait) tcb.state = State.closed;
  }
}

function listenKey(via: StackInterface | undefined, address: Ip | undefined, port: number): string {
  return `${via?.id ?? '*'} ${address?.key ?? '*'} ${port}`;
}
