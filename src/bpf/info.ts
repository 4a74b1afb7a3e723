import { Errno, Fd } from '../sys/index.ts';
import { Attribute, bpfError } from './attribute.ts';
import { Command, LINK_TYPE, MAP_TYPE_NAMES, PROGRAM_TYPE_NAMES } from './uapi.ts';

export interface MapInfo {
  readonly id: number;
  /** As `bpftool map` names it; `type N` for one newer than this list. */
  readonly type: string;
  /** The first 15 bytes of the name it was created with. */
  readonly name: string;
  /** In bytes. */
  readonly keySize: number;
  /** In bytes; of one CPU's value for per-CPU maps. */
  readonly valueSize: number;
  readonly maxEntries: number;
  /** `BPF_F_` bits. */
  readonly flags: number;
  readonly btfId: number;
  readonly btfKeyTypeId: number;
  readonly btfValueTypeId: number;
}

export interface ProgramInfo {
  readonly id: number;
  /** As `bpftool prog` names it. */
  readonly type: string;
  readonly name: string;
  /** SHA of the instructions, 16 hexadecimal digits, as `bpftool` prints it. */
  readonly tag: string;
  /** Bytes of machine code; 0 without JIT. */
  readonly jitedSize: number;
  /** Bytes of instructions after the verifier's rewriting. */
  readonly translatedSize: number;
  /** When it was loaded, in ns of CLOCK_BOOTTIME. */
  readonly loadedAt: bigint;
  readonly createdByUid: number;
  readonly mapIds: readonly number[];
  readonly gplCompatible: boolean;
  readonly btfId: number;
  /** Instructions that the verifier walked; 0 before Linux 5.16. */
  readonly verifiedInstructions: number;
  /** Total run time in ns, and runs, while `kernel.bpf_stats_enabled` is set. */
  readonly runTime: bigint;
  readonly runCount: bigint;
}

export interface LinkInfo {
  readonly id: number;
  readonly type: 'xdp' | 'tcx' | 'other';
  readonly programId: number;
  /** XDP and tcx links: the interface, 0 once it is gone or the link is detached. */
  readonly ifindex: number;
}

/** Describes a map by its descriptor. */
export function mapInfo(fd: Fd): MapInfo {
  const view = objectInfo(fd, new Uint8Array(88));
  return {
    type: typeName(MAP_TYPE_NAMES, view.getUint32(0, true)),
    id: view.getUint32(4, true),
    keySize: view.getUint32(8, true),
    valueSize: view.getUint32(12, true),
    maxEntries: view.getUint32(16, true),
    flags: view.getUint32(20, true),
    name: objectName(view, 24),
    btfId: view.getUint32(64, true),
    btfKeyTypeId: view.getUint32(68, true),
    btfValueTypeId: view.getUint32(72, true),
  };
}

/** Describes a program by its descriptor. */
export function programInfo(fd: Fd): ProgramInfo {
  const size = 232;
  let view = objectInfo(fd, new Uint8Array(size));
  const maps = new Uint32Array(view.getUint32(52, true));
  if (maps.length > 0) {
    // struct bpf_prog_info { nr_map_ids @52, map_ids @56 }: how many to write, and where.
    const request = new Attribute(size).u32(52, maps.length).pointer(56, maps);
    view = objectInfo(fd, request.bytes);
  }
  const tag = new Uint8Array(view.buffer, view.byteOffset + 8, 8);
  return {
    type: typeName(PROGRAM_TYPE_NAMES, view.getUint32(0, true)),
    id: view.getUint32(4, true),
    tag: Buffer.from(tag).toString('hex'),
    jitedSize: view.getUint32(16, true),
    translatedSize: view.getUint32(20, true),
    loadedAt: view.getBigUint64(40, true),
    createdByUid: view.getUint32(48, true),
    mapIds: [...maps],
    name: objectName(view, 64),
    gplCompatible: (view.getUint32(84, true) & 1) === 1,
    btfId: view.getUint32(128, true),
    runTime: view.getBigUint64(192, true),
    runCount: view.getBigUint64(200, true),
    verifiedInstructions: view.getUint32(216, true),
  };
}

/** The number of a program's first function in its BTF, whose name is not cut as the program's is; 0 without. */
export function entryType(fd: Fd): number {
  // struct bpf_prog_info { func_info_rec_size @132, func_info @136, nr_func_info @144 }
  const record = new Uint32Array(2);
  const request = new Attribute(232).u32(132, 8).pointer(136, record).u32(144, 1);
  objectInfo(fd, request.bytes);
  return record[1] ?? 0;
}

/** Describes a link by its descriptor. */
export function linkInfo(fd: Fd): LinkInfo {
  const view = objectInfo(fd, new Uint8Array(32));
  const number = view.getUint32(0, true);
  const type = number === LINK_TYPE.xdp ? 'xdp' : number === LINK_TYPE.tcx ? 'tcx' : 'other';
  return {
    type,
    id: view.getUint32(4, true),
    programId: view.getUint32(8, true),
    ifindex: type === 'other' ? 0 : view.getUint32(16, true),
  };
}

/** Which objects the kernel numbers. */
export type ObjectKind = 'program' | 'map' | 'link' | 'btf';

const BY_ID: Readonly<Record<ObjectKind, { next: number | undefined; open: number }>> = {
  program: { next: Command.programGetNextId, open: Command.programGetFdById },
  map: { next: Command.mapGetNextId, open: Command.mapGetFdById },
  link: { next: Command.linkGetNextId, open: Command.linkGetFdById },
  btf: { next: undefined, open: Command.btfGetFdById },
};

/** Every id of that kind in the kernel, whoever made it; needs CAP_SYS_ADMIN. */
export function* objectIds(kind: ObjectKind): Generator<number> {
  const command = BY_ID[kind].next;
  if (command === undefined) return;
  let id = 0;
  for (;;) {
    const attribute = new Attribute(12).u32(0, id);
    const result = attribute.try(command);
    if (result === -Errno.ENOENT) return;
    if (result < 0) throw bpfError(-result, `list the kernel's BPF ${kind}s`);
    id = attribute.readU32(4);
    yield id;
  }
}

/** Opens an object by its id; undefined when it is gone. */
export function openById(kind: ObjectKind, id: number): Fd | undefined {
  const result = new Attribute(12).u32(0, id).try(BY_ID[kind].open);
  if (result === -Errno.ENOENT) return undefined;
  if (result < 0) throw bpfError(-result, `open the BPF ${kind} ${id}`);
  return new Fd(result, `${kind} ${id}`);
}

function objectInfo(fd: Fd, info: Uint8Array): DataView {
  // struct { bpf_fd @0, info_len @4, info @8 }
  new Attribute(16)
    .u32(0, fd.number)
    .u32(4, info.length)
    .pointer(8, info)
    .run(Command.objectGetInfo, `ask about ${fd.what}`);
  return new DataView(info.buffer, info.byteOffset, info.length);
}

function objectName(view: DataView, offset: number): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, 16);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(bytes.subarray(0, end < 0 ? 16 : end));
}

function typeName(names: readonly string[], type: number): string {
  return names[type] ?? `type ${type}`;
}
