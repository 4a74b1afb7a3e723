/** The kernel's side of `npm run bench -- netstack`: servers on sockets of the kernel's, inside a namespace. */
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Server } from 'node:net';
import { stdout } from 'node:process';
import { useCubic } from './cubic.ts';

/** Listens, and sends by CUBIC as the stack does. */
function listen(server: Server, port: number): void {
  server.listen({ port, backlog: 16_384 }, () => useCubic(server));
}

const chunk = Buffer.alloc(65536, 7);

/** Sends as many bytes as the client's first four bytes say, in units of 64 KiB. */
const source = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => {});
  socket.once('data', (order) => {
    let left = order.readUInt32BE(0);
    const go = (): void => {
      while (left-- > 0) {
        if (!socket.write(chunk)) {
          socket.once('drain', go);
          return;
        }
      }
      socket.end();
    };
    go();
  });
});
listen(source, 5001);

/** Takes everything, and says so at the end. */
const sink = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => {});
  socket.on('data', () => {});
  socket.on('end', () => socket.end('done'));
});
listen(sink, 5002);

/** Answers requests. */
const http = createHttpServer((_request, response) => response.end('hello'));
http.keepAliveTimeout = 60_000;
http.listen({ port: 5003, backlog: 16_384 }, () => stdout.write('up\n'));
