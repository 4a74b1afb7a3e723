import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BarewireError } from '../../src/error.ts';
import {
  Netlink,
  NetlinkError,
  NetlinkSocket,
  NLM_F,
  stringAttribute,
  u8Attribute,
  u32Attribute,
} from '../../src/netlink/index.ts';
import { IFLA, linkAttributeNames } from '../../src/netlink/link-attributes.ts';
import { linkHeader } from '../../src/netlink/link-spec.ts';
import { RTM } from '../../src/netlink/rtnetlink.ts';
import { Bed } from './bed.ts';

describe('a netlink socket', () => {
  it('names the attribute at fault, and what it should have been', () => {
    using bed = new Bed();
    using socket = new NetlinkSocket('route', { netns: bed.netns });
    const ask = (attributes: ReturnType<typeof u8Attribute>[]): NetlinkError => {
      try {
        socket.request({
          type: RTM.NEWLINK,
          header: linkHeader(1),
          attributes,
          doing: 'try something wrong',
          names: linkAttributeNames(),
        });
      } catch (error) {
        assert.ok(error instanceof NetlinkError);
        return error;
      }
      throw new Error('the kernel took it');
    };
    // An MTU of one byte instead of four.
    const short = ask([stringAttribute(IFLA.IFNAME, 'lo'), u8Attribute(IFLA.MTU, 1)]);
    assert.equal(short.attribute, 'IFLA_MTU');
    assert.equal(short.errnoName, 'ERANGE');
    assert.match(short.message, /^could not try something wrong: .*IFLA_MTU/);
    assert.equal(short.extended.policy?.type, 'u32');
    assert.match(short.message, /expected u32/);
    // A name that is too long for the policy.
    const long = ask([stringAttribute(IFLA.IFNAME, 'x'.repeat(40))]);
    assert.equal(long.attribute, 'IFLA_IFNAME');
    assert.match(long.message, /string of at most 15 bytes|nul-string/);
  });

  it('takes answers of any size', () => {
    using bed = new Bed();
    // Enough links that one dump takes many datagrams, with names that make each link large.
    const count = 120;
    for (let i = 0; i < count; i++) {
      bed.net.links.create({ kind: 'bridge', name: `bwbr${i}` });
      bed.net.links.set(`bwbr${i}`, { alias: 'a'.repeat(255) });
    }
    const links = bed.net.links.list({ kind: 'bridge' });
    assert.equal(links.length, count);
    assert.equal(new Set(links.map((link) => link.index)).size, count);
    for (const link of links) assert.equal(link.alias?.length, 255);
    // One link that overflows the first buffer of 64 KiB by itself: it gets as many names as it may have.
    let names = 0;
    try {
      for (; names < 600; names++) bed.net.links.addAltName('bwbr0', `${names}-`.padEnd(120, 'n'));
    } catch (error) {
      assert.ok(error instanceof NetlinkError && error.errnoName === 'EINVAL', String(error));
    }
    assert.ok(names > 400, `${names} names`);
    const large = bed.net.links.get('bwbr0');
    assert.equal(large.altNames.length, names);
    // It must not end the list in front of that link, as this kernel does unless it is told to measure first.
    const all = bed.net.links.list();
    assert.equal(all.length, count + 1);
    assert.equal(all.find((link) => link.name === 'bwbr0')!.altNames.length, names);
    // The very first list on a socket too.
    using fresh = new Netlink({ netns: bed.netns });
    assert.equal(fresh.links.list().length, count + 1);
  });

  it('keeps answers apart by their sequence number', () => {
    using bed = new Bed();
    using socket = new NetlinkSocket('route', { netns: bed.netns });
    // The first went when the socket was opened.
    const first = 2;
    for (let i = 0; i < 150; i += 3) {
      const [message] = socket.request({
        type: RTM.GETLINK,
        header: linkHeader(1),
        attributes: [u32Attribute(IFLA.EXT_MASK, 8)],
        doing: 'read lo',
      });
      assert.equal(message!.sequence, i + first);
      assert.throws(
        () =>
          socket.request({
            type: RTM.GETLINK,
            header: linkHeader(99),
            attributes: [],
            doing: 'read nothing',
          }),
        { errnoName: 'ENODEV' },
      );
      // Sequence numbers go up for refused requests too.
      socket.request({
        type: RTM.GETLINK,
        flags: NLM_F.DUMP,
        header: linkHeader(0),
        attributes: [],
        doing: 'list',
      });
    }
  });

  it('lists all of it or says so, while others change it', async () => {
    using bed = new Bed();
    const stable = Array.from({ length: 60 }, (_, i) => `bwbr${i}`);
    for (const name of stable) bed.net.links.create({ kind: 'bridge', name });
    const commands = Array.from({ length: 10 }, () => 'link add bwx type bridge\nlink del bwx\n').join('');
    const child = bed.netns.run(() => spawn('ip', ['-batch', '-'], { stdio: ['pipe', 'ignore', 'inherit'] }));
    const ended = once(child, 'exit');
    child.stdin.end(commands);
    let running = true;
    ended.then(() => {
      running = false;
    });
    let complete = 0;
    do {
      try {
        const names = bed.net.links.list({ kind: 'bridge' }).map((link) => link.name);
        assert.deepEqual(names.filter((name) => name !== 'bwx').sort(), [...stable].sort());
        complete++;
      } catch (error) {
        assert.ok(error instanceof BarewireError && error.code === 'BW_BUSY', String(error));
      }
      await setImmediate();
    } while (running);
    assert.deepEqual(await ended, [0, null]);
    assert.equal(bed.net.links.list({ kind: 'bridge' }).length, stable.length);
    assert.ok(complete > 0);
  });

  it('cannot be used once closed, and closes twice', () => {
    const net = new Netlink();
    net.close();
    net.close();
    assert.throws(() => net.links.list(), { code: 'BW_CLOSED' });
  });

  it('works without privileges as far as the kernel allows', () => {
    // Reading is for everybody; changing is not, and the error says what to do.
    const script = `
      const { Netlink } = await import(${JSON.stringify(new URL('../../src/netlink/index.js', import.meta.url).href)});
      const net = new Netlink();
      const names = net.links.list().map((link) => link.name);
      const features = net.ethtool.features('lo').length;
      const monitor = net.monitor({ groups: ['link'] });
      monitor.close();
      try { net.links.create({ kind: 'bridge', name: 'bwnever' }); }
      catch (error) { console.log(JSON.stringify({ names, features, code: error.code, hint: error.hint })); }
    `;
    using bed = new Bed();
    const child = bed.netns.run(() =>
      spawnSync(
        'setpriv',
        [
          '--reuid=65534',
          '--regid=65534',
          '--clear-groups',
          '--inh-caps=-all',
          process.execPath,
          '--input-type=module',
          '-e',
          script,
        ],
        { encoding: 'utf8', cwd: fileURLToPath(new URL('.', import.meta.url)) },
      ),
    );
    assert.equal(child.status, 0, child.stderr);
    const told = JSON.parse(child.stdout);
    assert.deepEqual(told.names, ['lo']);
    assert.ok(told.features > 40);
    assert.equal(told.code, 'BW_PERMISSION');
    assert.match(told.hint, /CAP_NET_ADMIN/);
  });
});
