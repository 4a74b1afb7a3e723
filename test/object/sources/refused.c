// What cannot be loaded, each in a program of its own.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __type(key, __u32);
  __type(value, __u32);
  __uint(max_entries, 1);
  __uint(unheard_of, 1);
} strange SEC(".maps");

static __u32 one = 1, two = 2;
__u32 *pointers[] = {&one, &two};
__u32 custom SEC("custom_section") = 3;
extern int defined_nowhere;

SEC("xdp")
int use_strange(struct xdp_md *ctx) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&strange, &zero) ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int use_pointers(struct xdp_md *ctx) { return *(volatile int *)&pointers[ctx->rx_queue_index & 1]; }

SEC("xdp")
int use_custom(struct xdp_md *ctx) { return *(volatile __u32 *)&custom; }

SEC("xdp")
int use_nowhere(struct xdp_md *ctx) { return *(volatile int *)&defined_nowhere; }

SEC("xdp")
int use_forbidden(struct xdp_md *ctx) {
  int *data = (int *)(long)ctx->data;
  return *data;
}

char _license[] SEC("license") = "GPL";
