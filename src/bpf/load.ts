import { ArgumentError } from '../error.ts';
import type { ObjectSpec } from '../object/index.ts';
import type { MapSpec, MapSpecs, ProgramSpec } from '../spec/index.ts';
import type { Fd } from '../sys/index.ts';
import { BpfMap } from './map.ts';
import type { ReadValue, WriteValue } from './map-value.ts';
import { type LoadedObject, type LoadObjectOptions, loadObjectSpec } from './object.ts';
import { requireSame } from './pin.ts';
import { Program, type ProgramOptions } from './program.ts';
import { RingBuffer } from './ring-buffer.ts';

/** The live form of a map spec. */
export type LiveMap<S extends MapSpec> =
  S extends MapSpec<infer T, infer K, infer V>
    ? T extends 'ringbuf'
      ? RingBuffer<V>
      : BpfMap<K, ReadValue<T, V>, WriteValue<T, V>>
    : never;

/** The live maps of a program, by the names that its spec uses. */
export type LiveMaps<M extends MapSpecs> = { readonly [N in keyof M]: LiveMap<M[N]> };

export interface LoadOptions<M extends MapSpecs = MapSpecs> extends ProgramOptions {
  /** Maps that exist already, of another program or of a pin: used instead of new ones, and left to their owner. */
  readonly maps?: Partial<LiveMaps<M>>;
}

/** A program and its maps in the kernel. Closing it closes what it made. */
export interface Loaded<M extends MapSpecs = MapSpecs> extends Disposable {
  readonly program: Program;
  readonly maps: LiveMaps<M>;
  close(): void;
}

/**
 * Creates a program's maps and loads it; of an object file, all of its programs, as `loadObjectSpec` does.
 *
 * Nothing is attached. When anything fails, what was made is closed again.
 *
 * @throws VerifierError when the verifier refuses it; SystemError otherwise.
 */
export function load(object: ObjectSpec, options?: LoadObjectOptions): LoadedObject;
export function load<M extends MapSpecs>(spec: ProgramSpec<M>, options?: LoadOptions<M>): Loaded<M>;
export function load(
  spec: ProgramSpec | ObjectSpec,
  options: LoadOptions | LoadObjectOptions = {},
): Loaded | LoadedObject {
  if ('instructions' in spec) return loadProgram(spec, options as LoadOptions);
  return loadObjectSpec(spec, options as LoadObjectOptions);
}

function loadProgram<M extends MapSpecs>(spec: ProgramSpec<M>, options: LoadOptions<M>): Loaded<M> {
  const given = options.maps as Readonly<Record<string, BpfMap | RingBuffer | undefined>> | undefined;
  const maps: Record<string, BpfMap | RingBuffer> = {};
  const own: Disposable[] = [];
  const close = (): void => {
    for (const object of own.splice(0).reverse()) object[Symbol.dispose]();
  };
  try {
    const fds: Record<string, Fd> = {};
    for (const [name, mapSpec] of Object.entries(spec.maps)) {
      let map = given?.[name];
      if (map === undefined) {
        map = createLive(mapSpec);
        own.push(map);
      } else {
        requireSame(mapSpec, map.info(), `maps.${name}`);
      }
      maps[name] = map;
      fds[name] = map.fd;
    }
    for (const name of Object.keys(given ?? {})) {
      if (!(name in spec.maps)) throw new ArgumentError(`program ${spec.name} has no map '${name}'`);
    }
    const program = Program.load(spec, fds, options);
    own.push(program);
    return { program, maps: maps as unknown as LiveMaps<M>, close, [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  }
}

function createLive(spec: MapSpec): BpfMap | RingBuffer {
  if (spec.type === 'ringbuf') return RingBuffer.create(spec as MapSpec<'ringbuf', never, unknown>);
  return BpfMap.create(spec) as BpfMap;
}
