import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { BarewireError } from '../error.ts';
import { type Link, type Netlink, NetlinkError, type XdpMode } from '../netlink/index.ts';
import {
  DISPATCHER_NAME,
  DISPATCHER_VERSION,
  type DispatcherEntry,
  decodeDispatcherConfig,
  dispatcherVersionOf,
  MAX_DISPATCHED,
} from '../object/index.ts';
import { callTo, Errno, type Fd, O_CLOEXEC, O_RDONLY, openPath, syscall } from '../sys/index.ts';
import { evict, type ModeRefusal, ModeRefusedError, OccupiedError, occupantsOf } from './attach.ts';
import { linkToDispatcher, loadDispatcher } from './dispatcher-program.ts';
import { entryType, mapInfo, openById, type ProgramInfo, programInfo } from './info.ts';
import { typesById } from './kernel-types.ts';
import { ObjectMap } from './object-map.ts';
import { BPFFS, ensureBpffs, openPinned, pinObject, unpin } from './pin.ts';
import { probe } from './probe.ts';
import { Program } from './program.ts';
import { remedyFor } from './remedy.ts';
import { XDP_ACTIONS, type XdpAction } from './uapi.ts';

/** One of the programs that a dispatcher runs. */
export interface DispatchedProgram {
  readonly id: number;
  readonly name: string;
  /** SHA of the instructions, as `bpftool` prints it. */
  readonly tag: string;
  /** Lower runs first. */
  readonly priority: number;
  /** Verdicts after which the next program runs. */
  readonly chain: readonly XdpAction[];
  /** It takes packets in several buffers. */
  readonly frags: boolean;
}

/** A program that runs others, one after the other, as libxdp's protocol describes it. */
export interface Dispatcher {
  readonly id: number;
  /** Of the protocol. */
  readonly version: number;
  /** In the order in which they run; undefined where they are pinned out of sight, as in another mount namespace. */
  readonly programs: readonly DispatchedProgram[] | undefined;
}

/** The dispatcher with this program id on an interface, whoever made it; undefined when the program is none. */
export function dispatcherOn(ifindex: number, programId: number): Dispatcher | undefined {
  using state = readState(ifindex, programId, 'generic');
  if (state === undefined) return undefined;
  return { id: programId, version: state.version, programs: state.members?.map(describe) };
}

/** A program that is to join others. */
export interface Newcomer extends DispatcherEntry {
  readonly name: string;
  /** Of its instructions, in bytes; decides between programs that are equal otherwise. */
  readonly size: number;
  /** Loads it for the place of a function of a dispatcher. */
  load(dispatcher: Program, position: number): Program;
}

/** What came of joining. */
export interface Joined {
  readonly mode: XdpMode;
  readonly refusals: readonly ModeRefusal[];
  readonly dispatcher: Dispatcher;
}

/** How often the interface may change under our hands. */
const ATTEMPTS = 10;

/**
 * Puts a program on an interface beside those that run there, atomically: a new dispatcher with all of them takes the
 * place of the present one, or none does.
 *
 * @param net In the interface's namespace.
 * @throws OccupiedError for a program on the interface that is no dispatcher, unless `replace` evicts it; BarewireError
 *   `BW_UNSUPPORTED` for a dispatcher of another version, `BW_LIMIT` when it has ten programs; ModeRefusedError.
 */
export function joinDispatcher(
  net: Netlink,
  ifindex: number,
  newcomer: Newcomer,
  options: { readonly mode: XdpMode | 'auto'; readonly replace: boolean },
): Joined {
  const fresh = new Arrival(newcomer);
  for (let attempt = 1; ; attempt++) {
    const link = net.links.get(ifindex);
    const found = presentOn(net, link, options.replace);
    if (found === 'changed') {
      if (attempt === ATTEMPTS) throw tooManyChanges(link);
      continue;
    }
    using present = found;
    const others = options.replace ? [] : membersOf(link, present);
    if (others.length >= MAX_DISPATCHED) {
      throw new BarewireError('BW_LIMIT', `${link.name} has ${others.length} programs, as many as can be`, {
        hint: `barewire unload ${link.name} --id ID takes one off.`,
      });
    }
    if (present !== undefined && options.mode !== 'auto' && options.mode !== present.mode) {
      throw new BarewireError(
        'BW_OCCUPIED',
        `the programs of ${link.name} run in ${present.mode} mode, and one more cannot run in another`,
        { hint: `Leave --mode away, or take the others off first: barewire unload ${link.name} --all` },
      );
    }
    using next = new Successor(ifindex, [...others, fresh].toSorted(inOrder));
    const modes = modesFor(present, options.mode);
    const refusals: ModeRefusal[] = [];
    for (const mode of modes) {
      const outcome = swap(net, link, next, present, mode);
      if (outcome === 'swapped') {
        return { mode, refusals, dispatcher: next.describe() };
      }
      if (outcome === 'changed') break;
      refusals.push(outcome);
    }
    if (refusals.length === modes.length) throw new ModeRefusedError(link.name, refusals);
    if (attempt === ATTEMPTS) throw tooManyChanges(link);
  }
}

/**
 * Takes programs off an interface, atomically; the others stay in their order. With the last one the dispatcher goes.
 *
 * @returns what was taken off.
 * @throws BarewireError `BW_UNSUPPORTED` for a dispatcher of another version.
 */
export function leaveDispatcher(
  net: Netlink,
  ifindex: number,
  leaves: (program: DispatchedProgram) => boolean,
): DispatchedProgram[] {
  for (let attempt = 1; ; attempt++) {
    const link = net.links.get(ifindex);
    const attached = link.xdp.find(({ mode }) => mode !== 'offload');
    using present = attached && readState(ifindex, attached.programId, attached.mode);
    if (attached !== undefined && isUnread(present) && hasGone(net, link, attached.programId)) {
      if (attempt === ATTEMPTS) throw tooManyChanges(link);
      continue;
    }
    const members = membersOf(link, present);
    const gone = members.map(describe).filter(leaves);
    if (present === undefined || gone.length === 0) return [];
    const staying = members.filter(({ id }) => gone.every((program) => program.id !== id));
    if (staying.length === 0) {
      try {
        net.xdp.detach(ifindex, { mode: present.mode, expectedFd: present.program.fd.number });
        removePins(present.folder, members.length);
        return gone;
      } catch (error) {
        if (!isChange(error) || attempt === ATTEMPTS) throw error;
        continue;
      }
    }
    using next = new Successor(ifindex, staying);
    const outcome = swap(net, link, next, present, present.mode);
    if (outcome === 'swapped') return gone;
    if (outcome !== 'changed') throw new ModeRefusedError(link.name, [outcome]);
    if (attempt === ATTEMPTS) throw tooManyChanges(link);
  }
}

/** A program of a dispatcher, open. */
interface Member extends DispatcherEntry {
  readonly fd: Fd;
  readonly id: number;
  readonly name: string;
  readonly info: ProgramInfo;
}

/** Loaded for the first dispatcher that has a place for it, and put into the next ones as it is. */
class Arrival {
  readonly newcomer: Newcomer;
  readonly priority: number;
  readonly chain: number;
  readonly frags: boolean;
  readonly name: string;
  #program: Program | undefined;

  constructor(newcomer: Newcomer) {
    this.newcomer = newcomer;
    this.priority = newcomer.priority;
    this.chain = newcomer.chain;
    this.frags = newcomer.frags;
    this.name = newcomer.name;
  }

  /** Its descriptor belongs to whoever loads it. */
  program(dispatcher: Program, position: number): Program {
    this.#program ??= this.newcomer.load(dispatcher, position);
    return this.#program;
  }
}

/** The order that the protocol lays down, ties included. */
function inOrder(a: Member | Arrival, b: Member | Arrival): number {
  if (a.priority !== b.priority) return a.priority - b.priority;
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  if (a instanceof Arrival || b instanceof Arrival) return a instanceof Arrival ? 1 : -1;
  if (a.info.tag !== b.info.tag) return a.info.tag < b.info.tag ? -1 : 1;
  return Number(a.info.loadedAt - b.info.loadedAt);
}

/** The dispatcher that is attached, with its programs open. */
class State implements Disposable {
  readonly program: Program;
  readonly version: number;
  readonly mode: XdpMode;
  readonly folder: string;
  readonly members: readonly Member[] | undefined;

  constructor(
    program: Program,
    version: number,
    mode: XdpMode,
    folder: string,
    members: readonly Member[] | undefined,
  ) {
    this.program = program;
    this.version = version;
    this.mode = mode;
    this.folder = folder;
    this.members = members;
  }

  [Symbol.dispose](): void {
    this.program.close();
    for (const { fd } of this.members ?? []) fd.close();
  }
}

function readState(ifindex: number, programId: number, mode: XdpMode): State | undefined {
  const fd = openById('program', programId);
  if (fd === undefined) return undefined;
  const program = Program.fromFd(fd);
  let kept = false;
  try {
    const info = program.info();
    const types = info.name === DISPATCHER_NAME ? typesById(info.btfId) : undefined;
    const announced = types === undefined ? undefined : dispatcherVersionOf(types);
    const [mapId] = info.mapIds;
    if (announced === undefined || mapId === undefined || info.mapIds.length !== 1) return undefined;
    const folder = `${root()}/dispatch-${ifindex}-${programId}`;
    if (announced > DISPATCHER_VERSION) {
      kept = true;
      return new State(program, announced, mode, folder, undefined);
    }
    const { version, entries } = decodeDispatcherConfig(readConfig(mapId));
    const members = openMembers(folder, entries);
    kept = true;
    return new State(program, version, mode, folder, members);
  } finally {
    if (!kept) program.close();
  }
}

function readConfig(mapId: number): Uint8Array {
  const fd = openById('map', mapId);
  if (fd === undefined) throw new BarewireError('BW_NOT_FOUND', 'the map of a dispatcher has gone');
  using map = new ObjectMap(fd, mapInfo(fd), '.rodata', undefined);
  return map.getBytes(new Uint8Array(4)) ?? new Uint8Array(0);
}

/** Undefined where they are not to be seen from here. */
function openMembers(folder: string, entries: readonly DispatcherEntry[]): Member[] | undefined {
  if (!existsSync(folder)) return undefined;
  using _lock = lockPins();
  const members: Member[] = [];
  try {
    for (const [position, entry] of entries.entries()) {
      const fd = openPinned(`${folder}/prog${position}-prog`, `program ${position} of a dispatcher`);
      const info = programInfo(fd);
      members.push({ ...entry, fd, id: info.id, name: nameOf(fd, info), info });
    }
    return members;
  } catch (error) {
    for (const { fd } of members) fd.close();
    if ((error as { errno?: number }).errno === Errno.ENOENT) return undefined;
    throw error;
  }
}

/** Its function's name: the kernel keeps only 15 characters of the program's. */
function nameOf(fd: Fd, { btfId, name }: ProgramInfo): string {
  const type = entryType(fd);
  return type === 0 ? name : (typesById(btfId)?.name(type) ?? name);
}

/** What is on the interface that can be joined; whatever else is there is evicted, or in the way. */
function presentOn(net: Netlink, link: Link, replace: boolean): State | undefined | 'changed' {
  for (const occupant of occupantsOf(link)) {
    const { programId, mode } = occupant;
    const state = mode === 'offload' ? undefined : readState(link.index, programId, mode);
    // One that a link holds cannot be replaced over netlink, which is how the protocol replaces.
    if (state?.members !== undefined && occupant.linkId === undefined) return state;
    if (hasGone(net, link, programId)) {
      state?.[Symbol.dispose]();
      return 'changed';
    }
    if (state !== undefined && occupant.linkId === undefined) return state;
    state?.[Symbol.dispose]();
    if (!replace) throw new OccupiedError(link, occupant);
    evict(net, link, occupant);
  }
  return undefined;
}

/** A program that was there, or whose pins were, while others changed what is attached. */
function hasGone(net: Netlink, link: Link, id: number): boolean {
  return net.links.get(link.index).xdp.every(({ programId }) => programId !== id);
}

function isUnread(state: State | undefined): boolean {
  return state?.members === undefined;
}

function membersOf(link: Link, state: State | undefined): readonly Member[] {
  if (state === undefined) return [];
  if (state.version !== DISPATCHER_VERSION) {
    throw new BarewireError(
      'BW_UNSUPPORTED',
      `${link.name} has a dispatcher of version ${state.version}, and its programs cannot move to one of version ${DISPATCHER_VERSION}`,
      { hint: 'Take its programs off with the tool that put them there, then load all of them anew.' },
    );
  }
  if (state.members === undefined) {
    throw new BarewireError(
      'BW_NOT_FOUND',
      `${link.name} has a dispatcher whose programs are not to be seen: ${state.folder} is missing`,
      {
        hint: 'They are pinned in another mount namespace (as of `ip netns exec`), or the tool that made it ended halfway; --replace (replace: true) evicts it.',
      },
    );
  }
  return state.members;
}

/** A dispatcher with all its programs, ready to be attached. */
class Successor implements Disposable {
  readonly program: Program;
  readonly folder: string;
  readonly #members: readonly (Member | Arrival)[];
  readonly #programs: Fd[] = [];
  readonly #links: Fd[] = [];

  constructor(ifindex: number, members: readonly (Member | Arrival)[]) {
    this.#members = members;
    const frags = members.every((member) => member.frags) && probe('xdp-frags');
    this.program = loadDispatcher({ version: DISPATCHER_VERSION, frags, entries: members });
    this.folder = `${root()}/dispatch-${ifindex}-${this.program.info().id}`;
    try {
      for (const [position, member] of members.entries()) {
        const { fd } = member instanceof Arrival ? member.program(this.program, position) : member;
        this.#programs.push(fd);
        this.#links.push(linkToDispatcher(this.program.fd, position, fd));
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Keeps the programs in their places when this process ends. */
  pin(): void {
    using _lock = lockPins();
    try {
      for (const [position, program] of this.#programs.entries()) {
        pinObject(program, `${this.folder}/prog${position}-prog`);
        const link = this.#links[position];
        if (link !== undefined) pinObject(link, `${this.folder}/prog${position}-link`);
      }
    } catch (error) {
      deletePins(this.folder, this.#programs.length);
      throw error;
    }
  }

  unpin(): void {
    removePins(this.folder, this.#programs.length);
  }

  describe(): Dispatcher {
    const programs = this.#members.map((member, i) => {
      const fd = this.#programs[i] as Fd;
      const info = programInfo(fd);
      return describe({ ...entryOf(member), fd, id: info.id, name: member.name, info });
    });
    return { id: this.program.info().id, version: DISPATCHER_VERSION, programs };
  }

  /** The programs themselves belong to others. */
  [Symbol.dispose](): void {
    this.program.close();
    for (const link of this.#links) link.close();
  }
}

function entryOf({ priority, chain, frags }: DispatcherEntry): DispatcherEntry {
  return { priority, chain, frags };
}

function describe({ id, name, info, priority, chain, frags }: Member): DispatchedProgram {
  const actions = XDP_ACTIONS.filter((_, number) => (chain & (1 << number)) !== 0);
  return { id, name, tag: info.tag, priority, chain: actions, frags };
}

function modesFor(present: State | undefined, asked: XdpMode | 'auto'): readonly XdpMode[] {
  if (present !== undefined) return [present.mode];
  return asked === 'auto' ? ['driver', 'generic'] : [asked];
}

/**
 * Puts one dispatcher in the place of another. It is pinned before it runs, so that it never runs without its programs,
 * and the other one's pins go when it has stopped.
 */
function swap(
  net: Netlink,
  link: Link,
  next: Successor,
  present: State | undefined,
  mode: XdpMode,
): 'swapped' | 'changed' | ModeRefusal {
  next.pin();
  try {
    const expected = present === undefined ? {} : { expectedFd: present.program.fd.number };
    net.xdp.attach(link.index, next.program.fd.number, { mode, ...expected });
  } catch (error) {
    next.unpin();
    if (!(error instanceof NetlinkError)) throw error;
    if (isChange(error)) return 'changed';
    const reason = error.reason ?? error.message;
    return { mode, reason, remedy: remedyFor(reason, link.name) };
  }
  if (present !== undefined) removePins(present.folder, present.members?.length ?? MAX_DISPATCHED);
  return 'swapped';
}

/** Somebody else was faster: another program is there than the one that was read, or one where there was none. */
function isChange(error: unknown): boolean {
  const { errno } = error as { errno?: number };
  return errno === Errno.EBUSY || errno === Errno.EEXIST;
}

function tooManyChanges(link: Link): BarewireError {
  return new BarewireError(
    'BW_BUSY',
    `the programs of ${link.name} changed ${ATTEMPTS} times while one more was being added`,
    { hint: 'Another tool is at work there; try again when it has done.' },
  );
}

/** libxdp lets its users choose another BPF file system, and so its programs are found there. */
function root(): string {
  return `${process.env.LIBXDP_BPFFS ?? BPFFS}/xdp`;
}

/** `LOCK_EX | LOCK_NB` (`linux/fcntl.h`). */
const LOCK_EXCLUSIVE_NOW = 2 | 4;
/** In ms: how long others may hold the lock, who hold it for a few pins, and how often to look. */
const LOCK_PATIENCE = 10_000;
const LOCK_STEP = 5;

/** Everybody who keeps to the protocol holds this lock while pins come or go. */
function lockPins(): Fd {
  if (process.env.LIBXDP_BPFFS === undefined) ensureBpffs();
  mkdirSync(root(), { recursive: true, mode: 0o700 });
  const lock = openPath(root(), O_RDONLY | O_CLOEXEC, `the folder ${root()}`);
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; ; waited += LOCK_STEP) {
    const result = syscall('flock', lock.number, LOCK_EXCLUSIVE_NOW);
    if (result >= 0) return lock;
    if (result !== -Errno.EAGAIN || waited >= LOCK_PATIENCE) {
      try {
        callTo(`lock ${root()}, which another tool holds`, 'flock', lock.number, LOCK_EXCLUSIVE_NOW);
      } finally {
        lock.close();
      }
    }
    Atomics.wait(pause, 0, 0, LOCK_STEP);
  }
}

function removePins(folder: string, count: number): void {
  using _lock = lockPins();
  deletePins(folder, count);
}

function deletePins(folder: string, count: number): void {
  for (let position = 0; position < count; position++) {
    unpin(`${folder}/prog${position}-link`);
    unpin(`${folder}/prog${position}-prog`);
  }
  try {
    rmdirSync(folder);
  } catch {
    // It was never made, or somebody keeps something of their own in it.
  }
}
