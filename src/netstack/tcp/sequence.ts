/**
 * Sequence numbers (RFC 9293, section 3.4) as signed 32-bit integers, which V8 keeps unboxed: every sum is brought back
 * with `| 0`, and the sign of a difference tells what comes first.
 */

/** Whether `a` comes before `b`. */
export function before(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** Whether `a` comes before `b` or is the same. */
export function notAfter(a: number, b: number): boolean {
  return ((a - b) | 0) <= 0;
}

/** How far `to` lies behind `from`; negative when it lies before. */
export function distance(from: number, to: number): number {
  return (to - from) | 0;
}

/** The later of the two. */
export function later(a: number, b: number): number {
  return ((a - b) | 0) > 0 ? a : b;
}
