import { after } from 'node:test';
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
