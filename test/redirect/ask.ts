/** Sends bytes to addresses and ports, a question a line of its input, and prints what came back as one line of JSON. */
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { stdin, stdout } from 'node:process';
import { createInterface } from 'node:readline';

/** What is asked, as JSON. */
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

const PATIENCE = 500;
const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

for await (const line of createInterface({ input: stdin })) {
  stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as Question))}\n`);
}

async function answer(question: Question): Promise<Answer> {
  const { protocol, size = 100, times = 1 } = question;
  const ports: number[] = [];
  let same = 0;
  let lost = 0;
  for (let i = 0; i < times; i++) {
    const sent = randomBytes(size);
    const got = await (protocol === 'udp' ? overUdp(question, sent) : overTcp(question, sent));
    if (got === undefined) {
      lost++;
      continue;
    }
    ports.push(got.port);
    if (hash(got.bytes) === hash(sent)) same++;
  }
  return { same, ports, lost };
}

interface Got {
  readonly bytes: Uint8Array;
  readonly port: number;
}

function overUdp({ address, port, from }: Question, sent: Uint8Array): Promise<Got | undefined> {
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

function overTcp({ address, port, from }: Question, sent: Uint8Array): Promise<Got | undefined> {
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
