import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { load } from '../../src/bpf/index.ts';
import {
  array,
  be16,
  be32,
  bytes,
  compile,
  devMap,
  hash,
  i32,
  lpmTrie,
  lruHash,
  type Packet,
  perCpuArray,
  program,
  programArray,
  ringBuffer,
  struct,
  u8,
  u16,
  u32,
  u64,
  xskMap,
} from '../../src/compiler/index.ts';
import { array as arrayOf } from '../../src/layout/index.ts';
import { agree, noise, noises } from './agree.ts';

/** Where programs leave what they computed. */
const out = array('out', struct('Out', { a: u64, b: u32, c: i32 }), 4);
const packets = noises(60);

describe('arithmetic', () => {
  it('adds, subtracts and multiplies exactly', () => {
    agree(
      program('sums', { out }, ({ out }, pkt) => {
        const x = pkt.be16(0);
        const y = pkt.u8(2);
        const slot = out.get(0);
        if (!slot) return 'drop';
        slot.a = BigInt(x * 1000 + y * 7 - 13 + 20);
        slot.b = x * x - y;
        slot.c = y - x;
        return 'pass';
      }),
      packets,
    );
  });

  it('divides by constants and by variables', () => {
    agree(
      program('quotients', { out }, ({ out }, pkt) => {
        const x = pkt.be32(0);
        const y = pkt.u8(4) + 1;
        const slot = out.get(0);
        if (!slot) return 'drop';
        slot.b = Math.floor(x / 10) + (x % 10) + Math.floor(x / 8) + (x % 8) + Math.floor(pkt.be16(6) / 7);
        slot.c = ((x / y) | 0) + (x % y);
        slot.a = BigInt(Math.floor(x / 1000003)) * 3n + BigInt(Math.trunc(x / 60)) + BigInt(x % 1000003);
        return 'pass';
      }),
      packets,
    );
  });

  it('keeps to int32 in bit operators', () => {
    agree(
      program('bits', { out }, ({ out }, pkt) => {
        const x = pkt.be32(0);
        const y = pkt.be32(4);
        const slot = out.get(0);
        const second = out.get(1);
        if (!slot || !second) return 'drop';
        slot.c = (x & y) ^ (x | 0x0f0f);
        slot.b = (x >>> 3) + ((y << 5) >>> 0) + ((x & 0xffffffff) >>> 0);
        second.c = (x >> 7) + (~y >> 1);
        second.b = ((x ^ y) >>> 0) % 97;
        slot.a = BigInt(((x << 24) >> 24) + 128);
        return (x & 1) === 0 ? 'pass' : 'drop';
      }),
      packets,
    );
  });

  it('shifts by variables', () => {
    agree(
      program('shifts', { out }, ({ out }, pkt) => {
        const x = pkt.be32(0);
        const n = pkt.u8(4);
        const slot = out.get(0);
        if (!slot) return 'drop';
        slot.c = (x << n) ^ (x >> n);
        slot.b = x >>> (n & 15);
        slot.a = BigInt(x) << BigInt(n & 31);
        return 'pass';
      }),
      packets,
    );
  });

  it('computes bigints modulo 2^64', () => {
    agree(
      program('bigs', { out }, ({ out }, pkt) => {
        const x = pkt.be64(0);
        const y = pkt.le64(2);
        const slot = out.get(0);
        const second = out.get(1);
        if (!slot || !second) return 'drop';
        slot.a = x * y + (x << 3n) - y;
        second.a = (x & 0xffffn) * 3n + (y >> 17n) + (x ^ y);
        const wrapped = BigInt.asUintN(64, x - y);
        slot.b = Number(wrapped & 0xffffffffn);
        second.b = Number((x / ((y & 0xffn) + 1n)) & 0xffffn) + Number(x % ((y & 0xffn) + 1n));
        return x < y ? 'pass' : wrapped > 1n << 60n ? 'tx' : 'drop';
      }),
      packets,
    );
  });

  it('knows min, max, abs, ceil and conditional values', () => {
    agree(
      program('choices', { out }, ({ out }, pkt) => {
        const x = pkt.u8(0);
        const y = pkt.u8(1);
        const slot = out.get(0);
        if (!slot) return 'drop';
        slot.b = Math.min(x, y, 77) + Math.max(x, 9) * 256 + Math.ceil(x / 3);
        slot.c = Math.abs(x - y) + (x > y ? x : -y);
        const flag = x > 10 && y < 200;
        slot.a = flag ? 1n : 0n;
        const either = (x & 1) === 1 || (y & 1) === 1;
        return either && !flag ? 'drop' : 'pass';
      }),
      packets,
    );
  });
});

describe('control flow', () => {
  it('switches, with shared and falling cases', () => {
    agree(
      program('cases', { out }, ({ out }, pkt) => {
        let n = 0;
        switch (pkt.u8(0) & 7) {
          case 0:
          case 1:
            n = 10;
            break;
          case 2:
            n = 20;
            break;
          case 3:
            return 'tx';
          default:
            n = 40;
        }
        const slot = out.get(0);
        if (!slot) return 'drop';
        slot.b = n;
        switch (n) {
          case 10:
            return 'aborted';
          case 20:
            return 'drop';
        }
        return 'pass';
      }),
      packets,
    );
  });

  it('unrolls short loops and keeps long ones', () => {
    agree(
      program('loops', { out }, ({ out }, pkt) => {
        let sum = 0;
        for (let i = 0; i < 4; i++) {
          if (pkt.u8(i) === 0) continue;
          sum += pkt.u8(i) * (i + 1);
        }
        let long = 0;
        for (let i = 0; i < 40; i++) {
          const x = pkt.u8(i);
          if (x === 7) break;
          if ((x & 3) === 1) continue;
          long += x;
        }
        let n = 0;
        while (n < 30) {
          if ((pkt.u8(13) & 0x1f) === n) break;
          n++;
        }
        const slot = out.get(0);
        if (!slot) return 'drop';
        slot.b = sum + long * 65536;
        slot.c = n;
        return 'pass';
      }),
      packets,
    );
  });

  it('nests loops and leaves them by label', () => {
    agree(
      program('nested', { out }, ({ out }, pkt) => {
        let hits = 0;
        outer: for (let i = 0; i < 20; i++) {
          for (let j = 0; j < 20; j++) {
            const x = pkt.u8((i + j) & 15);
            if (x < 4) break outer;
            if (x > 250) continue outer;
            if (x > 128) hits += 1;
          }
        }
        const slot = out.get(0);
        if (!slot) return 'drop';
        slot.b = hits;
        return 'pass';
      }),
      noises(20, 16, 40),
    );
  });

  it('walks with a data-dependent step', () => {
    agree(
      program('walk', { out }, ({ out }, pkt) => {
        let off = 14;
        let steps = 0;
        for (let i = 0; i < 24 && off < 60; i++) {
          const kind = pkt.u8(off);
          if (kind === 0) break;
          off += 1 + (pkt.u8(off + 1) & 7);
          steps++;
        }
        const slot = out.get(0);
        if (!slot) return 'drop';
        slot.b = steps * 256 + off;
        return 'pass';
      }),
      packets,
    );
  });

  it('does while, and for over an array of env', () => {
    const ports = [53, 123, 1900];
    agree(
      program('lists', { out, ports, limit: 3 }, ({ out, ports, limit }, pkt) => {
        const x = pkt.u8(0);
        let n = 0;
        do {
          n += 2;
        } while (n < (x & 15));
        for (const port of ports) if (port === pkt.be16(2)) return 'drop';
        if (ports.includes(x)) return 'tx';
        let m = 0;
        for (let i = 0; i < ports.length; i++) m += ports[i]! * (i + limit);
        const slot = out.get(0);
        if (!slot) return 'drop';
        slot.b = n;
        slot.c = m;
        return 'pass';
      }),
      packets,
    );
  });

  it('puts helper functions in place of their calls', () => {
    const fold = (sum: number): number => {
      const once = (sum & 0xffff) + (sum >>> 16);
      return (once & 0xffff) + (once >>> 16);
    };
    const kind = (pkt: Packet, off: number): 'small' | number => {
      const x = pkt.u8(off);
      if (x < 16) return 1;
      if (x < 128) return 2;
      return 3;
    };
    agree(
      program('helpers', { out, fold, kind }, ({ out, fold, kind }, pkt) => {
        const slot = out.get(0);
        if (!slot) return 'drop';
        slot.b = fold(pkt.be32(0)) + Number(kind(pkt, 5));
        return kind(pkt, 1) === 2 ? 'drop' : 'pass';
      }),
      packets,
    );
  });

  it('specialises constants of env and leaves the rest out', () => {
    agree(
      program('special', { debug: false, limit: 100 }, ({ debug, limit }, pkt) => {
        if (debug) return 'aborted';
        return pkt.u8(0) > limit ? 'drop' : 'pass';
      }),
      packets,
    );
  });

  it('keeps values alive across calls and out of registers', () => {
    agree(
      program('pressure', { out }, ({ out }, pkt) => {
        const a = pkt.u8(0);
        const b = pkt.u8(1);
        const c = pkt.u8(2);
        const d = pkt.u8(3);
        const e = pkt.u8(4);
        const f = pkt.u8(5);
        const g = pkt.u8(6);
        const h = pkt.u8(7);
        const slot = out.get(0);
        const second = out.get(1);
        const third = out.get(2);
        if (!slot || !second || !third) return 'drop';
        slot.b = a + b * 2 + c * 3 + d * 4;
        second.b = e * 5 + f * 6 + g * 7 + h * 8;
        third.b = a * b + c * d + e * f + g * h;
        third.a = BigInt(a ^ b ^ c ^ d ^ e ^ f ^ g ^ h);
        return pkt.u8(8) > a ? 'pass' : 'tx';
      }),
      packets,
    );
  });
});

describe('maps', () => {
  const flow = struct('Flow', { source: be32, port: be16, kind: u8 });
  const flows = hash('flows', flow, struct('Flows', { hits: u64, last: u32, mac: bytes(6) }), 256);

  it('takes structs as keys and values, and updates in place', () => {
    agree(
      program('flows', { flows }, ({ flows }, pkt) => {
        const key = { source: pkt.be32(0) & 3, port: pkt.be16(4) & 1, kind: pkt.u8(6) & 1 };
        const entry = flows.get(key);
        if (entry) {
          entry.hits += 2n;
          entry.last = pkt.be32(8);
          return 'drop';
        }
        const stored = flows.set(key, { hits: 1n, last: 7, mac: pkt.bytes(6, 6) });
        return stored ? 'pass' : 'aborted';
      }),
      packets,
    );
  });

  it('inserts, updates and deletes', () => {
    const table = hash('table', u32, u32, 8);
    agree(
      program('table', { table }, ({ table }, pkt) => {
        const key = pkt.u8(0) & 15;
        switch (pkt.u8(1) & 3) {
          case 0:
            return table.insert(key, pkt.u8(2)) ? 'pass' : 'drop';
          case 1:
            return table.update(key, pkt.u8(3)) ? 'pass' : 'drop';
          case 2:
            return table.delete(key) ? 'pass' : 'drop';
          default:
            return table.has(key) ? 'tx' : 'aborted';
        }
      }),
      noises(200),
    );
  });

  it('indexes arrays in values, by constants and by proved variables', () => {
    const table = array('table', struct('Row', { counts: arrayOf(u32, 8), pairs: arrayOf(u16, 4) }), 2);
    agree(
      program('rows', { table }, ({ table }, pkt) => {
        const row = table.get(1);
        if (!row) return 'aborted';
        const i = pkt.u8(0) & 7;
        row.counts[i]! += 3;
        row.counts[0] = 9;
        row.pairs[3] = pkt.be16(2);
        const j = pkt.be16(4);
        if (j < 4) row.pairs[j] = 1;
        return row.counts[i]! > 20 ? 'drop' : 'pass';
      }),
      packets,
    );
  });

  it('finds the longest prefix', () => {
    const routes = lpmTrie('routes', 4, u32, 64);
    const prefix = (a: number, prefixlen: number) => ({ prefixlen, address: Uint8Array.of(a, 0, 0, 0) });
    const results = agree(
      program('routes', { routes }, ({ routes }, pkt) => {
        const route = routes.get({ prefixlen: 32, address: pkt.be32(0) });
        if (!route) return 'pass';
        return route.value === 8 ? 'drop' : 'tx';
      }),
      [
        Uint8Array.of(10, 1, 2, 3, ...new Array<number>(10).fill(0)),
        Uint8Array.of(128, ...new Array<number>(13).fill(0)),
        ...packets,
      ],
      {
        routes: [
          [prefix(10, 8), 8],
          [prefix(128, 1), 1],
        ],
      },
    );
    assert.deepEqual(
      results.slice(0, 2).map((r) => r.verdict),
      ['drop', 'tx'],
    );
  });

  it('counts per CPU, in LRU tables and into ring buffers', () => {
    const counts = perCpuArray('counts', u64, 256);
    const recent = lruHash('recent', u32, u32, 64);
    const events = ringBuffer('events', struct('Event', { port: be16, length: u32 }), 4096);
    agree(
      program('several', { counts, recent, events }, ({ counts, recent, events }, pkt) => {
        const count = counts.get(pkt.u8(0));
        if (count) count.value += 1n;
        recent.set(pkt.u8(1) & 7, pkt.length);
        if (pkt.u8(2) > 200)
          return events.output({ port: pkt.be16(3), length: pkt.length }) ? 'drop' : 'aborted';
        return 'pass';
      }),
      packets,
    );
  });
});

describe('packet', () => {
  it('reads in every width and order, and gives onShort beyond the end', () => {
    for (const onShort of ['pass', 'drop', 'aborted'] as const) {
      agree(
        program(
          'widths',
          { out },
          ({ out }, pkt) => {
            const slot = out.get(0);
            if (!slot) return 'tx';
            slot.a = pkt.be64(3) ^ pkt.le64(11);
            slot.b = pkt.be32(20);
            slot.c = pkt.le32(30) | 0;
            slot.b = pkt.le16(40) + pkt.be16(50) * 65536;
            return pkt.u8(60) > 3 ? 'tx' : 'pass';
          },
          { onShort },
        ),
        packets,
      );
    }
  });

  it('writes in every width and order', () => {
    agree(
      program('stores', {}, (_env, pkt) => {
        const x = pkt.be32(0);
        pkt.store.u8(14, x);
        pkt.store.be16(15, x);
        pkt.store.be32(17, x + 5);
        pkt.store.be64(21, BigInt(x) * 3n);
        pkt.store.le16(29, x);
        pkt.store.le32(31, 0x01020304);
        pkt.store.le64(35, 0x0102030405060708n);
        pkt.store.be16(43, 0x0800);
        pkt.store.bytes(45, pkt.bytes(0, 11));
        return 'tx';
      }),
      packets,
    );
  });

  it('reads and writes headers by their names', () => {
    agree(
      program('headers', { out }, ({ out }, pkt) => {
        const eth = pkt.eth();
        const { source } = { source: eth.source };
        eth.source = eth.destination;
        eth.destination = source;
        const ip = pkt.ipv4(14);
        const slot = out.get(0);
        if (!slot) return 'aborted';
        slot.b = ip.headerLength + ip.version * 256 + ip.dscp * 65536;
        slot.a = BigInt(eth.etherType) + BigInt(source) * 2n;
        ip.ttl -= 1;
        ip.dscp = 5;
        ip.dontFragment = ip.moreFragments;
        ip.fragmentOffset = 80;
        ip.headerLength = 24;
        const tcp = pkt.tcp(14 + ip.headerLength);
        if (tcp.syn && !tcp.ack) return 'drop';
        tcp.fin = tcp.destinationPort > 1000;
        tcp.window = tcp.window + 1;
        return 'tx';
      }),
      noises(60, 14, 80),
    );
  });

  it('reads IPv6 addresses and compares them', () => {
    agree(
      program('addresses', {}, (_env, pkt, kernel) => {
        const ip = pkt.ipv6(2);
        const other = pkt.bytes(10, 16);
        if (kernel.equal(ip.source, other)) ip.destination = ip.source;
        return ip.flowLabel > 0x80000 ? 'drop' : 'pass';
      }),
      packets,
    );
  });

  it('moves the ends of the packet', () => {
    agree(
      program('ends', {}, (_env, pkt) => {
        const x = pkt.u8(0) & 3;
        if (x === 0) {
          if (!pkt.adjustHead(-4)) return 'aborted';
          pkt.store.be32(0, 0x8100_0001);
        } else if (x === 1) {
          if (!pkt.adjustHead(4)) return 'aborted';
        } else if (x === 2) {
          if (!pkt.adjustTail(6)) return 'aborted';
          pkt.store.be16(pkt.length - 2, 0xbeef);
        } else if (!pkt.adjustTail(-3)) {
          return 'aborted';
        }
        const eth = pkt.eth();
        return eth.etherType > 0x8000 ? 'drop' : 'pass';
      }),
      packets,
    );
  });

  it('reads at variable offsets, also wild ones', () => {
    agree(
      program('wild', { out }, ({ out }, pkt) => {
        const off = pkt.be32(0);
        const near = pkt.u8(4) & 31;
        const slot = out.get(0);
        if (!slot) return 'aborted';
        slot.b = pkt.be16(near) + pkt.u8(near + 2) + pkt.u8(near + 9);
        const before = near - 12;
        slot.c = pkt.u8(before + 12);
        if ((off & 1) === 0) slot.b = pkt.u8(before);
        return pkt.u8(off) > 2 ? 'drop' : 'tx';
      }),
      packets,
    );
  });

  it('computes and repairs checksums', () => {
    agree(
      program('sums', { out }, ({ out }, pkt, kernel) => {
        const slot = out.get(0);
        const second = out.get(1);
        if (!slot || !second) return 'aborted';
        slot.b = pkt.checksum(14, 20);
        const n = pkt.u8(0) & 63;
        second.b = pkt.checksum(2, n);
        const udp = pkt.udp(14);
        const from = udp.destinationPort;
        udp.destinationPort = 7998;
        udp.checksum = kernel.csumReplace16(udp.checksum, from, 7998);
        second.c = kernel.csumReplace32(udp.checksum, pkt.be32(0), 0x0a000001);
        return 'pass';
      }),
      packets,
    );
  });

  it('reaches all of a packet in several buffers', () => {
    agree(
      program(
        'frags',
        { out },
        ({ out }, pkt) => {
          const slot = out.get(0);
          if (!slot) return 'aborted';
          slot.b = pkt.whole.be32(20) + pkt.length;
          pkt.whole.store.be16(30, 0x1234);
          return pkt.whole.u8(40) > 100 ? 'drop' : 'pass';
        },
        { frags: true },
      ),
      packets,
    );
  });

  it('counts and reaches what lies beyond the first buffer', () => {
    const jumbo = program(
      'jumbo',
      { out },
      ({ out }, pkt) => {
        const slot = out.get(0);
        if (!slot) return 'aborted';
        slot.a = BigInt(pkt.length);
        slot.b = pkt.whole.be32(8000);
        pkt.whole.store.be32(8996, 0x01020304);
        return pkt.whole.u8(9000) > 1 ? 'drop' : 'pass';
      },
      { frags: true, onShort: 'tx' },
    );
    const [result] = agree(jumbo, [noise(9000, 7)]);
    assert.equal(result?.verdict, 'tx', 'byte 9000 is the first that is missing');
  });
});

describe('the kernel', () => {
  it('answers whether bytes are there', () => {
    agree(
      program('has', { out }, ({ out }, pkt) => {
        const slot = out.get(0);
        if (!slot) return 'aborted';
        slot.b = pkt.has(0, 34) ? pkt.be32(30) : 1;
        const off = pkt.be16(0) & 127;
        if (!pkt.has(off, 4)) return 'tx';
        slot.c = pkt.be16(off) + pkt.be16(off + 2);
        return pkt.has(pkt.be32(2) - 0x8000_0000, 1) ? 'drop' : 'pass';
      }),
      packets,
    );
  });

  it('redirects, and falls back where there is nobody', () => {
    const sockets = xskMap('sockets', 4);
    const devices = devMap('devices', 4);
    const others = programArray('others', 4);
    const results = agree(
      program('away', { sockets, devices, others }, ({ sockets, devices, others }, pkt, kernel) => {
        switch (pkt.u8(0) & 3) {
          case 0:
            return sockets.redirect(pkt.rxQueue, 'pass');
          case 1:
            return devices.redirect(pkt.u8(1), 'drop');
          case 2:
            return others.tailCall(1, 'tx');
          default:
            return kernel.redirect(pkt.ingressIfindex);
        }
      }),
      packets,
    );
    assert.ok(new Set(results.map((r) => r.verdict)).size === 4, 'every way was taken');
  });

  it('goes on in another program', () => {
    const others = programArray('others', 2);
    const second = compile(program('second', {}, (_env, pkt) => (pkt.u8(0) > 3 ? 'drop' : 'tx')));
    const first = program('first', { others }, ({ others }) => others.tailCall(1, 'pass'));
    using target = load(second);
    using loaded = load(compile(first));
    const data = new Uint8Array(14).fill(9);
    assert.equal(loaded.program.testRun({ data }).action, 'pass');
    loaded.maps.others.set(1, target.program as never);
    assert.equal(loaded.program.testRun({ data }).action, 'drop');
  });

  it('tells time, chance and place', () => {
    const seen = array(
      'seen',
      struct('Seen', { time: u64, boot: u64, coarse: u64, ticks: u64, random: u32, cpu: u32 }),
      1,
    );
    const clocks = program('clocks', { seen }, ({ seen }, _pkt, kernel) => {
      const slot = seen.get(0);
      if (!slot) return 'aborted';
      slot.time = kernel.ktime();
      slot.boot = kernel.bootTime();
      slot.coarse = kernel.coarseTime();
      slot.ticks = kernel.ticks();
      slot.random = kernel.random();
      slot.cpu = kernel.cpu();
      return slot.boot >= slot.time ? 'pass' : 'drop';
    });
    using loaded = load(compile(clocks));
    assert.equal(loaded.program.testRun({ data: new Uint8Array(14) }).action, 'pass');
    const first = loaded.maps.seen.get(0);
    loaded.program.testRun({ data: new Uint8Array(14) });
    const then = loaded.maps.seen.get(0);
    assert.ok(first !== undefined && then !== undefined && then.time > first.time);
    assert.ok(first.coarse > 0n && first.coarse <= first.time && then.coarse >= first.coarse);
    assert.ok(first.ticks > 0n && then.ticks >= first.ticks && then.ticks - first.ticks < 1000n);
    assert.notEqual(first.random, then.random);
  });

  it('looks routes up', () => {
    const found = array('found', struct('Found', { code: i32, ifindex: u32, mac: u64 }), 2);
    const routes = program('routes', { found }, ({ found }, pkt, kernel) => {
      const four = found.get(0);
      const six = found.get(1);
      if (!four || !six) return 'aborted';
      const route = kernel.fibLookup({ source: 0x7f000001, destination: 0x7f000002, ifindex: 1 });
      four.code = route.code;
      four.ifindex = route.ifindex;
      four.mac = BigInt(route.source + route.destination);
      const address = pkt.bytes(0, 16);
      const other = kernel.fibLookup({ source: address, destination: address, ifindex: 1, protocol: 17 });
      six.code = other.code;
      return 'pass';
    });
    using loaded = load(compile(routes));
    assert.equal(loaded.program.testRun({ data: new Uint8Array(20) }).action, 'pass');
    // The loopback interface does not forward: BPF_FIB_LKUP_RET_NOT_FWDED or _FWD_DISABLED, no error.
    const code = loaded.maps.found.get(0)?.code ?? -1;
    assert.ok(code >= 0 && code <= 9, `code ${code}`);
    assert.equal(loaded.maps.found.get(0)?.ifindex, 1);
  });
});
