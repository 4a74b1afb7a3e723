import {
  add64,
  call,
  callKernel,
  type Item,
  jgt,
  jne,
  label,
  ldx,
  mov64,
  or64,
  r0,
  r1,
  r2,
  r3,
  r6,
  r7,
  r8,
  r9,
  r10,
  st,
  stx,
} from '../asm/index.ts';

/** BTF IDs of the kernel's functions that ask a driver; absent where the kernel has none. */
export interface HintFunctions {
  readonly timestamp?: number;
  readonly hash?: number;
  readonly vlanTag?: number;
}

/**
 * What lies before a packet, from its first byte downward: which of the rest is known, the hash, the timestamp in ns,
 * the kind of hash, and the VLAN tag that the card has taken out (protocol in network order).
 */
export const HINTS = {
  size: 32,
  known: 0,
  hash: 4,
  timestamp: 8,
  hashType: 16,
  vlanTag: 20,
  vlanProtocol: 22,
} as const;

export const HINT_KNOWN = { timestamp: 1, hash: 2, vlanTag: 4 } as const;

/** `struct xdp_md` (linux/bpf.h). */
const CTX = { data: 0, dataMeta: 8 } as const;

/** Asks the driver and writes its answers before the packet. The context is in r6; r7 to r9 are lost. */
export function hintCode(functions: HintFunctions): Item[] {
  const ask = (name: keyof HintFunctions, id: number | undefined, answers: Item[]): Item[] =>
    id === undefined
      ? []
      : [
          st('u64', r10, -8, 0),
          st('u64', r10, -16, 0),
          mov64(r1, r6),
          mov64(r2, r10),
          add64(r2, -8),
          mov64(r3, r10),
          add64(r3, -16),
          callKernel(id),
          jne(r0, 0, `no ${name}`),
          or64(r9, HINT_KNOWN[name]),
          answers,
          label(`no ${name}`),
        ];
  return [
    mov64(r1, r6),
    mov64(r2, -HINTS.size),
    call('xdp_adjust_meta'),
    jne(r0, 0, 'without hints'),
    ldx('u32', r7, r6, CTX.dataMeta),
    ldx('u32', r8, r6, CTX.data),
    mov64(r1, r7),
    add64(r1, HINTS.size),
    jgt(r1, r8, 'without hints'),
    [0, 8, 16, 24].map((at) => st('u64', r7, at, 0)),
    mov64(r9, 0),
    ask('timestamp', functions.timestamp, [ldx('u64', r1, r10, -8), stx('u64', r7, r1, HINTS.timestamp)]),
    ask('hash', functions.hash, [
      ldx('u32', r1, r10, -8),
      stx('u32', r7, r1, HINTS.hash),
      ldx('u32', r1, r10, -16),
      stx('u32', r7, r1, HINTS.hashType),
    ]),
    ask('vlanTag', functions.vlanTag, [
      ldx('u16', r1, r10, -8),
      stx('u16', r7, r1, HINTS.vlanProtocol),
      ldx('u16', r1, r10, -16),
      stx('u16', r7, r1, HINTS.vlanTag),
    ]),
    stx('u32', r7, r9, HINTS.known),
    label('without hints'),
  ];
}
