// Functions: static and global, in the program's section and in .text, called, hidden, and by address.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_map;

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __type(key, __u32);
  __type(value, __u32);
  __uint(max_entries, 4);
} numbers SEC(".maps");

static __attribute__((noinline)) int twice(int x) { return 2 * x; }

static __attribute__((noinline)) int thrice(int x) { return x + twice(x); }

__attribute__((noinline)) int global_add(int a, int b) { return a + thrice(b); }

__hidden __attribute__((noinline)) int hidden_add(int *a, int b) { return *a + b; }

static long add_element(struct bpf_map *map, const void *key, void *value, void *context) {
  *(__u32 *)context += *(__u32 *)value + 1;
  return 0;
}

static int add_index(__u32 index, void *context) {
  *(__u32 *)context += twice(index);
  return 0;
}

SEC("xdp")
int call_all(struct xdp_md *ctx) {
  int length = ctx->data_end - ctx->data;
  int sum = global_add(length, 5);
  return (hidden_add(&sum, 1) + thrice(length)) & 0x7fff;
}

#ifdef LIBRARY
SEC("library") __attribute__((noinline)) int in_library(int x) { return x * 3; }

SEC("xdp")
int call_library(struct xdp_md *ctx) { return in_library(ctx->data_end - ctx->data) & 0xfff; }
#endif

SEC("xdp")
int call_back(struct xdp_md *ctx) {
  __u32 sum = 0;
  bpf_for_each_map_elem(&numbers, add_element, &sum, 0);
  bpf_loop(10, add_index, &sum, 0);
  return sum;
}

SEC("xdp/second")
int call_again(struct xdp_md *ctx) { return thrice(ctx->data_end - ctx->data) & 0xff; }

char _license[] SEC("license") = "GPL";
