import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { load } from '../../src/bpf/index.ts';
import { run, runMaps } from '../../src/compiler/index.ts';
import { buildPacket, flowOf, type PacketLayer, PacketLayers } from '../../src/packet/index.ts';
import { counter, FRAME_KINDS } from '../../src/programs/counter.ts';
import { monitor, monitorMaps, monitorSpec } from '../../src/programs/traffic-monitor.ts';
import { agree, noise, noises } from '../compiler/agree.ts';

const eth = { layer: 'eth', source: '02:00:00:00:00:01', destination: '02:00:00:00:00:02' } as const;
const tag = { layer: 'vlan', id: 7 } as const;
const v4 = { layer: 'ipv4', source: '192.0.2.1', destination: '198.51.100.2' } as const;
const v6 = { layer: 'ipv6', source: '2001:db8::1', destination: '2001:db8:1::2' } as const;
const udp = { layer: 'udp', sourcePort: 4000, destinationPort: 53 } as const;
const tcp = { layer: 'tcp', sourcePort: 4001, destinationPort: 443, sequence: 1 } as const;
const padding = { layer: 'destinationOptions', options: [] } as const;
const fragment = { layer: 'fragment', fragmentOffset: 8, moreFragments: true, identification: 1 } as const;
const echo = { type: 8, code: 0, identifier: 5, sequence: 6 } as const;
const options = { ...v4, options: Array.from({ length: 8 }, () => ({ kind: 'nop' as const })) };

const STACKS: readonly (readonly PacketLayer[])[] = [
  [eth, v4, udp],
  [eth, v4, tcp],
  [eth, options, tcp],
  [eth, tag, v4, udp],
  [eth, tag, tag, v6, tcp],
  [eth, tag, tag, tag, v4, udp],
  [eth, v4, { layer: 'icmp', ...echo }],
  [eth, v6, { layer: 'icmpv6', ...echo, type: 128 }],
  [eth, { ...v4, fragmentOffset: 8 }, udp],
  [eth, v6, { layer: 'hopByHop', options: [] }, padding, udp],
  [eth, v6, fragment, udp],
  [eth, v6, padding, padding, padding, padding, padding, padding, tcp],
  [eth, { ...v4, protocol: 89 }],
];
const packets = STACKS.map((layers) => buildPacket([...layers, noise(20, 7)]));
const arp = Uint8Array.of(...packets[0]!.subarray(0, 12), 8, 6, ...noise(28, 3));

describe('the monitor’s program', () => {
  it('is the same in Node and in the kernel, for packets of all kinds, cut short and of noise', () => {
    const cut = packets.flatMap((bytes) => [15, 20, 34, 38, 50].map((length) => bytes.subarray(0, length)));
    for (const direction of ['in', 'out'] as const) {
      const settings = [[0, { sample: 1 }]] as const;
      const corpus = [...packets, arp, ...cut, ...noises(40)];
      const results = agree(monitor(monitorMaps(1024), { direction, frags: true }), corpus, { settings });
      for (const { verdict } of results) assert.equal(verdict, 'pass');
    }
  });

  it('counts kinds as the counter does', () => {
    const maps = monitorMaps(1024);
    const corpus = [...packets, arp, ...noises(60)];
    const ours = run(monitor(maps, { direction: 'in', frags: true }), corpus);
    const theirs = run(counter({ frags: true }), corpus);
    assert.deepEqual([...ours.maps.tallies.entries()], [...theirs.maps.tallies.entries()]);
    assert.equal(FRAME_KINDS.length, 10);
  });

  it('tells conversations apart as the dissector does, both ways into one', () => {
    for (const direction of ['in', 'out'] as const) {
      const program = monitor(monitorMaps(64), { direction, frags: true });
      const maps = runMaps(program);
      maps.settings.set(0, { sample: 1 });
      // Three tags are one too many for both of them to look through.
      const corpus = packets.filter((_, i) => STACKS[i]!.filter((layer) => layer === tag).length < 3);
      run(program, corpus, { maps });
      const expected = corpus.map((bytes) => {
        const flow = flowOf(new PacketLayers().decode(bytes))!;
        const source = `${flow.source} ${flow.sourcePort}`;
        const destination = `${flow.destination} ${flow.destinationPort}`;
        return `${flow.protocol} ${direction === 'in' ? `${source} ${destination}` : `${destination} ${source}`}`;
      });
      const text = (high: bigint, low: bigint): string =>
        high === 0n
          ? [24n, 16n, 8n, 0n].map((shift) => (low >> shift) & 0xffn).join('.')
          : (high === 0x20010db8_00000000n ? '2001:db8::' : '2001:db8:1::') + low.toString(16);
      const found = [...maps.flows.entries()].map(([flow, tally]) => {
        const { protocol, remote, remoteLow, remotePort, local, localLow, localPort } = flow;
        assert.equal(direction === 'in' ? tally.outPackets : tally.inPackets, 0n);
        const ends = `${text(remote, remoteLow)} ${remotePort} ${text(local, localLow)} ${localPort}`;
        return `${protocol} ${ends}`;
      });
      assert.deepEqual(found.sort(), [...new Set(expected)].sort());
    }
  });

  it('gives a sampled packet the weight of those that were not looked at, and keeps sums exact', () => {
    const spec = monitorSpec(monitorMaps(64), { direction: 'in', frags: true, hook: 'xdp' });
    using loaded = load(spec);
    loaded.maps.settings.set(0, { sample: 10 });
    const data = packets[0]!;
    loaded.program.testRun({ data, repeat: 20_000 });
    const [, tally] = [...loaded.maps.flows.entries()][0]!;
    assert.equal(tally.inPackets % 10n, 0n);
    assert.equal(tally.inBytes, tally.inPackets * BigInt(data.length));
    // Ten standard deviations of a binomial distribution.
    assert.ok(tally.inPackets > 15_700n && tally.inPackets < 24_300n, `${tally.inPackets}`);
    const counted = loaded.maps.tallies.get(1)!.reduce((sum, cpu) => sum + cpu.packets, 0n);
    assert.equal(counted, 20_000n);
  });

  it('stays within its memory under a flood of senders, and keeps the one that goes on', () => {
    const spec = monitorSpec(monitorMaps(256), { direction: 'in', frags: true, hook: 'xdp' });
    using loaded = load(spec);
    loaded.maps.settings.set(0, { sample: 1 });
    const steady = packets[1]!;
    const spoofed = packets[0]!.slice();
    const view = new DataView(spoofed.buffer);
    for (let i = 0; i < 5000; i++) {
      view.setUint32(26, 0x0a000000 + i);
      loaded.program.testRun({ data: spoofed });
      if (i % 20 === 0) loaded.program.testRun({ data: steady });
    }
    const flows = [...loaded.maps.flows.entries()];
    assert.ok(flows.length <= 256, `${flows.length} conversations`);
    const kept = flows.find(([flow]) => flow.protocol === 6);
    assert.ok(kept !== undefined && kept[1].inPackets > 100n, 'the steady one');
  });
});
