/** Sends bytes to an address and port and prints what came back, as one line of JSON. */
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { argv, stdout } from 'node:process';

/** What is asked, as the program's only argument. */
export interface Question {
  readonly protocol: 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
  /** Bytes to send and to expect back. Default is 100. */
  readonly size?: number;
  /** Datagrams or connections, one after the other. Default is 1. */
  readonly times?: number;
  /** The port to ask from. Default is any. */
  readonly from?: number;
}

/** What came back. */
export interface Answer {
  /** Whether the bytes came back as they went. */
  readonly same: number;
  /** The port that UDP answers came from; of TCP, the port that was asked for. */
  readonly ports: readonly number[];
  /** Nothing within this time, or a refusal. */
  readonly lost: number;
}

const PATIENCE = 700;
const { protocol, address, port, size = 100, times = 1, from } = JSON.parse(argv[2] ?? '{}') as Question;
const ports: number[] = [];
let same = 0;
let lost = 0;
const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

for (let i = 0; i < times; i++) {
  const sent = randomBytes(size);
  const got = await (protocol === 'udp' ? overUdp(sent) : overTcp(sent));
  if (got === undefined) {
    lost++;
    continue;
  }
  ports.push(got.port);
  if (hash(got.bytes) === hash(sent)) same++;
}
stdout.write(`${JSON.stringify({ same, ports, lost } satisfies Answer)}\n`);

interface Got {
  readonly bytes: Uint8Array;
  readonly port: number;
}

function overUdp(sent: Uint8Array): Promise<Got | undefined> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  return new Promise((resolve) => {
    const end = (got: Got | undefined): void => {
      clearTimeout(timer);
      socket.close();
      resolve(got);
    };
    const timer = setTimeout(() => end(undefined), PATIENCE);
    socket.on('message', (bytes, { port }) => end({ bytes, port }));
    socket.on('error', () => end(undefined));
    socket.bind(from ?? 0, () => socket.send(sent, port, address));
  });
}

function overTcp(sent: Uint8Array): Promise<Got | undefined> {
  return new Promise((resolve) => {
    const parts: Uint8Array[] = [];
    let asked = 0;
    const socket = connect({ host: address, port, ...(from === undefined ? {} : { localPort: from }) });
    const end = (got: Got | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(got);
    };
    const timer = setTimeout(() => end(undefined), PATIENCE);
    socket.on('error', () => end(undefined));
    socket.on('connect', () => {
      clearTimeout(timer);
      asked = socket.remotePort ?? 0;
      socket.end(sent);
    });
    socket.on('data', (part) => parts.push(part));
    socket.on('end', () => end({ bytes: Buffer.concat(parts), port: asked }));
  });
}
