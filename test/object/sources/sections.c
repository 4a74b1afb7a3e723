// Section names: those of XDP, which load, and others.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define PROGRAM(section, name, type, result) \
  SEC(section) int name(type *ctx) { return result; }

PROGRAM("xdp", plain, struct xdp_md, XDP_PASS)
PROGRAM("xdp.frags", frags, struct xdp_md, XDP_TX)
PROGRAM("xdp/devmap", on_device, struct xdp_md, XDP_DROP)
PROGRAM("xdp.frags/devmap", frags_on_device, struct xdp_md, XDP_DROP)
PROGRAM("xdp/cpumap", on_cpu, struct xdp_md, XDP_DROP)
PROGRAM("xdp.frags/cpumap", frags_on_cpu, struct xdp_md, XDP_PASS)
PROGRAM("?xdp", by_name_only, struct xdp_md, XDP_DROP)
PROGRAM("tc", classify, struct __sk_buff, 0)
PROGRAM("socket", filter_socket, struct __sk_buff, 0)
PROGRAM("cgroup_skb/egress", on_egress, struct __sk_buff, 1)
PROGRAM("sockops", on_socket, struct bpf_sock_ops, 0)

char _license[] SEC("license") = "Dual MIT/GPL";
__u32 _version SEC("version") = 0x60c00;
