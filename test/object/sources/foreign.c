// Section names that are parsed but not loaded, and one that says nothing.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("kprobe/do_sys_open") int probe(void *ctx) { return 0; }
SEC("fentry/no_such_function_anywhere") int entry(void *ctx) { return 0; }
SEC("freplace/prog0") int replace(struct xdp_md *ctx) { return 0; }
SEC("struct_ops/ssthresh") int congestion(void *ctx) { return 0; }
SEC("something") int unknown(void *ctx) { return 0; }

char _license[] SEC("license") = "GPL";
