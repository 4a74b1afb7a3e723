import type { Context } from './context.ts';
import type { Val } from './value.ts';

/** `kernel.fibLookup({ … })`: the kernel's routing decision (bpf_fib_lookup in linux/bpf.h). */
export function fibLookup(cx: Context, node: { start: number }, _val: Val, _helper: number): Val {
  throw cx.fault(node, 'fibLookup is not there yet', 'Look the route up in a map of your own.');
}
