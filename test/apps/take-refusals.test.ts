import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { BarewireError } from '../../src/error.ts';
import { Lab } from '../../src/lab/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { type InterfaceOptions, openInterface } from '../../src/xsk/index.ts';
import { errorLine, MAIN, Running } from '../cli/bin.ts';

const stock = takeStock();
const lab = Lab.create({ hosts: ['near', 'far'], wires: [{ between: ['near', 'far'], queues: 2 }] });
const near = lab.host('near');
after(() => {
  lab.destroy();
  requireNoLeaks(stock);
});

const attached = (): number => near.net.links.get('eth0').xdp.length;

describe('what the commands that take packets refuse, in one line each', () => {
  const cases: readonly [args: readonly string[], code: number, line: RegExp][] = [
    [['reflect', 'eth7'], 1, /^there is no interface 'eth7'/],
    [['reflect', 'a/b'], 2, /a\/b/],
    [['reflect', 'a-name-that-is-too-long'], 2, /a-name-that-is-too-long/],
    [['reflect', 'eth0', '-q', '2'], 1, /^eth0 has no queue 2; it has 2, numbers 0 to 1$/],
    [['reflect', 'eth0', '-q', '-1'], 2, /^-q: -1 is out of range/],
    [['reflect', 'eth0', '--ether-type', '0x12345'], 2, /^--ether-type: '0x12345' is not/],
    [['reflect', 'eth0', '--rewrite', 'mirror'], 2, /^--rewrite: 'mirror' is not/],
    [['drop', 'eth7'], 1, /^there is no interface 'eth7'/],
    [['drop', 'eth0', '--vlan', '4096'], 2, /^--vlan: 4096 is out of range/],
    [['drop', 'eth0', '--destination', '10.1'], 2, /^--destination: '10\.1' is not/],
    [['drop', 'eth0', '--source', 'fd00::/129'], 2, /^--source: 'fd00::\/129' is not/],
    [['drop', 'eth0', '--port', '70000'], 2, /^--port: '70000' is not/],
    [['drop', 'eth0', '--driver', 'poll'], 2, /^--driver: 'poll' is not/],
    [['drop', 'eth0', '--netns', 'bw-none-such'], 1, /bw-none-such/],
    [['capture', 'eth7'], 1, /^there is no interface 'eth7'/],
    [['capture', 'eth0', '-s', 'x'], 2, /'x' is not/],
    [['bench', 'rxpush'], 2, /'rxpush'/],
  ];
  for (const [args, code, line] of cases) {
    it(`barewire ${args.join(' ')}`, async () => {
      const ended = await new Running(near.spawn(process.execPath, [MAIN, ...args])).ended;
      assert.match(errorLine(ended), line);
      assert.equal(ended.code, code);
      assert.equal(attached(), 0);
    });
  }

  it('an interface that is down: waits for it, and says so', async () => {
    near.net.links.set('eth0', { up: false });
    const running = new Running(near.spawn(process.execPath, [MAIN, 'drop', 'eth0', '-d', '100ms']));
    const { code, stderr } = await running.ended;
    near.net.links.set('eth0', { up: true });
    assert.match(stderr, /eth0 is down/);
    assert.equal(code, 0, stderr);
    assert.equal(attached(), 0);
  });
});

describe('what openInterface refuses, with nothing left behind', () => {
  const cases: readonly [options: Partial<InterfaceOptions>, code: string, message: RegExp][] = [
    [{ rings: { rx: 1000 } }, 'BW_ARGUMENT', /1000.*not a power of two/],
    [{ rings: { tx: 0 } }, 'BW_ARGUMENT', /not a power of two/],
    [{ umem: { frameSize: 2000 } }, 'BW_ARGUMENT', /2000 bytes/],
    [{ umem: { frameSize: 3000 } }, 'BW_ARGUMENT', /3000 bytes: not a power of two/],
    [{ umem: { frames: 1.5 } }, 'BW_ARGUMENT', /1\.5 frames/],
    [{ umem: { frames: 2 ** 21 } }, 'BW_LIMIT', /a UMEM of 4294967296 bytes/],
    [{ queues: [0, 5] }, 'BW_NO_QUEUE', /^eth0 has no queue 5$/],
    [{ match: [] }, 'BW_ARGUMENT', /without rules/],
    [{ match: { destinations: ['10.0.0.0/33'] } }, 'BW_ARGUMENT', /10\.0\.0\.0\/33/],
    [{ busyPoll: { budget: 0 } }, 'BW_ARGUMENT', /busyPoll\.budget: 0/],
  ];
  for (const [options, code, message] of cases) {
    it(String(message), async () => {
      const opening = openInterface('eth0', { netns: near.netns, match: 'all', ...options });
      await assert.rejects(opening, (error: unknown) => {
        assert.ok(error instanceof BarewireError, String(error));
        assert.equal(error.code, code);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      });
      assert.equal(attached(), 0);
      // The queues are free at once.
      await (await openInterface('eth0', { netns: near.netns, match: 'all' })).close();
    });
  }
});
