/** A whole number with narrow gaps between thousands, as in `1 234 567`. */
export function grouped(value: bigint | number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ' ');
}

/** Bytes in decimal units, as in `1.23 MB`. */
export function bytes(value: bigint | number): string {
  return scaled(Number(value), 'B');
}

/** As in `1.23 Mbit/s`. */
export function bitRate(bitsPerSecond: number): string {
  return scaled(bitsPerSecond, 'bit/s');
}

/** As in `1.23 M/s`, or `12 /s` below a thousand. */
export function perSecond(rate: number): string {
  return scaled(rate, '/s');
}

const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P', 'E'];

/** Three digits and a decimal prefix; whole numbers below a thousand. */
function scaled(value: number, unit: string): string {
  let step = 0;
  let rest = value;
  // 999.5 would be shown as 1000: it belongs to the next prefix.
  while (rest >= 999.5 && step < PREFIXES.length - 1) {
    rest /= 1000;
    step++;
  }
  const digits = step === 0 ? 0 : rest < 9.995 ? 2 : rest < 99.95 ? 1 : 0;
  return `${rest.toFixed(digits)} ${PREFIXES[step]}${unit}`;
}
