/** Commands of bpf(2): `enum bpf_cmd` in `linux/bpf.h`. */
export const Command = {
  mapCreate: 0,
  mapLookup: 1,
  mapUpdate: 2,
  mapDelete: 3,
  mapGetNextKey: 4,
  programLoad: 5,
  objectPin: 6,
  objectGet: 7,
  programTestRun: 10,
  programGetNextId: 11,
  mapGetNextId: 12,
  programGetFdById: 13,
  mapGetFdById: 14,
  objectGetInfo: 15,
  programQuery: 16,
  btfLoad: 18,
  btfGetFdById: 19,
  mapLookupAndDelete: 21,
  mapFreeze: 22,
  btfGetNextId: 23,
  mapLookupBatch: 24,
  mapLookupAndDeleteBatch: 25,
  mapUpdateBatch: 26,
  mapDeleteBatch: 27,
  linkCreate: 28,
  linkUpdate: 29,
  linkGetFdById: 30,
  linkGetNextId: 31,
  linkDetach: 34,
} as const;

/** `enum bpf_map_type` in full, for maps that others made. */
export const MAP_TYPE_NAMES: readonly string[] = [
  'unspec',
  'hash',
  'array',
  'prog_array',
  'perf_event_array',
  'percpu_hash',
  'percpu_array',
  'stack_trace',
  'cgroup_array',
  'lru_hash',
  'lru_percpu_hash',
  'lpm_trie',
  'array_of_maps',
  'hash_of_maps',
  'devmap',
  'sockmap',
  'cpumap',
  'xskmap',
  'sockhash',
  'cgroup_storage',
  'reuseport_sockarray',
  'percpu_cgroup_storage',
  'queue',
  'stack',
  'sk_storage',
  'devmap_hash',
  'struct_ops',
  'ringbuf',
  'inode_storage',
  'task_storage',
  'bloom_filter',
  'user_ringbuf',
  'cgrp_storage',
  'arena',
];

/** `enum bpf_prog_type` in full, for programs that others loaded. */
export const PROGRAM_TYPE_NAMES: readonly string[] = [
  'unspec',
  'socket_filter',
  'kprobe',
  'sched_cls',
  'sched_act',
  'tracepoint',
  'xdp',
  'perf_event',
  'cgroup_skb',
  'cgroup_sock',
  'lwt_in',
  'lwt_out',
  'lwt_xmit',
  'sock_ops',
  'sk_skb',
  'cgroup_device',
  'sk_msg',
  'raw_tracepoint',
  'cgroup_sock_addr',
  'lwt_seg6local',
  'lirc_mode2',
  'sk_reuseport',
  'flow_dissector',
  'cgroup_sysctl',
  'raw_tracepoint_writable',
  'cgroup_sockopt',
  'tracing',
  'struct_ops',
  'ext',
  'lsm',
  'sk_lookup',
  'syscall',
  'netfilter',
];

/** `BPF_PROG_TYPE_XDP`. */
export const PROGRAM_TYPE_XDP = 6;

/** `enum bpf_prog_type`, what specs are of. */
export const PROGRAM_TYPE = { sched_cls: 3, xdp: 6 } as const;

/** `BPF_PROG_TYPE_EXT`: takes the place of another program's function. */
export const PROGRAM_TYPE_EXT = 28;

/** `enum bpf_attach_type`, the part of XDP and traffic control. */
export const ATTACH_TYPE = {
  'xdp/devmap': 33,
  'xdp/cpumap': 35,
  xdp: 37,
  'tcx/ingress': 46,
  'tcx/egress': 47,
} as const;

/** `enum bpf_link_type`, the part of XDP and traffic control. */
export const LINK_TYPE = { xdp: 6, tcx: 11 } as const;

/** `BPF_F_XDP_HAS_FRAGS`, a flag of program load. */
export const XDP_HAS_FRAGS = 0x20;

/** `BPF_F_XDP_DEV_BOUND_ONLY`, another. */
export const XDP_DEVICE_BOUND = 0x40;

/** Flags of `BPF_PROG_TEST_RUN`. */
export const TestRunFlag = { onCpu: 0x1, liveFrames: 0x2 } as const;

/** Flags of map update (`BPF_ANY`, `BPF_NOEXIST`, `BPF_EXIST`). */
export const UPDATE_FLAG = { any: 0, create: 1, replace: 2 } as const;

/** `any` creates or replaces, `create` wants the key absent, `replace` wants it present. */
export type UpdateMode = keyof typeof UPDATE_FLAG;

/** `BPF_F_REPLACE` of link update: only if the link still runs the expected program. */
export const LINK_REPLACE = 0x4;

/** XDP actions: what a program returns (`enum xdp_action`). */
export const XDP_ACTIONS = ['aborted', 'drop', 'pass', 'tx', 'redirect'] as const;
export type XdpAction = (typeof XDP_ACTIONS)[number];

/** The size of names in the kernel, the closing NUL included (`BPF_OBJ_NAME_LEN`). */
export const OBJECT_NAME_SIZE = 16;
