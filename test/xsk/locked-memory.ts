/** Without CAP_IPC_LOCK, opens a socket with a UMEM of 256 MiB, and prints the refusal: `node locked-memory.js NETNS`. */
import { argv, stdout } from 'node:process';
import type { BarewireError } from '../../src/error.ts';
import { Umem, XskSocket } from '../../src/xsk/index.ts';

const umem = Umem.create({ frames: 1 << 17 });
try {
  await XskSocket.open({ umem, interface: 'eth0', netns: argv[2] });
} catch (error) {
  const { code, message, hint } = error as BarewireError;
  stdout.write(JSON.stringify({ code, message, hint }));
}
