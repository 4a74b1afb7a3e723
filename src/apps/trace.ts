import { closeSync, constants, existsSync, openSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  loadObject,
  ObjectMap,
  objectIds,
  openById,
  programInfo,
  RingBuffer,
  ringBuffer,
  typesById,
} from '../bpf/index.ts';
import { type Btf, type BtfCodec, type BtfValue, valueCodec } from '../btf/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { u32 } from '../layout/index.ts';
import { nearest } from '../nearest.ts';
import { cString, Errno, SystemError, syscall } from '../sys/index.ts';

/** A line that a program wrote with `bpf_printk`. */
export interface TraceLine {
  /** Name and id of the thread that the program ran in, which has nothing to do with who loaded it. */
  readonly thread: string;
  readonly cpu: number;
  /** Seconds since the machine started. */
  readonly time: number;
  readonly text: string;
}

const TRACEFS = '/sys/kernel/tracing';

/**
 * The kernel's trace pipe, as far as programs write to it. Whoever reads it takes the lines: others do not see them.
 *
 * @param options.program Only lines that a format of this program makes: the pipe itself does not say who wrote one.
 */
export async function* traceLines(options: {
  readonly program?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): AsyncGenerator<TraceLine> {
  const formats = options.program === undefined ? undefined : formatsOf(options.program);
  let rest = '';
  for await (const text of readPipe(options.signal)) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const parsed = parseTraceLine(line);
      if (parsed === undefined) continue;
      if (formats === undefined || formats.some((format) => format.test(parsed.text))) yield parsed;
    }
  }
}

/** `  curl-4711    [003] b.s2. 12.345678: bpf_trace_printk: text`; undefined for what no program wrote. */
export function parseTraceLine(line: string): TraceLine | undefined {
  const match = /^\s*(.+-\d+)\s+(?:\([^)]*\)\s+)?\[(\d+)\]\s+\S+\s+([\d.]+): bpf_trace_printk: (.*)$/.exec(
    line,
  );
  if (match === null) return undefined;
  const [, thread = '', cpu = '', time = '', text = ''] = match;
  return { thread, cpu: Number(cpu), time: Number(time), text };
}

async function* readPipe(signal: AbortSignal | undefined): AsyncGenerator<string> {
  ensureTracefs();
  // Without waiting: a read that waits cannot be called off.
  const fd = openSync(`${TRACEFS}/trace_pipe`, constants.O_RDONLY | constants.O_NONBLOCK);
  const buffer = Buffer.alloc(64 * 1024);
  try {
    while (signal?.aborted !== true) {
      let length = 0;
      try {
        length = readSync(fd, buffer);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      }
      if (length > 0) yield buffer.toString('utf8', 0, length);
      else await sleep(50);
    }
  } finally {
    closeSync(fd);
  }
}

function ensureTracefs(): void {
  if (existsSync(`${TRACEFS}/trace_pipe`)) return;
  const result = syscall('mount', cString('tracefs'), cString(TRACEFS), cString('tracefs'), 0, cString(''));
  if (result >= 0 && existsSync(`${TRACEFS}/trace_pipe`)) return;
  if (-result === Errno.ENODEV || result >= 0) {
    throw new BarewireError('BW_UNSUPPORTED', 'this kernel has no trace pipe (CONFIG_FTRACE)', {
      hint: 'Let the program send events through a ring buffer instead: barewire trace --map NAME.',
    });
  }
  throw new SystemError('mount', -result, { doing: `mount tracefs at ${TRACEFS}` });
}

/** What the formats of a program's constants look like when they are filled in. */
function formatsOf(which: string): RegExp[] {
  const program = findProgram(which);
  const formats: RegExp[] = [];
  for (const id of program.mapIds) {
    const fd = openById('map', id);
    if (fd === undefined) continue;
    using map = ObjectMap.fromFd(fd);
    if (!map.name.includes('.rodata')) continue;
    const bytes = map.getBytes(new Uint8Array(4));
    if (bytes !== undefined) formats.push(...formatsIn(bytes));
  }
  if (formats.length === 0) {
    throw new ArgumentError(`program '${which}' has no format that bpf_printk could print`);
  }
  return formats;
}

/** Texts among constants, as expressions that the lines made by them match. */
export function formatsIn(bytes: Uint8Array): RegExp[] {
  const texts = Buffer.from(bytes)
    .toString('latin1')
    .split('\0')
    .filter((text) => /^[\t\n\x20-\x7e]{2,}$/.test(text));
  return texts.map((text) => {
    const line = text.replace(/\n$/, '');
    const pattern = line
      .split(/(%%|%[-+ #0]*\d*(?:\.\d+)?(?:hh|h|ll|l|z)?[a-zA-Z]+?(?:[46ISBshbMmRFfKkUpx]*)?)/)
      .map((part) =>
        part === '%%' ? '%' : /^%./.test(part) ? '.*' : part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'),
      )
      .join('');
    return new RegExp(`^${pattern}$`);
  });
}

function findProgram(which: string): ReturnType<typeof programInfo> {
  const names: string[] = [];
  for (const id of objectIds('program')) {
    using fd = openById('program', id);
    if (fd === undefined) continue;
    const info = programInfo(fd);
    if (String(id) === which || info.name === which.slice(0, 15)) return info;
    names.push(info.name);
  }
  const [near] = nearest(which, names);
  throw new ArgumentError(
    `no program '${which}' is loaded`,
    near === undefined ? {} : { hint: `Did you mean '${near}'?` },
  );
}

export interface EventsOptions {
  /** A ring buffer: id, path or name. */
  readonly map: string;
  /** The type of its events, as `event` for `struct event`. Default: events are bytes. */
  readonly type?: string | undefined;
  /** The object file whose types count. Default are those of a program that uses the map. */
  readonly object?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Events of any program's ring buffer. Whoever reads a ring takes its events: others do not see them. */
export async function* ringEvents(options: EventsOptions): AsyncGenerator<BtfValue> {
  const map = ObjectMap.open(/^\d+$/.test(options.map) ? Number(options.map) : options.map);
  if (map.type !== 'ringbuf') {
    map.close();
    throw new ArgumentError(`map '${map.name}' is no ring buffer, but of type ${map.type}`);
  }
  const codec = options.type === undefined ? undefined : codecOf(map, options.type, options.object);
  using ring = RingBuffer.fromFd(ringBuffer(map.name.replaceAll(/\W/g, '_'), u32, map.maxEntries), map.fd);
  while (options.signal?.aborted !== true) {
    const batch: BtfValue[] = [];
    ring.drain((view, offset, length) => {
      // A record shorter than the type is shown as what it is.
      if (codec === undefined || length < codec.size) {
        batch.push(new Uint8Array(view.buffer, view.byteOffset + offset, length).slice());
      } else batch.push(codec.read(view, offset));
    }, 1024);
    yield* batch;
    if (batch.length === 0) await sleep(20);
  }
}

function codecOf(map: ObjectMap, name: string, object: Uint8Array | undefined): BtfCodec {
  const types = object === undefined ? typesOfUsers(map) : loadObject(object).btf?.types;
  if (types === undefined) throw new ArgumentError(`nothing describes the events of map '${map.name}'`);
  const id = types.find(name, 'struct') ?? types.find(name, 'union') ?? types.find(name, 'typedef');
  if (id === undefined)
    throw new ArgumentError(`there is no type '${name}' among those of map '${map.name}'`);
  return valueCodec(types, id);
}

/** The types of a program that uses the map. */
function typesOfUsers(map: ObjectMap): Btf | undefined {
  const { id } = map.info();
  for (const program of objectIds('program')) {
    using fd = openById('program', program);
    if (fd === undefined) continue;
    const info = programInfo(fd);
    if (info.btfId !== 0 && info.mapIds.includes(id)) return typesById(info.btfId);
  }
  return undefined;
}
