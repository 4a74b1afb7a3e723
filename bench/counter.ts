import { assemble, exit, func, mov64, r0 } from '../src/asm/index.ts';
import { load } from '../src/bpf/index.ts';
import { counterSpec } from '../src/programs/counter.ts';
import type { ProgramSpec } from '../src/spec/index.ts';
import { type Bench, compare, interleave, type Row } from './row.ts';
import { nanosecondsPerRun } from './run-program.ts';

export const bench: Bench = {
  summary: 'the packet counter, ns a frame by BPF_PROG_TEST_RUN, beside a program that only lets frames pass',
  *run(): Generator<Row> {
    using counter = load(counterSpec({ frags: false }));
    using pass = load(passSpec());
    const frames = FRAMES.map(([name, bytes]) => [name, frame(bytes)] as const);
    for (const [name, data] of frames) {
      const timed = interleave(9, {
        counter: () => nanosecondsPerRun(counter.program, data),
        pass: () => nanosecondsPerRun(pass.program, data),
      });
      yield compare(name, 'ns/packet', timed.counter, timed.pass, 'return XDP_PASS', {
        more: { 'machine code bytes': counter.program.info().jitedSize },
      });
    }
  },
};

function passSpec(): ProgramSpec {
  const assembly = assemble([func('pass', 1), mov64(r0, 2), exit()]);
  return {
    name: 'pass',
    type: 'xdp',
    attachType: 'xdp',
    frags: false,
    license: 'MIT',
    maps: {},
    ...assembly,
  };
}

/** Bytes from the EtherType on; the rest of 64 is zero. */
const FRAMES: readonly (readonly [string, readonly number[]])[] = [
  ['ipv4-udp', [0x08, 0x00, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17]],
  ['ipv4-tcp in a VLAN', [0x81, 0x00, 0, 7, 0x08, 0x00, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 6]],
  ['ipv6-tcp', [0x86, 0xdd, 0x60, 0, 0, 0, 0, 10, 6, 64]],
  ['arp', [0x08, 0x06]],
];

function frame(fromEtherType: readonly number[]): Uint8Array {
  const data = new Uint8Array(64);
  data.set(fromEtherType, 12);
  return data;
}
