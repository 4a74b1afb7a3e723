// CO-RE relocations of every kind. The kernel's types are declared with other layouts than it has.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct list_head {
  struct list_head *next;
};
struct thread_struct_of_nobody {
  int there;
};
struct task_struct___ours {
  int pid;
  int tgid;
  char comm[16];
  struct task_struct___ours *group_leader;
  struct list_head tasks;
  int no_such_field;
};
struct sk_buff {
  unsigned char pkt_type : 3;
  unsigned char ip_summed : 2;
  unsigned int len;
};
struct net_device {
  unsigned int mtu;
  char name[16];
};
#pragma clang attribute pop

enum bpf_map_type___ours { BPF_MAP_TYPE_QUEUE___ours = 99, BPF_MAP_TYPE_OF_NOBODY = 100 };
typedef unsigned char __u8___ours;

__u64 pid_offset, comm_offset, comm_size, pid_size, len_offset, bits_offset, bits_size, bits_left, bits_right;
__u64 pid_signed, len_signed, pid_exists, missing_exists, task_exists, nobody_exists, task_size, typedef_size;
__u64 queue_value, queue_exists, nobody_value_exists, local_id, target_id, third_char, matches, pid, leader;

SEC("xdp")
int relocate(struct xdp_md *ctx) {
  struct task_struct___ours *task = 0;
  struct sk_buff *skb = 0;
  pid_offset = bpf_core_field_offset(task->pid);
  comm_offset = bpf_core_field_offset(task->comm);
  third_char = __builtin_preserve_field_info(task->comm[2], BPF_FIELD_BYTE_OFFSET);
  comm_size = bpf_core_field_size(task->comm);
  pid_size = bpf_core_field_size(task->pid);
  len_offset = bpf_core_field_offset(skb->len);
  bits_offset = __builtin_preserve_field_info(skb->ip_summed, BPF_FIELD_BYTE_OFFSET);
  bits_size = __builtin_preserve_field_info(skb->ip_summed, BPF_FIELD_BYTE_SIZE);
  bits_left = __builtin_preserve_field_info(skb->ip_summed, BPF_FIELD_LSHIFT_U64);
  bits_right = __builtin_preserve_field_info(skb->ip_summed, BPF_FIELD_RSHIFT_U64);
  pid_signed = __builtin_preserve_field_info(task->pid, BPF_FIELD_SIGNED);
  len_signed = __builtin_preserve_field_info(skb->len, BPF_FIELD_SIGNED);
  pid_exists = bpf_core_field_exists(task->pid);
  missing_exists = bpf_core_field_exists(task->no_such_field);
  task_exists = bpf_core_type_exists(struct task_struct___ours);
  nobody_exists = bpf_core_type_exists(struct thread_struct_of_nobody);
  task_size = bpf_core_type_size(struct task_struct___ours);
  typedef_size = bpf_core_type_size(__u8___ours);
  queue_exists = bpf_core_enum_value_exists(enum bpf_map_type___ours, BPF_MAP_TYPE_QUEUE___ours);
  queue_value = bpf_core_enum_value(enum bpf_map_type___ours, BPF_MAP_TYPE_QUEUE___ours);
  nobody_value_exists = bpf_core_enum_value_exists(enum bpf_map_type___ours, BPF_MAP_TYPE_OF_NOBODY);
  local_id = bpf_core_type_id_local(struct task_struct___ours);
  target_id = bpf_core_type_id_kernel(struct task_struct___ours);
#if __clang_major__ >= 16
  matches = bpf_core_type_matches(struct list_head);
#endif
  if (bpf_core_field_exists(task->no_such_field)) pid_offset = task->no_such_field;
  task = (void *)bpf_get_current_task();
  pid = BPF_CORE_READ(task, pid);
  leader = BPF_CORE_READ(task, group_leader, tgid);
  return XDP_PASS;
}

#ifdef MISSING
SEC("?xdp")
int needs_nobody(struct xdp_md *ctx) {
  struct task_struct___ours *task = (void *)bpf_get_current_task();
  return BPF_CORE_READ(task, no_such_field);
}
#endif

char _license[] SEC("license") = "GPL";
