import {
  add64,
  and64,
  assemble,
  call,
  exit,
  type Item,
  ja,
  jeq,
  jgt,
  jlt,
  jne,
  label,
  ldx,
  lsh64,
  mapByName,
  mov64,
  type Register,
  r0,
  r1,
  r2,
  r3,
  r6,
  r7,
  r8,
  toBe,
} from '../asm/index.ts';
import { EtherType, IcmpType, Icmpv6Type, IpProtocol } from '../packet/headers.ts';
import { type ProgramSpec, xskMap } from '../spec/index.ts';
import { type Match, matchCode, type RedirectMaps } from '../xsk/index.ts';

/** `struct xdp_md` (linux/bpf.h). */
const CTX = { data: 0, dataEnd: 4, rxQueueIndex: 16 } as const;
const XDP_PASS = 2;

/**
 * An XDP program that takes echo requests of ICMP and ICMPv6, of those frames which `match` means, and lets all other
 * frames pass: neighbour discovery, which is ICMPv6 as well, stays the kernel's.
 *
 *     r6 context   r7 header at hand   r8 end
 */
export function echoSpec(match: Match, queues: number): ProgramSpec<RedirectMaps> {
  const assembly = assemble(
    [
      matchCode(match),
      ldx('u32', r7, r6, CTX.data),
      ldx('u32', r8, r6, CTX.dataEnd),
      within(r7, 14),
      ldx('u16', r2, r7, 12),
      toBe(r2, 16),
      add64(r7, 14),
      tag(0),
      tag(1),
      label('type known'),
      jeq(r2, EtherType.ipv4, 'is ipv4'),
      jne(r2, EtherType.ipv6, 'leave'),
      within(r7, 48),
      ldx('u8', r2, r7, 6),
      jne(r2, IpProtocol.icmpv6, 'leave'),
      ldx('u8', r2, r7, 40),
      jne(r2, Icmpv6Type.echoRequest, 'leave'),
      ja('take'),
      label('is ipv4'),
      within(r7, 20),
      ldx('u8', r2, r7, 9),
      jne(r2, IpProtocol.icmp, 'leave'),
      // The kernel puts fragments together.
      ldx('u16', r2, r7, 6),
      toBe(r2, 16),
      and64(r2, 0x3fff),
      jne(r2, 0, 'leave'),
      ldx('u8', r2, r7, 0),
      and64(r2, 0x0f),
      lsh64(r2, 2),
      jlt(r2, 20, 'leave'),
      add64(r7, r2),
      within(r7, 8),
      ldx('u8', r2, r7, 0),
      jne(r2, IcmpType.echoRequest, 'leave'),
      label('take'),
      mapByName(r1, 'sockets'),
      ldx('u32', r2, r6, CTX.rxQueueIndex),
      mov64(r3, XDP_PASS),
      call('redirect_map'),
      exit(),
      label('leave'),
      mov64(r0, XDP_PASS),
      exit(),
    ],
    { entry: 'echo' },
  );
  return {
    name: 'barewire_echo',
    type: 'xdp',
    attachType: 'xdp',
    frags: false,
    license: 'MIT',
    maps: { sockets: xskMap('sockets', queues) },
    ...assembly,
  };
}

function tag(depth: number): Item[] {
  return [
    jeq(r2, EtherType.vlan, `is tag ${depth}`),
    jne(r2, EtherType.qinq, 'type known'),
    label(`is tag ${depth}`),
    within(r7, 4),
    ldx('u16', r2, r7, 2),
    toBe(r2, 16),
    add64(r7, 4),
  ];
}

/** Leaves the frame alone unless it has `bytes` bytes from `pointer` on. */
function within(pointer: Register, bytes: number): Item[] {
  return [mov64(r1, pointer), add64(r1, bytes), jgt(r1, r8, 'leave')];
}
