/** Answers what comes over TCP and UDP on the given port, IPv4 and IPv6, with the same bytes. Says when it is ready. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { argv, stdout } from 'node:process';

const port = Number(argv[2]);
const udp = createSocket({ type: 'udp6', ipv6Only: false });
udp.on('message', (data, from) => udp.send(data, from.port, from.address));
udp.bind(port);
const tcp = createServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
});
tcp.listen(port, '::');
await Promise.all([once(udp, 'listening'), once(tcp, 'listening')]);
stdout.write('ready\n');
