import { readFileSync } from 'node:fs';
import { decodeBtf } from '../btf/index.ts';
import { BarewireError } from '../error.ts';
import { HINT_KNOWN, HINTS, type HintFunctions } from './hint-code.ts';
import type { Umem } from './umem.ts';

/** A VLAN tag that the card took out of the frame. */
export interface TakenTag {
  /** As in 0x8100. */
  readonly protocol: number;
  /** Priority and ID, 16 bits. */
  readonly tag: number;
}

/**
 * What the driver said of received packets, of an interface that was opened with `hints`.
 *
 * Each answer is undefined where the driver had none for that packet. Read it while the packet is looked at.
 */
export class RxHints {
  readonly #view: DataView;

  constructor(umem: Umem) {
    this.#view = new DataView(umem.bytes.buffer, umem.bytes.byteOffset, umem.bytes.length);
  }

  /** When the card received the packet, in ns of its clock. */
  timestampOf(address: number): bigint | undefined {
    if (!this.#knows(address, HINT_KNOWN.timestamp)) return undefined;
    return this.#view.getBigUint64(address - HINTS.size + HINTS.timestamp, true);
  }

  /** The hash that spreads flows over queues, 32 bits. */
  hashOf(address: number): number | undefined {
    if (!this.#knows(address, HINT_KNOWN.hash)) return undefined;
    return this.#view.getUint32(address - HINTS.size + HINTS.hash, true);
  }

  /** What went into the hash: bits of `enum xdp_rss_hash_type`. */
  hashTypeOf(address: number): number | undefined {
    if (!this.#knows(address, HINT_KNOWN.hash)) return undefined;
    return this.#view.getUint32(address - HINTS.size + HINTS.hashType, true);
  }

  vlanTagOf(address: number): TakenTag | undefined {
    if (!this.#knows(address, HINT_KNOWN.vlanTag)) return undefined;
    const at = address - HINTS.size;
    return {
      protocol: this.#view.getUint16(at + HINTS.vlanProtocol, false),
      tag: this.#view.getUint16(at + HINTS.vlanTag, true),
    };
  }

  #knows(address: number, bit: number): boolean {
    return (this.#view.getUint32(address - HINTS.size + HINTS.known, true) & bit) !== 0;
  }
}

/**
 * Finds the kernel's functions that ask drivers for hints.
 *
 * @throws BarewireError `BW_UNSUPPORTED` when the kernel has none (before 6.3), or no BTF to find them by.
 */
export function findHintFunctions(): HintFunctions {
  let btf: ReturnType<typeof decodeBtf>;
  try {
    btf = decodeBtf(readFileSync('/sys/kernel/btf/vmlinux'));
  } catch (error) {
    throw unsupported(error);
  }
  const timestamp = btf.find('bpf_xdp_metadata_rx_timestamp', 'func');
  const hash = btf.find('bpf_xdp_metadata_rx_hash', 'func');
  const vlanTag = btf.find('bpf_xdp_metadata_rx_vlan_tag', 'func');
  if (timestamp === undefined && hash === undefined) throw unsupported(undefined);
  return {
    ...(timestamp === undefined ? {} : { timestamp }),
    ...(hash === undefined ? {} : { hash }),
    ...(vlanTag === undefined ? {} : { vlanTag }),
  };
}

function unsupported(cause: unknown): BarewireError {
  return new BarewireError('BW_UNSUPPORTED', 'this kernel cannot ask drivers for hints of received packets', {
    hint: 'It takes Linux 6.3 or later, built with BTF.',
    ...(cause === undefined ? {} : { cause }),
  });
}
