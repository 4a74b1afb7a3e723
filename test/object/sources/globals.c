// Variables in every kind of section, of every kind of type.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum mode { MODE_PASS, MODE_DROP = 7, MODE_NEGATIVE = -1 };

struct inner {
  __u16 low : 3;
  __u16 high : 9;
  __s32 negative : 5;
};

struct settings {
  __u8 mac[6];
  char name[8];
  __u64 limit;
  _Bool enabled;
  enum mode mode;
  struct inner bits;
  union {
    __u32 address;
    __u8 bytes[4];
  };
  __u32 table[2][3];
};

const volatile struct settings settings = {
    .mac = {1, 2, 3, 4, 5, 6},
    .name = "bare",
    .limit = 1ULL << 40,
    .enabled = 1,
    .mode = MODE_DROP,
    .bits = {.low = 5, .high = 300, .negative = -3},
    .address = 0x01020304,
    .table = {{1, 2, 3}, {4, 5, 6}},
};
const volatile __u32 verdict = XDP_PASS;
static const volatile __u32 hidden_verdict = XDP_DROP;
const volatile __u32 elsewhere SEC(".rodata.elsewhere") = 40;
__u32 initial = 2;
static volatile __u64 local_counter = 5;
__u64 runs;
__u32 last_length SEC(".data.lengths");
__s64 sums[4] = {-1, 2, -3, 4};

SEC("xdp")
int read_globals(struct xdp_md *ctx) {
  runs++;
  local_counter += 2;
  last_length = ctx->data_end - ctx->data;
  sums[1] += elsewhere + initial;
  if (settings.mode == MODE_DROP && settings.enabled && last_length > 100) return hidden_verdict;
  return verdict;
}

char _license[] SEC("license") = "GPL";
