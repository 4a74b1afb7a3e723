/*
 * Sends UDP by live frames from a C program, as the yardstick of bench/send.ts: an XDP program counts the source port
 * up, mends the checksum (RFC 1624) and redirects, BPF_PROG_TEST_RUN repeats it. No library.
 *
 *   live-send IFNAME SECONDS FRAME-IN-HEX UDP-OFFSET
 *
 * Prints one JSON line: packets and seconds. Build: cc -O2 -o live-send live-send.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A call takes about 25 ms before its first frame: as rarely as ours. */
#define REPEAT 6000000u
#define BATCH 64u
#define FIRST_PORT 61440

#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = c, .dst_reg = d, .src_reg = s, .off = o, .imm = i})
#define LDX(size, d, s, o) INSN(BPF_LDX | BPF_MEM | size, d, s, o, 0)
#define STX(size, d, s, o) INSN(BPF_STX | BPF_MEM | size, d, s, o, 0)
#define ALU(op, d, i) INSN(BPF_ALU64 | op | BPF_K, d, 0, 0, i)
#define ALUX(op, d, s) INSN(BPF_ALU64 | op | BPF_X, d, s, 0, 0)
#define BE16(d) INSN(BPF_ALU | BPF_END | BPF_TO_BE, d, 0, 0, 16)

static long bpf(int command, union bpf_attr *attr) { return syscall(SYS_bpf, command, attr, sizeof *attr); }

static void must(long result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static int load(int map, int out, int length, int udp) {
  struct bpf_insn program[] = {
      LDX(BPF_W, 6, 1, 0),
      LDX(BPF_W, 2, 1, 4),
      ALUX(BPF_MOV, 3, 6),
      ALU(BPF_ADD, 3, length),
      INSN(BPF_JMP | BPF_JGT | BPF_X, 3, 2, 25, 0),
      INSN(BPF_LD | BPF_DW | BPF_IMM, 7, BPF_PSEUDO_MAP_VALUE, 0, map),
      INSN(0, 0, 0, 0, 0),
      LDX(BPF_DW, 3, 7, 0),
      ALUX(BPF_MOV, 4, 3),
      ALU(BPF_ADD, 4, 1),
      STX(BPF_DW, 7, 4, 0),
      ALU(BPF_AND, 3, 4095),
      ALU(BPF_ADD, 3, FIRST_PORT),
      BE16(3),
      /* checksum = ~(~checksum + ~old + new), all as they lie in memory */
      LDX(BPF_H, 4, 6, udp + 6),
      LDX(BPF_H, 5, 6, udp),
      STX(BPF_H, 6, 3, udp),
      ALU(BPF_XOR, 4, 0xffff),
      ALU(BPF_XOR, 5, 0xffff),
      ALUX(BPF_ADD, 4, 5),
      ALUX(BPF_ADD, 4, 3),
      ALUX(BPF_MOV, 5, 4),
      ALU(BPF_RSH, 5, 16),
      ALU(BPF_AND, 4, 0xffff),
      ALUX(BPF_ADD, 4, 5),
      ALU(BPF_XOR, 4, 0xffff),
      STX(BPF_H, 6, 4, udp + 6),
      INSN(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, out),
      INSN(0, 0, 0, 0, 0),
      ALU(BPF_MOV, 2, 0),
      ALU(BPF_MOV, 3, XDP_DROP),
      INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map),
      INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
      ALU(BPF_MOV, 0, XDP_DROP),
      INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  /* The jump over the body counts from the instruction behind it. */
  program[4].off = sizeof program / sizeof *program - 2 - 5;
  union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_XDP, .insn_cnt = sizeof program / sizeof *program,
                         .insns = (unsigned long long)program, .license = (unsigned long long)"MIT",
                         .expected_attach_type = BPF_XDP};
  int fd = bpf(BPF_PROG_LOAD, &attr);
  must(fd, "program");
  return fd;
}

int main(int argc, char **argv) {
  if (argc != 5) return fprintf(stderr, "see the head of live-send.c for the arguments\n"), 2;
  unsigned char frame[1500];
  int length = 0;
  for (const char *at = argv[3]; at[0] && at[1] && length < 1500; at += 2) {
    unsigned byte;
    if (sscanf(at, "%2x", &byte) != 1) return 2;
    frame[length++] = byte;
  }
  union bpf_attr make = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};
  int map = bpf(BPF_MAP_CREATE, &make);
  must(map, "map");
  union bpf_attr devices = {.map_type = BPF_MAP_TYPE_DEVMAP, .key_size = 4, .value_size = 4, .max_entries = 1};
  int out = bpf(BPF_MAP_CREATE, &devices);
  must(out, "device map");
  unsigned key = 0, ifindex = if_nametoindex(argv[1]);
  union bpf_attr entry = {.map_fd = out, .key = (unsigned long long)&key, .value = (unsigned long long)&ifindex};
  must(bpf(BPF_MAP_UPDATE_ELEM, &entry), "device");
  int program = load(map, out, length, atoi(argv[4]));
  printf("ready\n");
  fflush(stdout);
  double start = now(), seconds = atof(argv[2]), end = start;
  while (end - start < seconds) {
    union bpf_attr run = {.test = {.prog_fd = program, .data_size_in = length,
                                   .data_in = (unsigned long long)frame, .repeat = REPEAT,
                                   .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH}};
    must(bpf(BPF_PROG_TEST_RUN, &run), "live frames");
    end = now();
  }
  unsigned long long packets = 0;
  union bpf_attr look = {.map_fd = map, .key = (unsigned long long)&key, .value = (unsigned long long)&packets};
  must(bpf(BPF_MAP_LOOKUP_ELEM, &look), "counter");
  printf("{\"packets\":%llu,\"seconds\":%.6f}\n", packets, end - start);
  return 0;
}
