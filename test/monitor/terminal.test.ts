import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '../../src/lab/index.ts';
import { MAIN } from '../cli/bin.ts';

const lab = Lab.create({ hosts: ['left', 'right'], wires: [{ between: ['left', 'right'] }] });
const left = lab.host('left');
const right = lab.host('right');
const folder = mkdtempSync(join(tmpdir(), 'barewire-terminal-'));
/** A server of its own for each test: one that ends takes its time. */
let servers = 0;
let socket = '';

/** Tells the terminal multiplexer something; what it answers. */
function tmux(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('tmux', ['-S', socket, ...args], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** The terminal as one sees it. */
const seen = (): string => tmux('capture-pane', '-p', '-t', 'monitor').trimEnd();

/** Waits until the terminal shows something. */
async function until(pattern: RegExp): Promise<string> {
  let last = '';
  for (let tries = 0; tries < 1500; tries++) {
    last = seen();
    if (pattern.test(last)) return last;
    await sleep(25);
  }
  throw new assert.AssertionError({ message: `${pattern} never came:\n${last}` });
}

const type = (...keys: string[]): string => tmux('send-keys', '-t', 'monitor', ...keys);

/** A shell on a terminal of this size. */
async function shell(columns: number, rows: number): Promise<void> {
  socket = join(folder, `tmux-${servers++}`);
  const bash = ['env', 'PS1=ready> ', 'LC_ALL=C.UTF-8', 'bash', '--norc'];
  const size = ['-x', String(columns), '-y', String(rows)];
  const session = ['new-session', '-d', '-s', 'monitor', '-c', folder, ...size, ...bash];
  right.exec('tmux', ['-S', socket, '-f', '/dev/null', ...session]);
  await until(/ready>/);
}

/** The command in a shell. */
async function watch(columns: number, rows: number, ...args: string[]): Promise<void> {
  await shell(columns, rows);
  await begin(...args);
}

async function begin(...args: string[]): Promise<void> {
  type(`${process.execPath} ${MAIN} monitor eth0 -i 100ms ${args.join(' ')}`, 'Enter');
  await until(/^eth0 {2}in by/m);
}

/** A digest of the terminal's settings, as a command finds them. */
async function settings(): Promise<string> {
  type('clear; stty -a | sha1sum', 'Enter');
  return /^[0-9a-f]{40}/m.exec(await until(/^[0-9a-f]{40} {2}-$/m))![0];
}

const attached = (): number => right.net.links.get('eth0').xdp.length;
const ping = (count: number): string => left.exec('ping', ['-c', String(count), '-i', '0.01', '10.77.0.2']);

afterEach(() => {
  spawnSync('tmux', ['-S', socket, 'kill-server']);
});
after(() => {
  lab.destroy();
  rmSync(folder, { recursive: true });
});

describe('barewire monitor on a terminal', () => {
  it('draws the whole screen, follows its size, keys and the filter', async () => {
    await watch(80, 24);
    ping(5);
    const screen = await until(/icmp 10\.77\.0\.2 - 10\.77\.0\.1/);
    const lines = screen.split('\n');
    assert.equal(lines.length, 24);
    assert.match(lines[0]!, /^eth0 {2}in by XDP in driver mode, out by tcx +\d\d:\d\d:\d\d$/);
    assert.match(lines[1]!, /^In +\d/);
    assert.match(lines[23]!, /^flows by bits {2}q quit {2}\? help/);

    type('v');
    await until(/^Address there[\s\S]*^10\.77\.0\.1 .*[\s\S]*^remote by bits/m);
    type('s');
    await until(/remote by packets/);
    type('3');
    await until(/^Address here[\s\S]*^10\.77\.0\.2 /m);
    type('?');
    await until(/freeze the screen; counting goes on/);
    type('x');
    await until(/^Address here/m);

    type('/');
    await until(/^filter: _/m);
    type('ud p', 'BSpace', 'BSpace', 'p 9');
    await until(/^filter: udp 9_/m);
    type('Enter');
    await until(/only udp 9/);
    await until(/Nothing that the filter lets through/);
    type('/', 'nonsense', 'Enter');
    await until(/'nonsense' is no word of a filter/);
    type('c', '1');
    await until(/icmp 10\.77\.0\.2 - 10\.77\.0\.1/);

    tmux('resize-window', '-t', 'monitor', '-x', '40', '-y', '12');
    const small = await until(/^flows by packets {2}q quit {2}\? help/m);
    assert.ok(small.split('\n').length <= 12);
    assert.match(small, /^eth0 {2}in by XDP .*… {2}\d\d:\d\d:\d\d$/m);
    assert.match(small, /^icmp 10\.77\.0\.2/m);
    tmux('resize-window', '-t', 'monitor', '-x', '100', '-y', '30');
    await until(/^flows by packets {2}q quit .* {2}r record/m);

    type('q');
    const end = await until(/ready> $|ready>$/);
    // What was last seen stays, below the command that was typed.
    assert.match(end, /monitor eth0[\s\S]*^eth0 {2}in by XDP[\s\S]*icmp 10\.77\.0\.2 - 10\.77\.0\.1/m);
    assert.equal(attached(), 0);
  });

  it('stands still while it is frozen, and counts on', async () => {
    await watch(80, 24, '--view', 'remote', '--sort', 'total');
    ping(3);
    await until(/^10\.77\.0\.1 .* 588 B/m);
    type('Space');
    const frozen = (await until(/FROZEN/)).split('\n').slice(5).join('\n');
    ping(3);
    await sleep(300);
    assert.equal(seen().split('\n').slice(5).join('\n'), frozen);
    type('Space');
    await until(/^10\.77\.0\.1 .* 1\.18 kB/m);
    assert.doesNotMatch(seen(), /FROZEN/);
    type('C-c');
    await until(/ready>$/m);
    assert.equal(attached(), 0);
  });

  it('records at a key what the filter lets through', async () => {
    await watch(80, 24);
    type('/', 'icmp', 'Enter');
    await until(/only icmp/);
    type('r');
    await until(/Recording to eth0-\S+\.pcapng; r ends it/);
    ping(3);
    await until(/REC 6 /);
    type('r');
    await until(/6 packets are in eth0-\S+\.pcapng/);
    type('q');
    await until(/ready>$/m);
    const [file = ''] = readdirSync(folder).filter((name) => name.endsWith('.pcapng'));
    const tshark = spawnSync('tshark', ['-r', join(folder, file), '-T', 'fields', '-e', 'icmp.type'], {
      encoding: 'utf8',
    });
    assert.deepEqual(tshark.stdout.trim().split('\n').sort(), ['0', '0', '0', '8', '8', '8']);
  });

  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGKILL']) {
    it(`gives the terminal back on ${signal}`, async () => {
      await shell(80, 24);
      const before = await settings();
      await begin();
      const pid = spawnSync('pgrep', ['-f', `monitor eth0 -i 100ms`], { encoding: 'utf8' })
        .stdout.trim()
        .split('\n')
        .map(Number)
        .find((candidate) => inLab(candidate));
      assert.ok(pid !== undefined);
      process.kill(pid, signal as NodeJS.Signals);
      await until(/ready>[^\n]*$/);
      const flags = ['alternate_on', 'cursor_flag', 'wrap_flag'].map((name) => `#{${name}}`).join(' ');
      assert.equal(tmux('display-message', '-p', '-t', 'monitor', flags).trim(), '0 1 1');
      assert.equal(await settings(), before);
      for (let tries = 0; attached() > 0 && tries < 300; tries++) await sleep(10);
      assert.equal(attached(), 0);
    });
  }
});

/** Whether a process is the command itself, in this lab's namespace. */
function inLab(pid: number): boolean {
  const own = right.exec('stat', ['-L', '-c', '%i', '/proc/self/ns/net']).trim();
  if (!existsSync(`/proc/${pid}/ns/net`)) return false;
  const { stdout } = spawnSync('stat', ['-L', '-c', '%i', `/proc/${pid}/ns/net`], { encoding: 'utf8' });
  const { stdout: name } = spawnSync('cat', [`/proc/${pid}/comm`], { encoding: 'utf8' });
  return stdout.trim() === own && name.trim().startsWith('node');
}
