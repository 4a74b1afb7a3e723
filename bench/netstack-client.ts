/**
 * One measurement of `npm run bench -- netstack`, in a process of its own, so that its CPU time is its own: through the
 * stack, or through the kernel's sockets on a second TUN device whose packets this process carries over.
 */
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { argv, exit, stdout } from 'node:process';
import type { Duplex } from 'node:stream';
import { Host, type HostLink, TunLink, WeatherLink } from '../src/nethost/index.ts';
import { Netlink } from '../src/netlink/index.ts';
import type { Weather } from '../src/netstack/index.ts';
import { connectThrough, TunDevice } from '../src/tun/index.ts';
import { useCubic } from './cubic.ts';

export interface Order {
  readonly through: 'stack' | 'kernel';
  readonly what: 'download' | 'upload' | 'connections' | 'requests' | 'concurrent';
  /** Namespaces of the server and of the kernel's client. */
  readonly server: string;
  readonly client: string;
  /** Units of 64 KiB, or connections, or requests. */
  readonly count: number;
  readonly weather?: Weather;
}

export interface Outcome {
  readonly seconds: number;
  /** User and system, in seconds. */
  readonly cpu: number;
  /** The kernel's part of it. */
  readonly system: number;
  /** Requests that were answered, where that is the question. */
  readonly answered?: number;
}

const SERVER = '10.99.0.1';
const CLIENT = '10.99.0.2';
const order = JSON.parse(argv[2] ?? '{}') as Order;
const device = TunDevice.open({ name: 'bwtun', netns: order.server, addresses: [`${SERVER}/24`] });
{
  using net = new Netlink({ netns: order.server });
  net.links.set('bwtun', { txQueueLength: 8192 });
}
const link: HostLink =
  order.weather === undefined ? new TunLink(device) : new WeatherLink(new TunLink(device), order.weather);
const connect = order.through === 'stack' ? throughStack() : throughKernel();
const outcome = await measure();
stdout.write(`${JSON.stringify(outcome)}\n`);
exit(0);

function throughStack(): (port: number) => Duplex {
  const host = new Host();
  host.attach(link, { addresses: [`${CLIENT}/24`] });
  return (port) => host.connect({ host: SERVER, port, allowHalfOpen: true });
}

function throughKernel(): (port: number) => Duplex {
  const own = TunDevice.open({ name: 'bwtun', netns: order.client, addresses: [`${CLIENT}/24`] });
  {
    using net = new Netlink({ netns: order.client });
    net.links.set('bwtun', { txQueueLength: 8192 });
  }
  carry(link, new TunLink(own));
  return (port) => {
    const socket = connectThrough({
      device: 'bwtun',
      netns: order.client,
      host: SERVER,
      port,
      allowHalfOpen: true,
      noDelay: true,
    });
    useCubic(socket);
    return socket;
  };
}

/** Carries packets between two links. */
function carry(a: HostLink, b: HostLink): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const send = (bytes: Uint8Array, offset: number, length: number): void => {
      to.send(bytes, offset, length);
    };
    from.start({
      onReadable: () => {
        for (let batch = 0; batch < 16; batch++) {
          const count = from.receive(send, 64);
          to.flush?.();
          if (count < 64) return;
        }
      },
      onWritable: () => {},
      onGone: () => {},
    });
  }
}

async function measure(): Promise<Outcome> {
  const { what, count } = order;
  if (what === 'download' || what === 'upload') {
    // The first connection warms up; what follows is measured.
    await transfer(what, Math.min(1000, count));
    return await timed(() => transfer(what, count));
  }
  if (what === 'connections') {
    await connections(100);
    return await timed(() => connections(count));
  }
  if (what === 'requests') {
    await requests(200, 32);
    return await timed(() => requests(count, 32));
  }
  return await timed(() => requests(count, Number.POSITIVE_INFINITY));
}

async function timed(task: () => Promise<number | undefined>): Promise<Outcome> {
  const cpu = process.cpuUsage();
  const begun = performance.now();
  const answered = await task();
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return {
    seconds,
    cpu: (user + system) / 1e6,
    system: system / 1e6,
    ...(answered === undefined ? {} : { answered }),
  };
}

async function transfer(direction: 'download' | 'upload', units: number): Promise<undefined> {
  const socket = connect(direction === 'download' ? 5001 : 5002);
  await once(socket, 'connect');
  if (direction === 'download') {
    const request = Buffer.alloc(4);
    request.writeUInt32BE(units);
    socket.end(request);
    socket.on('data', () => {});
    await once(socket, 'end');
  } else {
    const chunk = Buffer.alloc(65536, 7);
    for (let i = 0; i < units; i++) if (!socket.write(chunk)) await once(socket, 'drain');
    socket.end();
    socket.on('data', () => {});
    await once(socket, 'end');
  }
  socket.destroy();
}

/** Opens and closes connections, 32 at a time. */
async function connections(count: number): Promise<undefined> {
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      const socket = connect(5002);
      socket.on('data', () => {});
      socket.end();
      await once(socket, 'end');
      socket.destroy();
    }
  };
  await Promise.all(Array.from({ length: 32 }, worker));
}

/** HTTP requests over kept connections; how many were answered rightly. */
async function requests(count: number, sockets: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: sockets });
  agent.createConnection = (() => connect(5003)) as never;
  let left = count;
  let answered = 0;
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      const request = get({ agent, host: SERVER, port: 5003, path: '/' }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => {
          if (text === 'hello') answered++;
          resolve();
        });
      });
      request.on('error', () => resolve());
    });
  const worker = async (): Promise<void> => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: Math.min(count, sockets) }, worker));
  agent.destroy();
  return answered;
}
