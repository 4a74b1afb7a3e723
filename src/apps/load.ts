import { mkdirSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  attachXdp,
  BPFFS,
  type DispatchedProgram,
  type Dispatcher,
  dispatcherOn,
  dispatcherRefusal,
  ensureBpffs,
  joinDispatcher,
  type LoadableObject,
  type LoadedObject,
  leaveDispatcher,
  loadObject,
  loadObjectSpec,
  type ModeRefusal,
  OccupiedError,
  openById,
  type Program,
  programInfo,
  unpin,
  XDP_ACTIONS,
  type XdpAction,
  type XdpAttachment,
  XdpLink,
} from '../bpf/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { Netlink, type XdpMode } from '../netlink/index.ts';
import { type ObjectProgram, type ObjectSpec, type ProgramKind, runConfigOf } from '../object/index.ts';
import { withNetns } from '../sys/index.ts';

export interface LoadOnOptions {
  /** Name or index. */
  readonly interface: string | number;
  /** The object file's bytes. */
  readonly object: Uint8Array;
  /** Which of its programs, by name. Default is the only one for interfaces. */
  readonly program?: string | undefined;
  /** Where the interface lies, by name or path. Default is the caller's namespace. */
  readonly netns?: string | undefined;
  /** Default is `auto`: driver mode, and generic mode where the driver refuses. */
  readonly mode?: XdpMode | 'auto';
  /** Evict whoever is on the interface. Default is false. */
  readonly replace?: boolean;
  /** Its place among other programs: lower runs first. Default is what the object says, or 50. */
  readonly priority?: number | undefined;
  /** Verdicts after which the next program runs. Default is what the object says, or `pass`. */
  readonly chain?: readonly XdpAction[] | undefined;
  /** Share the interface with nobody: no dispatcher. Default is false, where the kernel can do otherwise. */
  readonly alone?: boolean;
}

/** What stays on an interface. */
export interface Placed {
  readonly interface: { readonly name: string; readonly index: number };
  readonly program: { readonly name: string; readonly id: number };
  readonly mode: XdpMode;
  readonly refusals: readonly ModeRefusal[];
  /** Paths on bpffs, by the names of the maps. */
  readonly maps: Readonly<Record<string, string>>;
  /** With whom it shares the interface; undefined when it runs alone. */
  readonly dispatcher: Dispatcher | undefined;
  /** Alone: the path of its link on bpffs, which holds it. */
  readonly link: string | undefined;
  /** Alone because this kernel does not run several programs: what it refuses. */
  readonly alone: string | undefined;
}

/** Below it everything that `load` keeps. */
const KEPT = `${BPFFS}/barewire-objects`;

/**
 * Puts a program of an object file on an interface, to stay until `unload`. Beside others, where the kernel can: by
 * libxdp's protocol, so that its tools see and keep it as one of theirs.
 *
 * @throws OccupiedError, ModeRefusedError, VerifierError; ArgumentError when the object leaves open which program;
 *   BarewireError `BW_EXISTS` when an object is there that shares with nobody.
 */
export function loadOn(options: LoadOnOptions): Placed {
  const object = loadObject(options.object);
  const program = chooseProgram(object, options.program);
  return withNetns(options.netns, () => {
    using net = new Netlink();
    const { index, name } = net.links.get(options.interface);
    const folder = folderOf(index);
    tidy(net, index, folder);
    if (exists(join(folder, 'link'))) {
      if (options.replace !== true) {
        throw new BarewireError(
          'BW_EXISTS',
          `an object is loaded on ${name} already, and shares it with nobody`,
          {
            hint: `barewire unload ${name} takes it off; --replace (replace: true) puts this one in its place.`,
          },
        );
      }
      removeAlone(folder);
    }
    ensureBpffs();
    const refusal = options.alone === true ? undefined : dispatcherRefusal();
    if (options.alone === true || refusal !== undefined) {
      return placeAlone(object, program, { index, name }, options, refusal);
    }
    return placeAmongOthers(net, object, program, { index, name }, options);
  });
}

interface Interface {
  readonly index: number;
  readonly name: string;
}

function placeAmongOthers(
  net: Netlink,
  object: LoadableObject,
  program: ObjectProgram,
  on: Interface,
  options: LoadOnOptions,
): Placed {
  const { mode = 'auto', replace = false } = options;
  const config = runConfigOf(object, program.name);
  const extension: ObjectSpec = {
    ...object,
    programs: { ...object.programs, [program.name]: { ...program, kind: EXTENSION } },
  };
  let loaded: LoadedObject | undefined;
  try {
    const { dispatcher, ...granted } = joinDispatcher(
      net,
      on.index,
      {
        name: program.name,
        size: program.entry.code.length,
        frags: ((program.kind?.flags ?? 0) & HAS_FRAGS) !== 0,
        priority: options.priority ?? config.priority,
        chain: options.chain === undefined ? config.chain : chainOf(options.chain),
        load(target, position) {
          loaded = loadObjectSpec(extension, {
            programs: neededPrograms(object, program),
            targets: { [program.name]: { program: target, function: `prog${position}` } },
          });
          return mainOf(loaded, program);
        },
      },
      { mode, replace },
    );
    if (loaded === undefined) throw new BarewireError('BW_NOT_FOUND', `${program.name} was not loaded`);
    const { id } = mainOf(loaded, program).info();
    const maps = pinMaps(loaded, join(folderOf(on.index), `${id}`));
    return {
      ...granted,
      interface: on,
      program: { name: program.name, id },
      maps,
      dispatcher,
      link: undefined,
      alone: undefined,
    };
  } finally {
    loaded?.close();
  }
}

/** Takes the place of a function of a dispatcher (`BPF_PROG_TYPE_EXT`). */
const EXTENSION: ProgramKind = { type: 'ext', number: 28, attachType: 0, flags: 0, needs: 'program' };
/** `BPF_F_XDP_HAS_FRAGS`. */
const HAS_FRAGS = 0x20;

function chainOf(actions: readonly XdpAction[]): number {
  return actions.reduce((chain, action) => chain | (1 << XDP_ACTIONS.indexOf(action)), 0);
}

function mainOf(loaded: LoadedObject, { name }: ObjectProgram): Program {
  const program = loaded.programs[name];
  if (program === undefined) throw new ArgumentError(`the object has no program '${name}'`);
  return program;
}

/** As it is, held by a link: where the kernel has no dispatcher, or nobody else is wanted. */
function placeAlone(
  object: LoadableObject,
  program: ObjectProgram,
  on: Interface,
  options: LoadOnOptions,
  refusal: string | undefined,
): Placed {
  const { mode = 'auto', replace = false } = options;
  const folder = folderOf(on.index);
  using loaded = object.load({ programs: neededPrograms(object, program) });
  const main = mainOf(loaded, program);
  let attachment: XdpAttachment;
  try {
    attachment = attachXdp(main, { interface: on.index, mode, replace, method: 'link' });
  } catch (error) {
    if (!(error instanceof OccupiedError) || refusal === undefined) throw error;
    throw new BarewireError('BW_OCCUPIED', `${error.message}; ${onlyOne(refusal)}`, {
      hint: `See it with \`barewire status ${on.name}\`; --replace (replace: true) evicts it.`,
      cause: error,
    });
  }
  try {
    const maps = pinMaps(loaded, folder);
    const link = join(folder, 'link');
    attachment.pin(link);
    const { mode: granted, refusals } = attachment;
    const { id } = main.info();
    return {
      interface: on,
      program: { name: program.name, id },
      mode: granted,
      refusals,
      maps,
      dispatcher: undefined,
      link,
      alone: refusal,
    };
  } catch (error) {
    removeAlone(folder);
    throw error;
  } finally {
    attachment.close();
  }
}

/** What it means for users that a kernel has no dispatcher. */
export function onlyOne(refusal: string): string {
  return `this kernel runs one program an interface, for ${refusal}`;
}

function pinMaps(loaded: LoadedObject, folder: string): Record<string, string> {
  const maps: Record<string, string> = {};
  // Also without maps: the folder says that the program is ours.
  mkdirSync(join(folder, 'maps'), { recursive: true, mode: 0o700 });
  for (const [name, map] of Object.entries(loaded.maps)) {
    // The BPF file system has no names with dots.
    const path = join(folder, 'maps', name.replaceAll('.', '_'));
    map.pin(path);
    maps[name] = path;
  }
  return maps;
}

export interface UnloadOptions {
  readonly interface: string | number;
  readonly netns?: string | undefined;
  /** Only programs of this name, whoever loaded them. */
  readonly program?: string | undefined;
  /** Only the program with this id, whoever loaded it. */
  readonly id?: number | undefined;
  /** All of them, whoever loaded them. Default is those that `loadOn` put there. */
  readonly all?: boolean;
}

/** What was taken off, and what is left. */
export interface Unloaded {
  readonly interface: { readonly name: string; readonly index: number };
  readonly programs: readonly { readonly id: number; readonly name: string }[];
  /** How many programs still run there. */
  readonly left: number;
}

/**
 * Takes programs off an interface, maps and all; others that share it go on. Maps that an object itself keeps by name
 * stay.
 *
 * @throws BarewireError `BW_NOT_FOUND` when none of them is there.
 */
export function unloadFrom(options: UnloadOptions): Unloaded {
  return withNetns(options.netns, () => {
    using net = new Netlink();
    const { index, name } = net.links.get(options.interface);
    const folder = folderOf(index);
    const { program, id, all = false } = options;
    const chosen = program !== undefined || id !== undefined || all;
    const matches = (there: { id: number; name: string }): boolean =>
      all || there.id === id || (program !== undefined && sameName(there.name, program));
    const gone: { id: number; name: string }[] = [];
    const single = aloneOn(folder, index);
    if (single !== undefined && (!chosen || matches(single))) {
      removeAlone(folder);
      gone.push(single);
    }
    const wanted = (there: DispatchedProgram): boolean =>
      chosen ? matches(there) : exists(join(folder, `${there.id}`));
    gone.push(...leaveDispatcher(net, index, wanted).map((left) => ({ id: left.id, name: left.name })));
    tidy(net, index, folder);
    if (gone.length === 0) {
      throw new BarewireError(
        'BW_NOT_FOUND',
        chosen ? `no such program runs on ${name}` : `no object was loaded on ${name} by barewire load`,
        { hint: `barewire status ${name} shows whose programs are there.` },
      );
    }
    const [attached] = net.links.get(index).xdp;
    const left =
      attached === undefined ? 0 : (dispatcherOn(index, attached.programId)?.programs?.length ?? 1);
    return { interface: { name, index }, programs: gone, left: single === undefined ? left : 0 };
  });
}

/** A name may be cut to what the kernel keeps. */
function sameName(a: string, b: string): boolean {
  return a === b || (a.length >= 15 && b.startsWith(a)) || (b.length >= 15 && a.startsWith(b));
}

/** The program for an interface: the one named, or the only one there is. */
export function chooseProgram(object: ObjectSpec, name: string | undefined): ObjectProgram {
  const programs = Object.values(object.programs).filter(({ kind }) => kind?.xdp === 'xdp');
  const names = programs.map((program) => program.name).join(', ');
  if (name !== undefined) {
    const program = object.programs[name];
    if (program === undefined) {
      throw new ArgumentError(`the object has no program '${name}'`, { hint: `It has: ${names || 'none'}.` });
    }
    if (program.kind?.xdp !== 'xdp') {
      throw new ArgumentError(
        `program '${name}' (section '${program.section}') does not run on an interface`,
        {
          hint: names === '' ? 'The object has no XDP program.' : `These do: ${names}.`,
        },
      );
    }
    return program;
  }
  const [only] = programs;
  if (programs.length === 1 && only !== undefined) return only;
  if (only === undefined) throw new ArgumentError('the object has no XDP program');
  throw new ArgumentError(`the object has ${programs.length} XDP programs`, {
    hint: `Choose one with --program: ${names}.`,
  });
}

/** The program, and those that its program arrays hold. */
export function neededPrograms(object: LoadableObject, program: ObjectProgram): string[] {
  const names = new Set([program.name]);
  for (const map of Object.values(object.maps)) {
    for (const { name } of map.initial) if (object.programs[name] !== undefined) names.add(name);
  }
  return [...names];
}

/** The folder of an interface of the calling thread's namespace; neither names nor indices are unique among those. */
function folderOf(index: number): string {
  return `${KEPT}/${statSync('/proc/thread-self/ns/net').ino}-${index}`;
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** The program that shares the interface with nobody; undefined when there is none, or its interface has gone. */
function aloneOn(folder: string, index: number): { id: number; name: string } | undefined {
  if (!exists(join(folder, 'link'))) return undefined;
  using link = XdpLink.openPinned(join(folder, 'link'));
  const { ifindex, programId } = link.info();
  if (ifindex !== index) return undefined;
  using program = openById('program', programId);
  return { id: programId, name: program === undefined ? '' : programInfo(program).name };
}

/** Removes what is kept for programs that have gone: others may have taken them off, and interfaces end. */
function tidy(net: Netlink, index: number, folder: string): void {
  if (exists(join(folder, 'link')) && aloneOn(folder, index) === undefined) removeAlone(folder);
  const there = net.links
    .get(index)
    .xdp.flatMap(({ programId }) => dispatcherOn(index, programId)?.programs ?? [])
    .map(({ id }) => `${id}`);
  for (const name of namesIn(folder)) {
    if (!/^\d+$/.test(name) || there.includes(name)) continue;
    removeFolder(join(folder, name, 'maps'));
    removeFolder(join(folder, name));
  }
  for (const path of [folder, KEPT]) if (exists(path) && namesIn(path).length === 0) rmdirSync(path);
}

function removeAlone(folder: string): void {
  const path = join(folder, 'link');
  // The link first: nothing runs any more when its maps go. Without its path alone the program would go a moment later.
  if (exists(path)) {
    using link = XdpLink.openPinned(path);
    link.detach();
  }
  unpin(path);
  removeFolder(join(folder, 'maps'));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function removeFolder(folder: string): void {
  for (const name of namesIn(folder)) unpin(join(folder, name));
  if (exists(folder)) rmdirSync(folder);
}
