/*
 * What a C program does on an AF_XDP socket, as the yardstick of bench/xsk.ts: the same rings, frames, batch and
 * system calls, no library.
 *
 *   xsk-yardstick rxdrop|txpush|l2fwd|latency IFNAME SECONDS BATCH spin|nap|poll driver|generic
 *
 * Prints "ready" once it works, and one JSON line at the end: packets of the last SECONDS, after a warm-up of one
 * second, and its own CPU time in them; of `latency` the time from the sender's clock in each packet until here, in
 * microseconds. Build: cc -O2 -o xsk-yardstick xsk-yardstick.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FRAMES 4096u
#define FRAME_SIZE 2048u
#define RX_SIZE 2048u
#define TX_SIZE 2048u
#define FILL_SIZE 4096u
#define COMPLETION_SIZE 2048u
#define FILL_TARGET 2048u
#define TX_BUDGET 64u
#define XDP_MAX_TX_SKB_BUDGET_OPTION 9
#define PACKET_SIZE 64u

struct ring {
  unsigned *producer, *consumer, *flags;
  void *entries;
  unsigned mask, size, next, seen;
};

static void must(long result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static struct ring map_ring(int fd, const struct xdp_ring_offset *offset, unsigned size, size_t entry, long long at) {
  char *base = mmap(0, offset->desc + size * entry, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, at);
  if (base == MAP_FAILED) must(-1, "mmap of a ring");
  return (struct ring){(unsigned *)(base + offset->producer), (unsigned *)(base + offset->consumer),
                       (unsigned *)(base + offset->flags), base + offset->desc, size - 1, size, 0, 0};
}

/* Entries that may be read from ring->next on, at most limit. */
static unsigned available(struct ring *ring, unsigned limit) {
  if (ring->seen - ring->next < limit) ring->seen = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
  unsigned count = ring->seen - ring->next;
  return count < limit ? count : limit;
}

/* Entries that may be written from ring->next on, at most limit. */
static unsigned room(struct ring *ring, unsigned limit) {
  if (ring->seen + ring->size - ring->next < limit) ring->seen = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
  unsigned count = ring->seen + ring->size - ring->next;
  return count < limit ? count : limit;
}

static void publish(unsigned *index, unsigned value) { __atomic_store_n(index, value, __ATOMIC_RELEASE); }

static unsigned long long pool[FRAMES];
static unsigned pooled, filled, sending;
static struct ring rx, tx, fill, completion;
static char *umem_bytes;
static const unsigned char packet[PACKET_SIZE] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
#define MAX_SAMPLES 100000
static double samples[MAX_SAMPLES];
static unsigned sampled;
static int fd;

static void top_up(void) {
  if (filled >= FILL_TARGET || pooled == 0) return;
  unsigned wanted = FILL_TARGET - filled;
  unsigned count = room(&fill, wanted < pooled ? wanted : pooled);
  for (unsigned i = 0; i < count; i++) ((__u64 *)fill.entries)[fill.next++ & fill.mask] = pool[--pooled];
  publish(fill.producer, fill.next);
  filled += count;
}

static void complete(void) {
  unsigned count = available(&completion, COMPLETION_SIZE);
  for (unsigned i = 0; i < count; i++)
    pool[pooled++] = ((__u64 *)completion.entries)[completion.next++ & completion.mask] & ~(__u64)(FRAME_SIZE - 1);
  publish(completion.consumer, completion.next);
  sending -= count;
}

static void kick(void) {
  if (!(__atomic_load_n(tx.flags, __ATOMIC_RELAXED) & XDP_RING_NEED_WAKEUP)) return;
  for (;;) {
    unsigned before = __atomic_load_n(tx.consumer, __ATOMIC_ACQUIRE);
    if (before == tx.next) return;
    if (sendto(fd, 0, 0, MSG_DONTWAIT, 0, 0) >= 0) return;
    if (errno != EAGAIN && errno != EBUSY && errno != ENOBUFS && errno != EINTR) must(-1, "sendto");
    if (__atomic_load_n(tx.consumer, __ATOMIC_ACQUIRE) == before) {
      unsigned was = sending;
      complete();
      if (sending == was) return;
    }
  }
}

static void open_socket(const char *name) {
  fd = socket(AF_XDP, SOCK_RAW, 0);
  must(fd, "socket");
  umem_bytes = mmap(0, FRAMES * FRAME_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct xdp_umem_reg umem = {(unsigned long long)umem_bytes, FRAMES * FRAME_SIZE, FRAME_SIZE, 0, 0};
  must(setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &umem, sizeof umem), "UMEM");
  unsigned sizes[4] = {RX_SIZE, TX_SIZE, FILL_SIZE, COMPLETION_SIZE}, budget = TX_BUDGET;
  must(setsockopt(fd, SOL_XDP, XDP_RX_RING, &sizes[0], 4), "RX ring");
  must(setsockopt(fd, SOL_XDP, XDP_TX_RING, &sizes[1], 4), "TX ring");
  must(setsockopt(fd, SOL_XDP, XDP_UMEM_FILL_RING, &sizes[2], 4), "fill ring");
  must(setsockopt(fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &sizes[3], 4), "completion ring");
  (void)setsockopt(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET_OPTION, &budget, 4);
  struct xdp_mmap_offsets offsets;
  socklen_t length = sizeof offsets;
  must(getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length), "offsets");
  rx = map_ring(fd, &offsets.rx, RX_SIZE, 16, XDP_PGOFF_RX_RING);
  tx = map_ring(fd, &offsets.tx, TX_SIZE, 16, XDP_PGOFF_TX_RING);
  fill = map_ring(fd, &offsets.fr, FILL_SIZE, 8, XDP_UMEM_PGOFF_FILL_RING);
  completion = map_ring(fd, &offsets.cr, COMPLETION_SIZE, 8, XDP_UMEM_PGOFF_COMPLETION_RING);
  struct sockaddr_xdp address = {AF_XDP, XDP_COPY | XDP_USE_NEED_WAKEUP, if_nametoindex(name), 0, 0};
  /* A queue that another process has just left is taken for some moments more. */
  for (int tries = 0; bind(fd, (struct sockaddr *)&address, sizeof address) < 0; tries++) {
    if (errno != EBUSY || tries == 200) must(-1, "bind");
    usleep(5000);
  }
  for (unsigned i = 0; i < FRAMES; i++) memcpy(umem_bytes + i * FRAME_SIZE, packet, PACKET_SIZE);
  for (unsigned i = 0; i < FRAMES; i++) pool[pooled++] = (FRAMES - 1 - i) * FRAME_SIZE;
  top_up();
}

/* Redirects every frame to the socket of its queue. */
static void attach(const char *name, int generic) {
  union bpf_attr a = {.map_type = BPF_MAP_TYPE_XSKMAP, .key_size = 4, .value_size = 4, .max_entries = 1};
  int map = syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof a);
  must(map, "map");
  struct bpf_insn program[] = {
      {BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, 16, 0},
      {BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map},
      {0, 0, 0, 0, 0},
      {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, XDP_PASS},
      {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map},
      {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
  };
  union bpf_attr load = {.prog_type = BPF_PROG_TYPE_XDP, .insn_cnt = 6, .insns = (unsigned long long)program,
                         .license = (unsigned long long)"MIT", .expected_attach_type = BPF_XDP};
  int prog = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
  must(prog, "program");
  unsigned key = 0;
  union bpf_attr update = {.map_fd = map, .key = (unsigned long long)&key, .value = (unsigned long long)&fd};
  must(syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &update, sizeof update), "map entry");
  union bpf_attr link = {.link_create = {.prog_fd = prog, .target_ifindex = if_nametoindex(name),
                                         .attach_type = BPF_XDP,
                                         .flags = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE}};
  must(syscall(SYS_bpf, BPF_LINK_CREATE, &link, sizeof link), "attach");
}

static void sample(__u64 address) {
  struct timespec t;
  long long sent;
  clock_gettime(CLOCK_MONOTONIC, &t);
  memcpy(&sent, umem_bytes + address + 16, 8);
  if (sampled < MAX_SAMPLES) samples[sampled++] = (t.tv_sec * 1000000000LL + t.tv_nsec - sent) / 1000.0;
}

static int ascending(const void *a, const void *b) {
  return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b;
}

static unsigned rxdrop(unsigned batch, int latency) {
  unsigned count = available(&rx, batch);
  if (count == 0) {
    top_up();
    return 0;
  }
  unsigned space = room(&fill, count);
  for (unsigned i = 0; i < count; i++) {
    __u64 address = ((struct xdp_desc *)rx.entries)[rx.next++ & rx.mask].addr;
    __u64 base = address & ~(__u64)(FRAME_SIZE - 1);
    if (latency) sample(address);
    if (i < space) ((__u64 *)fill.entries)[fill.next++ & fill.mask] = base;
    else pool[pooled++] = base;
  }
  publish(rx.consumer, rx.next);
  publish(fill.producer, fill.next);
  filled -= count - space;
  top_up();
  return count;
}

/* The packets lie in their frames from the beginning on, as in a program that sends always the same. */
static unsigned txpush(unsigned batch) {
  if (sending > 0) complete();
  unsigned count = room(&tx, batch);
  if (count > pooled) count = pooled;
  for (unsigned i = 0; i < count; i++) {
    __u64 address = pool[--pooled];
    ((struct xdp_desc *)tx.entries)[tx.next++ & tx.mask] = (struct xdp_desc){address, PACKET_SIZE, 0};
  }
  sending += count;
  publish(tx.producer, tx.next);
  kick();
  return count;
}

static unsigned l2fwd(unsigned batch) {
  if (sending > 0) complete();
  unsigned count = available(&rx, batch);
  if (count == 0) {
    top_up();
    kick();
    return 0;
  }
  count = room(&tx, count);
  for (unsigned i = 0; i < count; i++) {
    struct xdp_desc d = ((struct xdp_desc *)rx.entries)[rx.next++ & rx.mask];
    unsigned char mac[6], *bytes = (unsigned char *)umem_bytes + d.addr;
    memcpy(mac, bytes, 6);
    memcpy(bytes, bytes + 6, 6);
    memcpy(bytes + 6, mac, 6);
    ((struct xdp_desc *)tx.entries)[tx.next++ & tx.mask] = (struct xdp_desc){d.addr, d.len, 0};
  }
  publish(rx.consumer, rx.next);
  filled -= count;
  sending += count;
  publish(tx.producer, tx.next);
  kick();
  top_up();
  return count;
}

int main(int argc, char **argv) {
  if (argc != 7) return fprintf(stderr, "see the head of xsk-yardstick.c for the arguments\n"), 2;
  double seconds = atof(argv[3]);
  unsigned batch = atoi(argv[4]);
  char scenario = argv[1][0], wait = argv[5][0];
  open_socket(argv[2]);
  attach(argv[2], argv[6][0] == 'g');
  prctl(PR_SET_TIMERSLACK, 1);
  printf("ready\n");
  fflush(stdout);
  struct timespec nap = {0, 100000};
  struct pollfd readable = {fd, POLLIN, 0};
  unsigned long long packets = 0, idle = 0, turns = 0;
  double start = now(CLOCK_MONOTONIC) + 1, cpu = -1, end = start;
  for (;;) {
    unsigned count = scenario == 't' ? txpush(batch) : scenario == 'l' && argv[1][1] == '2' ? l2fwd(batch)
                                                                                          : rxdrop(batch, scenario == 'l');
    packets += count;
    if (count > 0) idle = 0;
    else if (wait == 'n' && ++idle >= 20) nanosleep(&nap, 0);
    else if (wait == 'p') poll(&readable, 1, 100);
    if ((++turns & (wait == 's' ? 255 : 15)) != 0) continue;
    end = now(CLOCK_MONOTONIC);
    if (cpu < 0 && end >= start) start = end, packets = 0, sampled = 0, cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    if (cpu >= 0 && end - start >= seconds) break;
  }
  cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  qsort(samples, sampled, sizeof *samples, ascending);
  printf("{\"packets\":%llu,\"seconds\":%.6f,\"cpu\":%.6f,\"mode\":\"%s copy\",\"p50\":%.2f,\"p99\":%.2f}\n", packets,
         end - start, cpu, argv[6], samples[sampled / 2], samples[sampled - sampled / 100 - (sampled > 99)]);
  return 0;
}
