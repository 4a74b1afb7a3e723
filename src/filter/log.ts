import { BarewireError } from '../error.ts';
import type { PackedBlock } from '../policy/block.ts';
import { ENTRY } from '../policy/entry.ts';
import type { Policy } from '../policy/policy.ts';
import { type PolicyJson, policyFromJson, policyToJson } from '../policy/policy-json.ts';
import { TABLES } from '../policy/table.ts';
import type { Clock } from './clock.ts';

/**
 * What is written to disk of a filter: records, one after the other, that make it anew. The first one is the policy;
 * compaction writes a file of a policy and its entries, edits append to it.
 *
 *     { u32 length of the head, the head as JSON, the body }
 *
 * The body of `put` is keys and then 16 bytes for each: { f64 when it ends in ms since 1970, 0 for never; u32 when it
 * was added in s; u16 reason; u16 lists }. That of `delete` is keys. Little-endian.
 */
export type LogRecord =
  | { readonly type: 'policy'; readonly policy: Policy }
  | { readonly type: 'reason'; readonly id: number; readonly text: string }
  | { readonly type: 'put'; readonly block: PackedBlock }
  | { readonly type: 'delete'; readonly block: Omit<PackedBlock, 'values'> };

type Head =
  | { readonly type: 'policy'; readonly format: number; readonly policy: PolicyJson }
  | { readonly type: 'reason'; readonly id: number; readonly text: string }
  | { readonly type: 'put' | 'delete'; readonly table: number; readonly count: number };

/** Of the file, and of what is pinned. */
export const FORMAT = 1;

/** What is written of an entry beside its key, in bytes. */
export const META = 16;

export function encodeRecord(record: LogRecord, clock: Clock): Uint8Array {
  switch (record.type) {
    case 'policy':
      return frame({ type: 'policy', format: FORMAT, policy: policyToJson(record.policy) });
    case 'reason':
      return frame(record);
    case 'put': {
      const { table, count, keys, values } = record.block;
      const meta = new Uint8Array(count * META);
      const to = new DataView(meta.buffer);
      const from = new DataView(values.buffer, values.byteOffset, values.length);
      for (let i = 0; i < count; i++) {
        const value = i * ENTRY.size;
        if (from.getUint32(value, true) !== 0 || from.getUint32(value + 4, true) !== 0) {
          to.setFloat64(i * META, clock.time(from.getBigUint64(value, true)) ?? 0, true);
        }
        to.setUint32(i * META + 8, from.getUint32(value + ENTRY.added, true), true);
        to.setUint32(i * META + 12, from.getUint32(value + ENTRY.reason, true), true);
      }
      return frame({ type: 'put', table: table.id, count }, keys.subarray(0, count * table.keySize), meta);
    }
    case 'delete': {
      const { table, count, keys } = record.block;
      return frame({ type: 'delete', table: table.id, count }, keys.subarray(0, count * table.keySize));
    }
  }
}

/** @throws BarewireError `BW_STATE` for a record of another version. */
export function decodeRecord(bytes: Uint8Array, clock: Clock): LogRecord {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = view.getUint32(0, true);
  const head = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset + 4, length).toString()) as Head;
  const body = bytes.subarray(4 + length);
  switch (head.type) {
    case 'policy':
      if (head.format !== FORMAT) throw otherVersion(head.format);
      return { type: 'policy', policy: policyFromJson(head.policy) };
    case 'reason':
      return head;
    case 'put':
    case 'delete': {
      const table = TABLES[head.table];
      const { count } = head;
      const keyBytes = count * (table?.keySize ?? 0);
      if (table === undefined || body.length < keyBytes + (head.type === 'put' ? count * META : 0)) {
        throw new BarewireError('BW_STATE', 'the saved filter has a record that is not as long as it says');
      }
      const keys = body.slice(0, keyBytes);
      if (head.type === 'delete') return { type: 'delete', block: { table, count, keys } };
      const values = new Uint8Array(count * ENTRY.size);
      const to = new DataView(values.buffer);
      const from = new DataView(body.buffer, body.byteOffset + keyBytes, count * META);
      const whole = table.addressSize * 8;
      for (let i = 0; i < count; i++) {
        const value = i * ENTRY.size;
        const expires = from.getFloat64(i * META, true);
        if (expires !== 0) to.setBigUint64(value, clock.deadline(expires), true);
        to.setUint32(value + ENTRY.added, from.getUint32(i * META + 8, true), true);
        to.setUint32(value + ENTRY.reason, from.getUint32(i * META + 12, true), true);
        values[value + ENTRY.length] = table.form === 'prefix' ? keys[i * table.keySize]! : whole;
      }
      return { type: 'put', block: { table, count, keys, values } };
    }
    default:
      throw otherVersion(0);
  }
}

function otherVersion(format: number): BarewireError {
  return new BarewireError(
    'BW_STATE',
    `the saved filter is of format ${format}, and this version reads ${FORMAT}`,
    {
      hint: 'Use the version that wrote it to `filter export` it, or `filter detach --forget` to begin anew.',
    },
  );
}

function frame(head: Head, ...body: readonly Uint8Array[]): Uint8Array {
  const text = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text, ...body]);
}
