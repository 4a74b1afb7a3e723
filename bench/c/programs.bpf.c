/*
 * The library's programs in C, as somebody who knows the verifier writes them: the yardstick of `bench compiler`.
 * Compiled by `clang -O2 -target bpf`, one section each, without any header.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
/* Keeps clang from rewriting pointers in ways that the verifier cannot follow. */
#define KEEP(x) __asm__ volatile("" : "+r"(x))
#define INLINE static inline __attribute__((always_inline))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name
/* What the programs in TypeScript take from their env; -D sets others. */
#ifndef PORT_TO
#define PORT_TO 7998
#endif
#ifndef MSS
#define MSS 1400
#endif
#define htons(x) __builtin_bswap16(x)
#define htonl(x) __builtin_bswap32(x)

enum { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };
enum { MAP_HASH = 1, MAP_ARRAY = 2, MAP_PERCPU_ARRAY = 6, MAP_XSKMAP = 17 };

struct xdp_md {
  u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*redirect_map)(void *map, u64 key, u64 flags) = (void *)51;

#define BEGIN(ctx)                                \
  void *data = (void *)(long)(ctx)->data;         \
  void *end = (void *)(long)(ctx)->data_end

struct rule {
  u64 hits;
};
struct {
  __uint(type, MAP_HASH);
  __uint(max_entries, 10000);
  __type(key, u32);
  __type(value, struct rule);
} blocked SEC(".maps");

SEC("xdp/blocklist") int blocklist(struct xdp_md *ctx) {
  BEGIN(ctx);
  if (data + 14 > end) return XDP_PASS;
  u16 proto = *(u16 *)(data + 12);
  void *p = data + 14;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    if (proto != htons(0x8100) && proto != htons(0x88a8)) break;
    if (p + 4 > end) return XDP_PASS;
    proto = *(u16 *)(p + 2);
    p += 4;
  }
  if (proto != htons(0x0800)) return XDP_PASS;
  if (p + 16 > end) return XDP_PASS;
  u32 source = *(u32 *)(p + 12);
  struct rule *rule = map_lookup(&blocked, &source);
  if (!rule) return XDP_PASS;
  __sync_fetch_and_add(&rule->hits, 1);
  return XDP_DROP;
}

SEC("xdp/port_rewrite") int port_rewrite(struct xdp_md *ctx) {
  BEGIN(ctx);
  if (data + 34 > end) return XDP_PASS;
  if (*(u16 *)(data + 12) != htons(0x0800)) return XDP_PASS;
  if (*(u8 *)(data + 23) != 17) return XDP_PASS;
  if (*(u16 *)(data + 20) & htons(0x3fff)) return XDP_PASS;
  void *udp = data + 14 + (*(u8 *)(data + 14) & 15) * 4;
  if (udp + 8 > end) return XDP_PASS;
  if (*(u16 *)(udp + 2) != htons(7999)) return XDP_PASS;
  u16 check = *(u16 *)(udp + 6);
  if (check) {
    u32 sum = (u16)~check + (u16)~htons(7999) + htons(PORT_TO);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    u16 after = ~sum;
    *(u16 *)(udp + 6) = after ? after : 0xffff;
  }
  *(u16 *)(udp + 2) = htons(PORT_TO);
  return XDP_PASS;
}

struct {
  __uint(type, MAP_HASH);
  __uint(max_entries, 64);
  __type(key, u16);
  __type(value, u8);
} ethertypes SEC(".maps");
struct {
  __uint(type, MAP_XSKMAP);
  __uint(max_entries, 64);
  __type(key, u32);
  __type(value, u32);
} sockets SEC(".maps");

SEC("xdp/ethertype") int ethertype(struct xdp_md *ctx) {
  BEGIN(ctx);
  if (data + 14 > end) return XDP_PASS;
  u16 proto = *(u16 *)(data + 12);
  if (!map_lookup(&ethertypes, &proto)) return XDP_PASS;
  return redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}

struct checked {
  u64 good, bad;
};
struct {
  __uint(type, MAP_ARRAY);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, struct checked);
} verdicts SEC(".maps");

SEC("xdp/udp_checksum") int udp_checksum(struct xdp_md *ctx) {
  BEGIN(ctx);
  if (data + 42 > end) return XDP_PASS;
  if (*(u16 *)(data + 12) != htons(0x0800)) return XDP_PASS;
  if ((*(u8 *)(data + 14) & 15) != 5 || *(u8 *)(data + 23) != 17) return XDP_PASS;
  u32 length = htons(*(u16 *)(data + 38));
  if (*(u16 *)(data + 40) == 0 || length < 8 || length > 1480) return XDP_PASS;
  u32 sum = htons(17) + *(u16 *)(data + 38);
  sum += *(u16 *)(data + 26) + *(u16 *)(data + 28) + *(u16 *)(data + 30) + *(u16 *)(data + 32);
  void *p = data + 34;
#pragma clang loop unroll(disable)
  for (u32 i = 1; i < length; i += 2) {
    KEEP(p);
    if (p + 2 > end) return XDP_PASS;
    sum += *(u16 *)p;
    p += 2;
  }
  if (length & 1) {
    if (p + 1 > end) return XDP_PASS;
    sum += *(u8 *)p;
  }
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  u32 zero = 0;
  struct checked *counts = map_lookup(&verdicts, &zero);
  if (!counts) return XDP_PASS;
  if (sum == 0xffff) {
    __sync_fetch_and_add(&counts->good, 1);
    return XDP_PASS;
  }
  __sync_fetch_and_add(&counts->bad, 1);
  return XDP_DROP;
}

INLINE u16 replace16(u16 check, u16 from, u16 to) {
  u32 sum = (u16)~check + (u16)~from + to;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

SEC("xdp/mss_clamp") int mss_clamp(struct xdp_md *ctx) {
  BEGIN(ctx);
  if (data + 34 > end) return XDP_PASS;
  if (*(u16 *)(data + 12) != htons(0x0800)) return XDP_PASS;
  if (*(u8 *)(data + 23) != 6) return XDP_PASS;
  if (*(u16 *)(data + 20) & htons(0x1fff)) return XDP_PASS;
  u32 start = 14 + (*(u8 *)(data + 14) & 15) * 4;
  void *tcp = data + start;
  if (tcp + 20 > end) return XDP_PASS;
  if (!(*(u8 *)(tcp + 13) & 2)) return XDP_PASS;
  u32 stop = (*(u8 *)(tcp + 12) >> 4) * 4;
  u32 off = 20;
#pragma clang loop unroll(disable)
  for (int i = 0; i < 20; i++) {
    if (off >= stop) break;
    u32 at = off & 0xff;
    void *p = data + start + at;
    if (p + 1 > end) return XDP_PASS;
    u8 kind = *(u8 *)p;
    if (kind == 0) break;
    if (kind == 1) {
      off += 1;
      continue;
    }
    if (p + 2 > end) return XDP_PASS;
    u8 length = *(u8 *)(p + 1);
    if (length < 2) break;
    if (kind == 2 && length == 4) {
      if (p + 4 > end) return XDP_PASS;
      u16 before = *(u16 *)(p + 2);
      if (htons(before) <= MSS) break;
      *(u16 *)(p + 2) = htons(MSS);
      int odd = off & 1;
      u16 from = odd ? htons(before) : before;
      u16 to = odd ? MSS : htons(MSS);
      *(u16 *)(tcp + 16) = replace16(*(u16 *)(tcp + 16), from, to);
      break;
    }
    off += length;
  }
  return XDP_PASS;
}

struct {
  __uint(type, MAP_PERCPU_ARRAY);
  __uint(max_entries, 256);
  __type(key, u32);
  __type(value, u64);
} protocols SEC(".maps");

SEC("xdp/ipv6_walk") int ipv6_walk(struct xdp_md *ctx) {
  BEGIN(ctx);
  if (data + 14 > end) return XDP_PASS;
  if (*(u16 *)(data + 12) != htons(0x86dd)) return XDP_PASS;
  if (data + 21 > end) return XDP_PASS;
  u32 next = *(u8 *)(data + 20);
  u32 off = 54;
#pragma clang loop unroll(disable)
  for (int i = 0; i < 8; i++) {
    void *p = data + off;
    if (next == 44) {
      if (p + 1 > end) return XDP_PASS;
      next = *(u8 *)p;
      off += 8;
    } else if (next == 0 || next == 43 || next == 60) {
      if (p + 2 > end) return XDP_PASS;
      next = *(u8 *)p;
      off += (*(u8 *)(p + 1) + 1) * 8;
    } else {
      break;
    }
  }
  u64 *count = map_lookup(&protocols, &next);
  if (count) *count += 1;
  return XDP_PASS;
}

enum { V4_TCP, V4_UDP, V4_ICMP, V4_OTHER, V6_TCP, V6_UDP, V6_ICMP, V6_OTHER, ARP, OTHER, KINDS };
struct tally {
  u64 packets, bytes;
};
struct {
  __uint(type, MAP_PERCPU_ARRAY);
  __uint(max_entries, 2 * KINDS);
  __type(key, u32);
  __type(value, struct tally);
} tallies SEC(".maps");

INLINE u32 ipv6_kind(void *p, void *end) {
  if (p + 40 > end) return V6_OTHER;
  u8 next = *(u8 *)(p + 6);
  p += 40;
#pragma unroll
  for (int i = 0; i < 6; i++) {
    u32 unit, more;
    switch (next) {
      case 6: case 17: case 58: goto known;
      case 0: case 43: case 60: case 135: case 139: case 140: unit = 8; more = 1; break;
      case 44: unit = 0; more = 0; break;
      case 51: unit = 4; more = 2; break;
      default: return V6_OTHER;
    }
    if (p + 2 > end) return V6_OTHER;
    next = *(u8 *)p;
    p += unit ? (*(u8 *)(p + 1) + more) * unit : 8;
  }
known:
  return next == 6 ? V6_TCP : next == 17 ? V6_UDP : next == 58 ? V6_ICMP : V6_OTHER;
}

INLINE u32 kind_of(void *p, void *end, u16 type) {
  if (type == htons(0x0806)) return ARP;
  if (type == htons(0x86dd)) return ipv6_kind(p, end);
  if (type != htons(0x0800)) return OTHER;
  if (p + 20 > end) return V4_OTHER;
  u8 protocol = *(u8 *)(p + 9);
  return protocol == 6 ? V4_TCP : protocol == 17 ? V4_UDP : protocol == 1 ? V4_ICMP : V4_OTHER;
}

SEC("xdp/count_frames") int count_frames(struct xdp_md *ctx) {
  BEGIN(ctx);
  u32 kind = OTHER, tagged = 0;
  if (data + 14 <= end) {
    u16 type = *(u16 *)(data + 12);
    void *p = data + 14;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      if (type != htons(0x8100) && type != htons(0x88a8) && type != htons(0x9100)) break;
      tagged = KINDS;
      if (p + 4 > end) goto count;
      type = *(u16 *)(p + 2);
      p += 4;
    }
    kind = kind_of(p, end, type);
  }
count:
  kind += tagged;
  struct tally *tally = map_lookup(&tallies, &kind);
  if (tally) {
    tally->packets += 1;
    tally->bytes += end - data;
  }
  return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
