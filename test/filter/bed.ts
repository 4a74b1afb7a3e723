import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { ensureBpffs } from '../../src/bpf/index.ts';
import { barewire } from '../../src/cli/commands/index.ts';
import { makeOutput } from '../../src/cli/output.ts';
import { run as runCommand } from '../../src/cli/run.ts';
import { Filter } from '../../src/filter/index.ts';
import { Lab, type LabHost } from '../../src/lab/index.ts';
import { callTo, cString, syscall } from '../../src/sys/index.ts';
import { type Ended, run } from '../cli/bin.ts';

/**
 * Two hosts on a wire, one of them filtered, with a BPF file system and a folder of its own, so that nothing of the
 * machine's is touched and a reboot can be simulated.
 */
export class Bed {
  readonly lab: Lab = Lab.create({ hosts: ['left', 'right'], wires: [{ between: ['left', 'right'] }] });
  readonly folder: string = mkdtempSync(join(tmpdir(), 'bw-filter-'));
  readonly roots: { pins: string; state: string };

  constructor() {
    ensureBpffs();
    callTo('mkdir', 'mount', cString('none'), cString(this.folder), cString('tmpfs'), 0, null);
    this.roots = { pins: `${this.folder}/bpf`, state: `${this.folder}/state` };
    this.mountPins();
  }

  get left(): LabHost {
    return this.lab.host('left');
  }

  get right(): LabHost {
    return this.lab.host('right');
  }

  /** A handle on the filter of the right host's interface. */
  filter(): Filter {
    return new Filter({ interface: 'eth0', netns: this.right.namespace, roots: this.roots });
  }

  /** Where a process of its own finds the bed's pins and files. */
  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, BAREWIRE_PINS: this.roots.pins, BAREWIRE_STATE: this.roots.state };
  }

  /** Runs the command to its end, in this process. */
  async barewire(...args: string[]): Promise<Ended> {
    const said = { stdout: '', stderr: '' };
    const stream = (name: keyof typeof said): Writable =>
      new Writable({
        write(text: Buffer, _, done) {
          said[name] += text.toString();
          done();
        },
      });
    const output = makeOutput(stream('stdout'), stream('stderr'), {});
    Object.assign(process.env, this.environment);
    const code = await runCommand(barewire, args, output, new AbortController().signal);
    return { code, signal: null, ...said };
  }

  /** Whether the left host reaches the right one. */
  reaches(to = '10.77.0.2'): boolean {
    try {
      this.left.exec('ping', ['-c', '1', '-W', '0.4', to]);
      return true;
    } catch {
      return false;
    }
  }

  /** Takes the BPF file system away and mounts an empty one: whatever only pins held is gone, as after a reboot. */
  reboot(): void {
    syscall('umount2', cString(this.roots.pins), 2);
    this.mountPins();
  }

  destroy(): void {
    this.lab.destroy();
    syscall('umount2', cString(this.roots.pins), 2);
    syscall('umount2', cString(this.folder), 2);
    rmSync(this.folder, { recursive: true, force: true });
  }

  private mountPins(): void {
    const { pins } = this.roots;
    rmSync(pins, { recursive: true, force: true });
    run('mkdir', '-p', pins);
    callTo('mount a BPF file system', 'mount', cString('bpf'), cString(pins), cString('bpf'), 0, null);
  }
}
