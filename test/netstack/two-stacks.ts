import {
  NetStack,
  Path,
  type StackInterface,
  type StackOptions,
  seededRandom,
  type Weather,
} from '../../src/netstack/index.ts';

/** Two stacks on a network with weather, under virtual time. */
export class TwoStacks {
  now = 0;
  readonly a: NetStack;
  readonly b: NetStack;
  readonly ifA: StackInterface;
  readonly ifB: StackInterface;
  readonly toA: Path;
  readonly toB: Path;
  readonly random: () => number;

  constructor(
    seed: number,
    weather: Weather | readonly [toB: Weather, toA: Weather],
    options: { mtu?: number; ipv6?: boolean; a?: Partial<StackOptions>; b?: Partial<StackOptions> } = {},
  ) {
    const random = seededRandom(seed);
    this.random = random;
    const [toB, toA] = Array.isArray(weather)
      ? (weather as readonly Weather[])
      : [weather as Weather, weather as Weather];
    this.toA = new Path(toA!, random);
    this.toB = new Path(toB!, random);
    const { mtu = 1500, ipv6 = false } = options;
    const secret = (n: number) => Uint8Array.from({ length: 16 }, (_, i) => (seed >>> (i % 4)) ^ (i * n));
    // Sequence numbers begin everywhere, also just before they wrap.
    const now = Math.floor(random() * 2 ** 32);
    this.now = now;
    this.a = new NetStack({ secret: secret(3), now, ...options.a });
    this.b = new NetStack({ secret: secret(5), now, ...options.b });
    this.ifA = this.a.addInterface({
      mtu,
      addresses: [ipv6 ? '2001:db8::1/64' : '192.0.2.1/24'],
      output: (bytes, offset, length) => {
        this.toB.send(bytes, offset, length, this.now);
        return true;
      },
    });
    this.ifB = this.b.addInterface({
      mtu,
      addresses: [ipv6 ? '2001:db8::2/64' : '192.0.2.2/24'],
      output: (bytes, offset, length) => {
        this.toA.send(bytes, offset, length, this.now);
        return true;
      },
    });
  }

  get addressB(): string {
    return String(this.ifB.addresses[0]!.ip);
  }

  /** Lets everything that is due happen, then jumps to the next event; false when nothing will ever happen again. */
  step(): boolean {
    while (this.a.advance(this.now));
    while (this.b.advance(this.now));
    const next = Math.min(this.a.deadline, this.b.deadline, this.toA.deadline, this.toB.deadline);
    if (next === Number.POSITIVE_INFINITY) return false;
    this.now = Math.max(this.now, next);
    this.toA.deliver(this.now, (bytes, offset, length) =>
      this.a.input(this.ifA, bytes, offset, length, this.now),
    );
    this.toB.deliver(this.now, (bytes, offset, length) =>
      this.b.input(this.ifB, bytes, offset, length, this.now),
    );
    return true;
  }

  /** Whether an application did something that makes it go on. */
  wake(): boolean {
    while (this.a.flush(this.now));
    while (this.b.flush(this.now));
    return Math.min(this.a.deadline, this.b.deadline, this.toA.deadline, this.toB.deadline) < Infinity;
  }

  /** Steps until `done`, or until virtual time is up; whether it was done. */
  runUntil(done: () => boolean, limit = 600_000): boolean {
    const end = this.now + limit;
    while (!done()) {
      if (this.now > end || !this.step()) return done();
    }
    return true;
  }
}
