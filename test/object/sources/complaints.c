// Programs that the verifier refuses, each for a frequent reason.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __type(key, __u32);
  __type(value, __u32[8]);
  __uint(max_entries, 1);
} table SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} events SEC(".maps");

// A lookup in an array whose index is constant cannot fail, as newer kernels know; in a hash it can.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __type(key, __u32);
  __type(value, __u32);
  __uint(max_entries, 1);
} hash SEC(".maps");

SEC("xdp")
int no_bounds(struct xdp_md *ctx) { return *(__u8 *)(long)ctx->data; }

SEC("xdp")
int no_null_check(struct xdp_md *ctx) {
  __u32 zero = 0;
  __u32 *value = bpf_map_lookup_elem(&hash, &zero);
  return *value;
}

SEC("xdp")
int no_index_check(struct xdp_md *ctx) {
  __u32 zero = 0;
  __u32 *value = bpf_map_lookup_elem(&table, &zero);
  return value ? value[ctx->rx_queue_index & 15] : 0;
}

SEC("xdp")
int no_range(struct xdp_md *ctx) {
  __u32 zero = 0;
  __u32 *value = bpf_map_lookup_elem(&table, &zero);
  return value ? value[ctx->rx_queue_index] : 0;
}

SEC("xdp")
int no_release(struct xdp_md *ctx) {
  __u32 *event = bpf_ringbuf_reserve(&events, 4, 0);
  if (event) *event = 1;
  return XDP_PASS;
}

SEC("xdp")
int no_end(struct xdp_md *ctx) {
  volatile __u32 i = 0;
  while (i < 10 || ctx->rx_queue_index < 100) asm volatile("");
  return XDP_PASS;
}

SEC("xdp")
int no_gpl(struct xdp_md *ctx) {
  const char text[] = "hello";
  return bpf_trace_printk(text, sizeof(text)) > 0;
}

SEC("xdp")
int no_pointer(struct xdp_md *ctx) { return *(__u8 *)(long)ctx->rx_queue_index; }

char _license[] SEC("license") = "Proprietary";
