import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { Lab } from '../../src/lab/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { memoryLinkPair, openXskLink, PacketLink } from '../../src/xsk/index.ts';
import { type LinkPair, linkLayerSuite, TEST_ETHER_TYPE } from './link-layer-suite.ts';

const stock = takeStock();
after(() => requireNoLeaks(stock));

for (const mode of ['driver', 'generic'] as const) {
  linkLayerSuite(`AF_XDP, ${mode} mode`, () =>
    onWire(async (netns) =>
      openXskLink('eth0', { netns, mode, match: { etherTypes: [TEST_ETHER_TYPE] }, umem: { debug: true } }),
    ),
  );
}

linkLayerSuite('AF_XDP, unaligned chunks', () =>
  onWire(async (netns) =>
    openXskLink('eth0', {
      netns,
      match: { etherTypes: [TEST_ETHER_TYPE] },
      umem: { debug: true, unaligned: true, frameSize: 3000, headroom: 10 },
    }),
  ),
);

linkLayerSuite('AF_PACKET', () =>
  onWire(async (netns) => PacketLink.open('eth0', { netns, etherType: TEST_ETHER_TYPE })),
);

linkLayerSuite('memory', async () => {
  const [a, b] = memoryLinkPair({ capacity: 200 });
  return { a, b, destroy: () => {} };
});

for (const kind of ['af-xdp', 'af-packet'] as const) {
  it(`${kind}: an interface that goes down is none that is gone; a deleted one is`, async () => {
    using lab = Lab.create({ hosts: ['a', 'b'], wires: [{ between: ['a', 'b'] }] });
    const { netns, net } = lab.host('b');
    await using link =
      kind === 'af-xdp'
        ? await openXskLink('eth0', { netns, match: { etherTypes: [TEST_ETHER_TYPE] } })
        : PacketLink.open('eth0', { netns, etherType: TEST_ETHER_TYPE });
    const short = new AbortController();
    const waiting = link.readable(short.signal);
    net.links.set('eth0', { up: false });
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    short.abort();
    await waiting;
    assert.equal(
      link.receive(() => {}),
      0,
    );
    assert.ok(link.send(1, () => 60) <= 1);
    net.links.set('eth0', { up: true });
    const ending = link.readable();
    net.links.delete('eth0');
    await assert.rejects(
      async () => {
        await ending;
        // The first thing that it hears may be that it was set down.
        for (;;) await link.readable();
      },
      { code: 'BW_INTERFACE_GONE' },
    );
  });
}

/** Both ends of a wire between two hosts. */
async function onWire(
  open: (netns: Lab['hosts'][number]['netns']) => Promise<LinkPair['a']>,
): Promise<LinkPair> {
  const lab = Lab.create({ hosts: ['a', 'b'], wires: [{ between: ['a', 'b'] }] });
  try {
    const a = await open(lab.host('a').netns);
    const b = await open(lab.host('b').netns);
    return { a, b, destroy: () => lab.destroy() };
  } catch (error) {
    lab.destroy();
    throw error;
  }
}
