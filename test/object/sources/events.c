// Events with a shape: structs in structs, enumerations, bit fields, text, arrays.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum reason { REASON_NONE, REASON_LENGTH = 3 };

struct address {
  __u8 mac[6];
  __u16 type;
};

struct event {
  __u64 number;
  enum reason reason;
  struct address to;
  char name[8];
  __u16 lengths[2];
  __u32 low : 3, high : 13;
  _Bool last;
  __s32 negative;
};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 65536);
} events SEC(".maps");

/* So that the type is in BTF, though no variable has it. */
const struct event *unused_event __attribute__((unused));

__u64 number;

SEC("xdp")
int report(struct xdp_md *ctx) {
  __u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
  if (data + 14 > end) return XDP_PASS;
  struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event) return XDP_PASS;
  __builtin_memset(event, 0, sizeof(*event));
  event->number = __sync_fetch_and_add(&number, 1) + (1ULL << 60);
  event->reason = REASON_LENGTH;
  __builtin_memcpy(event->to.mac, data, 6);
  event->to.type = data[12] << 8 | data[13];
  event->name[0] = 'x';
  event->lengths[1] = end - data;
  event->low = 5;
  event->high = 4097;
  event->last = 1;
  event->negative = -7;
  bpf_ringbuf_submit(event, 0);
  return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
