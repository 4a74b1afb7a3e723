import assert from 'node:assert/strict';
import {
  type NetError,
  NetStack,
  type StackInterface,
  type StackOptions,
  type TcpConnection,
  type TcpHandler,
  type TcpOptions,
} from '../../src/netstack/index.ts';
import { buildPacket, decodeTcpOptions, Ipv4View, type TcpOption, TcpView } from '../../src/packet/index.ts';

export const OURS = '192.0.2.1';
export const PEER = '192.0.2.2';
const OUR_PORT = 80;
const PEER_PORT = 5000;
/** Where the peer's sequence numbers begin; scripts count from there. */
const PEER_ISS = 0xffff_ff00;

/** A segment as a script gives it. Sequence numbers count from the initial ones. */
export interface Given {
  readonly seq?: number;
  readonly ack?: number;
  /** Not scaled. Default is 65535. */
  readonly window?: number;
  /** Bytes of payload. */
  readonly length?: number;
  readonly sack?: readonly (readonly [number, number])[];
  /** Timestamp value and echo; the echo counts from our first timestamp. */
  readonly ts?: readonly [value: number, echo: number];
  readonly options?: readonly TcpOption[];
}

export interface ScriptOptions {
  readonly mtu?: number;
  readonly tcp?: TcpOptions;
  readonly stack?: Partial<StackOptions>;
  /** What the peer's SYN offers. Default is an MSS of 1000 and SACK. */
  readonly offer?: readonly TcpOption[];
  readonly window?: number;
  /** Round trip of the handshake, in ms. Default is 0. */
  readonly rtt?: number;
}

const OFFER: readonly TcpOption[] = [{ kind: 'mss', value: 1000 }, { kind: 'sackPermitted' }];

/** One end of a connection is a stack, the other a script that says what comes when, and what must be answered. */
export class Script implements TcpHandler {
  now = 1000;
  readonly stack: NetStack;
  readonly via: StackInterface;
  connection: TcpConnection | undefined;
  connected = false;
  error: NetError | undefined;
  over = false;
  read = 0;
  /** Whether what comes is read at once. */
  reading = true;
  /** The last segment that came out. */
  last: TcpView = new TcpView();
  lastOptions: readonly TcpOption[] = [];
  packets: Uint8Array[] = [];
  iss = 0;
  ourPort: number = OUR_PORT;
  peerPort: number = PEER_PORT;
  #firstStamp: number | undefined;
  readonly #options: ScriptOptions;

  constructor(options: ScriptOptions = {}) {
    this.#options = options;
    this.stack = new NetStack({ secret: new Uint8Array(16).fill(7), now: this.now, ...options.stack });
    this.via = this.stack.addInterface({
      mtu: options.mtu ?? 1500,
      addresses: [`${OURS}/24`],
      output: (bytes, offset, length) => {
        this.packets.push(bytes.slice(offset, offset + length));
        return true;
      },
    });
  }

  /** A connection that stands, opened by the peer. */
  static passive(options: ScriptOptions = {}): Script {
    const script = new Script(options);
    script.listen();
    script.in('S', { seq: 0, options: options.offer ?? OFFER, ...stampOf(options) });
    assert.match(script.out()[0] ?? '', /^SA 0\+0 ack 1/);
    script.wait(options.rtt ?? 0);
    script.in('A', { seq: 1, ack: 1, window: options.window ?? 65535, ...stampOf(options) });
    assert.deepEqual(script.out(), []);
    assert.ok(script.connected);
    return script;
  }

  /** A connection that stands, opened by us. */
  static active(options: ScriptOptions = {}): Script {
    const script = new Script(options);
    script.connect();
    assert.deepEqual(script.out(), ['S 0+0']);
    script.in('SA', {
      seq: 0,
      ack: 1,
      window: options.window ?? 65535,
      options: options.offer ?? OFFER,
      ...stampOf(options),
    });
    assert.deepEqual(script.out(), ['A 1+0 ack 1']);
    assert.ok(script.connected);
    return script;
  }

  listen(): void {
    this.stack.listen({ port: OUR_PORT, ...this.#options.tcp, onConnection: () => this });
  }

  connect(): void {
    this.ourPort = 0;
    this.peerPort = OUR_PORT;
    this.connection = this.stack.connect({ address: PEER, port: OUR_PORT, ...this.#options.tcp }, this);
    this.ourPort = this.connection.localPort;
    this.stack.flush(this.now);
  }

  onConnect(connection: TcpConnection): void {
    this.connected = true;
    this.connection = connection;
  }

  onReadable(): void {
    if (this.reading) this.drain();
  }

  onClose(_connection: TcpConnection, error: NetError | undefined): void {
    this.over = true;
    this.error = error;
  }

  drain(): void {
    for (let bytes = this.connection!.read(); bytes !== undefined; bytes = this.connection!.read()) {
      this.read += bytes.length;
    }
  }

  write(length: number): void {
    this.connection!.write(new Uint8Array(length));
    this.stack.flush(this.now);
  }

  end(): void {
    this.connection!.end();
    this.stack.flush(this.now);
  }

  /** The peer sends: letters of SYN, FIN, RST, ACK, PSH. */
  in(flags: string, given: Given = {}, flush = true): void {
    this.stack.input(this.via, this.build(flags, given), 0, this.build(flags, given).length, this.now);
    if (flush) this.stack.flush(this.now);
  }

  build(flags: string, given: Given): Uint8Array {
    const { seq = 1, ack, window = 65535, length = 0, sack, ts } = given;
    const options: TcpOption[] = [...(given.options ?? [])];
    if (ts !== undefined) {
      const echo = (ts[1] + (this.#firstStamp ?? 0)) >>> 0;
      options.push({ kind: 'timestamps', value: ts[0], echo });
    }
    if (sack !== undefined) {
      const blocks = sack.map(([left, right]) => ({ left: this.#ours(left), right: this.#ours(right) }));
      options.push({ kind: 'sack', blocks });
    }
    return buildPacket([
      { layer: 'ipv4', source: PEER, destination: OURS },
      {
        layer: 'tcp',
        sourcePort: this.peerPort,
        destinationPort: this.ourPort,
        sequence: (PEER_ISS + seq) >>> 0,
        acknowledgment: ack === undefined ? 0 : this.#ours(ack),
        syn: flags.includes('S'),
        fin: flags.includes('F'),
        rst: flags.includes('R'),
        ack: flags.includes('A'),
        psh: flags.includes('P'),
        window,
        options,
      },
      new Uint8Array(length),
    ]);
  }

  /** A packet that is no segment. */
  packet(bytes: Uint8Array): void {
    this.stack.input(this.via, bytes, 0, bytes.length, this.now);
    this.stack.flush(this.now);
  }

  /** Time passes, and whatever is due happens. */
  wait(ms: number): void {
    const end = this.now + ms;
    while (this.stack.deadline <= end) {
      this.now = Math.max(this.now, this.stack.deadline);
      this.stack.advance(this.now);
    }
    this.now = end;
    this.stack.advance(end);
  }

  /** What came out since the last time: flags, sequence number and length, ACK, SACK blocks. */
  out(): string[] {
    return this.packets.splice(0).map((bytes) => this.#describe(bytes));
  }

  #describe(bytes: Uint8Array): string {
    const ip = new Ipv4View().at(bytes);
    if (ip.protocol !== 6) return `protocol ${ip.protocol}`;
    const tcp = new TcpView().at(bytes, ip.payloadOffset, ip.offset + ip.totalLength);
    this.last = tcp;
    this.lastOptions = decodeTcpOptions(bytes, tcp.optionsOffset, tcp.payloadOffset);
    if (tcp.syn) this.iss = tcp.sequence;
    const length = bytes.length - tcp.payloadOffset;
    const flags = `${tcp.syn ? 'S' : ''}${tcp.fin ? 'F' : ''}${tcp.rst ? 'R' : ''}${tcp.ack ? 'A' : ''}`;
    let text = `${flags} ${(tcp.sequence - this.iss) | 0}+${length}`;
    if (tcp.ack) text += ` ack ${(tcp.acknowledgment - PEER_ISS) | 0}`;
    for (const option of this.lastOptions) {
      if (option.kind === 'sack') {
        const blocks = option.blocks.map(
          ({ left, right }) => `${(left - PEER_ISS) | 0}-${(right - PEER_ISS) | 0}`,
        );
        text += ` sack ${blocks.join(' ')}`;
      } else if (option.kind === 'timestamps') {
        this.#firstStamp ??= option.value;
      }
    }
    return text;
  }

  /** The number of a timestamp of ours, counted from the first one. */
  stamp(): number {
    const option = this.lastOptions.find(({ kind }) => kind === 'timestamps');
    return option?.kind === 'timestamps' ? (option.value - (this.#firstStamp ?? 0)) | 0 : Number.NaN;
  }

  #ours(relative: number): number {
    return (this.iss + relative) >>> 0;
  }
}

function stampOf(options: ScriptOptions): Pick<Given, 'ts'> {
  return options.offer?.some(({ kind }) => kind === 'timestamps') ? { ts: [100, 0] } : {};
}
