import { formatIPv6 } from '../../src/address/index.ts';
import {
  buildPacket,
  type ChapPacket,
  type DnsKnownType,
  type DnsMessage,
  type DnsQuestion,
  type DnsRecord,
  type DnsType,
  type EapPacket,
  IcmpType,
  Icmpv6Type,
  IpProtocol,
  type Ipv4Option,
  type Ipv6Option,
  LcpOptionType,
  type NdpMessage,
  type NdpOption,
  type PacketLayer,
  type PapPacket,
  PppCode,
  type PppOption,
  PppoeCode,
  PppoeTagType,
  RoutingType,
  type TcpOption,
} from '../../src/packet/index.ts';
import type { Random } from './random.ts';

/** The kinds of packets that the corpus is made of, in turn. */
export const KINDS = [
  'raw',
  'llc',
  'arp',
  'udp4',
  'tcp4',
  'icmp',
  'options4',
  'fragment4',
  'udp6',
  'tcp6',
  'icmpv6',
  'extensions6',
  'ndp',
  'dns4',
  'dns6',
  'discovery',
  'lcp',
  'ncp',
  'auth',
  'pppIp',
  'tunnel',
  'ah',
] as const;

export type PacketKind = (typeof KINDS)[number];

/** The layers of one packet of a kind, with its Ethernet header and, now and then, one or two VLAN tags. */
export function generate(random: Random, kind: PacketKind): PacketLayer[] {
  const inner = GENERATORS[kind](random);
  const first = inner[0]!;
  const etherType = first instanceof Uint8Array ? { etherType: rawEtherType(random, kind, first) } : {};
  const tags: PacketLayer[] = [];
  if (kind !== 'llc' && random.oneIn(5)) {
    const count = random.between(1, 2);
    for (let i = 0; i < count; i++) {
      tags.push({
        layer: 'vlan',
        id: random.below(4096),
        priority: random.below(8),
        dropEligible: random.bit(),
        ...(i === count - 1 ? etherType : {}),
      });
    }
  }
  const eth: PacketLayer = {
    layer: 'eth',
    destination: mac(random),
    source: mac(random),
    ...(tags.length === 0 ? etherType : {}),
  };
  return [eth, ...tags, ...inner];
}

/** The bytes of one packet. */
export function generatePacket(random: Random, kind: PacketKind): Uint8Array {
  return padded(random, buildPacket(generate(random, kind)));
}

/** The packet as it is, or padded to Ethernet's minimum as a card would send it. */
export function padded(random: Random, packet: Uint8Array): Uint8Array {
  if (packet.length >= 60 || random.bit()) return packet;
  const frame = new Uint8Array(60);
  frame.set(packet);
  return frame;
}

const GENERATORS: Readonly<Record<PacketKind, (random: Random) => PacketLayer[]>> = {
  raw: (random) => [random.bytes(random.between(46, 120))],
  // To and from the null access point, unnumbered information: nobody dissects further.
  llc: (random) => [Uint8Array.of(0, 0, 3, ...random.bytes(random.between(43, 117)))],
  arp: (random) => [
    {
      layer: 'arp',
      operation: random.between(1, 2),
      senderHardwareAddress: mac(random),
      senderProtocolAddress: random.u32(),
      targetHardwareAddress: mac(random),
      targetProtocolAddress: random.u32(),
    },
  ],
  udp4: (random) => [ipv4(random), udp(random), random.someBytes(200)],
  tcp4: (random) => [ipv4(random), tcp(random), random.someBytes(200)],
  icmp: (random) => [ipv4(random), ...icmp(random)],
  options4: (random) => [
    { ...ipv4(random), options: ipv4Options(random) },
    udp(random),
    random.someBytes(60),
  ],
  fragment4: (random) => {
    const whole = random.bytes(8 * random.between(2, 30));
    const fragmentOffset = 8 * random.between(1, 1000);
    const moreFragments = random.bit();
    return [{ ...ipv4(random), protocol: IpProtocol.udp, fragmentOffset, moreFragments }, whole];
  },
  udp6: (random) => [ipv6(random), udp(random), random.someBytes(200)],
  tcp6: (random) => [ipv6(random), tcp(random), random.someBytes(200)],
  icmpv6: (random) => [ipv6(random), ...icmpv6(random)],
  extensions6: (random) => extensions6(random),
  ndp: (random) => [
    { ...ipv6(random), hopLimit: 255 },
    { layer: 'ndp', message: ndp(random) },
  ],
  dns4: (random) => [ipv4(random), dnsUdp(random), { layer: 'dns', message: dns(random) }],
  dns6: (random) => [ipv6(random), dnsUdp(random), { layer: 'dns', message: dns(random) }],
  discovery: (random) => [
    {
      layer: 'pppoe',
      code: random.pick([PppoeCode.padi, PppoeCode.pado, PppoeCode.padr, PppoeCode.pads, PppoeCode.padt]),
      sessionId: random.u16(),
      tags: random.list(0, 5, () =>
        random.bit()
          ? { type: random.pick([PppoeTagType.serviceName, PppoeTagType.acName]), data: word(random) }
          : {
              type: random.pick([PppoeTagType.hostUniq, PppoeTagType.acCookie, PppoeTagType.relaySessionId]),
              data: random.bytes(random.between(1, 20)),
            },
      ),
    },
  ],
  lcp: (random) => [...session(random), lcp(random)],
  ncp: (random) => [...session(random), random.bit() ? ipcp(random) : ipv6cp(random)],
  auth: (random) => [...session(random), auth(random)],
  pppIp: (random) => {
    const ip = random.bit() ? ipv4(random) : ipv6(random);
    return [...session(random), ip, udp(random), random.someBytes(100)];
  },
  tunnel: (random) => {
    const outer = random.bit() ? ipv4(random) : ipv6(random);
    const inner = random.bit() ? ipv4(random) : ipv6(random);
    return [outer, inner, random.bit() ? udp(random) : tcp(random), random.someBytes(80)];
  },
  ah: (random) => {
    const v4 = random.bit();
    const icv = random.bytes(v4 ? random.pick([12, 16, 20]) : random.pick([12, 20]));
    const ah: PacketLayer = { layer: 'ah', spi: random.u32(), sequence: random.u32(), icv };
    return [v4 ? ipv4(random) : ipv6(random), ah, udp(random), random.someBytes(80)];
  },
};

type Layer<L extends string> = Extract<PacketLayer, { layer: L }>;

function rawEtherType(random: Random, kind: PacketKind, payload: Uint8Array): number {
  if (kind === 'llc') return payload.length;
  // An experimental EtherType, which nobody dissects.
  return random.pick([0x88b5, 0x88b6]);
}

function mac(random: Random): number {
  // Unicast and locally administered, which no address table of a dissector knows.
  return ((random.u16() & 0xfcff) | 0x0200) * 2 ** 32 + random.u32();
}

function ipv4(random: Random): Layer<'ipv4'> {
  return {
    layer: 'ipv4',
    source: random.u32(),
    destination: random.u32(),
    ttl: random.u8(),
    dscp: random.below(64),
    ecn: random.below(4),
    identification: random.u16(),
    dontFragment: random.bit(),
    ...(random.oneIn(10) ? { checksum: random.u16() } : {}),
  };
}

export function ipv6Text(random: Random): string {
  // Runs of zero groups, so that the text form has something to shorten.
  const bytes = random.bytes(16);
  for (let i = 2; i < 16; i += 2) if (random.bit()) bytes.fill(0, i, i + 2);
  bytes[0] = 0x20;
  return formatIPv6(bytes);
}

function ipv6(random: Random): Layer<'ipv6'> {
  return {
    layer: 'ipv6',
    source: ipv6Text(random),
    destination: ipv6Text(random),
    hopLimit: random.u8(),
    trafficClass: random.u8(),
    flowLabel: random.below(0x100000),
  };
}

/** A port that no dissector claims. */
function port(random: Random): number {
  return random.between(61_001, 61_999);
}

function udp(random: Random): Layer<'udp'> {
  const checksum = random.oneIn(10) ? { checksum: random.u16() } : {};
  return { layer: 'udp', sourcePort: port(random), destinationPort: port(random), ...checksum };
}

function dnsUdp(random: Random): Layer<'udp'> {
  const ports: [number, number] = [53, port(random)];
  if (random.bit()) ports.reverse();
  return { layer: 'udp', sourcePort: ports[0], destinationPort: ports[1] };
}

function tcp(random: Random): Layer<'tcp'> {
  return {
    layer: 'tcp',
    sourcePort: port(random),
    destinationPort: port(random),
    sequence: random.u32(),
    acknowledgment: random.u32(),
    flags: random.u8(),
    ae: random.bit(),
    window: random.u16(),
    urgentPointer: random.oneIn(4) ? random.u16() : 0,
    ...(random.bit() ? { options: tcpOptions(random) } : {}),
    ...(random.oneIn(10) ? { checksum: random.u16() } : {}),
  };
}

export function tcpOptions(random: Random): TcpOption[] {
  const all: TcpOption[] = [
    { kind: 'mss', value: random.u16() },
    { kind: 'windowScale', shift: random.below(15) },
    { kind: 'sackPermitted' },
    { kind: 'nop' },
    { kind: 'timestamps', value: random.u32(), echo: random.u32() },
    { kind: 'sack', blocks: random.list(1, 2, () => ({ left: random.u32(), right: random.u32() })) },
    { kind: 'fastOpen', cookie: random.bytes(random.pick([0, 4, 8])) },
    { kind: 'other', number: 200, data: random.bytes(random.below(5)) },
  ];
  const options: TcpOption[] = [];
  let length = 0;
  for (const option of all) {
    const size = tcpOptionSize(option);
    if (!random.bit() || length + size > 40) continue;
    options.push(option);
    length += size;
  }
  return options;
}

function tcpOptionSize(option: TcpOption): number {
  switch (option.kind) {
    case 'sack':
      return 2 + 8 * option.blocks.length;
    case 'fastOpen':
      return 2 + option.cookie.length;
    case 'other':
      return 2 + option.data.length;
    case 'timestamps':
      return 10;
    case 'mss':
      return 4;
    case 'windowScale':
      return 3;
    case 'sackPermitted':
      return 2;
    default:
      return 1;
  }
}

export function ipv4Options(random: Random): Ipv4Option[] {
  const addresses = random.list(1, 4, () => `10.0.${random.u8()}.${random.u8()}`);
  const pointer = 4 + 4 * addresses.length;
  return random.pick<Ipv4Option[]>([
    [{ kind: 'routerAlert', value: 0 }],
    [{ kind: 'nop' }, { kind: 'nop' }, { kind: 'routerAlert', value: random.u16() }],
    [{ kind: 'recordRoute', pointer, addresses }],
    [{ kind: 'nop' }, { kind: 'looseSourceRoute', pointer, addresses }],
    [{ kind: 'strictSourceRoute', pointer, addresses }, { kind: 'end' }],
    [{ kind: 'other', type: 222, data: random.bytes(random.below(10)) }],
  ]);
}

function icmp(random: Random): PacketLayer[] {
  const quoted = buildPacket([
    { ...ipv4(random), protocol: IpProtocol.udp },
    { ...udp(random), checksum: random.u16() },
  ]);
  switch (random.below(6)) {
    case 0:
    case 1:
      return [
        {
          layer: 'icmp',
          type: random.bit() ? IcmpType.echoRequest : IcmpType.echoReply,
          identifier: random.u16(),
          sequence: random.u16(),
          ...(random.oneIn(10) ? { checksum: random.u16() } : {}),
        },
        random.someBytes(100),
      ];
    case 2:
      return [
        { layer: 'icmp', type: IcmpType.destinationUnreachable, code: 4, mtu: random.between(576, 9000) },
        quoted,
      ];
    case 3:
      return [
        { layer: 'icmp', type: IcmpType.redirect, code: random.below(4), gateway: random.u32() },
        quoted,
      ];
    case 4:
      return [{ layer: 'icmp', type: IcmpType.timeExceeded, code: random.below(2) }, quoted];
    default:
      return [{ layer: 'icmp', type: IcmpType.parameterProblem, code: 0, pointer: random.below(20) }, quoted];
  }
}

function icmpv6(random: Random): PacketLayer[] {
  const quoted = buildPacket([
    { ...ipv6(random), nextHeader: IpProtocol.udp },
    { ...udp(random), checksum: random.u16() },
  ]);
  switch (random.below(5)) {
    case 0:
      return [{ layer: 'icmpv6', type: Icmpv6Type.packetTooBig, mtu: random.between(1280, 9000) }, quoted];
    case 1:
      return [{ layer: 'icmpv6', type: Icmpv6Type.destinationUnreachable, code: random.below(7) }, quoted];
    case 2:
      return [
        {
          layer: 'icmpv6',
          type: Icmpv6Type.parameterProblem,
          code: random.below(3),
          pointer: random.below(40),
        },
        quoted,
      ];
    default:
      return [
        {
          layer: 'icmpv6',
          type: random.bit() ? Icmpv6Type.echoRequest : Icmpv6Type.echoReply,
          identifier: random.u16(),
          sequence: random.u16(),
          ...(random.oneIn(10) ? { checksum: random.u16() } : {}),
        },
        random.someBytes(100),
      ];
  }
}

export function ipv6Options(random: Random): Ipv6Option[] {
  return random.list(0, 3, () =>
    random.bit()
      ? { kind: 'routerAlert', value: random.below(3) }
      : { kind: 'other', type: 0x1e, data: random.bytes(random.below(20)) },
  );
}

function extensions6(random: Random): PacketLayer[] {
  const layers: PacketLayer[] = [ipv6(random)];
  if (random.bit()) layers.push({ layer: 'hopByHop', options: ipv6Options(random) });
  if (random.bit()) layers.push({ layer: 'destinationOptions', options: ipv6Options(random) });
  if (random.bit()) {
    const routingType = random.pick([RoutingType.source, RoutingType.home, RoutingType.segment]);
    const count = routingType === RoutingType.home ? 1 : random.between(1, 3);
    layers.push({
      layer: 'routing',
      routingType,
      segmentsLeft: random.between(0, count),
      addresses: Array.from({ length: count }, () => ipv6Text(random)),
    });
  }
  if (random.oneIn(3)) {
    const moreFragments = random.bit();
    const fragmentOffset = moreFragments && random.bit() ? 8 * random.between(1, 8000) : 0;
    const identification = random.u32();
    const fragment = { layer: 'fragment', fragmentOffset, moreFragments, identification } as const;
    if (fragmentOffset > 0) {
      return [...layers, { ...fragment, nextHeader: IpProtocol.udp }, random.bytes(8 * random.between(1, 9))];
    }
    // The first of several fragments is compared without a checksum over what is not there.
    const checksum = random.u16();
    layers.push(fragment, { ...udp(random), checksum }, random.bytes(8 * random.between(1, 9)));
    return layers;
  }
  if (random.oneIn(6)) return layers.length === 1 ? [...layers, udp(random)] : layers;
  return [...layers, udp(random), random.someBytes(60)];
}

export function ndp(random: Random): NdpMessage {
  const options = random.list(0, 3, () => ndpOption(random));
  switch (random.below(5)) {
    case 0:
      return { kind: 'routerSolicitation', options };
    case 1:
      return {
        kind: 'routerAdvertisement',
        hopLimit: random.u8(),
        managed: random.bit(),
        otherConfiguration: random.bit(),
        preference: random.pick(['low', 'medium', 'high']),
        routerLifetime: random.u16(),
        reachableTime: random.u32(),
        retransmitTimer: random.u32(),
        options,
      };
    case 2:
      return { kind: 'neighborSolicitation', target: ipv6Text(random), options };
    case 3:
      return {
        kind: 'neighborAdvertisement',
        router: random.bit(),
        solicited: random.bit(),
        override: random.bit(),
        target: ipv6Text(random),
        options,
      };
    default:
      return { kind: 'redirect', target: ipv6Text(random), destination: ipv6Text(random), options };
  }
}

function ndpOption(random: Random): NdpOption {
  const address = `02:00:00:${hexByte(random)}:${hexByte(random)}:${hexByte(random)}`;
  return random.pick<() => NdpOption>([
    () => ({ kind: 'sourceLinkLayer', address }),
    () => ({ kind: 'targetLinkLayer', address }),
    () => ({
      kind: 'prefix',
      prefixLength: random.below(129),
      onLink: random.bit(),
      autonomous: random.bit(),
      validLifetime: random.u32(),
      preferredLifetime: random.u32(),
      prefix: ipv6Text(random),
    }),
    () => ({ kind: 'mtu', mtu: random.u32() }),
    () => ({
      kind: 'rdnss',
      lifetime: random.u32(),
      addresses: random.list(1, 3, () => ipv6Text(random)),
    }),
    () => ({ kind: 'dnssl', lifetime: random.u32(), names: random.list(1, 3, () => name(random)) }),
    () => ({ kind: 'other', type: 253, data: random.bytes(8 * random.between(1, 3) - 2) }),
  ])();
}

function hexByte(random: Random): string {
  return random.u8().toString(16).padStart(2, '0');
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';

function word(random: Random): string {
  // A letter first: nothing may read as a number.
  const rest = Array.from({ length: random.below(12) }, () => LETTERS[random.below(36)]);
  return LETTERS[random.below(26)] + rest.join('');
}

export function name(random: Random): string {
  return random.list(1, 4, () => word(random)).join('.');
}

/** Names that share ends, so that compression has something to do. */
function nameIn(random: Random, zone: string): string {
  return random.oneIn(4) ? zone : `${word(random)}.${zone}`;
}

export function dns(random: Random): DnsMessage {
  const zone = name(random);
  const response = random.bit();
  const question: DnsQuestion = {
    name: nameIn(random, zone),
    type: random.pick<DnsType>(['A', 'AAAA', 'MX', 'TXT', 'SRV', 'ANY', 'HTTPS']),
    class: 1,
  };
  const records = (high: number): DnsRecord[] =>
    response ? random.list(0, high, () => dnsRecord(random, nameIn(random, zone), zone)) : [];
  return {
    id: random.u16(),
    response,
    opcode: 0,
    authoritative: random.bit(),
    truncated: random.oneIn(8),
    recursionDesired: random.bit(),
    recursionAvailable: response && random.bit(),
    authenticData: random.bit(),
    checkingDisabled: random.bit(),
    responseCode: response ? random.below(6) : 0,
    questions: [question],
    answers: records(4),
    authorities: records(2),
    additionals: records(2),
    ...(random.bit()
      ? {
          edns: {
            udpPayloadSize: random.between(512, 4096),
            version: 0,
            dnssecOk: random.bit(),
            options: random.oneIn(3) ? [{ code: 65_001, data: random.bytes(random.below(12)) }] : [],
          },
        }
      : {}),
  };
}

export const DNS_RECORD_TYPES: readonly DnsKnownType[] = [
  'A',
  'NS',
  'CNAME',
  'SOA',
  'PTR',
  'HINFO',
  'MX',
  'TXT',
  'RP',
  'AFSDB',
  'AAAA',
  'SRV',
  'NAPTR',
  'DNAME',
  'DS',
  'SSHFP',
  'RRSIG',
  'NSEC',
  'DNSKEY',
  'NSEC3',
  'NSEC3PARAM',
  'TLSA',
  'SVCB',
  'HTTPS',
  'URI',
  'CAA',
];

export function dnsRecord(random: Random, owner: string, zone: string): DnsRecord {
  const head = { name: owner, class: 1, ttl: random.below(0x7fffffff) };
  const type = random.pick([...DNS_RECORD_TYPES, 'other'] as const);
  const target = nameIn(random, zone);
  switch (type) {
    case 'other':
      return { ...head, type: `TYPE${random.between(65_400, 65_533)}`, data: random.someBytes(30) };
    case 'A':
      return { ...head, type, address: `192.0.2.${random.u8()}` };
    case 'AAAA':
      return { ...head, type, address: ipv6Text(random) };
    case 'NS':
      return { ...head, type, host: target };
    case 'CNAME':
    case 'PTR':
    case 'DNAME':
      return { ...head, type, target };
    case 'SOA':
      return {
        ...head,
        type,
        primary: target,
        mailbox: nameIn(random, zone),
        serial: random.u32(),
        refresh: random.u32(),
        retry: random.u32(),
        expire: random.u32(),
        minimum: random.u32(),
      };
    case 'HINFO':
      return { ...head, type, cpu: word(random), os: word(random) };
    case 'MX':
      return { ...head, type, preference: random.u16(), exchange: target };
    case 'TXT':
      return { ...head, type, texts: random.list(1, 3, () => word(random)) };
    case 'RP':
      return { ...head, type, mailbox: target, text: nameIn(random, zone) };
    case 'AFSDB':
      return { ...head, type, subtype: random.u16(), host: target };
    case 'SRV':
      return {
        ...head,
        name: `_sip._udp.${owner}`,
        type,
        priority: random.u16(),
        weight: random.u16(),
        port: random.u16(),
        target,
      };
    case 'NAPTR':
      return {
        ...head,
        type,
        order: random.u16(),
        preference: random.u16(),
        flags: 'S',
        services: word(random),
        regexp: word(random),
        replacement: target,
      };
    case 'DS':
      return {
        ...head,
        type,
        keyTag: random.u16(),
        algorithm: random.u8(),
        digestType: random.u8(),
        digest: random.bytes(20),
      };
    case 'SSHFP':
      return {
        ...head,
        type,
        algorithm: random.u8(),
        fingerprintType: random.u8(),
        fingerprint: random.bytes(20),
      };
    case 'RRSIG':
      return {
        ...head,
        type,
        typeCovered: 1,
        algorithm: random.u8(),
        labels: random.below(5),
        originalTtl: random.below(0x7fffffff),
        expiration: random.u32(),
        inception: random.u32(),
        keyTag: random.u16(),
        signer: zone,
        signature: random.bytes(32),
      };
    case 'NSEC':
      return { ...head, type, next: target, types: ['A', 'NS', 'AAAA', 'RRSIG', 'CAA'] };
    case 'DNSKEY':
      return { ...head, type, flags: 0x0101, protocol: 3, algorithm: random.u8(), key: random.bytes(32) };
    case 'NSEC3':
      return {
        ...head,
        type,
        algorithm: 1,
        flags: random.below(2),
        iterations: random.u16(),
        salt: random.bytes(random.below(9)),
        nextHash: random.bytes(20),
        types: ['A', 'MX'],
      };
    case 'NSEC3PARAM':
      return { ...head, type, algorithm: 1, flags: 0, iterations: random.u16(), salt: random.bytes(4) };
    case 'TLSA':
      return {
        ...head,
        type,
        usage: random.below(4),
        selector: random.below(2),
        matchingType: random.below(3),
        data: random.bytes(32),
      };
    case 'SVCB':
    case 'HTTPS':
      return {
        ...head,
        type,
        priority: random.u16(),
        target,
        parameters: random.bit() ? [{ key: 3, value: Uint8Array.of(1, 187) }] : [],
      };
    case 'URI':
      return { ...head, type, priority: random.u16(), weight: random.u16(), target: `https://${zone}/` };
    case 'CAA':
      return { ...head, type, flags: 0, tag: 'issue', value: zone };
  }
}

function session(random: Random): PacketLayer[] {
  return [{ layer: 'pppoe', code: 0, sessionId: random.u16() }, { layer: 'ppp' }];
}

function lcp(random: Random): PacketLayer {
  const options: PppOption[] = [
    { type: LcpOptionType.mru, data: random.bytes(2) },
    { type: LcpOptionType.authenticationProtocol, data: Uint8Array.of(0xc2, 0x23, 5) },
    { type: LcpOptionType.magicNumber, data: random.bytes(4) },
    { type: LcpOptionType.protocolFieldCompression, data: new Uint8Array(0) },
  ];
  return {
    layer: 'lcp',
    code: random.between(PppCode.configureRequest, PppCode.configureReject),
    identifier: random.u8(),
    options: options.filter(() => random.bit()),
  };
}

function ipcp(random: Random): PacketLayer {
  const options: PppOption[] = [
    { type: 3, data: random.bytes(4) },
    { type: 129, data: random.bytes(4) },
    { type: 131, data: random.bytes(4) },
  ];
  return {
    layer: 'ipcp',
    code: random.between(PppCode.configureRequest, PppCode.configureReject),
    identifier: random.u8(),
    options: options.filter(() => random.bit()),
  };
}

function ipv6cp(random: Random): PacketLayer {
  return {
    layer: 'ipv6cp',
    code: random.between(PppCode.configureRequest, PppCode.configureReject),
    identifier: random.u8(),
    options: [{ type: 1, data: random.bytes(8) }],
  };
}

function auth(random: Random): PacketLayer {
  const text = (): Uint8Array => new TextEncoder().encode(word(random));
  const identifier = random.u8();
  const pap: PapPacket = random.bit()
    ? { kind: 'request', identifier, peerId: text(), password: text() }
    : { kind: random.bit() ? 'ack' : 'nak', identifier, message: text() };
  const chap: ChapPacket = random.bit()
    ? { kind: random.bit() ? 'challenge' : 'response', identifier, value: random.bytes(16), name: text() }
    : { kind: random.bit() ? 'success' : 'failure', identifier, message: text() };
  const eap: EapPacket = random.bit()
    ? { kind: random.bit() ? 'request' : 'response', identifier, type: 1, data: text() }
    : { kind: random.bit() ? 'success' : 'failure', identifier };
  return random.pick<PacketLayer>([
    { layer: 'pap', packet: pap },
    { layer: 'chap', packet: chap },
    { layer: 'eap', packet: eap },
  ]);
}
