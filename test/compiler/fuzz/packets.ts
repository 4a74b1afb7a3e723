import type { Random } from './random.ts';

/** A frame as programs may meet it: plain, tagged, with options, fragmented, cut short anywhere, or garbage. */
export function randomPacket(random: Random): Uint8Array {
  const whole = random.chance(0.12) ? garbage(random) : frame(random);
  const cut = random.chance(0.35) ? random.int(14, Math.max(14, whole.length)) : whole.length;
  const bytes = whole.slice(0, cut);
  if (random.chance(0.15)) bytes[random.int(0, bytes.length - 1)] = random.bits() & 0xff;
  return bytes;
}

function garbage(random: Random): Uint8Array {
  const length = random.int(14, 200);
  return random.chance(0.3) ? new Uint8Array(length).fill(random.pick([0, 0xff])) : random.bytes(length);
}

function frame(random: Random): Uint8Array {
  const out: number[] = [...mac(random), ...mac(random)];
  const tags = random.weighted<number>([
    [6, () => 0],
    [2, () => 1],
    [1, () => 2],
  ]);
  for (let i = 0; i < tags; i++)
    out.push(...be16(tags === 2 && i === 0 ? 0x88a8 : 0x8100), ...be16(random.int(0, 0xffff)));
  const body = random.weighted<readonly [type: number, bytes: readonly number[]]>([
    [6, () => [0x0800, ipv4(random)]],
    [3, () => [0x86dd, ipv6(random)]],
    [
      1,
      () => [
        0x0806,
        [
          0,
          1,
          8,
          0,
          6,
          4,
          0,
          random.int(1, 2),
          ...mac(random),
          ...address(random),
          ...mac(random),
          ...address(random),
        ],
      ],
    ],
    [1, () => [random.pick([0x8863, 0x8864]), [0x11, 0, 0, 7, 0, 20, 0, 0x21, ...random.bytes(20)]]],
    [1, () => [random.int(0, 0xffff), [...random.bytes(random.int(0, 60))]]],
  ]);
  out.push(...be16(body[0]), ...body[1]);
  return Uint8Array.from(out);
}

function ipv4(random: Random): number[] {
  const options = random.chance(0.2) ? [...random.bytes(4 * random.int(1, 10))] : [];
  const [protocol, payload] = transport(random);
  const total = 20 + options.length + payload.length;
  const fragment = random.weighted<number>([
    [5, () => 0x4000],
    [1, () => 0x2000 | random.int(0, 0x1fff)],
    [1, () => random.int(0, 0xffff)],
  ]);
  const header = [
    0x45 + options.length / 4,
    random.int(0, 255),
    ...be16(total),
    ...be16(random.int(0, 0xffff)),
  ];
  header.push(...be16(fragment), random.int(0, 255), protocol, ...be16(random.int(0, 0xffff)));
  return [...header, ...address(random), ...address(random), ...options, ...payload];
}

function ipv6(random: Random): number[] {
  const [protocol, payload] = transport(random);
  let next = random.chance(0.05) ? 59 : protocol;
  let rest = payload;
  for (
    let i = random.weighted<number>([
      [3, () => 0],
      [1, () => 1],
      [1, () => 3],
    ]);
    i > 0;
    i--
  ) {
    const type = random.pick([0, 43, 44, 60]);
    const units = type === 44 ? 0 : random.int(0, 2);
    rest = [next, units, ...random.bytes(6 + 8 * units), ...rest];
    next = type;
  }
  const source = [...random.bytes(16)];
  const destination = [0x20, 0x01, 0x0d, 0xb8, ...new Array<number>(11).fill(0), random.int(0, 3)];
  return [
    0x60,
    random.int(0, 255),
    0,
    random.int(0, 3),
    ...be16(rest.length),
    next,
    64,
    ...source,
    ...destination,
    ...rest,
  ];
}

function transport(random: Random): [protocol: number, bytes: number[]] {
  const data = [
    ...random.bytes(
      random.weighted<number>([
        [3, () => random.int(0, 8)],
        [3, () => random.int(0, 90)],
        [0.3, () => 1442],
      ]),
    ),
  ];
  const ports = [...be16(port(random)), ...be16(port(random))];
  return random.weighted<[number, number[]]>([
    [4, () => [17, [...ports, ...be16(8 + data.length), ...be16(random.pick([0, 0xffff, 0x1234])), ...data]]],
    [
      4,
      () => {
        const options = random.chance(0.5) ? [2, 4, 5, 0xb4, 1, 3, 3, 7] : [];
        const words = 5 + options.length / 4;
        return [
          6,
          [
            ...ports,
            ...random.bytes(8),
            words << 4,
            random.int(0, 255),
            ...random.bytes(6),
            ...options,
            ...data,
          ],
        ];
      },
    ],
    [1, () => [random.pick([1, 58]), [random.pick([8, 0, 128, 129]), 0, ...random.bytes(6), ...data]]],
    [1, () => [random.int(0, 255), data]],
  ]);
}

function port(random: Random): number {
  return random.pick([53, 80, 443, 7998, 7999, random.int(0, 0xffff)]);
}

function be16(value: number): [number, number] {
  return [value >> 8, value & 0xff];
}

function mac(random: Random): number[] {
  return random.chance(0.1) ? [255, 255, 255, 255, 255, 255] : [2, 0, 0, 0, 0, random.int(0, 3)];
}

function address(random: Random): number[] {
  return random.chance(0.7) ? [10, 0, 0, random.int(0, 3)] : [...random.bytes(4)];
}
