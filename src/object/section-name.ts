/** What kind of program a `SEC()` name announces. */
export interface ProgramKind {
  /** As bpftool names it (`enum bpf_prog_type`). */
  readonly type: string;
  /** `enum bpf_prog_type`. */
  readonly number: number;
  /** `enum bpf_attach_type`, which load wants as the expected one; 0 where it wants none. */
  readonly attachType: number;
  /** XDP: where the program runs. */
  readonly xdp?: 'xdp' | 'xdp/devmap' | 'xdp/cpumap';
  /** Flags of program load (`BPF_F_`). */
  readonly flags: number;
  /** What stands behind the slash: a function, a tracepoint, a hook. */
  readonly target?: string;
  /** The kernel's type that names the target, and so has to be found in its BTF before the program is loaded. */
  readonly needs?: 'function' | 'lsm hook' | 'raw tracepoint' | 'iterator' | 'program' | 'struct_ops';
}

/** `BPF_F_SLEEPABLE` and `BPF_F_XDP_HAS_FRAGS` (`linux/bpf.h`). */
const SLEEPABLE = 0x10;
const HAS_FRAGS = 0x20;

interface Row {
  readonly type: string;
  readonly number: number;
  readonly attachType?: number;
  readonly flags?: number;
  readonly needs?: ProgramKind['needs'];
}

const row = (type: string, number: number, attachType = 0, more: Partial<Row> = {}): Row => ({
  type,
  number,
  attachType,
  ...more,
});

/**
 * `SEC()` names by what they begin with; a name matches when nothing or a slash follows. The conventions are those of
 * libbpf's program type table in its documentation, the numbers those of `linux/bpf.h`.
 */
const ROWS: Readonly<Record<string, Row>> = {
  socket: row('socket_filter', 1),
  socket_filter: row('socket_filter', 1),
  kprobe: row('kprobe', 2),
  uprobe: row('kprobe', 2),
  'uprobe.s': row('kprobe', 2, 0, { flags: SLEEPABLE }),
  kretprobe: row('kprobe', 2),
  uretprobe: row('kprobe', 2),
  'uretprobe.s': row('kprobe', 2, 0, { flags: SLEEPABLE }),
  'kprobe.multi': row('kprobe', 2, 42),
  'kretprobe.multi': row('kprobe', 2, 42),
  'uprobe.multi': row('kprobe', 2, 48),
  'uretprobe.multi': row('kprobe', 2, 48),
  ksyscall: row('kprobe', 2),
  kretsyscall: row('kprobe', 2),
  usdt: row('kprobe', 2),
  tc: row('sched_cls', 3),
  'tc/ingress': row('sched_cls', 3, 46),
  'tc/egress': row('sched_cls', 3, 47),
  'tcx/ingress': row('sched_cls', 3, 46),
  'tcx/egress': row('sched_cls', 3, 47),
  'netkit/primary': row('sched_cls', 3, 54),
  'netkit/peer': row('sched_cls', 3, 55),
  classifier: row('sched_cls', 3),
  action: row('sched_act', 4),
  tracepoint: row('tracepoint', 5),
  tp: row('tracepoint', 5),
  perf_event: row('perf_event', 7),
  'cgroup_skb/ingress': row('cgroup_skb', 8, 0),
  'cgroup_skb/egress': row('cgroup_skb', 8, 1),
  'cgroup/skb': row('cgroup_skb', 8),
  'cgroup/sock_create': row('cgroup_sock', 9, 2),
  'cgroup/sock_release': row('cgroup_sock', 9, 34),
  'cgroup/sock': row('cgroup_sock', 9, 2),
  'cgroup/post_bind4': row('cgroup_sock', 9, 12),
  'cgroup/post_bind6': row('cgroup_sock', 9, 13),
  lwt_in: row('lwt_in', 10),
  lwt_out: row('lwt_out', 11),
  lwt_xmit: row('lwt_xmit', 12),
  lwt_seg6local: row('lwt_seg6local', 19),
  sockops: row('sock_ops', 13, 3),
  'sk_skb/stream_parser': row('sk_skb', 14, 4),
  'sk_skb/stream_verdict': row('sk_skb', 14, 5),
  'sk_skb/verdict': row('sk_skb', 14, 38),
  sk_skb: row('sk_skb', 14),
  'cgroup/dev': row('cgroup_device', 15, 6),
  sk_msg: row('sk_msg', 16, 7),
  raw_tracepoint: row('raw_tracepoint', 17),
  raw_tp: row('raw_tracepoint', 17),
  'raw_tracepoint.w': row('raw_tracepoint_writable', 24),
  'raw_tp.w': row('raw_tracepoint_writable', 24),
  'cgroup/bind4': row('cgroup_sock_addr', 18, 8),
  'cgroup/bind6': row('cgroup_sock_addr', 18, 9),
  'cgroup/connect4': row('cgroup_sock_addr', 18, 10),
  'cgroup/connect6': row('cgroup_sock_addr', 18, 11),
  'cgroup/connect_unix': row('cgroup_sock_addr', 18, 49),
  'cgroup/sendmsg4': row('cgroup_sock_addr', 18, 14),
  'cgroup/sendmsg6': row('cgroup_sock_addr', 18, 15),
  'cgroup/sendmsg_unix': row('cgroup_sock_addr', 18, 50),
  'cgroup/recvmsg4': row('cgroup_sock_addr', 18, 19),
  'cgroup/recvmsg6': row('cgroup_sock_addr', 18, 20),
  'cgroup/recvmsg_unix': row('cgroup_sock_addr', 18, 51),
  'cgroup/getpeername4': row('cgroup_sock_addr', 18, 29),
  'cgroup/getpeername6': row('cgroup_sock_addr', 18, 30),
  'cgroup/getpeername_unix': row('cgroup_sock_addr', 18, 52),
  'cgroup/getsockname4': row('cgroup_sock_addr', 18, 31),
  'cgroup/getsockname6': row('cgroup_sock_addr', 18, 32),
  'cgroup/getsockname_unix': row('cgroup_sock_addr', 18, 53),
  lirc_mode2: row('lirc_mode2', 20, 16),
  'sk_reuseport/migrate': row('sk_reuseport', 21, 40),
  sk_reuseport: row('sk_reuseport', 21, 39),
  flow_dissector: row('flow_dissector', 22, 17),
  'cgroup/sysctl': row('cgroup_sysctl', 23, 18),
  'cgroup/getsockopt': row('cgroup_sockopt', 25, 21),
  'cgroup/setsockopt': row('cgroup_sockopt', 25, 22),
  fentry: row('tracing', 26, 24, { needs: 'function' }),
  'fentry.s': row('tracing', 26, 24, { needs: 'function', flags: SLEEPABLE }),
  fexit: row('tracing', 26, 25, { needs: 'function' }),
  'fexit.s': row('tracing', 26, 25, { needs: 'function', flags: SLEEPABLE }),
  fmod_ret: row('tracing', 26, 26, { needs: 'function' }),
  'fmod_ret.s': row('tracing', 26, 26, { needs: 'function', flags: SLEEPABLE }),
  tp_btf: row('tracing', 26, 23, { needs: 'raw tracepoint' }),
  iter: row('tracing', 26, 28, { needs: 'iterator' }),
  'iter.s': row('tracing', 26, 28, { needs: 'iterator', flags: SLEEPABLE }),
  struct_ops: row('struct_ops', 27, 44, { needs: 'struct_ops' }),
  'struct_ops.s': row('struct_ops', 27, 44, { needs: 'struct_ops', flags: SLEEPABLE }),
  freplace: row('ext', 28, 0, { needs: 'program' }),
  lsm: row('lsm', 29, 27, { needs: 'lsm hook' }),
  'lsm.s': row('lsm', 29, 27, { needs: 'lsm hook', flags: SLEEPABLE }),
  lsm_cgroup: row('lsm', 29, 43, { needs: 'lsm hook' }),
  sk_lookup: row('sk_lookup', 30, 36),
  syscall: row('syscall', 31, 0, { flags: SLEEPABLE }),
  netfilter: row('netfilter', 32, 45),
};

/** `BPF_XDP`, `BPF_XDP_DEVMAP`, `BPF_XDP_CPUMAP`. */
const XDP_ATTACH = { xdp: 37, 'xdp/devmap': 33, 'xdp/cpumap': 35 } as const;

/**
 * The kind of program in a section; `undefined` for a name that says nothing (`.text`, or one of nobody's convention).
 *
 * Everything that begins with `xdp` is XDP, as before libbpf 1.0, when names such as `xdp_pass` were the custom.
 */
export function programKind(section: string): ProgramKind | undefined {
  const name = section.startsWith('?') ? section.slice(1) : section;
  const xdp = /^xdp(\.frags)?([/_](devmap|cpumap)(?![a-z]))?/.exec(name);
  if (xdp !== null) {
    const where = xdp[3] === undefined ? 'xdp' : (`xdp/${xdp[3] as 'devmap' | 'cpumap'}` as const);
    const flags = xdp[1] === undefined ? 0 : HAS_FRAGS;
    return { type: 'xdp', number: 6, attachType: XDP_ATTACH[where], xdp: where, flags };
  }
  // The longest prefix that ends at a slash: `tc/ingress` before `tc`.
  for (let end = name.length; end > 0; end = name.lastIndexOf('/', end - 1)) {
    const found = Object.hasOwn(ROWS, name.slice(0, end)) ? ROWS[name.slice(0, end)] : undefined;
    if (found === undefined) continue;
    const { type, number, attachType = 0, flags = 0, needs } = found;
    const target = name.slice(end + 1);
    return {
      type,
      number,
      attachType,
      flags,
      ...(target === '' ? {} : { target }),
      ...(needs === undefined ? {} : { needs }),
    };
  }
  return undefined;
}

/** Whether the programs of a section are loaded unless named: a question mark before the name says no. */
export function isLoadedByDefault(section: string): boolean {
  return !section.startsWith('?');
}
