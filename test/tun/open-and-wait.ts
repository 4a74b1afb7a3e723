import { TunDevice } from '../../src/tun/index.ts';

/** For device.test.ts: opens a device and stays until it is killed. */
const tun = TunDevice.open({ name: process.argv[2] ?? 'bwwait' });
tun.queues[0]?.watch(() => {});
console.log(tun.name);
