/**
 * The fixed parts of the headers, as plain data.
 *
 * The views of this folder and the in-kernel headers of the XDP compiler (`pkt.ipv4(off)` …) offer the same
 * fields under the same names; this table is where both take them from, and a test holds the views to it.
 *
 * Every number is in network byte order on the wire. A field is read as
 *
 *     ((size bytes at offset, as one big-endian unsigned number) >>> shift) & (2 ** width - 1), times scale
 *
 *      offset 6, size 2, shift 0, width 13, scale 8  =  fragmentOffset in bytes
 *      ┌────────┬────────┐
 *      │RDM.....│........│
 *      └────────┴────────┘
 */

/**
 * What a field holds:
 * - `number`: an unsigned number;
 * - `flag`: one bit, a boolean;
 * - `mac`: a 48-bit address, a number below 2^48;
 * - `ipv4`: a 32-bit address, an unsigned number;
 * - `ipv6`: a 128-bit address, a range of 16 bytes.
 */
export type FieldKind = 'number' | 'flag' | 'mac' | 'ipv4' | 'ipv6';

export interface HeaderField {
  readonly kind: FieldKind;
  /** Bytes from the start of the header. */
  readonly offset: number;
  /** Bytes to load, big-endian: 1, 2, 4, 6 or 16. */
  readonly size: number;
  /** Bits to the right of the field within the loaded bytes. Default is 0. */
  readonly shift?: number;
  /** Bits of the field. Default is all of the loaded bytes. */
  readonly width?: number;
  /** What the raw value is multiplied by, for fields that count in words. Default is 1. */
  readonly scale?: number;
}

export interface HeaderLayout {
  /** Bytes of the fixed part, without options. */
  readonly size: number;
  /** Where the layout comes from. */
  readonly source: string;
  readonly fields: Readonly<Record<string, HeaderField>>;
}

export const headers = {
  /** Ethernet II. */
  eth: {
    size: 14,
    source: 'IEEE 802.3, clause 3',
    fields: {
      destination: { kind: 'mac', offset: 0, size: 6 },
      source: { kind: 'mac', offset: 6, size: 6 },
      etherType: { kind: 'number', offset: 12, size: 2 },
    },
  },
  /** What follows an EtherType of 0x8100 or 0x88a8: the tag, and the EtherType of what it carries. */
  vlan: {
    size: 4,
    source: 'IEEE 802.1Q, clause 9.6',
    fields: {
      tci: { kind: 'number', offset: 0, size: 2 },
      priority: { kind: 'number', offset: 0, size: 1, shift: 5, width: 3 },
      dropEligible: { kind: 'flag', offset: 0, size: 1, shift: 4, width: 1 },
      id: { kind: 'number', offset: 0, size: 2, width: 12 },
      etherType: { kind: 'number', offset: 2, size: 2 },
    },
  },
  /** ARP for IPv4 over Ethernet (hardware length 6, protocol length 4). */
  arp: {
    size: 28,
    source: 'RFC 826',
    fields: {
      hardwareType: { kind: 'number', offset: 0, size: 2 },
      protocolType: { kind: 'number', offset: 2, size: 2 },
      hardwareLength: { kind: 'number', offset: 4, size: 1 },
      protocolLength: { kind: 'number', offset: 5, size: 1 },
      operation: { kind: 'number', offset: 6, size: 2 },
      senderHardwareAddress: { kind: 'mac', offset: 8, size: 6 },
      senderProtocolAddress: { kind: 'ipv4', offset: 14, size: 4 },
      targetHardwareAddress: { kind: 'mac', offset: 18, size: 6 },
      targetProtocolAddress: { kind: 'ipv4', offset: 24, size: 4 },
    },
  },
  ipv4: {
    size: 20,
    source: 'RFC 791, section 3.1; RFC 2474 and RFC 3168 for the second byte',
    fields: {
      version: { kind: 'number', offset: 0, size: 1, shift: 4, width: 4 },
      /** In bytes, options included. */
      headerLength: { kind: 'number', offset: 0, size: 1, width: 4, scale: 4 },
      dscp: { kind: 'number', offset: 1, size: 1, shift: 2, width: 6 },
      ecn: { kind: 'number', offset: 1, size: 1, width: 2 },
      totalLength: { kind: 'number', offset: 2, size: 2 },
      identification: { kind: 'number', offset: 4, size: 2 },
      /** The three bits before the fragment offset: reserved 4, don't fragment 2, more fragments 1. */
      flags: { kind: 'number', offset: 6, size: 1, shift: 5, width: 3 },
      dontFragment: { kind: 'flag', offset: 6, size: 1, shift: 6, width: 1 },
      moreFragments: { kind: 'flag', offset: 6, size: 1, shift: 5, width: 1 },
      /** In bytes. */
      fragmentOffset: { kind: 'number', offset: 6, size: 2, width: 13, scale: 8 },
      ttl: { kind: 'number', offset: 8, size: 1 },
      protocol: { kind: 'number', offset: 9, size: 1 },
      checksum: { kind: 'number', offset: 10, size: 2 },
      source: { kind: 'ipv4', offset: 12, size: 4 },
      destination: { kind: 'ipv4', offset: 16, size: 4 },
    },
  },
  ipv6: {
    size: 40,
    source: 'RFC 8200, section 3',
    fields: {
      version: { kind: 'number', offset: 0, size: 1, shift: 4, width: 4 },
      trafficClass: { kind: 'number', offset: 0, size: 2, shift: 4, width: 8 },
      dscp: { kind: 'number', offset: 0, size: 2, shift: 6, width: 6 },
      ecn: { kind: 'number', offset: 1, size: 1, shift: 4, width: 2 },
      flowLabel: { kind: 'number', offset: 0, size: 4, width: 20 },
      payloadLength: { kind: 'number', offset: 4, size: 2 },
      nextHeader: { kind: 'number', offset: 6, size: 1 },
      hopLimit: { kind: 'number', offset: 7, size: 1 },
      source: { kind: 'ipv6', offset: 8, size: 16 },
      destination: { kind: 'ipv6', offset: 24, size: 16 },
    },
  },
  /** Hop-by-hop options, routing and destination options share their first two bytes. */
  ipv6Extension: {
    size: 8,
    source: 'RFC 8200, section 4',
    fields: {
      nextHeader: { kind: 'number', offset: 0, size: 1 },
      /** In 8-byte units, the first 8 bytes not counted. */
      extensionLength: { kind: 'number', offset: 1, size: 1 },
    },
  },
  ipv6Fragment: {
    size: 8,
    source: 'RFC 8200, section 4.5',
    fields: {
      nextHeader: { kind: 'number', offset: 0, size: 1 },
      /** In bytes. */
      fragmentOffset: { kind: 'number', offset: 2, size: 2, shift: 3, width: 13, scale: 8 },
      moreFragments: { kind: 'flag', offset: 3, size: 1, width: 1 },
      identification: { kind: 'number', offset: 4, size: 4 },
    },
  },
  icmp: {
    size: 8,
    source: 'RFC 792; RFC 1191 for mtu',
    fields: {
      type: { kind: 'number', offset: 0, size: 1 },
      code: { kind: 'number', offset: 1, size: 1 },
      checksum: { kind: 'number', offset: 2, size: 2 },
      /** Echo and timestamp. */
      identifier: { kind: 'number', offset: 4, size: 2 },
      /** Echo and timestamp. */
      sequence: { kind: 'number', offset: 6, size: 2 },
      /** Parameter problem. */
      pointer: { kind: 'number', offset: 4, size: 1 },
      /** Redirect. */
      gateway: { kind: 'ipv4', offset: 4, size: 4 },
      /** Destination unreachable, code 4: the next hop's MTU in bytes. */
      mtu: { kind: 'number', offset: 6, size: 2 },
    },
  },
  icmpv6: {
    size: 8,
    source: 'RFC 4443',
    fields: {
      type: { kind: 'number', offset: 0, size: 1 },
      code: { kind: 'number', offset: 1, size: 1 },
      checksum: { kind: 'number', offset: 2, size: 2 },
      /** Echo. */
      identifier: { kind: 'number', offset: 4, size: 2 },
      /** Echo. */
      sequence: { kind: 'number', offset: 6, size: 2 },
      /** Parameter problem. */
      pointer: { kind: 'number', offset: 4, size: 4 },
      /** Packet too big: the next hop's MTU in bytes. */
      mtu: { kind: 'number', offset: 4, size: 4 },
    },
  },
  udp: {
    size: 8,
    source: 'RFC 768',
    fields: {
      sourcePort: { kind: 'number', offset: 0, size: 2 },
      destinationPort: { kind: 'number', offset: 2, size: 2 },
      /** In bytes, this header included. */
      length: { kind: 'number', offset: 4, size: 2 },
      /** 0 says: none was computed. */
      checksum: { kind: 'number', offset: 6, size: 2 },
    },
  },
  tcp: {
    size: 20,
    source: 'RFC 9293, section 3.1; RFC 9768 for ae',
    fields: {
      sourcePort: { kind: 'number', offset: 0, size: 2 },
      destinationPort: { kind: 'number', offset: 2, size: 2 },
      sequence: { kind: 'number', offset: 4, size: 4 },
      acknowledgment: { kind: 'number', offset: 8, size: 4 },
      /** In bytes, options included. */
      headerLength: { kind: 'number', offset: 12, size: 1, shift: 4, width: 4, scale: 4 },
      ae: { kind: 'flag', offset: 12, size: 1, width: 1 },
      /** The eight bits from CWR (0x80) to FIN (0x01). */
      flags: { kind: 'number', offset: 13, size: 1 },
      cwr: { kind: 'flag', offset: 13, size: 1, shift: 7, width: 1 },
      ece: { kind: 'flag', offset: 13, size: 1, shift: 6, width: 1 },
      urg: { kind: 'flag', offset: 13, size: 1, shift: 5, width: 1 },
      ack: { kind: 'flag', offset: 13, size: 1, shift: 4, width: 1 },
      psh: { kind: 'flag', offset: 13, size: 1, shift: 3, width: 1 },
      rst: { kind: 'flag', offset: 13, size: 1, shift: 2, width: 1 },
      syn: { kind: 'flag', offset: 13, size: 1, shift: 1, width: 1 },
      fin: { kind: 'flag', offset: 13, size: 1, width: 1 },
      window: { kind: 'number', offset: 14, size: 2 },
      checksum: { kind: 'number', offset: 16, size: 2 },
      urgentPointer: { kind: 'number', offset: 18, size: 2 },
    },
  },
  dns: {
    size: 12,
    source: 'RFC 1035, section 4.1.1; RFC 4035 for authenticData and checkingDisabled',
    fields: {
      id: { kind: 'number', offset: 0, size: 2 },
      response: { kind: 'flag', offset: 2, size: 1, shift: 7, width: 1 },
      opcode: { kind: 'number', offset: 2, size: 1, shift: 3, width: 4 },
      authoritative: { kind: 'flag', offset: 2, size: 1, shift: 2, width: 1 },
      truncated: { kind: 'flag', offset: 2, size: 1, shift: 1, width: 1 },
      recursionDesired: { kind: 'flag', offset: 2, size: 1, width: 1 },
      recursionAvailable: { kind: 'flag', offset: 3, size: 1, shift: 7, width: 1 },
      authenticData: { kind: 'flag', offset: 3, size: 1, shift: 5, width: 1 },
      checkingDisabled: { kind: 'flag', offset: 3, size: 1, shift: 4, width: 1 },
      responseCode: { kind: 'number', offset: 3, size: 1, width: 4 },
      questionCount: { kind: 'number', offset: 4, size: 2 },
      answerCount: { kind: 'number', offset: 6, size: 2 },
      authorityCount: { kind: 'number', offset: 8, size: 2 },
      additionalCount: { kind: 'number', offset: 10, size: 2 },
    },
  },
  /** PPPoE, discovery (EtherType 0x8863) and session (0x8864) alike. */
  pppoe: {
    size: 6,
    source: 'RFC 2516, section 4',
    fields: {
      version: { kind: 'number', offset: 0, size: 1, shift: 4, width: 4 },
      type: { kind: 'number', offset: 0, size: 1, width: 4 },
      code: { kind: 'number', offset: 1, size: 1 },
      sessionId: { kind: 'number', offset: 2, size: 2 },
      /** Bytes after this header. */
      length: { kind: 'number', offset: 4, size: 2 },
    },
  },
  /** PPP as PPPoE carries it: no address and control bytes, the protocol uncompressed. */
  ppp: {
    size: 2,
    source: 'RFC 1661, section 2; RFC 2516, section 7',
    fields: {
      protocol: { kind: 'number', offset: 0, size: 2 },
    },
  },
  /** What LCP, IPCP, IPV6CP, PAP, CHAP and EAP packets begin with. */
  pppControl: {
    size: 4,
    source: 'RFC 1661, section 5',
    fields: {
      code: { kind: 'number', offset: 0, size: 1 },
      identifier: { kind: 'number', offset: 1, size: 1 },
      /** In bytes, these four included. */
      length: { kind: 'number', offset: 2, size: 2 },
    },
  },
} as const;

export type HeaderName = keyof typeof headers;
/** The same table with the optional members of {@link HeaderField} visible, for code that walks it. */
export const headerLayouts: Readonly<Record<HeaderName, HeaderLayout>> = headers;

export type FieldName<H extends HeaderName> = keyof (typeof headers)[H]['fields'];

/** EtherTypes (IEEE registration authority; the kernel's linux/if_ether.h). Below 0x600 the field is a length. */
export const EtherType = {
  ipv4: 0x0800,
  arp: 0x0806,
  vlan: 0x8100,
  ipv6: 0x86dd,
  mpls: 0x8847,
  pppoeDiscovery: 0x8863,
  pppoeSession: 0x8864,
  qinq: 0x88a8,
  lldp: 0x88cc,
} as const;

/** IP protocol and IPv6 next header numbers (IANA). */
export const IpProtocol = {
  hopByHop: 0,
  icmp: 1,
  igmp: 2,
  ipv4: 4,
  tcp: 6,
  udp: 17,
  ipv6: 41,
  routing: 43,
  fragment: 44,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  noNextHeader: 59,
  destinationOptions: 60,
  sctp: 132,
  mobility: 135,
} as const;

/** TCP control bits as `flags` holds them (RFC 9293, section 3.1). */
export const TcpFlag = {
  fin: 0x01,
  syn: 0x02,
  rst: 0x04,
  psh: 0x08,
  ack: 0x10,
  urg: 0x20,
  ece: 0x40,
  cwr: 0x80,
} as const;

/** ARP operations (IANA). */
export const ArpOperation = { request: 1, reply: 2 } as const;

/** ICMP types (IANA). */
export const IcmpType = {
  echoReply: 0,
  destinationUnreachable: 3,
  redirect: 5,
  echoRequest: 8,
  routerAdvertisement: 9,
  routerSolicitation: 10,
  timeExceeded: 11,
  parameterProblem: 12,
  timestampRequest: 13,
  timestampReply: 14,
} as const;

/** ICMPv6 types (IANA). */
export const Icmpv6Type = {
  destinationUnreachable: 1,
  packetTooBig: 2,
  timeExceeded: 3,
  parameterProblem: 4,
  echoRequest: 128,
  echoReply: 129,
  multicastListenerQuery: 130,
  multicastListenerReport: 131,
  multicastListenerDone: 132,
  routerSolicitation: 133,
  routerAdvertisement: 134,
  neighborSolicitation: 135,
  neighborAdvertisement: 136,
  redirect: 137,
  multicastListenerReportV2: 143,
} as const;

/** PPPoE codes (RFC 2516, section 5): PADI … PADT, and 0 for the session stage. */
export const PppoeCode = {
  session: 0x00,
  pado: 0x07,
  padi: 0x09,
  padr: 0x19,
  pads: 0x65,
  padt: 0xa7,
} as const;

/** PPP protocol numbers (IANA). */
export const PppProtocol = {
  ipv4: 0x0021,
  ipv6: 0x0057,
  ipcp: 0x8021,
  ipv6cp: 0x8057,
  ccp: 0x80fd,
  lcp: 0xc021,
  pap: 0xc023,
  chap: 0xc223,
  eap: 0xc227,
} as const;
