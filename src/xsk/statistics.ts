import { callTo, type Fd } from '../sys/index.ts';
import { SOL_XDP, XdpOption } from './uapi.ts';

/** The kernel's six counters of a socket (`struct xdp_statistics`), since it was bound. */
export interface XskStatistics {
  /** Received packets dropped for other reasons: too long for a frame, for the most part. */
  readonly rxDropped: bigint;
  /** Fill ring entries that pointed nowhere. */
  readonly rxInvalidDescriptors: bigint;
  /** TX ring entries that pointed nowhere. */
  readonly txInvalidDescriptors: bigint;
  /** Received packets dropped because the RX ring was full. */
  readonly rxRingFull: bigint;
  /** Times that the fill ring had no frame to receive into; in copy mode each is a dropped packet. */
  readonly rxFillRingEmpty: bigint;
  /** Times that the kernel looked for packets to send and found none. */
  readonly txRingEmpty: bigint;
}

/** Reads the counters. Kernels before 5.9 know the first three; the others are then 0. */
export function readStatistics(fd: Fd): XskStatistics {
  const counters = new BigUint64Array(6);
  const length = new Uint32Array([48]);
  callTo(
    `read the counters of ${fd.what}`,
    'getsockopt',
    fd.number,
    SOL_XDP,
    XdpOption.statistics,
    counters,
    length,
  );
  return {
    rxDropped: counters[0]!,
    rxInvalidDescriptors: counters[1]!,
    txInvalidDescriptors: counters[2]!,
    rxRingFull: counters[3]!,
    rxFillRingEmpty: counters[4]!,
    txRingEmpty: counters[5]!,
  };
}
