import { networkInterfaces } from 'node:os';

/** In ms. Asking the kernel costs about as much as a connection does. */
const FRESH = 10_000;

/** The machine's own addresses as the kernel has them, asked again when they are older than ten seconds. */
export function ownAddresses(): () => readonly string[] {
  let known: readonly string[] = [];
  let asked = Number.NEGATIVE_INFINITY;
  return () => {
    const now = performance.now();
    if (now - asked > FRESH) {
      asked = now;
      known = Object.values(networkInterfaces()).flatMap((list) =>
        (list ?? []).map(({ address }) => address),
      );
    }
    return known;
  };
}
