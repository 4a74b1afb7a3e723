import type { MacAddress } from '../packet/index.ts';
import type { FrameSink, PppoeConcentratorInfo, RandomSource } from './client-options.ts';
import type { PppoeVlan } from './frame.ts';

export interface PppoeScanOptions {
  readonly mac: MacAddress;
  readonly vlans?: readonly PppoeVlan[];
  /** Default is '', any. */
  readonly serviceName?: string;
  readonly random: RandomSource;
  readonly transmit: FrameSink;
  readonly found: (concentrator: PppoeConcentratorInfo) => void;
}

/** Asks who is there, and asks for nothing else: what `pppoe discover` does. */
export declare class PppoeScan {
  constructor(options: PppoeScanOptions);
  /** Sends a PADI. May be called again. */
  ask(now: number): void;
  input(bytes: Uint8Array, offset: number, length: number, now: number): boolean;
  /** By answer, each concentrator once. */
  readonly found: readonly PppoeConcentratorInfo[];
}
