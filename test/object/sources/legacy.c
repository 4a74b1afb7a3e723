// Maps as they were defined before BTF.
#include <linux/bpf.h>

#define SEC(name) __attribute__((section(name), used))

struct bpf_map_def {
  unsigned int type, key_size, value_size, max_entries, map_flags;
};

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;

struct bpf_map_def SEC("maps") counts = {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 2};
struct bpf_map_def SEC("maps") others = {.type = BPF_MAP_TYPE_HASH, .key_size = 2, .value_size = 16, .max_entries = 9};

struct bpf_map_def SEC("maps") tables = {.type = BPF_MAP_TYPE_ARRAY_OF_MAPS, .max_entries = 2};

struct ____btf_map_counts {
  __u32 key;
  __u64 value;
} annotation SEC(".maps.annotations");

SEC("xdp_old_name")
int count_old(struct xdp_md *ctx) {
  __u32 key = 1;
  __u64 *value = bpf_map_lookup_elem(&counts, &key);
  __u16 port = 7;
  if (bpf_map_lookup_elem(&others, &port)) return XDP_DROP;
  if (value) *value += 1;
  return XDP_PASS;
}

SEC("xdp/tables")
int use_tables(struct xdp_md *ctx) {
  __u32 key = 0;
  return bpf_map_lookup_elem(&tables, &key) ? XDP_DROP : XDP_TX;
}

char _license[] SEC("license") = "GPL";
