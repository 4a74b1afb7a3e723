import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, release } from 'node:os';
import {
  BPFFS,
  dispatcherRefusal,
  FEATURE_SINCE,
  FEATURES,
  type Feature,
  isOnBpffs,
  load,
  probe,
} from '../bpf/index.ts';
import { BarewireError } from '../error.ts';
import { counterSpec } from '../programs/counter.ts';
import { type Capability, effectiveCapabilities, kernelVersion, possibleCpus } from '../sys/index.ts';
import { type Check, check } from './check.ts';

/** The kernel: what it is, what it has, and whether it takes a program from this process. */
export function checkKernel(): Check[] {
  const cpus = `${availableParallelism()} of ${possibleCpus()} possible CPUs`;
  return [
    check('kernel', 'fact', `Linux ${release()}, ${process.arch}, ${cpus}`),
    ...checkLoading(),
    checkSharing(),
    existsSync('/sys/kernel/btf/vmlinux')
      ? check('kernel-btf', 'ok', 'The kernel describes its own types (BTF)')
      : check(
          'kernel-btf',
          'warning',
          'The kernel does not describe its own types',
          'Build it with CONFIG_DEBUG_INFO_BTF=y',
        ),
    isOnBpffs(BPFFS)
      ? check('bpffs', 'ok', `The BPF file system is mounted at ${BPFFS}`)
      : check(
          'bpffs',
          'warning',
          'No BPF file system is mounted: nothing can be pinned',
          `mount -t bpf bpf ${BPFFS}`,
        ),
  ];
}

/** Loads the packet counter: verifier, rights and JIT in one. */
function checkLoading(): Check[] {
  try {
    using loaded = load(counterSpec({ frags: canProbe('xdp-frags') === true }));
    const { jitedSize, verifiedInstructions } = loaded.program.info();
    const steps = verifiedInstructions === 0 ? '' : ` (the packet counter, in ${verifiedInstructions} steps)`;
    return [
      check('load', 'ok', `The verifier takes programs${steps}`),
      jitedSize > 0
        ? check('jit', 'ok', 'Programs are compiled to machine code (JIT)')
        : check(
            'jit',
            'warning',
            'Programs are interpreted, several times slower',
            'sysctl net.core.bpf_jit_enable=1',
          ),
    ];
  } catch (error) {
    if (!(error instanceof BarewireError)) throw error;
    return [check('load', 'fails', `No program can be loaded: ${error.message}`, error.hint)];
  }
}

/** Whether programs can share an interface; most never need to. */
function checkSharing(): Check {
  const refusal = dispatcherRefusal();
  return refusal === undefined
    ? check('several-programs', 'ok', "Several programs run on one interface, by libxdp's dispatcher")
    : check('several-programs', 'fact', `This kernel runs one program an interface, for ${refusal}`);
}

const CAPABILITY_USES: readonly (readonly [Capability, Check['state'], string])[] = [
  ['CAP_BPF', 'fails', 'programs and maps'],
  ['CAP_NET_ADMIN', 'fails', 'XDP programs, and changing interfaces'],
  ['CAP_PERFMON', 'fails', 'programs with computed packet offsets, as most are'],
  ['CAP_NET_RAW', 'warning', 'AF_XDP and packet sockets'],
  ['CAP_SYS_ADMIN', 'warning', "entering namespaces (--netns), and seeing others' programs"],
];

/** What this process may do. */
export function checkRights(): Check[] {
  const held = effectiveCapabilities();
  // Before 5.8 there was only the one; it still stands for the two that were split off.
  const stands = (name: Capability): boolean =>
    held.has(name) || ((name === 'CAP_BPF' || name === 'CAP_PERFMON') && held.has('CAP_SYS_ADMIN'));
  const capabilities = CAPABILITY_USES.map(([name, state, use]) =>
    stands(name)
      ? check(name.toLowerCase(), 'ok', `${name}: ${use}`)
      : check(
          name.toLowerCase(),
          state,
          `${name} is missing: ${use}`,
          'Run as root, or grant it (setpriv, AmbientCapabilities=)',
        ),
  );
  return [...capabilities, checkLockedMemory(held)];
}

const ENOUGH_LOCKED_MEMORY = 64 * 1024 * 1024;

/** Two rules: maps and programs before 5.11, the packet memory of AF_XDP (UMEM) to this day. */
function checkLockedMemory(held: ReadonlySet<Capability>): Check {
  const { major, minor } = kernelVersion();
  const counted =
    major < 5 || (major === 5 && minor < 11) ? 'maps, programs and AF_XDP memory' : 'AF_XDP memory';
  const soft = /^Max locked memory\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  if (held.has('CAP_IPC_LOCK') || soft === 'unlimited') {
    return check('memlock', 'ok', `Locked memory is not limited: ${counted}`);
  }
  const limit = Number(soft);
  const finding = `Locked memory is limited to ${Math.floor(limit / 1024)} KiB: ${counted}`;
  if (limit >= ENOUGH_LOCKED_MEMORY) return check('memlock', 'ok', finding);
  return check(
    'memlock',
    'warning',
    finding,
    'ulimit -l unlimited (LimitMEMLOCK=infinity), or grant CAP_IPC_LOCK',
  );
}

/** What it means when a feature is not there, and how much that matters. */
const FEATURE_USES: Readonly<
  Record<Feature, { readonly name: string; readonly without: string; readonly state: Check['state'] }>
> = {
  xdp: { name: 'XDP', without: 'nothing works', state: 'fails' },
  btf: { name: 'Types of programs and maps', without: 'bpftool shows numbers for names', state: 'fact' },
  'map-batch': { name: 'Batched map operations', without: 'bulk loads are slow', state: 'warning' },
  'xdp-link': { name: 'XDP links', without: 'a crash leaves its program attached', state: 'warning' },
  'bpf-loop': { name: 'Loops with a callback', without: 'long loops are refused', state: 'fact' },
  'xdp-frags': {
    name: 'Frames in several buffers',
    without: 'large MTUs keep drivers from XDP',
    state: 'warning',
  },
  'live-frames': {
    name: 'Sending by test runs',
    without: 'the fastest generator is not there',
    state: 'fact',
  },
  'may-goto': {
    name: 'Loops that the kernel bounds',
    without: 'data-dependent loops need a bound',
    state: 'fact',
  },
};

/** What the kernel has, each found out by a tiny real system call. */
export function checkFeatures(): Check[] {
  return FEATURES.map((feature) => {
    const { name, without, state } = FEATURE_USES[feature];
    const since = `Linux ${FEATURE_SINCE[feature]}`;
    const there = canProbe(feature);
    if (there === undefined)
      return check(feature, 'fact', `${name}: not known, for this process may not ask`);
    return there
      ? check(feature, 'ok', `${name} (${since})`)
      : check(feature, state, `${name}: not in this kernel, so ${without}`, `It takes ${since} or later`);
  });
}

/** Undefined where this process may not ask. */
function canProbe(feature: Feature): boolean | undefined {
  try {
    return probe(feature);
  } catch (error) {
    if (error instanceof BarewireError && error.code === 'BW_PERMISSION') return undefined;
    throw error;
  }
}
