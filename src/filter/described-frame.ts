import { parseIp } from '../address/index.ts';
import { ArgumentError } from '../error.ts';

/** A packet in words. */
export interface DescribedFrame {
  readonly source: string;
  /** Default is an address of documentation (RFC 5737, RFC 3849). */
  readonly destination?: string | undefined;
  readonly protocol: number;
  readonly port?: number | undefined;
  readonly sourcePort?: number | undefined;
  /** TCP: SYN alone; otherwise ACK alone. */
  readonly syn?: boolean | undefined;
  /** Tags, the outer one first. */
  readonly vlans?: readonly number[] | undefined;
}

/** The frame, with everything in it that a filter looks at. */
export function describedFrame(packet: DescribedFrame): Uint8Array {
  const source = parseIp(packet.source);
  const destination = parseIp(packet.destination ?? (source.version === 4 ? '192.0.2.254' : '2001:db8::fe'));
  if (source.version !== destination.version) {
    throw new ArgumentError(`no packet is from IPv${source.version} to IPv${destination.version}`);
  }
  const payload = new Uint8Array(20);
  const view = new DataView(payload.buffer);
  view.setUint16(0, packet.sourcePort ?? 49_152);
  view.setUint16(2, packet.port ?? 0);
  if (packet.protocol === 6) {
    payload[12] = 0x50;
    payload[13] = packet.syn === true ? 0x02 : 0x10;
  } else {
    view.setUint16(4, payload.length);
  }
  const header =
    source.version === 4
      ? ipv4Header(packet.protocol, payload.length)
      : ipv6Header(packet.protocol, payload.length);
  header.set(source.bytes, source.version === 4 ? 12 : 8);
  header.set(destination.bytes, source.version === 4 ? 16 : 24);
  const vlans = packet.vlans ?? [];
  const tags = vlans.flatMap((vlan, i) => {
    const type = i === 0 && vlans.length > 1 ? 0x88a8 : 0x8100;
    return [type >> 8, type & 255, vlan >> 8, vlan & 255];
  });
  const type = source.version === 4 ? 0x0800 : 0x86dd;
  return Uint8Array.of(
    2,
    0,
    0,
    0,
    0,
    2,
    2,
    0,
    0,
    0,
    0,
    1,
    ...tags,
    type >> 8,
    type & 255,
    ...header,
    ...payload,
  );
}

function ipv4Header(protocol: number, length: number): Uint8Array {
  const header = new Uint8Array(20);
  header[0] = 0x45;
  new DataView(header.buffer).setUint16(2, 20 + length);
  header[8] = 64;
  header[9] = protocol;
  return header;
}

function ipv6Header(protocol: number, length: number): Uint8Array {
  const header = new Uint8Array(40);
  header[0] = 0x60;
  new DataView(header.buffer).setUint16(4, length);
  header[6] = protocol;
  header[7] = 64;
  return header;
}
