import {
  AhView,
  ArpView,
  addressSum6,
  type DnsRecord,
  type DnsType,
  decodeChap,
  decodeDns,
  decodeEap,
  decodeNdpOptions,
  decodePap,
  dnsTypeCode,
  EthernetView,
  IcmpType,
  IcmpView,
  Icmpv6Type,
  Icmpv6View,
  Ipv4OptionCursor,
  Ipv4OptionType,
  Ipv4View,
  Ipv6ExtensionView,
  Ipv6FragmentView,
  Ipv6OptionCursor,
  Ipv6RoutingView,
  Ipv6View,
  ipv4Text,
  LayerKind,
  type LayerName,
  macText,
  NdpView,
  PacketLayers,
  PppControlView,
  PppOptionCursor,
  PppoeTagCursor,
  PppoeTagType,
  PppoeView,
  PppView,
  RoutingType,
  TcpOptionCursor,
  TcpOptionKind,
  TcpView,
  UdpView,
  VlanView,
} from '../../src/packet/index.ts';

/** What our views read from a packet, under the names that tshark gives the same fields. */
export type Fields = Map<string, string[]>;

/** Every field that is compared; both sides must agree on each, also on its absence. */
export const FIELDS = [
  'eth.dst',
  'eth.src',
  'eth.type',
  'eth.len',
  'vlan.priority',
  'vlan.dei',
  'vlan.id',
  'vlan.etype',
  'ieee8021ad.priority',
  'ieee8021ad.dei',
  'ieee8021ad.id',
  'arp.hw.type',
  'arp.proto.type',
  'arp.hw.size',
  'arp.proto.size',
  'arp.opcode',
  'arp.src.hw_mac',
  'arp.src.proto_ipv4',
  'arp.dst.hw_mac',
  'arp.dst.proto_ipv4',
  'ip.version',
  'ip.hdr_len',
  'ip.dsfield.dscp',
  'ip.dsfield.ecn',
  'ip.len',
  'ip.id',
  'ip.flags.rb',
  'ip.flags.df',
  'ip.flags.mf',
  'ip.frag_offset',
  'ip.ttl',
  'ip.proto',
  'ip.checksum',
  'ip.checksum.status',
  'ip.src',
  'ip.dst',
  'ip.opt.type',
  'ip.opt.len',
  'ip.opt.ptr',
  'ip.opt.ra',
  'ip.rec_rt',
  'ipv6.version',
  'ipv6.tclass',
  'ipv6.tclass.dscp',
  'ipv6.tclass.ecn',
  'ipv6.flow',
  'ipv6.plen',
  'ipv6.nxt',
  'ipv6.hlim',
  'ipv6.src',
  'ipv6.dst',
  'ipv6.hopopts.nxt',
  'ipv6.hopopts.len',
  'ipv6.dstopts.nxt',
  'ipv6.dstopts.len',
  'ipv6.routing.nxt',
  'ipv6.routing.len',
  'ipv6.routing.type',
  'ipv6.routing.segleft',
  'ipv6.routing.src.addr',
  'ipv6.routing.mipv6.home_address',
  'ipv6.routing.srh.addr',
  'ipv6.opt.router_alert',
  'ipv6.fraghdr.nxt',
  'ipv6.fraghdr.offset',
  'ipv6.fraghdr.more',
  'ipv6.fraghdr.ident',
  'ah.next_header',
  'ah.length',
  'ah.spi',
  'ah.sequence',
  'ah.icv',
  'icmp.type',
  'icmp.code',
  'icmp.checksum',
  'icmp.checksum.status',
  'icmp.ident',
  'icmp.seq',
  'icmp.mtu',
  'icmp.redir_gw',
  'icmp.pointer',
  'icmpv6.type',
  'icmpv6.code',
  'icmpv6.checksum',
  'icmpv6.checksum.status',
  'icmpv6.echo.identifier',
  'icmpv6.echo.sequence_number',
  'icmpv6.mtu',
  'icmpv6.pointer',
  'icmpv6.nd.ra.cur_hop_limit',
  'icmpv6.nd.ra.flag.m',
  'icmpv6.nd.ra.flag.o',
  'icmpv6.nd.ra.flag.prf',
  'icmpv6.nd.ra.router_lifetime',
  'icmpv6.nd.ra.reachable_time',
  'icmpv6.nd.ra.retrans_timer',
  'icmpv6.nd.ns.target_address',
  'icmpv6.nd.na.flag.r',
  'icmpv6.nd.na.flag.s',
  'icmpv6.nd.na.flag.o',
  'icmpv6.nd.na.target_address',
  'icmpv6.nd.rd.target_address',
  'icmpv6.rd.na.destination_address',
  'icmpv6.opt.type',
  'icmpv6.opt.length',
  'icmpv6.opt.linkaddr',
  'icmpv6.opt.prefix.length',
  'icmpv6.opt.prefix.flag.l',
  'icmpv6.opt.prefix.flag.a',
  'icmpv6.opt.prefix.valid_lifetime',
  'icmpv6.opt.prefix.preferred_lifetime',
  'icmpv6.opt.prefix',
  'icmpv6.opt.mtu',
  'icmpv6.opt.rdnss.lifetime',
  'icmpv6.opt.rdnss',
  'icmpv6.opt.dnssl.lifetime',
  'icmpv6.opt.dnssl',
  'udp.srcport',
  'udp.dstport',
  'udp.length',
  'udp.checksum',
  'udp.checksum.status',
  'tcp.srcport',
  'tcp.dstport',
  'tcp.seq_raw',
  'tcp.ack_raw',
  'tcp.hdr_len',
  'tcp.flags.ae',
  'tcp.flags.cwr',
  'tcp.flags.ece',
  'tcp.flags.urg',
  'tcp.flags.ack',
  'tcp.flags.push',
  'tcp.flags.reset',
  'tcp.flags.syn',
  'tcp.flags.fin',
  'tcp.window_size_value',
  'tcp.checksum',
  'tcp.checksum.status',
  'tcp.urgent_pointer',
  'tcp.option_kind',
  'tcp.option_len',
  'tcp.options.mss_val',
  'tcp.options.wscale.shift',
  'tcp.options.sack_le',
  'tcp.options.sack_re',
  'tcp.options.timestamp.tsval',
  'tcp.options.timestamp.tsecr',
  'tcp.options.tfo.cookie',
  'dns.id',
  'dns.flags.response',
  'dns.flags.opcode',
  'dns.flags.authoritative',
  'dns.flags.truncated',
  'dns.flags.recdesired',
  'dns.flags.recavail',
  'dns.flags.authenticated',
  'dns.flags.checkdisable',
  'dns.flags.rcode',
  'dns.count.queries',
  'dns.count.answers',
  'dns.count.auth_rr',
  'dns.count.add_rr',
  'dns.qry.name',
  'dns.qry.type',
  'dns.qry.class',
  'dns.resp.name',
  'dns.resp.type',
  'dns.resp.ttl',
  'dns.a',
  'dns.aaaa',
  'dns.ns',
  'dns.cname',
  'dns.dname',
  'dns.ptr.domain_name',
  'dns.soa.mname',
  'dns.soa.rname',
  'dns.soa.serial_number',
  'dns.soa.refresh_interval',
  'dns.soa.retry_interval',
  'dns.soa.expire_limit',
  'dns.soa.minimum_ttl',
  'dns.hinfo.cpu',
  'dns.hinfo.os',
  'dns.mx.preference',
  'dns.mx.mail_exchange',
  'dns.txt',
  'dns.rp.mailbox',
  'dns.rp.txt_rr',
  'dns.afsdb.subtype',
  'dns.afsdb.hostname',
  'dns.srv.name',
  'dns.srv.priority',
  'dns.srv.weight',
  'dns.srv.port',
  'dns.srv.target',
  'dns.naptr.order',
  'dns.naptr.preference',
  'dns.naptr.flags',
  'dns.naptr.service',
  'dns.naptr.regex',
  'dns.naptr.replacement',
  'dns.ds.key_id',
  'dns.ds.algorithm',
  'dns.ds.digest_type',
  'dns.ds.digest',
  'dns.sshfp.algorithm',
  'dns.sshfp.fingerprint.type',
  'dns.sshfp.fingerprint',
  'dns.rrsig.type_covered',
  'dns.rrsig.algorithm',
  'dns.rrsig.labels',
  'dns.rrsig.original_ttl',
  'dns.rrsig.key_tag',
  'dns.rrsig.signers_name',
  'dns.rrsig.signature',
  'dns.nsec.next_domain_name',
  'dns.dnskey.flags',
  'dns.dnskey.protocol',
  'dns.dnskey.algorithm',
  'dns.dnskey.public_key',
  'dns.nsec3.algo',
  'dns.nsec3.flags',
  'dns.nsec3.iterations',
  'dns.nsec3.salt_value',
  'dns.tlsa.certificate_usage',
  'dns.tlsa.selector',
  'dns.tlsa.matching_type',
  'dns.tlsa.certificate_association_data',
  'dns.svcb.svcpriority',
  'dns.svcb.targetname',
  'dns.svcb.svcparam.key',
  'dns.caa.tag',
  'dns.caa.issue',
  'dns.rr.udp_payload_size',
  'dns.resp.ext_rcode',
  'dns.resp.edns0_version',
  'dns.resp.z.do',
  'dns.opt.code',
  'dns.opt.data',
  'pppoe.version',
  'pppoe.type',
  'pppoe.code',
  'pppoe.session_id',
  'pppoe.payload_length',
  'pppoed.tags.service_name',
  'pppoed.tags.ac_name',
  'pppoed.tags.host_uniq',
  'pppoed.tags.ac_cookie',
  'pppoed.tags.relay_session_id',
  'ppp.protocol',
  'ppp.code',
  'ppp.identifier',
  'ppp.length',
  'lcp.opt.type',
  'lcp.opt.length',
  'lcp.opt.mru',
  'lcp.opt.auth_protocol',
  'lcp.opt.magic_number',
  'ipcp.opt.type',
  'ipcp.opt.length',
  'ipcp.opt.ip_address',
  'ipcp.opt.pri_dns_address',
  'ipcp.opt.sec_dns_address',
  'ipv6cp.opt.type',
  'ipv6cp.opt.length',
  'pap.code',
  'pap.identifier',
  'pap.length',
  'pap.peer_id',
  'pap.password',
  'pap.message',
  'chap.code',
  'chap.identifier',
  'chap.length',
  'chap.value',
  'chap.name',
  'chap.message',
  'eap.code',
  'eap.id',
  'eap.len',
  'eap.type',
  'eap.identity',
] as const;

/** What a packet looks like to our views. */
export function dissect(packet: Uint8Array): Fields {
  const dissector = new Dissector(packet);
  dissector.walk(new PacketLayers().decode(packet));
  return dissector.fields;
}

/** The IP header that a checksum counts the addresses of. */
interface Network {
  readonly addressSum: number;
  /** Whether the whole of the packet is here, so that a checksum can be verified. */
  readonly whole: boolean;
}

class Dissector {
  readonly fields: Fields = new Map();
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  walk(layers: PacketLayers): void {
    let network: Network = { addressSum: 0, whole: false };
    for (let i = 0; i < layers.count; i++) {
      const at = layers.offsets[i]!;
      const end = layers.ends[i]!;
      const name = layers.name(i);
      if (name === 'ipv4') network = this.#ipv4(at, end);
      else if (name === 'ipv6') network = this.#ipv6(at, end);
      else if (name === 'routing') network = this.#routing(at, end, network, layers, i);
      else if (name === 'fragment') network = this.#fragment(at, end, network);
      else this.#layer(name, at, end, network, layers, i);
    }
  }

  #put(field: (typeof FIELDS)[number], value: string | number | boolean): void {
    const text = typeof value === 'boolean' ? (value ? '1' : '0') : String(value);
    const values = this.fields.get(field);
    if (values === undefined) this.fields.set(field, [text]);
    else values.push(text);
  }

  #hex(start: number, end: number): string {
    return Buffer.from(this.#bytes.subarray(start, end)).toString('hex');
  }

  #layer(
    name: LayerName,
    at: number,
    end: number,
    network: Network,
    layers: PacketLayers,
    index: number,
  ): void {
    const bytes = this.#bytes;
    switch (name) {
      case 'eth': {
        const view = new EthernetView().at(bytes, at, end);
        this.#put('eth.dst', macText(view.destination));
        this.#put('eth.src', macText(view.source));
        this.#put(view.etherType < 0x600 ? 'eth.len' : 'eth.type', view.etherType);
        return;
      }
      case 'vlan': {
        const view = new VlanView().at(bytes, at, end);
        if (layers.name(index + 1) === 'vlan') {
          this.#put('ieee8021ad.priority', view.priority);
          this.#put('ieee8021ad.dei', view.dropEligible);
          this.#put('ieee8021ad.id', view.id);
          return;
        }
        this.#put('vlan.priority', view.priority);
        this.#put('vlan.dei', view.dropEligible);
        this.#put('vlan.id', view.id);
        this.#put('vlan.etype', view.etherType);
        return;
      }
      case 'arp': {
        const view = new ArpView().at(bytes, at, end);
        this.#put('arp.hw.type', view.hardwareType);
        this.#put('arp.proto.type', view.protocolType);
        this.#put('arp.hw.size', view.hardwareLength);
        this.#put('arp.proto.size', view.protocolLength);
        this.#put('arp.opcode', view.operation);
        this.#put('arp.src.hw_mac', view.senderHardwareAddressText);
        this.#put('arp.src.proto_ipv4', view.senderProtocolAddressText);
        this.#put('arp.dst.hw_mac', view.targetHardwareAddressText);
        this.#put('arp.dst.proto_ipv4', view.targetProtocolAddressText);
        return;
      }
      case 'hopByHop':
      case 'destinationOptions':
        this.#extension(name, at, end);
        return;
      case 'ah': {
        const view = new AhView().at(bytes, at, end);
        this.#put('ah.next_header', view.nextHeader);
        this.#put('ah.length', view.headerLength / 4 - 2);
        this.#put('ah.spi', view.spi);
        this.#put('ah.sequence', view.sequence);
        this.#put('ah.icv', this.#hex(view.icvOffset, view.payloadOffset));
        return;
      }
      case 'icmp':
        this.#icmp(at, end);
        return;
      case 'icmpv6':
        this.#icmpv6(at, end, network);
        return;
      case 'udp': {
        const view = new UdpView().at(bytes, at, end);
        this.#put('udp.srcport', view.sourcePort);
        this.#put('udp.dstport', view.destinationPort);
        this.#put('udp.length', view.length);
        this.#put('udp.checksum', view.checksum);
        // 0 is bad, 1 good, 2 not verified, 3 not present.
        const verified = network.whole ? Number(view.verifyChecksum(network.addressSum)) : 2;
        this.#put('udp.checksum.status', view.checksum === 0 ? 3 : verified);
        return;
      }
      case 'tcp':
        this.#tcp(at, end, network);
        return;
      case 'dns':
        this.#dns(at, end);
        return;
      case 'pppoe':
        this.#pppoe(at, end);
        return;
      case 'ppp':
        this.#put('ppp.protocol', new PppView().at(bytes, at, end).protocol);
        return;
      case 'lcp':
      case 'ipcp':
      case 'ipv6cp':
        this.#control(name, at, end);
        return;
      case 'pap':
      case 'chap':
      case 'eap':
        this.#authentication(name, at, end);
        return;
      case 'payload':
        this.#quote(at, end, layers, index);
        return;
    }
  }

  #ipv4(at: number, end: number): Network {
    const view = new Ipv4View().at(this.#bytes, at, end);
    this.#put('ip.version', view.version);
    this.#put('ip.hdr_len', view.headerLength);
    this.#put('ip.dsfield.dscp', view.dscp);
    this.#put('ip.dsfield.ecn', view.ecn);
    this.#put('ip.len', view.totalLength);
    this.#put('ip.id', view.identification);
    this.#put('ip.flags.rb', (view.flags & 4) !== 0);
    this.#put('ip.flags.df', view.dontFragment);
    this.#put('ip.flags.mf', view.moreFragments);
    // This tshark prints the offset in units of 8 bytes.
    this.#put('ip.frag_offset', view.fragmentOffset / 8);
    this.#put('ip.ttl', view.ttl);
    this.#put('ip.proto', view.protocol);
    this.#put('ip.checksum', view.checksum);
    this.#put('ip.checksum.status', view.verifyChecksum());
    this.#put('ip.src', view.sourceText);
    this.#put('ip.dst', view.destinationText);
    const cursor = new Ipv4OptionCursor().start(this.#bytes, view.optionsOffset, view.payloadOffset);
    while (cursor.next()) {
      // tshark has no fields for a type that it does not know.
      if (cursor.type === 222) continue;
      this.#put('ip.opt.type', cursor.type);
      if (cursor.type <= Ipv4OptionType.nop) continue;
      this.#put('ip.opt.len', cursor.dataEnd - cursor.offset);
      if (cursor.type === Ipv4OptionType.routerAlert) {
        this.#put('ip.opt.ra', Number.parseInt(this.#hex(cursor.dataOffset, cursor.dataEnd), 16));
      } else {
        this.#put('ip.opt.ptr', this.#bytes[cursor.dataOffset]!);
        for (let i = cursor.dataOffset + 1; i < cursor.dataEnd; i += 4) {
          this.#put('ip.rec_rt', ipv4Text(Number.parseInt(this.#hex(i, i + 4), 16)));
        }
      }
    }
    return { addressSum: view.addressSum, whole: !view.truncated && !view.fragmented };
  }

  #ipv6(at: number, end: number): Network {
    const view = new Ipv6View().at(this.#bytes, at, end);
    this.#put('ip.version', view.version);
    this.#put('ipv6.version', view.version);
    this.#put('ipv6.tclass', view.trafficClass);
    this.#put('ipv6.tclass.dscp', view.dscp);
    this.#put('ipv6.tclass.ecn', view.ecn);
    this.#put('ipv6.flow', view.flowLabel);
    this.#put('ipv6.plen', view.payloadLength);
    this.#put('ipv6.nxt', view.nextHeader);
    this.#put('ipv6.hlim', view.hopLimit);
    this.#put('ipv6.src', view.sourceText);
    this.#put('ipv6.dst', view.destinationText);
    return { addressSum: view.addressSum, whole: !view.truncated };
  }

  #extension(name: 'hopByHop' | 'destinationOptions', at: number, end: number): void {
    const view = new Ipv6ExtensionView().at(this.#bytes, at, end);
    const prefix = name === 'hopByHop' ? 'ipv6.hopopts' : 'ipv6.dstopts';
    this.#put(`${prefix}.nxt`, view.nextHeader);
    this.#put(`${prefix}.len`, view.extensionLength);
    const cursor = new Ipv6OptionCursor().start(this.#bytes, view.optionsOffset, view.payloadOffset);
    while (cursor.next()) {
      if (cursor.type !== 5) continue;
      this.#put('ipv6.opt.router_alert', Number.parseInt(this.#hex(cursor.dataOffset, cursor.dataEnd), 16));
    }
  }

  #routing(at: number, end: number, network: Network, layers: PacketLayers, index: number): Network {
    const view = new Ipv6RoutingView().at(this.#bytes, at, end);
    this.#put('ipv6.routing.nxt', view.nextHeader);
    this.#put('ipv6.routing.len', view.extensionLength);
    this.#put('ipv6.routing.type', view.routingType);
    this.#put('ipv6.routing.segleft', view.segmentsLeft);
    const addresses: Uint8Array[] = [];
    for (let i = 0; i < view.addressCount; i++) {
      const offset = view.addressOffset(i);
      addresses.push(this.#bytes.subarray(offset, offset + 16));
      const text = new Ipv6TextView().textAt(this.#bytes, offset);
      if (view.routingType === RoutingType.source) this.#put('ipv6.routing.src.addr', text);
      else if (view.routingType === RoutingType.home) this.#put('ipv6.routing.mipv6.home_address', text);
      else this.#put('ipv6.routing.srh.addr', text);
    }
    if (view.segmentsLeft === 0 || addresses.length === 0) return network;
    const ip = new Ipv6View().at(this.#bytes, layers.offsets[layers.findLast(LayerKind.ipv6)]!);
    const final = view.routingType === RoutingType.segment ? addresses[0]! : addresses.at(-1)!;
    return index < 0 ? network : { ...network, addressSum: addressSum6(ip.source, final) };
  }

  #fragment(at: number, end: number, network: Network): Network {
    const view = new Ipv6FragmentView().at(this.#bytes, at, end);
    this.#put('ipv6.fraghdr.nxt', view.nextHeader);
    this.#put('ipv6.fraghdr.offset', view.fragmentOffset / 8);
    this.#put('ipv6.fraghdr.more', view.moreFragments);
    this.#put('ipv6.fraghdr.ident', view.identification);
    return { ...network, whole: network.whole && !view.moreFragments && view.fragmentOffset === 0 };
  }

  #icmp(at: number, end: number): void {
    const view = new IcmpView().at(this.#bytes, at, end);
    this.#put('icmp.type', view.type);
    this.#put('icmp.code', view.code);
    this.#put('icmp.checksum', view.checksum);
    this.#put('icmp.checksum.status', view.verifyChecksum());
    if (view.type === IcmpType.echoRequest || view.type === IcmpType.echoReply) {
      this.#put('icmp.ident', view.identifier);
      this.#put('icmp.seq', view.sequence);
    } else if (view.type === IcmpType.destinationUnreachable) this.#put('icmp.mtu', view.mtu);
    else if (view.type === IcmpType.redirect) this.#put('icmp.redir_gw', view.gatewayText);
    else if (view.type === IcmpType.parameterProblem) this.#put('icmp.pointer', view.pointer);
  }

  #icmpv6(at: number, end: number, network: Network): void {
    const view = new Icmpv6View().at(this.#bytes, at, end);
    this.#put('icmpv6.type', view.type);
    this.#put('icmpv6.code', view.code);
    this.#put('icmpv6.checksum', view.checksum);
    this.#put('icmpv6.checksum.status', view.verifyChecksum(network.addressSum));
    if (view.type === Icmpv6Type.echoRequest || view.type === Icmpv6Type.echoReply) {
      this.#put('icmpv6.echo.identifier', view.identifier);
      this.#put('icmpv6.echo.sequence_number', view.sequence);
    } else if (view.type === Icmpv6Type.packetTooBig) this.#put('icmpv6.mtu', view.mtu);
    else if (view.type === Icmpv6Type.parameterProblem) this.#put('icmpv6.pointer', view.pointer);
    if (view.type >= Icmpv6Type.routerSolicitation) this.#ndp(at, end);
  }

  #ndp(at: number, end: number): void {
    const view = new NdpView().at(this.#bytes, at, end);
    switch (view.type) {
      case Icmpv6Type.routerAdvertisement:
        this.#put('icmpv6.nd.ra.cur_hop_limit', view.hopLimit);
        this.#put('icmpv6.nd.ra.flag.m', view.managed);
        this.#put('icmpv6.nd.ra.flag.o', view.otherConfiguration);
        this.#put('icmpv6.nd.ra.flag.prf', { medium: 0, high: 1, low: 3 }[view.preference]);
        this.#put('icmpv6.nd.ra.router_lifetime', view.routerLifetime);
        this.#put('icmpv6.nd.ra.reachable_time', view.reachableTime);
        this.#put('icmpv6.nd.ra.retrans_timer', view.retransmitTimer);
        break;
      case Icmpv6Type.neighborSolicitation:
        this.#put('icmpv6.nd.ns.target_address', view.targetText);
        break;
      case Icmpv6Type.neighborAdvertisement:
        this.#put('icmpv6.nd.na.flag.r', view.router);
        this.#put('icmpv6.nd.na.flag.s', view.solicited);
        this.#put('icmpv6.nd.na.flag.o', view.override);
        this.#put('icmpv6.nd.na.target_address', view.targetText);
        break;
      case Icmpv6Type.redirect:
        this.#put('icmpv6.nd.rd.target_address', view.targetText);
        this.#put('icmpv6.rd.na.destination_address', view.destinationText);
        break;
    }
    let offset = view.optionsOffset;
    for (const option of decodeNdpOptions(this.#bytes, view.optionsOffset, end)) {
      this.#put('icmpv6.opt.type', this.#bytes[offset]!);
      this.#put('icmpv6.opt.length', this.#bytes[offset + 1]!);
      offset += this.#bytes[offset + 1]! * 8;
      switch (option.kind) {
        case 'sourceLinkLayer':
        case 'targetLinkLayer':
          this.#put('icmpv6.opt.linkaddr', String(option.address));
          break;
        case 'prefix':
          this.#put('icmpv6.opt.prefix.length', option.prefixLength);
          this.#put('icmpv6.opt.prefix.flag.l', option.onLink);
          this.#put('icmpv6.opt.prefix.flag.a', option.autonomous);
          this.#put('icmpv6.opt.prefix.valid_lifetime', option.validLifetime);
          this.#put('icmpv6.opt.prefix.preferred_lifetime', option.preferredLifetime);
          this.#put('icmpv6.opt.prefix', String(option.prefix));
          break;
        case 'mtu':
          this.#put('icmpv6.opt.mtu', option.mtu);
          break;
        case 'rdnss':
          this.#put('icmpv6.opt.rdnss.lifetime', option.lifetime);
          for (const address of option.addresses) this.#put('icmpv6.opt.rdnss', String(address));
          break;
        case 'dnssl':
          this.#put('icmpv6.opt.dnssl.lifetime', option.lifetime);
          for (const name of option.names) this.#put('icmpv6.opt.dnssl', name);
          break;
      }
    }
  }

  #tcp(at: number, end: number, network: Network): void {
    const view = new TcpView().at(this.#bytes, at, end);
    this.#put('tcp.srcport', view.sourcePort);
    this.#put('tcp.dstport', view.destinationPort);
    this.#put('tcp.seq_raw', view.sequence);
    this.#put('tcp.ack_raw', view.acknowledgment);
    this.#put('tcp.hdr_len', view.headerLength);
    this.#put('tcp.flags.ae', view.ae);
    this.#put('tcp.flags.cwr', view.cwr);
    this.#put('tcp.flags.ece', view.ece);
    this.#put('tcp.flags.urg', view.urg);
    this.#put('tcp.flags.ack', view.ack);
    this.#put('tcp.flags.push', view.psh);
    this.#put('tcp.flags.reset', view.rst);
    this.#put('tcp.flags.syn', view.syn);
    this.#put('tcp.flags.fin', view.fin);
    this.#put('tcp.window_size_value', view.window);
    this.#put('tcp.checksum', view.checksum);
    this.#put('tcp.checksum.status', network.whole ? Number(view.verifyChecksum(network.addressSum)) : 2);
    this.#put('tcp.urgent_pointer', view.urgentPointer);
    const cursor = new TcpOptionCursor().start(this.#bytes, view.optionsOffset, view.payloadOffset);
    while (cursor.next()) {
      this.#put('tcp.option_kind', cursor.kind);
      if (cursor.kind === TcpOptionKind.end) {
        // tshark counts every byte of the padding.
        for (let i = cursor.offset + 1; i < view.payloadOffset; i++) this.#put('tcp.option_kind', 0);
      }
      if (cursor.kind <= TcpOptionKind.nop) continue;
      this.#put('tcp.option_len', cursor.length);
      if (cursor.kind === TcpOptionKind.mss) this.#put('tcp.options.mss_val', cursor.mss);
      else if (cursor.kind === TcpOptionKind.windowScale) {
        this.#put('tcp.options.wscale.shift', cursor.windowScale);
      } else if (cursor.kind === TcpOptionKind.timestamps) {
        this.#put('tcp.options.timestamp.tsval', cursor.timestamp);
        this.#put('tcp.options.timestamp.tsecr', cursor.timestampEcho);
      } else if (cursor.kind === TcpOptionKind.sack) {
        for (let i = 0; i < cursor.sackCount; i++) {
          this.#put('tcp.options.sack_le', cursor.sackLeft(i));
          this.#put('tcp.options.sack_re', cursor.sackRight(i));
        }
      } else if (cursor.kind === TcpOptionKind.fastOpen && cursor.length > 2) {
        this.#put('tcp.options.tfo.cookie', this.#hex(cursor.dataOffset, cursor.dataEnd));
      }
    }
  }

  #dns(at: number, end: number): void {
    const message = decodeDns(this.#bytes, at, end);
    const { edns } = message;
    this.#put('dns.id', message.id);
    this.#put('dns.flags.response', message.response);
    this.#put('dns.flags.opcode', message.opcode);
    if (message.response) this.#put('dns.flags.authoritative', message.authoritative);
    this.#put('dns.flags.truncated', message.truncated);
    this.#put('dns.flags.recdesired', message.recursionDesired);
    if (message.response) this.#put('dns.flags.recavail', message.recursionAvailable);
    if (message.response || message.authenticData) {
      this.#put('dns.flags.authenticated', message.authenticData);
    }
    this.#put('dns.flags.checkdisable', message.checkingDisabled);
    if (message.response) this.#put('dns.flags.rcode', message.responseCode & 0x0f);
    this.#put('dns.count.queries', message.questions.length);
    this.#put('dns.count.answers', message.answers.length);
    this.#put('dns.count.auth_rr', message.authorities.length);
    this.#put('dns.count.add_rr', message.additionals.length + (edns === undefined ? 0 : 1));
    for (const question of message.questions) {
      this.#put('dns.qry.name', question.name);
      this.#put('dns.qry.type', dnsTypeCode(question.type));
      this.#put('dns.qry.class', question.class ?? 1);
    }
    for (const record of [...message.answers, ...message.authorities]) this.#record(record);
    if (edns !== undefined) {
      this.#put('dns.resp.name', '<Root>');
      this.#put('dns.resp.type', 41);
      this.#put('dns.rr.udp_payload_size', edns.udpPayloadSize ?? 0);
      this.#put('dns.resp.ext_rcode', message.responseCode >>> 4);
      this.#put('dns.resp.edns0_version', edns.version ?? 0);
      this.#put('dns.resp.z.do', edns.dnssecOk ?? false);
      for (const { code, data } of edns.options ?? []) {
        this.#put('dns.opt.code', code);
        this.#put('dns.opt.data', hex(data) || '<MISSING>');
      }
    }
    for (const record of message.additionals) this.#record(record);
  }

  #record(record: DnsRecord): void {
    // Of a service record tshark takes the owner's name apart: _service, _protocol, name.
    if (record.type === 'SRV') this.#put('dns.srv.name', record.name.split('.').slice(2).join('.'));
    else this.#put('dns.resp.name', record.name);
    this.#put('dns.resp.type', dnsTypeCode(record.type));
    this.#put('dns.resp.ttl', record.ttl);
    switch (record.type) {
      case 'A':
        this.#put('dns.a', record.address);
        break;
      case 'AAAA':
        this.#put('dns.aaaa', record.address);
        break;
      case 'NS':
        this.#put('dns.ns', record.host);
        break;
      case 'CNAME':
        this.#put('dns.cname', record.target);
        break;
      case 'DNAME':
        this.#put('dns.dname', record.target);
        break;
      case 'PTR':
        this.#put('dns.ptr.domain_name', record.target);
        break;
      case 'SOA':
        this.#put('dns.soa.mname', record.primary);
        this.#put('dns.soa.rname', record.mailbox);
        this.#put('dns.soa.serial_number', record.serial);
        this.#put('dns.soa.refresh_interval', record.refresh);
        this.#put('dns.soa.retry_interval', record.retry);
        this.#put('dns.soa.expire_limit', record.expire);
        this.#put('dns.soa.minimum_ttl', record.minimum);
        break;
      case 'HINFO':
        this.#put('dns.hinfo.cpu', record.cpu);
        this.#put('dns.hinfo.os', record.os);
        break;
      case 'MX':
        this.#put('dns.mx.preference', record.preference);
        this.#put('dns.mx.mail_exchange', record.exchange);
        break;
      case 'TXT':
        for (const text of record.texts) this.#put('dns.txt', text);
        break;
      case 'RP':
        this.#put('dns.rp.mailbox', record.mailbox);
        this.#put('dns.rp.txt_rr', record.text);
        break;
      case 'AFSDB':
        this.#put('dns.afsdb.subtype', record.subtype);
        this.#put('dns.afsdb.hostname', record.host);
        break;
      case 'SRV':
        this.#put('dns.srv.priority', record.priority);
        this.#put('dns.srv.weight', record.weight);
        this.#put('dns.srv.port', record.port);
        this.#put('dns.srv.target', record.target);
        break;
      case 'NAPTR':
        this.#put('dns.naptr.order', record.order);
        this.#put('dns.naptr.preference', record.preference);
        this.#put('dns.naptr.flags', record.flags);
        this.#put('dns.naptr.service', record.services);
        this.#put('dns.naptr.regex', record.regexp);
        this.#put('dns.naptr.replacement', record.replacement);
        break;
      case 'DS':
        this.#put('dns.ds.key_id', record.keyTag);
        this.#put('dns.ds.algorithm', record.algorithm);
        this.#put('dns.ds.digest_type', record.digestType);
        this.#put('dns.ds.digest', hex(record.digest));
        break;
      case 'SSHFP':
        this.#put('dns.sshfp.algorithm', record.algorithm);
        this.#put('dns.sshfp.fingerprint.type', record.fingerprintType);
        this.#put('dns.sshfp.fingerprint', hex(record.fingerprint));
        break;
      case 'RRSIG':
        this.#put('dns.rrsig.type_covered', record.typeCovered);
        this.#put('dns.rrsig.algorithm', record.algorithm);
        this.#put('dns.rrsig.labels', record.labels);
        this.#put('dns.rrsig.original_ttl', record.originalTtl);
        this.#put('dns.rrsig.key_tag', record.keyTag);
        this.#put('dns.rrsig.signers_name', record.signer);
        this.#put('dns.rrsig.signature', hex(record.signature));
        break;
      case 'NSEC':
        this.#put('dns.nsec.next_domain_name', record.next);
        this.#types(record.types);
        break;
      case 'DNSKEY':
        this.#put('dns.dnskey.flags', record.flags);
        this.#put('dns.dnskey.protocol', record.protocol);
        this.#put('dns.dnskey.algorithm', record.algorithm);
        this.#put('dns.dnskey.public_key', hex(record.key));
        break;
      case 'NSEC3':
      case 'NSEC3PARAM':
        this.#put('dns.nsec3.algo', record.algorithm);
        this.#put('dns.nsec3.flags', record.flags);
        this.#put('dns.nsec3.iterations', record.iterations);
        this.#put('dns.nsec3.salt_value', hex(record.salt) || '<MISSING>');
        if (record.type === 'NSEC3') this.#types(record.types);
        break;
      case 'TLSA':
        this.#put('dns.tlsa.certificate_usage', record.usage);
        this.#put('dns.tlsa.selector', record.selector);
        this.#put('dns.tlsa.matching_type', record.matchingType);
        this.#put('dns.tlsa.certificate_association_data', hex(record.data));
        break;
      case 'SVCB':
      case 'HTTPS':
        this.#put('dns.svcb.svcpriority', record.priority);
        this.#put('dns.svcb.targetname', record.target);
        for (const { key } of record.parameters) this.#put('dns.svcb.svcparam.key', key);
        break;
      case 'CAA':
        this.#put('dns.caa.tag', record.tag);
        this.#put('dns.caa.issue', record.value);
        break;
    }
  }

  /** tshark gives the types in a bitmap the name of a record's own. */
  #types(types: readonly DnsType[]): void {
    for (const type of types) this.#put('dns.resp.type', dnsTypeCode(type));
  }

  #pppoe(at: number, end: number): void {
    const view = new PppoeView().at(this.#bytes, at, end);
    this.#put('pppoe.version', view.version);
    this.#put('pppoe.type', view.type);
    this.#put('pppoe.code', view.code);
    this.#put('pppoe.session_id', view.sessionId);
    this.#put('pppoe.payload_length', view.length);
    if (view.code === 0) return;
    const cursor = new PppoeTagCursor().start(this.#bytes, view.payloadOffset, view.payloadEnd);
    const names = {
      [PppoeTagType.serviceName]: 'pppoed.tags.service_name',
      [PppoeTagType.acName]: 'pppoed.tags.ac_name',
      [PppoeTagType.hostUniq]: 'pppoed.tags.host_uniq',
      [PppoeTagType.acCookie]: 'pppoed.tags.ac_cookie',
      [PppoeTagType.relaySessionId]: 'pppoed.tags.relay_session_id',
    } as const;
    while (cursor.next()) {
      const field = names[cursor.type as keyof typeof names];
      const text = cursor.type === PppoeTagType.serviceName || cursor.type === PppoeTagType.acName;
      const value = this.#bytes.subarray(cursor.dataOffset, cursor.dataEnd);
      this.#put(field, text ? Buffer.from(value).toString('latin1') : hex(value));
    }
  }

  #control(name: 'lcp' | 'ipcp' | 'ipv6cp', at: number, end: number): void {
    const view = new PppControlView().at(this.#bytes, at, end);
    this.#put('ppp.code', view.code);
    this.#put('ppp.identifier', view.identifier);
    this.#put('ppp.length', view.length);
    const cursor = new PppOptionCursor().start(this.#bytes, view.payloadOffset, view.payloadEnd);
    while (cursor.next()) {
      this.#put(`${name}.opt.type`, cursor.type);
      this.#put(`${name}.opt.length`, cursor.dataEnd - cursor.offset);
      const number = Number.parseInt(this.#hex(cursor.dataOffset, cursor.dataEnd), 16);
      if (name === 'lcp') {
        if (cursor.type === 1) this.#put('lcp.opt.mru', number);
        else if (cursor.type === 3) this.#put('lcp.opt.auth_protocol', number >>> 8);
        else if (cursor.type === 5) this.#put('lcp.opt.magic_number', number);
      } else if (name === 'ipcp') {
        const field = ({ 3: 'ip_address', 129: 'pri_dns_address', 131: 'sec_dns_address' } as const)[
          cursor.type as 3 | 129 | 131
        ];
        this.#put(`ipcp.opt.${field}`, ipv4Text(number));
      }
    }
  }

  #authentication(name: 'pap' | 'chap' | 'eap', at: number, end: number): void {
    const view = new PppControlView().at(this.#bytes, at, end);
    const text = (value: Uint8Array): string => Buffer.from(value).toString('latin1');
    this.#put(`${name}.code`, view.code);
    this.#put(name === 'eap' ? 'eap.id' : `${name}.identifier`, view.identifier);
    this.#put(name === 'eap' ? 'eap.len' : `${name}.length`, view.length);
    if (name === 'pap') {
      const packet = decodePap(this.#bytes, at, end);
      if (packet.kind === 'request') {
        this.#put('pap.peer_id', text(packet.peerId));
        this.#put('pap.password', text(packet.password));
      } else this.#put('pap.message', text(packet.message));
    } else if (name === 'chap') {
      const packet = decodeChap(this.#bytes, at, end);
      if ('value' in packet) {
        this.#put('chap.value', hex(packet.value));
        this.#put('chap.name', text(packet.name));
      } else this.#put('chap.message', text(packet.message));
    } else {
      const packet = decodeEap(this.#bytes, at, end);
      if (!('type' in packet)) return;
      this.#put('eap.type', packet.type);
      this.#put('eap.identity', text(packet.data));
    }
  }

  /** An ICMP error quotes the packet it is about; tshark dissects it as well. */
  #quote(at: number, end: number, layers: PacketLayers, index: number): void {
    const before = layers.name(index - 1);
    const type = this.#bytes[layers.offsets[index - 1]!]!;
    const icmpError = before === 'icmp' && type !== IcmpType.echoReply && type !== IcmpType.echoRequest;
    const icmpv6Error = before === 'icmpv6' && type < Icmpv6Type.echoRequest;
    if (!icmpError && !icmpv6Error) return;
    const first = icmpError ? LayerKind.ipv4 : LayerKind.ipv6;
    this.walk(new PacketLayers().decode(this.#bytes, at, end, first));
  }
}

/** Text of an address anywhere in bytes, by way of the view that has it. */
class Ipv6TextView {
  textAt(bytes: Uint8Array, offset: number): string {
    const header = new Uint8Array(40);
    header[0] = 0x60;
    header.set(bytes.subarray(offset, offset + 16), 8);
    return new Ipv6View().at(header).sourceText;
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
