/** What the verifier's most frequent complaints mean, and what helps; the first that fits counts. */
const HINTS: readonly (readonly [complaint: RegExp, hint: string])[] = [
  [
    /prohibited for !root|leaks addr/,
    'Without CAP_PERFMON the verifier takes no computed packet offsets: run as root, or grant it as well.',
  ],
  [
    /invalid access to packet|offset is outside of the packet/,
    'Compare with data_end right before the access, with the same pointer, and for all bytes that are read: if (p + n > data_end) return.',
  ],
  [
    /invalid mem access '(map_value_or_null|ptr_or_null_\w*|mem_or_null|ringbuf_mem_or_null|rdonly_mem_or_null)'/,
    'A lookup or reservation may fail: compare its result with NULL before it is used.',
  ],
  [
    /invalid access to map value/,
    'The index may lie outside of the value: bound it right before the access (if (i >= n) return; or i &= n - 1).',
  ],
  [
    /unbounded memory access|min value is negative|R\d+ unbounded|with unbounded min value|value is outside of the allowed memory range/,
    'The verifier sees no bound for the offset or length: mask it, or compare it with a constant, and use an unsigned type.',
  ],
  [
    /invalid mem access 'scalar'|invalid mem access 'inv'/,
    'What is used as a pointer is a number: ctx->data has to be cast through (void *)(long), and kernel memory is read by bpf_probe_read_kernel() or BPF_CORE_READ().',
  ],
  [
    /back-edge from insn|infinite loop detected/,
    'The loop has no end that the verifier sees: give it a constant bound, unroll it, or use bpf_loop() (5.17).',
  ],
  [
    /too many states|BPF program is too large|The sequence of \d+ jumps is too complex|program is too complex/,
    'The verifier walked too many ways through the program: fewer branches inside of loops, global functions (which it checks once each), or bpf_loop() help.',
  ],
  [
    /combined stack size of|stack frame size|invalid (variable-offset|indirect|read|write).* stack|invalid stack/,
    'The stack has 512 bytes, in all functions of a call together, and is read only where it was written: keep large things in a per-CPU array, and set structs to zero at first.',
  ],
  [
    /R0 !read_ok|At program exit the register R0|R0 invalid/,
    'Every way out has to return a value in the allowed range.',
  ],
  [
    /!read_ok/,
    'A register is used that was not set on every way to it; a helper call leaves only r0 and r6 to r9 as they were.',
  ],
  [/unreachable insn/, 'Part of the program is never run: the compiler or assembler left a jump out.'],
  [
    /jump out of range|last insn is not an exit or jmp/,
    'A way through the program runs past its end: end it with a return.',
  ],
  [
    /unknown func|invalid func unknown|cannot use helper|program of this type cannot use helper/,
    'This kernel does not have that helper for programs of this type; `barewire doctor` says which kernel it is.',
  ],
  [
    /calling kernel function .* is not allowed|kernel function .* not found|metadata kfuncs require/,
    'This kernel function may not be called by programs of this type, or only by those bound to a device.',
  ],
  [
    /cannot call GPL-restricted function|GPL-restricted/,
    'The helper wants a GPL-compatible licence: char _license[] SEC("license") = "GPL";',
  ],
  [
    /Unreleased reference|reference has not been acquired/,
    'What is reserved or looked up with a reference has to be given back on every way out (submit, discard, release).',
  ],
  [
    /type=\w+ expected=/,
    'An argument of the call is of another kind than the helper wants: a map, a pointer to the stack, the context.',
  ],
  [
    /dereference of modified ctx ptr|invalid bpf_context access/,
    'Fields of the context are read one by one, by their own name and size, from the pointer as it was given.',
  ],
  [
    /pointer arithmetic .*prohibited|math between .* pointer|bitwise operator .* on pointer/,
    'Pointers take only additions and subtractions of numbers, and none once they may be NULL.',
  ],
  [
    /cannot write into|write into map forbidden|only read is supported|read-only/,
    'This memory is constant for programs.',
  ],
  [
    /missing btf func_info|Invalid insn_off in func_info|number of funcs in func_info/,
    'Functions by address need BTF: compile with -g.',
  ],
  [
    /misaligned (packet |value |stack )?access/,
    'Read unaligned fields byte by byte, or with __builtin_memcpy().',
  ],
];

/** A hint for the last complaint of a verifier's log; undefined where there is none. */
export function verifierHint(log: string): string | undefined {
  // The complaint stands last, and a log may go over things that it only mentions.
  const lines = log.trimEnd().split('\n').slice(-8).join('\n');
  return HINTS.find(([complaint]) => complaint.test(lines))?.[1];
}
