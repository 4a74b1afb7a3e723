// A map that lives on bpffs under its name.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __type(key, __u32);
  __type(value, __u64);
  __uint(max_entries, 1);
  __uint(pinning, LIBBPF_PIN_BY_NAME);
} bw_pinned_runs SEC(".maps");

SEC("xdp")
int count_runs(struct xdp_md *ctx) {
  __u32 zero = 0;
  __u64 *runs = bpf_map_lookup_elem(&bw_pinned_runs, &zero);
  if (runs) ++*runs;
  return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
