// What newer programs use: timers, locks, tags, wide enumerations, floating point, strings, iterators.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define __decl_tag(name) __attribute__((btf_decl_tag(name)))
#define CLOCK_MONOTONIC 1

#if __clang_major__ >= 16
enum wide { WIDE_SMALL = 1, WIDE_LARGE = 0x123456789abcdefULL };
#else
enum wide { WIDE_SMALL = 1 };
#endif

struct element {
  struct bpf_timer timer;
  struct bpf_spin_lock lock;
  __u64 count __decl_tag("counted");
  __u32 fired;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4);
  __type(key, __u32);
  __type(value, struct element);
} elements SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
  __uint(max_entries, 64);
  __uint(map_extra, 3);
  __type(value, __u32);
} seen SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_STACK);
  __uint(max_entries, 4);
  __type(value, __u32);
} stack SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
  __uint(max_entries, 16);
  __uint(map_flags, BPF_F_NO_COMMON_LRU);
  __type(key, struct { __u16 a; __u8 b[6]; });
  __type(value, struct { __u32 x; union { __u16 y; __u8 z[2]; }; });
} anonymous SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_USER_RINGBUF);
  __uint(max_entries, 4096);
} orders SEC(".maps");

/* Libbpf's rounding: a ring of whole pages, and a power of two of them. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 5000);
} uneven SEC(".maps");

enum wide wide = WIDE_SMALL;
const volatile double ratio = 1.5;
float halves[2] = {0.5f, -0.25f};
__u32 fired_total __decl_tag("total");
char copied[16];
__u32 sum, tagged, compared, visits;
long untyped_symbol;

extern const void init_task __ksym __weak;

struct bpf_iter_num;
extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym __weak;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym __weak;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym __weak;

static int fire(void *map, __u32 *key, struct element *value) {
  __sync_fetch_and_add(&fired_total, 1);
  value->fired = *key;
  return 0;
}

SEC("xdp")
int set_timer(struct xdp_md *ctx) {
  __u32 key = 3;
  struct element fresh = {};
  struct element *value = bpf_map_lookup_elem(&elements, &key);
  if (!value) {
    bpf_map_update_elem(&elements, &key, &fresh, BPF_NOEXIST);
    value = bpf_map_lookup_elem(&elements, &key);
    if (!value) return XDP_ABORTED;
    bpf_timer_init(&value->timer, &elements, CLOCK_MONOTONIC);
    bpf_timer_set_callback(&value->timer, fire);
  }
  bpf_timer_start(&value->timer, 1000, 0);
  bpf_spin_lock(&value->lock);
  value->count += 2;
  bpf_spin_unlock(&value->lock);
  return XDP_PASS;
}

static __attribute__((noinline)) int same(const char *text) { return text[0] == 'b'; }

SEC("xdp")
int use_strings(struct xdp_md *ctx) {
  static const char names[2][8] = {"alpha", "beta"};
  __u32 which = (ctx->data_end - ctx->data) & 1;
  const char text[] = "a text on the stack";
  for (int i = 0; i < 8; i++) copied[i] = names[which][i];
  for (int i = 8; i < 15; i++) copied[i] = text[i];
  if (bpf_strncmp(copied, 4, "beta") == 0) compared++;
  return same(copied) ? XDP_TX : XDP_PASS;
}

SEC("xdp")
int use_maps(struct xdp_md *ctx) {
  __u32 length = ctx->data_end - ctx->data;
  if (bpf_map_peek_elem(&seen, &length) == 0) visits++;
  bpf_map_push_elem(&seen, &length, 0);
  bpf_map_push_elem(&stack, &length, BPF_EXIST);
  struct { __u16 a; __u8 b[6]; } key = {.a = 5};
  struct { __u32 x; union { __u16 y; __u8 z[2]; }; } value = {.x = length};
  bpf_map_update_elem(&anonymous, &key, &value, BPF_ANY);
  __u32 *event = bpf_ringbuf_reserve(&uneven, 4, 0);
  if (event) bpf_ringbuf_discard(event, 0);
  return *(volatile __u64 *)&ratio == 0 ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int use_symbols(struct xdp_md *ctx) {
  untyped_symbol = (long)&init_task;
  return wide == WIDE_SMALL ? XDP_PASS : XDP_DROP;
}

struct bpf_iter_num {
  __u64 opaque[1];
} __attribute__((aligned(8)));

SEC("xdp")
int iterate(struct xdp_md *ctx) {
  struct bpf_iter_num it;
  int *value;
  if (!&bpf_iter_num_new) return XDP_PASS;
  bpf_iter_num_new(&it, 1, 5);
  while ((value = bpf_iter_num_next(&it))) sum += *value;
  bpf_iter_num_destroy(&it);
  return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
