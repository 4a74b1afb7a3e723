// Maps as definitions in BTF write them.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct flow {
  __u32 source;
  __u16 port;
  __u8 protocol;
};
struct stats {
  __u64 packets;
  __u64 bytes;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __type(key, struct flow);
  __type(value, struct stats);
  __uint(max_entries, 128);
  __uint(map_flags, BPF_F_NO_PREALLOC);
} flows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __type(key, __u32);
  __type(value, struct stats);
  __uint(max_entries, 2);
} per_cpu SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(key_size, 8);
  __uint(value_size, 4);
  __uint(max_entries, 16);
  __uint(map_flags, BPF_F_NO_PREALLOC);
} prefixes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} events SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(key_size, 4);
  __uint(value_size, 4);
} samples SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_QUEUE);
  __type(value, __u32);
  __uint(max_entries, 4);
} queue SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(key_size, 4);
  __uint(value_size, 8);
  __uint(max_entries, 4);
} devices SEC(".maps");

struct inner {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __type(key, __u32);
  __type(value, __u32);
  __uint(max_entries, 1);
} first SEC(".maps"), second SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __type(key, __u32);
  __uint(max_entries, 4);
  __array(values, struct inner);
} outer SEC(".maps") = {.values = {[1] = &first, [3] = &second}};

struct {
  __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
  __type(key, __u32);
  __uint(max_entries, 4);
  __array(values, struct inner);
} named SEC(".maps") = {.values = {[2] = &second}};

int reject(struct xdp_md *ctx);

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(key_size, 4);
  __uint(max_entries, 3);
  __array(values, int(struct xdp_md *));
} jumps SEC(".maps") = {.values = {[2] = &reject}};

SEC("xdp")
int reject(struct xdp_md *ctx) { return XDP_DROP; }

SEC("xdp")
int use_maps(struct xdp_md *ctx) {
  struct flow flow = {.source = 7, .port = 53, .protocol = 17};
  struct stats fresh = {};
  __u32 length = ctx->data_end - ctx->data;
  struct stats *stats = bpf_map_lookup_elem(&flows, &flow);
  if (!stats) {
    bpf_map_update_elem(&flows, &flow, &fresh, BPF_ANY);
    stats = bpf_map_lookup_elem(&flows, &flow);
    if (!stats) return XDP_ABORTED;
  }
  stats->packets++;
  stats->bytes += length;
  __u32 key = 1;
  struct stats *mine = bpf_map_lookup_elem(&per_cpu, &key);
  if (mine) mine->packets++;
  __u32 *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (event) {
    *event = length;
    bpf_ringbuf_submit(event, 0);
  }
  bpf_map_push_elem(&queue, &length, BPF_ANY);
  void *inner = bpf_map_lookup_elem(&outer, &key);
  __u32 zero = 0;
  if (inner) {
    __u32 *value = bpf_map_lookup_elem(inner, &zero);
    if (value) *value += 1;
  }
  if (length > 200) bpf_tail_call(ctx, &jumps, 2);
  return XDP_PASS;
}

SEC("xdp")
int name_others(struct xdp_md *ctx) {
  __u32 length = ctx->data_end - ctx->data;
  __u64 prefix = 0;
  if (length == 1000) bpf_map_lookup_elem(&prefixes, &prefix);
  if (length == 1001) bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &length, sizeof(length));
  if (length == 1002) return bpf_redirect_map(&devices, 0, 0);
  __u32 two = 2;
  if (!bpf_map_lookup_elem(&named, &two)) return XDP_DROP;
  return XDP_TX;
}

char _license[] SEC("license") = "GPL";
