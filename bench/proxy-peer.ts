/**
 * The far ends of bench/proxy.ts. `serve` is the Internet: a source at port 9001 (sends as many bytes as it is asked
 * for), an echo at 9002, a sink at 9003 (says when it has had enough), HTTP at 80. Other words are clients, which write
 * one line of JSON.
 */
import { createServer, Socket } from 'node:net';
import { argv, exit, stdout } from 'node:process';

const [word = '', ...rest] = argv.slice(2);
const CHUNK = Buffer.alloc(1 << 20, 'x');
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!';

interface Via {
  /** The proxy's address, or the server's own. */
  readonly host: string;
  /** 0 without a proxy. */
  readonly proxy: number;
  readonly server: string;
}

const via: Via = { host: rest[0] ?? '', proxy: Number(rest[1] ?? 0), server: rest[2] ?? '' };
const amount = Number(rest[3] ?? 0);
const count = Number(rest[4] ?? 1);

if (word === 'serve') serve();
else {
  const clients: Readonly<Record<string, () => Promise<object>>> = {
    download: () => transfer(9001),
    upload: () => transfer(9003),
    requests,
    latency,
    tunnels,
    connects,
  };
  stdout.write(`${JSON.stringify(await clients[word]?.())}\n`);
  exit(0);
}

function serve(): void {
  createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', (asked) => {
      let left = Number(asked.toString());
      const more = (): void => {
        while (left > 0) {
          const size = Math.min(left, CHUNK.length);
          left -= size;
          if (!socket.write(size === CHUNK.length ? CHUNK : CHUNK.subarray(0, size))) break;
        }
        if (left === 0) socket.end();
      };
      socket.on('drain', more);
      more();
    });
  }).listen(9001, '0.0.0.0', 4096);
  createServer({ noDelay: true }, (socket) => socket.on('error', () => socket.destroy()).pipe(socket)).listen(
    9002,
    '0.0.0.0',
    4096,
  );
  createServer((socket) => {
    let wanted = 0;
    let had = 0;
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      if (wanted === 0) {
        const end = chunk.indexOf(10);
        wanted = Number(chunk.subarray(0, end).toString());
        had = -end - 1;
      }
      had += chunk.length;
      if (had >= wanted) socket.end('.');
    });
  }).listen(9003, '0.0.0.0', 4096);
  createServer({ noDelay: true }, (socket) => {
    let seen = '';
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      seen += chunk.toString('latin1');
      let end = seen.indexOf('\r\n\r\n');
      while (end !== -1) {
        socket.write(ANSWER);
        seen = seen.slice(end + 4);
        end = seen.indexOf('\r\n\r\n');
      }
    });
  }).listen(80, '0.0.0.0', 4096, () => stdout.write('up\n'));
}

/** A connection to a port of the server's, by CONNECT where there is a proxy; a reader gets what comes. */
async function open(port: number, read: (bytes: Uint8Array, length: number) => void): Promise<Socket> {
  let state: 'asking' | 'open' = via.proxy === 0 ? 'open' : 'asking';
  return await new Promise((resolve, reject) => {
    const socket = new Socket({
      onread: {
        buffer: Buffer.alloc(via.proxy === 0 || amount > 1e6 ? 1 << 18 : 4096),
        callback: (length: number, bytes: Uint8Array) => {
          if (state === 'open') read(bytes, length);
          else {
            const answer = Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('latin1');
            if (!/^HTTP\/1\.\d 200/.test(answer) || !answer.endsWith('\r\n\r\n')) {
              reject(new Error(`not a tunnel: ${answer.slice(0, 200)}`));
              return false;
            }
            state = 'open';
            resolve(socket);
          }
          return true;
        },
      },
    } as ConstructorParameters<typeof Socket>[0]);
    socket.setNoDelay(true);
    socket.on('error', reject);
    socket.connect(via.proxy === 0 ? port : via.proxy, via.host, () => {
      if (state === 'open') resolve(socket);
      else socket.write(`CONNECT ${via.server}:${port} HTTP/1.1\r\nHost: ${via.server}:${port}\r\n\r\n`);
    });
  });
}

/** `amount` bytes over each of `count` connections at once; MB/s in all. */
async function transfer(port: 9001 | 9003): Promise<object> {
  let begin = 0;
  const one = async (): Promise<void> => {
    let had = 0;
    let done: () => void = () => undefined;
    const end = new Promise<void>((resolve) => {
      done = resolve;
    });
    const wanted = port === 9001 ? amount : 1;
    const socket = await open(port, (_, length) => {
      had += length;
      if (had >= wanted) done();
    });
    begin ||= performance.now();
    socket.write(`${amount}\n`);
    if (port === 9003) {
      let left = amount;
      const more = (): void => {
        while (left > 0) {
          const size = Math.min(left, CHUNK.length);
          left -= size;
          if (!socket.write(size === CHUNK.length ? CHUNK : CHUNK.subarray(0, size))) break;
        }
      };
      socket.on('drain', more);
      more();
    }
    await end;
    socket.destroy();
  };
  await Promise.all(Array.from({ length: count }, one));
  const seconds = (performance.now() - begin) / 1000;
  return { rate: (amount * count) / 1e6 / seconds };
}

/** `count` kept-alive clients that ask `amount` times in all; requests/s. */
async function requests(): Promise<object> {
  const target = via.proxy === 0 ? '/' : `http://${via.server}/`;
  const request = `GET ${target} HTTP/1.1\r\nHost: ${via.server}\r\n\r\n`;
  let left = amount;
  const begin = performance.now();
  await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<void>((resolve, reject) => {
          // Some proxies close after every answer: what was asked then is asked again over a connection of its own.
          const connect = (pending: boolean): void => {
            const socket = new Socket();
            let waiting = pending;
            let seen = '';
            const ask = (): void => {
              if (!waiting && left-- <= 0) {
                socket.removeAllListeners('close').destroy();
                resolve();
                return;
              }
              waiting = true;
              socket.write(request);
            };
            socket.setNoDelay(true);
            socket.on('error', (error: NodeJS.ErrnoException) => {
              if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
            });
            socket.on('close', () => connect(waiting));
            socket.on('data', (chunk) => {
              seen += chunk.toString('latin1');
              if (!seen.endsWith('Hello, world!')) return;
              seen = '';
              waiting = false;
              ask();
            });
            socket.connect(via.proxy === 0 ? 80 : via.proxy, via.host, ask);
          };
          connect(false);
        }),
    ),
  );
  return { rate: amount / ((performance.now() - begin) / 1000) };
}

/** A byte there and back, `amount` times over one standing connection; in microseconds. */
async function latency(): Promise<object> {
  let back: () => void = () => undefined;
  const socket = await open(9002, () => back());
  const times: number[] = [];
  for (let i = -500; i < amount; i++) {
    const begin = performance.now();
    await new Promise<void>((resolve) => {
      back = resolve;
      socket.write('x');
    });
    if (i >= 0) times.push((performance.now() - begin) * 1000);
  }
  times.sort((a, b) => a - b);
  return { p50: times[Math.floor(times.length * 0.5)], p99: times[Math.floor(times.length * 0.99)] };
}

/** `amount` tunnels that stand at the same time, each asked once; how many answered, and in how long. */
async function tunnels(): Promise<object> {
  const sockets: Socket[] = [];
  let answered = 0;
  let done: () => void = () => undefined;
  const all = new Promise<void>((resolve) => {
    done = resolve;
  });
  const begin = performance.now();
  let left = amount;
  await Promise.all(
    Array.from({ length: 100 }, async () => {
      while (left-- > 0) {
        const socket = await open(9002, () => {
          if (++answered === amount) done();
        }).catch(() => undefined);
        if (socket !== undefined) sockets.push(socket);
      }
    }),
  );
  const opened = performance.now() - begin;
  for (const socket of sockets) socket.write('x');
  await Promise.race([all, new Promise((resolve) => setTimeout(resolve, 20_000))]);
  const { promise, resolve } = Promise.withResolvers?.<void>() ?? {
    promise: Promise.resolve(),
    resolve() {},
  };
  // Whoever started this looks at the proxy's memory now.
  stdout.write('standing\n');
  process.stdin.once('data', () => resolve());
  await promise;
  return { answered, rate: amount / (opened / 1000) };
}

/** Tunnels that are opened, asked and closed, `count` at a time; tunnels/s. */
async function connects(): Promise<object> {
  let left = amount;
  const begin = performance.now();
  await Promise.all(
    Array.from({ length: count }, async () => {
      while (left-- > 0) {
        let back: () => void = () => undefined;
        const socket = await open(9002, () => back());
        await new Promise<void>((resolve) => {
          back = resolve;
          socket.write('x');
        });
        socket.destroy();
      }
    }),
  );
  return { rate: amount / ((performance.now() - begin) / 1000) };
}
