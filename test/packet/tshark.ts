import { execFileSync } from 'node:child_process';
import { tool } from '../dev-tools.ts';
import type { Fields } from './dissect.ts';

/** Joins several values of one field; no generated text holds it. */
const JOINT = '|';

/** What must not depend on packets before, or hide what is compared. */
const PREFERENCES = [
  'ip.defragment:FALSE',
  'ipv6.defragment:FALSE',
  'tcp.desegment_tcp_streams:FALSE',
  'tcp.reassemble_out_of_order:FALSE',
  'tcp.analyze_sequence_numbers:FALSE',
  'ip.check_checksum:TRUE',
  'udp.check_checksum:TRUE',
  'tcp.check_checksum:TRUE',
];

/** What tshark reads from every packet of a capture file. */
export function tsharkFields(file: string, fields: readonly string[]): Fields[] {
  const args = ['-n', '-r', file, '-T', 'fields', '-E', `aggregator=${JOINT}`, '-E', 'occurrence=a'];
  for (const preference of PREFERENCES) args.push('-o', preference);
  for (const field of fields) args.push('-e', field);
  const output = execFileSync(tool('tshark'), args, {
    encoding: 'latin1',
    maxBuffer: 1 << 30,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return output
    .trimEnd()
    .split('\n')
    .map((line) => {
      const values = line.split('\t');
      const found: Fields = new Map();
      fields.forEach((field, i) => {
        const value = values[i] ?? '';
        if (value !== '') found.set(field, value.split(JOINT).map(canonical));
      });
      return found;
    });
}

/** Numbers in decimal, whatever base tshark prints a field in; flags as 0 and 1. */
function canonical(value: string): string {
  if (/^0x[0-9a-f]+$/.test(value)) return BigInt(value).toString();
  if (value === 'True') return '1';
  return value === 'False' ? '0' : value;
}
