// What only the running kernel can provide.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int LINUX_KERNEL_VERSION __kconfig;
extern _Bool CONFIG_BPF_SYSCALL __kconfig __weak;
extern __u32 CONFIG_HZ __kconfig __weak;
extern char CONFIG_DEFAULT_HOSTNAME[16] __kconfig __weak;
extern enum libbpf_tristate CONFIG_BPF __kconfig __weak;
extern __u32 CONFIG_OF_NOBODY_AT_ALL __kconfig __weak;

extern const void vfs_read __ksym;
extern const void symbol_of_nobody __ksym __weak;
extern const int bpf_prog_active_of_nobody __ksym __weak;
extern const unsigned long totalram_of_nobody __ksym __weak;

struct bpf_dynptr_kern;
extern int bpf_dynptr_from_xdp(struct xdp_md *xdp, __u64 flags, struct bpf_dynptr *dynptr) __ksym __weak;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *dynptr) __ksym __weak;
extern int function_of_nobody(int x) __ksym __weak;

__u32 kernel_version, hertz, nobody_config;
_Bool syscall_built;
char hostname[16];
__u32 bpf_built;
__u64 known_address, nobody_address, nobody_typed;

SEC("xdp")
int externs(struct xdp_md *ctx) {
  kernel_version = LINUX_KERNEL_VERSION;
  hertz = CONFIG_HZ;
  syscall_built = CONFIG_BPF_SYSCALL;
  bpf_built = CONFIG_BPF;
  nobody_config = CONFIG_OF_NOBODY_AT_ALL;
  for (int i = 0; i < 16; i++) hostname[i] = CONFIG_DEFAULT_HOSTNAME[i];
  known_address = (__u64)&vfs_read;
  nobody_address = (__u64)&symbol_of_nobody;
  nobody_typed = (__u64)&bpf_prog_active_of_nobody;
  return XDP_PASS;
}

SEC("xdp")
int functions(struct xdp_md *ctx) {
  struct bpf_dynptr dynptr;
  if (&function_of_nobody) return function_of_nobody(1);
  if (bpf_dynptr_from_xdp(ctx, 0, &dynptr)) return XDP_ABORTED;
  return bpf_dynptr_size(&dynptr) & 0xff;
}

char _license[] SEC("license") = "GPL";
