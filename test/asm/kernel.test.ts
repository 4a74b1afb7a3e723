import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import {
  add64,
  assemble,
  call,
  callKernel,
  exit,
  func,
  functionAddress,
  type Item,
  jeq,
  label,
  ldx,
  mapByFd,
  mapByName,
  mapValueByFd,
  mapValueByName,
  mov64,
  r0,
  r1,
  r2,
  r3,
  r4,
  r10,
  st,
  stx,
  variable,
} from '../../src/asm/index.ts';
import { BpfMap, type Loaded, load, VerifierError } from '../../src/bpf/index.ts';
import { decodeBtf } from '../../src/btf/index.ts';
import { u64 } from '../../src/layout/index.ts';
import { array, type MapSpec, type ProgramSpec } from '../../src/spec/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { kernelSince } from '../kernel-since.ts';

/** Instructions whose meaning the loader and the verifier give: addresses of maps, functions and kernel objects. */

const before = takeStock();
after(() => requireNoLeaks(before));

const vmlinux = decodeBtf(readFileSync('/sys/kernel/btf/vmlinux'));
const counts = array('counts', u64, 1);

function specOf<M extends Record<string, MapSpec>>(items: readonly Item[], maps: M): ProgramSpec<M> {
  const { instructions, functions } = assemble(items, { entry: 'subject' });
  const common = { type: 'xdp', attachType: 'xdp', frags: false, license: 'GPL' } as const;
  return { name: 'subject', ...common, instructions, functions, maps };
}

function run(loaded: Pick<Loaded, 'program'>): number {
  return loaded.program.testRun({ data: new Uint8Array(64) }).returned;
}

/** Adds one to the first entry of the map in r1 and returns its new value. */
const countUp: readonly Item[] = [
  st('u32', r10, -4, 0),
  mov64(r2, r10),
  add64(r2, -4),
  call('map_lookup_elem'),
  jeq(r0, 0, 'none'),
  ldx('u64', r1, r0, 0),
  add64(r1, 1),
  stx('u64', r0, r1, 0),
  mov64(r0, r1),
  exit(),
  label('none'),
  exit(),
];

describe('the kernel takes', () => {
  it('the address of a map by name, and of its value', () => {
    using named = load(specOf([mapByName(r1, 'counts'), countUp], { counts }));
    assert.deepEqual([run(named), run(named)], [1, 2]);
    assert.equal(named.maps.counts.get(0), 2n);

    const direct = [mapValueByName(r1, 'counts', 4), st('u32', r1, 0, 7), mov64(r0, 2), exit()];
    using valued = load(specOf(direct, { counts }));
    run(valued);
    assert.equal(valued.maps.counts.get(0), 7n << 32n);
  });

  it('the address of a map by descriptor, and of its value', () => {
    using map = BpfMap.create(counts);
    const fd = map.fd.number;
    using first = load(specOf([mapByFd(r1, fd), countUp], {}));
    using second = load(specOf([mapValueByFd(r1, fd, 0), ldx('u64', r0, r1, 0), add64(r0, 40), exit()], {}));
    assert.deepEqual([run(first), run(second)], [1, 41]);
  });

  it('the address of a function, for a helper that calls it', () => {
    const items = [
      st('u64', r10, -8, 0),
      mov64(r1, 5),
      functionAddress(r2, 'each'),
      mov64(r3, r10),
      add64(r3, -8),
      mov64(r4, 0),
      call('loop'),
      ldx('u64', r0, r10, -8),
      exit(),
      func('each', 2),
      // The sum of the indices 0 to 4.
      ldx('u64', r3, r2, 0),
      add64(r3, r1),
      stx('u64', r2, r3, 0),
      mov64(r0, 0),
      exit(),
    ];
    using loaded = load(specOf(items, {}));
    assert.equal(run(loaded), 10);
  });

  it('the call of a kernel function by BTF ID', () => {
    const cast = vmlinux.find('bpf_rdonly_cast', 'func');
    const device = vmlinux.find('net_device', 'struct');
    if (!kernelSince('6.2')) {
      // None was for XDP programs yet: the verifier says which one it was asked for, and that it may not be called.
      const other = vmlinux.find('tcp_slow_start', 'func');
      assert.ok(cast === undefined && other !== undefined);
      const refused = specOf([callKernel(other), mov64(r0, 2), exit()], {});
      assert.throws(() => load(refused), { code: 'BW_VERIFIER', message: /tcp_slow_start is not allowed/ });
      return;
    }
    assert.ok(cast !== undefined && device !== undefined);
    // A null pointer as a net_device, which the verifier lets a program read: a fault reads as zero.
    const offset = 8;
    const items = [mov64(r1, 0), mov64(r2, device), callKernel(cast), ldx('u64', r0, r0, offset), exit()];
    using loaded = load(specOf(items, {}));
    assert.equal(run(loaded), 0);
  });

  it('the address of a kernel variable by BTF ID', () => {
    const name = 'bpf_prog_active';
    const active = vmlinux.find(name, 'var');
    assert.ok(active !== undefined);
    const items = [variable(r1, active), call('this_cpu_ptr'), ldx('u32', r0, r0, 0), exit()];
    if (new RegExp(` ${name}$`, 'm').test(readFileSync('/proc/kallsyms', 'latin1'))) {
      using loaded = load(specOf(items, {}));
      assert.equal(run(loaded), 0);
    } else {
      // A kernel that keeps no addresses of data (KALLSYMS_ALL) still says which variable it was asked for.
      assert.throws(
        () => load(specOf(items, {})),
        (error) => error instanceof VerifierError && error.message.includes(`kernel symbol '${name}'`),
      );
    }
  });
});
