import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Lab } from '../../src/lab/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const stock = takeStock();
let lab: Lab;
let folder: string;
let server: Running;

/** A command that runs, and what it prints as JSON. */
class Running {
  readonly child: ChildProcess;
  readonly lines: Record<string, unknown>[] = [];
  readonly #reader: AsyncIterator<string>;
  complaints = '';

  constructor(...args: readonly string[]) {
    this.child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#reader = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
    this.child.stderr!.on('data', (data: Buffer) => {
      this.complaints += data.toString();
    });
  }

  /** The next line that fits. */
  async line(fits: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
    for (;;) {
      const { value, done } = await this.#reader.next();
      if (done === true) throw new Error(`it ended: ${this.complaints}`);
      const line = JSON.parse(value) as Record<string, unknown>;
      this.lines.push(line);
      if (fits(line)) return line;
    }
  }

  /** Resolves with the signal that it says it ended by, once it has cleared away. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<NodeJS.Signals | null> {
    const exit = once(this.child, 'exit');
    this.child.kill(signal);
    const [, reason] = (await exit) as [number | null, NodeJS.Signals | null];
    return reason;
  }
}

const customer = (): string => lab.host('customer').namespace;

before(async () => {
  lab = Lab.create({
    hosts: ['customer', 'isp'],
    wires: [
      {
        between: [
          { host: 'customer', addresses: [] },
          { host: 'isp', addresses: [] },
        ],
        mtu: 1508,
      },
    ],
  });
  folder = mkdtempSync(join(tmpdir(), 'barewire-pppoe-'));
  writeFileSync(
    join(folder, 'secrets'),
    '"user1" * "pass 1"\nuser2 * pass2 10.64.7.7 # the same each time\n',
    {
      mode: 0o600,
    },
  );
  writeFileSync(join(folder, 'password'), 'pass 1\n', { mode: 0o600 });
  server = new Running(
    ...['pppoe-server', 'eth0', '--netns', lab.host('isp').namespace, '--json', '--service', 'internet'],
    ...['--secrets', join(folder, 'secrets'), '--dns', '198.51.100.2'],
  );
  while (!server.complaints.includes('Serving')) await new Promise((resolve) => setTimeout(resolve, 10));
});

after(async () => {
  await server.stop('SIGINT');
  rmSync(folder, { recursive: true, force: true });
  lab.destroy();
  requireNoLeaks(stock);
});

const state = (): string => join(folder, 'sessions');

describe('barewire pppoe', () => {
  it('lists who is there', () => {
    const { stdout, status } = spawnSync(
      process.execPath,
      [MAIN, 'pppoe', 'discover', 'eth0', '--netns', customer(), '--wait', '300ms', '--json'],
      { encoding: 'utf8' },
    );
    const found = JSON.parse(stdout) as { name: string; services: string[] };
    assert.deepEqual([found.name, found.services, status], ['barewire', ['internet'], 0]);
  });

  it('brings several sessions up, tells of them, and ends them when it is stopped', async () => {
    const running = new Running(
      ...['pppoe', 'eth0', '--netns', customer(), '--json', '--sessions', '2', '--mac', 'per-session'],
      ...['--user', 'user1', '--password-file', join(folder, 'password'), '--state-file', state()],
      ...['--metrics', '127.0.0.1:0'],
    );
    const opened = [
      await running.line(({ type }) => type === 'opened'),
      await running.line(({ type }) => type === 'opened'),
    ];
    assert.deepEqual(opened.map(({ line }) => line).sort(), ['line-1', 'line-2']);
    assert.equal(new Set(opened.map(({ local }) => local)).size, 2);
    assert.equal(lab.host('customer').net.links.list({ kind: 'tun' }).length, 2);
    const report = await running.line(({ type, open }) => type === 'report' && open === 2);
    assert.equal((report.lines as unknown[]).length, 2);
    const place = /http:\S+\/metrics/.exec(running.complaints)?.[0];
    const metrics = await (await fetch(place!)).text();
    assert.match(metrics, /^barewire_pppoe_up\{line="line-1"\} 1$/m);
    assert.match(metrics, /^barewire_pppoe_sessions\{state="open"\} 2$/m);
    const written = readFileSync(state(), 'utf8');
    assert.equal(written.split('\n').filter((line) => line.includes('"open"')).length, 2);
    const all = written + metrics + running.complaints + JSON.stringify(running.lines);
    assert.doesNotMatch(all, /pass/);
    assert.doesNotMatch(readFileSync(`/proc/${running.child.pid}/cmdline`, 'utf8'), /pass 1/);
    assert.equal(await running.stop(), 'SIGTERM');
    assert.equal(existsSync(state()), false, 'no session is left to be ended');
    assert.equal(lab.host('customer').net.links.list({ kind: 'tun' }).length, 0);
  });

  it('takes accounts and everything else from files', async () => {
    const config = join(folder, 'pppoe.yaml');
    writeFileSync(
      config,
      `interface: eth0
netns: ${customer()}
mac: per-session
state-file: ${state()}
lines:
  - accounts: secrets
    service: internet
    name: home
    device: bwhome
`,
    );
    const running = new Running('pppoe', 'up', '--config', config, '--json');
    const opened = [
      await running.line(({ type }) => type === 'opened'),
      await running.line(({ type }) => type === 'opened'),
    ];
    const second = opened.find(({ line }) => line === 'home-2');
    assert.deepEqual([second?.local, second?.device], ['10.64.7.7', 'bwhome1']);
    assert.equal(await running.stop(), 'SIGTERM');
  });

  it('says why a session does not come up, and goes on trying', async () => {
    writeFileSync(join(folder, 'wrong'), 'secret-of-mine\n', { mode: 0o600 });
    const running = new Running(
      ...['pppoe', 'eth0', '--netns', customer(), '--json', '--state-file', state()],
      ...['--user', 'user1', '--password-file', join(folder, 'wrong')],
    );
    const closed = await running.line(({ type }) => type === 'closed');
    assert.equal(closed.code, 'BW_PPP_AUTHENTICATION');
    // Between two attempts it waits; a report may also come in the midst of one.
    type Reported = readonly { readonly state: string; readonly error?: { readonly code: string } }[];
    const report = await running.line(
      ({ type, lines }) => type === 'report' && (lines as Reported)[0]?.state === 'waiting',
    );
    const [line] = report.lines as Reported;
    assert.equal(line?.error?.code, 'BW_PPP_AUTHENTICATION');
    assert.doesNotMatch(JSON.stringify(running.lines), /secret-of-mine/);
    await running.stop('SIGINT');
  });

  it('refuses a password that everybody may read', () => {
    const path = join(folder, 'open');
    writeFileSync(path, 'pass1\n');
    chmodSync(path, 0o644);
    const { stderr, status } = spawnSync(
      process.execPath,
      [MAIN, 'pppoe', 'eth0', '--netns', customer(), '--user', 'user1', '--password-file', path],
      { encoding: 'utf8' },
    );
    assert.match(stderr, /everybody on this machine may read/);
    assert.match(stderr, /chmod 600/);
    assert.notEqual(status, 0);
  });

  it('ends the sessions of a killed predecessor with the next start', async () => {
    const args = [
      'pppoe',
      'eth0',
      '--netns',
      customer(),
      '--json',
      '--state-file',
      state(),
      '--user',
      'user1',
    ];
    args.push('--password-file', join(folder, 'password'));
    const first = new Running(...args);
    const { local } = await first.line(({ type }) => type === 'opened');
    await first.stop('SIGKILL');
    const { net } = lab.host('customer');
    assert.ok(
      net.rules.list().some(({ from }) => from === `${local}/32`),
      'its rule is left',
    );
    const second = new Running(...args);
    const again = await second.line(({ type }) => type === 'opened');
    assert.notEqual(again.local, local);
    const ended = await server.line(
      ({ type, message }) => type === 'closed' && /killed/.test(String(message)),
    );
    assert.equal(ended.user, 'user1');
    assert.ok(!net.rules.list().some(({ from }) => from === `${local}/32`), 'its rule is gone');
    // A third cannot take the file away from the second.
    const third = spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });
    assert.match(third.stderr, /keeps its sessions in/);
    assert.equal(await second.stop(), 'SIGTERM');
  });
});
