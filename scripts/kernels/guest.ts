/** Another kernel for one command: a virtual machine in software emulation, gone when the command ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ArchiveEntry, cpio } from './archive.ts';
import { fetchBusybox, type Kernel } from './debian.ts';
import { copy, text } from './files.ts';
import { modulesFor } from './modules.ts';

export interface GuestOptions {
  readonly kernel: Kernel;
  /** What the guest has beside a busybox shell. */
  readonly files?: readonly ArchiveEntry[];
  /** Kernel modules to load, those that they need going first; what is built in is skipped. */
  readonly modules?: readonly string[];
  /** A shell command. Both its outputs go to `output`. */
  readonly command: string;
  /** How long the guest may live, in seconds. Default is 300. */
  readonly timeout?: number;
  /** In MiB. Default is 1024. */
  readonly memory?: number;
  /** Default is 2. */
  readonly cpus?: number;
  /** Called with the output as it comes. */
  readonly onOutput?: (text: string) => void;
}

export interface GuestResult {
  /** What the command printed. */
  readonly output: string;
  /** What it ended with. */
  readonly exitCode: number;
  /** What the kernel had to say: warnings and worse. */
  readonly console: string;
}

/** The guest ended without a result of its command. */
export class GuestError extends Error {
  override readonly name = 'GuestError';
  readonly output: string;
  readonly console: string;

  constructor(message: string, output: string, console: string) {
    const [panic] = /Kernel panic.*/.exec(console) ?? [];
    const last = panic ?? console.trimEnd().split('\n').slice(-15).join('\n');
    super(`${message}${last === '' ? '' : `; the kernel's last words: ${last}`}`);
    this.output = output;
    this.console = console;
  }
}

/**
 * Boots a kernel, runs one command as root and ends the machine.
 *
 * The guest has no disk and no network: its root is an archive in memory, its three serial ports are the kernel's
 * console, the command's output and its exit code. It is emulated also where a hypervisor is at hand, so that it runs
 * alike everywhere.
 *
 * @throws GuestError when the kernel panics, or time runs out.
 */
export async function boot(options: GuestOptions): Promise<GuestResult> {
  const { kernel, timeout = 300, memory = 1024, cpus = 2 } = options;
  const folder = mkdtempSync(join(tmpdir(), 'barewire-guest-'));
  const archive = join(folder, 'root.cpio');
  const [consoleFile, codeFile] = [join(folder, 'console'), join(folder, 'code')];
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.on('exit', remove);
  try {
    writeRoot(archive, options);
    const emulator = spawn(
      'qemu-system-x86_64',
      [
        ...[
          '-machine',
          'pc',
          '-accel',
          'tcg,thread=multi',
          '-cpu',
          'max',
          '-smp',
          `${cpus}`,
          '-m',
          `${memory}`,
        ],
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
        ...['-kernel', kernel.image, '-initrd', archive],
        ...['-append', 'console=ttyS0 quiet panic=-1 oops=panic random.trust_cpu=on'],
        ...['-serial', `file:${consoleFile}`, '-serial', 'stdio', '-serial', `file:${codeFile}`],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const { output, complaint, late } = await follow(emulator, timeout, options.onOutput);
    const console = readIfThere(consoleFile).replaceAll('\r', '');
    const code = readIfThere(codeFile).trim();
    if (/^\d+$/.test(code)) return { output, exitCode: Number(code), console };
    const why = late
      ? `the guest did not end within ${timeout} s`
      : `the guest ended without a result${complaint === '' ? '' : `: ${complaint.trim()}`}`;
    throw new GuestError(why, output, console);
  } finally {
    process.off('exit', remove);
    remove();
  }
}

/** Collects what the emulator says until it ends, or ends it when its time is over. */
async function follow(
  emulator: ChildProcess,
  timeout: number,
  onOutput: (text: string) => void = () => {},
): Promise<{ output: string; complaint: string; late: boolean }> {
  let [output, complaint, late] = ['', '', false];
  const kill = (): void => {
    emulator.kill('SIGKILL');
  };
  const interrupted = (): void => {
    kill();
    process.exit(130);
  };
  const timer = setTimeout(() => {
    late = true;
    kill();
  }, timeout * 1000);
  process.on('exit', kill);
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    await new Promise<void>((resolve, reject) => {
      emulator.stdout?.setEncoding('utf8').on('data', (piece: string) => {
        output += piece;
        onOutput(piece);
      });
      emulator.stderr?.setEncoding('utf8').on('data', (piece: string) => {
        complaint += piece;
      });
      emulator.once('error', reject).once('close', () => resolve());
    });
  } finally {
    clearTimeout(timer);
    process.off('exit', kill);
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
  return { output, complaint, late };
}

function writeRoot(
  path: string,
  { kernel, files = [], modules = [], command, timeout = 300 }: GuestOptions,
): void {
  const loaded = modulesFor(kernel.modules, modules);
  const entries: ArchiveEntry[] = [
    copy(fetchBusybox(), '/bin/busybox'),
    text(
      '/init',
      initScript(
        loaded.map((module) => module.name),
        timeout,
      ),
      0o755,
    ),
    text('/command', command),
    ...['dev', 'proc', 'sys', 'run', 'tmp', 'root'].map(
      (name): ArchiveEntry => ({ path: name, kind: 'folder', mode: 0o755, data: new Uint8Array() }),
    ),
    ...loaded.map(
      ({ name, data }): ArchiveEntry => ({ path: `modules/${name}.ko`, kind: 'file', mode: 0o644, data }),
    ),
    ...files,
  ];
  const file = openSync(path, 'wx', 0o600);
  try {
    for (const piece of cpio(entries)) {
      for (let written = 0; written < piece.length; ) written += writeSync(file, piece, written);
    }
  } finally {
    closeSync(file);
  }
}

/** The first process: makes the machine usable, runs the command, says what came of it and ends the machine. */
function initScript(modules: readonly string[], timeout: number): string {
  return `#!/bin/busybox sh
/bin/busybox --install -s /bin 2>/dev/null
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs trace /sys/kernel/tracing
# A machine whose owner was killed must not live on.
(sleep ${timeout + 5}; reboot -f) &
for port in 1 2; do stty -F /dev/ttyS$port raw; done
${modules.map((name) => `insmod /modules/${name}.ko`).join('\n')}
ip link set lo up
cd /root
# Through a pipe: the command must not take the serial port for somebody's terminal.
{ sh /command </dev/null; echo $? >/run/code; } 2>&1 | cat >/dev/ttyS1
cat /run/code >/dev/ttyS2
reboot -f
`;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
