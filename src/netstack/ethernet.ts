import type { Ip } from './ip.ts';

/** What an interface on Ethernet sends through. */
export interface EthernetLink {
  transmit(bytes: Uint8Array, offset: number, length: number, destination: Ip): boolean;
}
