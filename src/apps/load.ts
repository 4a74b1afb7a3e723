import { readdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  attachXdp,
  BPFFS,
  ensureBpffs,
  type LoadableObject,
  loadObject,
  type ModeRefusal,
  OccupiedError,
  type Program,
  unpin,
  type XdpAttachment,
  XdpLink,
} from '../bpf/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { Netlink, type XdpMode } from '../netlink/index.ts';
import type { ObjectProgram, ObjectSpec } from '../object/index.ts';
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
  /** Evict another owner's program. Default is false. */
  readonly replace?: boolean;
}

/** What stays on an interface. */
export interface Placed {
  readonly interface: { readonly name: string; readonly index: number };
  readonly program: { readonly name: string; readonly id: number };
  readonly mode: XdpMode;
  readonly refusals: readonly ModeRefusal[];
  /** Paths on bpffs, by the names of the maps. */
  readonly maps: Readonly<Record<string, string>>;
  /** Path of the link on bpffs, which holds it all. */
  readonly link: string;
}

/** Below it everything that `load` keeps. */
const KEPT = `${BPFFS}/barewire-objects`;

/**
 * Puts a program of an object file on an interface, to stay until `unload`: the link and the maps are pinned.
 *
 * @throws OccupiedError, ModeRefusedError, VerifierError; ArgumentError when the object leaves open which program;
 *   BarewireError `BW_EXISTS` when an object is there already.
 */
export function loadOn(options: LoadOnOptions): Placed {
  const object = loadObject(options.object);
  const program = chooseProgram(object, options.program);
  return withNetns(options.netns, () => {
    using net = new Netlink();
    const { index, name } = net.links.get(options.interface);
    const folder = folderOf(index);
    if (isKept(folder)) {
      if (stillAttached(folder, index) && options.replace !== true) {
        throw new BarewireError('BW_EXISTS', `an object is loaded on ${name} already`, {
          hint: `barewire unload ${name} takes it off; --replace (replace: true) puts this one in its place.`,
        });
      }
      removeKept(folder);
    }
    ensureBpffs();
    using loaded = object.load({ programs: neededPrograms(object, program) });
    const main = loaded.programs[program.name];
    if (main === undefined) throw new ArgumentError(`the object has no program '${program.name}'`);
    const attachment = attachAlone(main, index, options);
    try {
      const maps: Record<string, string> = {};
      for (const [mapName, map] of Object.entries(loaded.maps)) {
        // The BPF file system has no names with dots.
        const path = `${folder}/maps/${mapName.replaceAll('.', '_')}`;
        map.pin(path);
        maps[mapName] = path;
      }
      const link = `${folder}/link`;
      attachment.pin(link);
      const { mode, refusals } = attachment;
      const id = main.info().id;
      return { interface: { name, index }, program: { name: program.name, id }, mode, refusals, maps, link };
    } catch (error) {
      removeKept(folder);
      throw error;
    } finally {
      attachment.close();
    }
  });
}

/** One program an interface: whose is there keeps it, and libxdp's dispatcher, which could take more, is said to be it. */
function attachAlone(program: Program, index: number, options: LoadOnOptions): XdpAttachment {
  const { mode = 'auto', replace = false } = options;
  try {
    return attachXdp(program, { interface: index, mode, replace, method: 'link' });
  } catch (error) {
    if (!(error instanceof OccupiedError) || error.programName !== 'xdp_dispatcher') throw error;
    throw new BarewireError('BW_OCCUPIED', error.message, {
      hint: "It is libxdp's dispatcher, which barewire does not join: one program an interface. `xdp-loader load` adds a program to it, --replace (replace: true) evicts it with all of its programs.",
      cause: error,
    });
  }
}

/**
 * Takes off what `loadOn` put on an interface, maps and all. Maps that the object itself keeps by name stay.
 *
 * @throws BarewireError `BW_NOT_FOUND` when nothing of it is there.
 */
export function unloadFrom(options: {
  readonly interface: string | number;
  readonly netns?: string | undefined;
}): {
  readonly interface: { readonly name: string; readonly index: number };
} {
  return withNetns(options.netns, () => {
    using net = new Netlink();
    const { index, name } = net.links.get(options.interface);
    const folder = folderOf(index);
    if (!isKept(folder)) {
      throw new BarewireError('BW_NOT_FOUND', `no object was loaded on ${name} by barewire load`, {
        hint: `barewire status ${name} shows whose program is there.`,
      });
    }
    removeKept(folder);
    return { interface: { name, index } };
  });
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

function isKept(folder: string): boolean {
  try {
    return readdirSync(folder).length > 0;
  } catch {
    return false;
  }
}

/** An interface may have gone, and another have its index. */
function stillAttached(folder: string, index: number): boolean {
  try {
    using link = XdpLink.openPinned(`${folder}/link`);
    return link.info().ifindex === index;
  } catch {
    return false;
  }
}

function removeKept(folder: string): void {
  // The link first: nothing runs any more when its maps go.
  unpin(`${folder}/link`);
  for (const part of [join(folder, 'maps'), folder]) {
    let names: string[] = [];
    try {
      names = readdirSync(part);
    } catch {
      continue;
    }
    for (const name of names) unpin(join(part, name));
    rmdirSync(part);
  }
  try {
    rmdirSync(KEPT);
  } catch {
    // Other interfaces have objects.
  }
}

/** An object file's bytes. @throws ArgumentError when there is none of that name. */
export function readObjectFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new ArgumentError(code === 'ENOENT' ? `there is no file ${path}` : message, { cause: error });
  }
}
