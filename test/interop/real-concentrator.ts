import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Lab, type LabHost } from '../../src/lab/index.ts';
import { type ConcentratorSettings, makeClientRoot, makeRoot, TUNABLES } from './guest-root.ts';
import { type GuestFiles, guestFiles } from './packages.ts';

/**
 * A PPPoE concentrator that others wrote: Debian's pppoe-server and pppd on a kernel with PPPoE, which runs as a process
 * (user-mode-linux) because the host's has none.
 *
 *     cpe: cpe0 ---- isp: isp0, bridge, tap0 = guest: vec0, pppoe-server
 *     net: net0 ---- isp: net1               = guest: vec1, the Internet
 */
export class RealConcentrator implements AsyncDisposable {
  readonly lab: Lab;
  /** Where clients run, on `cpe0`. */
  readonly client: LabHost;
  /** The Internet's side, with the address 198.51.100.2. */
  readonly internet: LabHost;
  readonly #guest: ChildProcess;
  readonly #folder: string;

  private constructor(lab: Lab, guest: ChildProcess, folder: string) {
    this.lab = lab;
    this.client = lab.host('cpe');
    this.internet = lab.host('net');
    this.#guest = guest;
    this.#folder = folder;
  }

  static async start(settings: ConcentratorSettings = {}): Promise<RealConcentrator> {
    const files = guestFiles();
    const root = makeRoot(files, settings);
    const folder = dirname(root);
    const { mtu = 1508 } = settings;
    const lab = Lab.create({
      hosts: ['cpe', 'isp', { name: 'net', gateway: '198.51.100.1' }],
      wires: [
        {
          between: [
            { host: 'isp', interface: 'isp0', addresses: [] },
            { host: 'cpe', interface: 'cpe0', addresses: [] },
          ],
          mtu,
        },
        {
          between: [
            { host: 'isp', interface: 'net1', addresses: [] },
            { host: 'net', interface: 'net0', addresses: ['198.51.100.2/24'] },
          ],
        },
      ],
    });
    try {
      const isp = lab.host('isp');
      isp.net.links.create({ kind: 'bridge', name: 'br0', mtu, up: true });
      // With its tag beside it in the kernel's memory, a frame would show its tag to nobody behind the veth.
      isp.net.ethtool.setFeatures('isp0', { 'tx-vlan-hw-insert': false, 'tx-vlan-stag-hw-insert': false });
      isp.exec('ip', ['tuntap', 'add', 'tap0', 'mode', 'tap']);
      isp.net.links.set('tap0', { mtu, master: 'br0', up: true });
      isp.net.links.set('isp0', { master: 'br0' });
      const guest = startGuest(isp, files, root, 'server', [
        `vec0:transport=tap,ifname=tap0,depth=128,mtu=${mtu},mac=02:ac:00:00:00:01`,
        'vec1:transport=raw,ifname=net1,depth=128,gro=1,mac=02:ac:00:00:00:02',
      ]);
      const made = new RealConcentrator(lab, guest, folder);
      await made.#ready();
      return made;
    } catch (error) {
      lab.destroy();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Runs a shell command in the guest and returns what it prints. */
  run(script: string): string {
    const url = 'http://198.51.100.1:8079/cgi-bin/shell';
    return this.internet.exec('curl', ['-sS', '-m', '30', '--data-binary', script, url]);
  }

  /** As {@link runStandardClient}, on the customer's side. */
  runClient(options: readonly string[], script: string): Promise<string> {
    return runStandardClient(this.client, 'cpe0', options, script);
  }

  /** The guest's log of pppd and pppoe-server. */
  get messages(): string {
    return this.run('cat /run/log/messages');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#guest, 'exit');
    this.#guest.kill('SIGKILL');
    if (this.#guest.exitCode === null && this.#guest.signalCode === null) await ended;
    this.lab.destroy();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #ready(): Promise<void> {
    const console = join(this.#folder, 'console.log');
    for (let tries = 0; tries < 1200; tries++) {
      const said = existsSync(console) ? readFileSync(console, 'utf8') : '';
      if (said.includes('LAB-READY')) return;
      if (this.#guest.exitCode !== null) throw new Error(`the guest died: ${said.slice(-2000)}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    throw new Error(`the guest is not ready: ${readFileSync(console, 'utf8').slice(-2000)}`);
  }
}

/**
 * Has the standard Linux client (pppd with the kernel's PPPoE), in a guest of its own on an interface, dial and run a shell
 * script; what that printed.
 *
 * @param options pppd's, as in `user alice`.
 */
export async function runStandardClient(
  host: LabHost,
  link: string,
  options: readonly string[],
  script: string,
): Promise<string> {
  const files = guestFiles();
  const root = makeClientRoot(files, options, script);
  try {
    const wire = `vec0:transport=raw,ifname=${link},depth=128,mtu=1508,mac=02:cc:00:00:00:01`;
    const guest = startGuest(host, files, root, 'client', [wire]);
    if (guest.exitCode === null) await once(guest, 'exit');
    return readFileSync(join(dirname(root), 'console.log'), 'utf8');
  } finally {
    rmSync(dirname(root), { recursive: true, force: true });
  }
}

function startGuest(
  host: LabHost,
  files: GuestFiles,
  root: string,
  name: string,
  wires: readonly string[],
): ChildProcess {
  const folder = dirname(root);
  const console = openSync(join(folder, 'console.log'), 'a');
  const memory = existsSync('/dev/shm') ? '/dev/shm' : folder;
  const guest = host.spawn(
    files.launcher,
    [
      files.kernel,
      `umid=${name}`,
      `uml_dir=${folder}/uml`,
      'mem=1024M',
      'rootfstype=hostfs',
      `rootflags=${root}`,
      'rw',
      'init=/init',
      'quiet',
      TUNABLES,
      'con=null',
      'con0=null,fd:1',
      'ssl=null',
      ...wires,
    ],
    { stdio: ['ignore', console, console], env: { ...process.env, TMPDIR: memory } },
  );
  closeSync(console);
  return guest;
}
