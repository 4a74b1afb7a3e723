import {
  assemble,
  Class,
  call,
  callFunction,
  exit,
  func,
  type Instruction,
  type Item,
  Jump,
  LDDW,
  Mode,
  mov64,
  r0,
  slotsOf,
} from '../asm/index.ts';
import { ArgumentError } from '../error.ts';
import type { MapSpecs, ProgramSpec, TcxAttachType } from '../spec/index.ts';

/** `TCX_NEXT` (linux/bpf.h): goes on to whoever comes after. */
export const TCX_NEXT = -1;

/**
 * An XDP program as one for traffic control, so that frames which leave an interface are read by the same code as
 * those that come in: the fields of the packet are found in `struct __sk_buff` instead of `struct xdp_md`.
 *
 * The program becomes the function `body`; `after` follows its call with the verdict in r0 and r6 as it left it
 * before (the frame of a call keeps r6 to r9), and ends the program. Default lets every frame go on.
 *
 * @param before What stands in front of the call; r1 is the context and must be so at the end.
 * @throws ArgumentError for what traffic control cannot do: moving the packet's ends.
 */
export function asTrafficControl<M extends MapSpecs>(
  spec: ProgramSpec<M>,
  attachType: TcxAttachType,
  before: readonly Item[] = [],
  after: readonly Item[] = [mov64(r0, TCX_NEXT), exit()],
): ProgramSpec<M> {
  const assembly = assemble([
    func(spec.name, 1),
    before,
    callFunction('body'),
    after,
    func('body', 1),
    retarget(spec.instructions),
  ]);
  return { ...spec, type: 'sched_cls', attachType, frags: false, ...assembly };
}

/** Offsets of `struct xdp_md` and where `struct __sk_buff` has the same (linux/bpf.h). */
const FIELD: ReadonlyMap<number, number> = new Map([
  [0, 76], // data
  [4, 80], // data_end
  [12, 40], // ingress_ifindex: ifindex
  [16, 12], // rx_queue_index: queue_mapping
]);

/** Helpers of XDP, and those that do the same to a socket buffer. */
const XDP_GET_BUFF_LEN = 188;
const XDP_LOAD_BYTES = 189;
const SKB_LOAD_BYTES = 26;
const XDP_ONLY: ReadonlySet<number> = new Set([44, 54, 65, 190]);

/** Which registers, by bits, and which stack slots hold the context. */
interface Holding {
  readonly registers: number;
  readonly slots: ReadonlySet<number>;
}

/** Follows the context through registers and the stack, and moves the loads from it. */
function retarget(instructions: readonly Instruction[]): Instruction[] {
  const starts: number[] = [];
  const indexAt = new Map<number, number>();
  let slot = 0;
  for (const [index, instruction] of instructions.entries()) {
    starts.push(slot);
    indexAt.set(slot, index);
    slot += slotsOf(instruction);
  }
  const known = new Map<number, Holding>([[0, { registers: 1 << 1, slots: new Set() }]]);
  const work = [0];
  const out = [...instructions];
  for (let at = work.pop(); at !== undefined; at = work.pop()) {
    const holding = known.get(at)!;
    const instruction = instructions[at]!;
    out[at] = moved(instruction, holding);
    const next = afterwards(instruction, holding);
    for (const successor of successors(instruction, starts[at]!)) {
      const index = indexAt.get(successor);
      if (index === undefined) throw new ArgumentError(`a jump to slot ${successor} leads nowhere`);
      const met = meet(known.get(index), next);
      if (met === undefined) continue;
      known.set(index, met);
      work.push(index);
    }
  }
  return out;
}

function moved(instruction: Instruction, { registers }: Holding): Instruction {
  const { opcode, src, offset, imm } = instruction;
  const kind = opcode & 7;
  if (kind === Class.LDX && (registers & (1 << src)) !== 0) {
    const field = FIELD.get(offset);
    if (field === undefined) {
      throw new ArgumentError(
        `traffic control has no counterpart of the field at ${offset} of struct xdp_md`,
      );
    }
    return { ...instruction, offset: field };
  }
  if (!isHelperCall(instruction)) return instruction;
  if (XDP_ONLY.has(imm)) throw new ArgumentError(`traffic control has no helper function ${imm}`);
  if (imm === XDP_LOAD_BYTES) return { ...call(SKB_LOAD_BYTES), ...sourceOf(instruction) };
  // skb->len, the first field of the context in r1.
  if (imm === XDP_GET_BUFF_LEN) {
    return { opcode: Class.LDX | Mode.MEM, dst: 0, src: 1, offset: 0, imm: 0, ...sourceOf(instruction) };
  }
  return instruction;
}

function sourceOf({ source }: Instruction): Pick<Instruction, 'source'> {
  return source === undefined ? {} : { source };
}

function isHelperCall({ opcode, src }: Instruction): boolean {
  return opcode === (Class.JMP | Jump.CALL) && src === 0;
}

const MOV64 = 0xbf;
const STORE64 = 0x7b;
const LOAD64 = 0x79;
const FRAME = 10;
const CLOBBERED = 0b11_1111;

function afterwards(instruction: Instruction, { registers, slots }: Holding): Holding {
  const { opcode, dst, src, offset } = instruction;
  const kind = opcode & 7;
  if (opcode === STORE64 && dst === FRAME) {
    const kept = new Set(slots);
    if ((registers & (1 << src)) !== 0) kept.add(offset);
    else kept.delete(offset);
    return { registers, slots: kept };
  }
  if (opcode === (Class.JMP | Jump.CALL)) return { registers: registers & ~CLOBBERED, slots };
  if (kind === Class.JMP || kind === Class.JMP32 || kind === Class.ST || kind === Class.STX) {
    return { registers, slots };
  }
  const holds =
    (opcode === MOV64 && offset === 0 && (registers & (1 << src)) !== 0) ||
    (opcode === LOAD64 && src === FRAME && slots.has(offset));
  const without = registers & ~(1 << dst);
  return { registers: holds ? without | (1 << dst) : without, slots };
}

/** Slots that may come next. */
function successors({ opcode, offset, imm }: Instruction, slot: number): number[] {
  const kind = opcode & 7;
  if (opcode === LDDW) return [slot + 2];
  if (kind !== Class.JMP && kind !== Class.JMP32) return [slot + 1];
  const operation = opcode & 0xf0;
  if (operation === Jump.EXIT) return [];
  if (operation === Jump.CALL) return [slot + 1];
  if (operation === Jump.JA) return [slot + 1 + (kind === Class.JMP32 ? imm : offset)];
  return [slot + 1, slot + 1 + offset];
}

/** What holds on both ways; undefined when nothing changes. */
function meet(before: Holding | undefined, now: Holding): Holding | undefined {
  if (before === undefined) return now;
  const registers = before.registers & now.registers;
  const slots = new Set([...before.slots].filter((offset) => now.slots.has(offset)));
  return registers === before.registers && slots.size === before.slots.size
    ? undefined
    : { registers, slots };
}
