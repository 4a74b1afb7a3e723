import { mapInfo } from '../bpf/info.ts';
import { BpfMap } from '../bpf/map.ts';
import { openPinned } from '../bpf/pin.ts';
import { BarewireError } from '../error.ts';
import { bytes } from '../layout/layout.ts';
import type { Policy } from '../policy/policy.ts';
import { type PolicyJson, policyFromJson, policyToJson } from '../policy/policy-json.ts';
import type { TableName } from '../policy/table.ts';
import { array, type MapSpec } from '../spec/map.ts';
import { FORMAT } from './log.ts';

/** What stands beside a generation's pins: what its program was made from, so that nobody has to guess it. */
export interface FilterRecord {
  readonly policy: Policy;
  readonly interface: string;
  /** Packets in several buffers are taken. */
  readonly frags: boolean;
  /** Entries that each table takes. */
  readonly capacities: Readonly<Partial<Record<TableName, number>>>;
  /** When it was made, in ms since 1970. */
  readonly made: number;
  readonly guard?: GuardRecord | undefined;
}

/** A generation that goes by itself unless it is confirmed. */
export interface GuardRecord {
  /** In ms since 1970. */
  readonly until: number;
  /** The generation that decides afterwards; undefined when everything passes then. */
  readonly previous: number | undefined;
}

interface RecordJson extends Omit<FilterRecord, 'policy'> {
  readonly format: number;
  readonly policy: PolicyJson;
}

/** Text in a map of one entry, its length before it. */
export function textMap(name: string, size: number): MapSpec<'array', number, Uint8Array> {
  return array(name, bytes(size), 1);
}

/** Makes the map that holds a record. It is frozen: nobody changes what a generation was made from. */
export function createRecord(record: FilterRecord): BpfMap<number, Uint8Array> {
  const json: RecordJson = { ...record, format: FORMAT, policy: policyToJson(record.policy) };
  const text = Buffer.from(JSON.stringify(json));
  const value = Buffer.alloc(Math.ceil((text.length + 4) / 1024) * 1024);
  value.writeUInt32LE(text.length);
  text.copy(value, 4);
  const map = BpfMap.create(textMap('record', value.length));
  try {
    map.set(0, value);
    map.freeze();
    return map;
  } catch (error) {
    map.close();
    throw error;
  }
}

/** @throws BarewireError `BW_PIN_VERSION` for the pins of another version. */
export function readRecord(path: string): FilterRecord {
  const fd = openPinned(path, `the filter's record at ${path}`);
  using map = BpfMap.fromFd(textMap('record', mapInfo(fd).valueSize), fd);
  const value = map.get(0) ?? new Uint8Array(4);
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  const length = view.getUint32(0, true);
  let json: RecordJson;
  try {
    json = JSON.parse(Buffer.from(value.buffer, value.byteOffset + 4, length).toString()) as RecordJson;
  } catch (cause) {
    throw otherVersion(path, 'is none of ours', cause);
  }
  if (json.format !== FORMAT) throw otherVersion(path, `has format ${json.format} instead of ${FORMAT}`);
  return { ...json, policy: policyFromJson(json.policy) };
}

function otherVersion(path: string, what: string, cause?: unknown): BarewireError {
  return new BarewireError(
    'BW_PIN_VERSION',
    `another version of Barewire pinned the filter: the record at ${path} ${what}`,
    {
      hint: 'It goes on filtering as it is. Use the version that made it, or detach it and attach anew: the saved list is kept.',
      cause,
    },
  );
}
