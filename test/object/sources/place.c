// The place of programs among others on one interface.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
  __uint(priority, 10);
  __uint(XDP_PASS, 1);
  __uint(XDP_DROP, 1);
} _first SEC(".xdp_run_config");

struct {
  __uint(priority, 0x7fff);
  __uint(XDP_PASS, 0);
  __uint(XDP_REDIRECT, 1);
} _second SEC(".xdp_run_config");

struct {
  __uint(XDP_TX, 1);
} _third SEC(".xdp_run_config");

SEC("xdp") int first(struct xdp_md *ctx) { return XDP_PASS; }
SEC("xdp.frags") int second(struct xdp_md *ctx) { return XDP_PASS; }
SEC("xdp") int third(struct xdp_md *ctx) { return XDP_PASS; }
SEC("xdp") int fourth(struct xdp_md *ctx) { return XDP_PASS; }

char _license[] SEC("license") = "GPL";
