import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { after } from 'node:test';
import { Netlink } from '../../src/netlink/index.ts';
import { Netns, requireNoLeaks, takeStock } from '../../src/sys/index.ts';

// Every file that uses a bed ends with a look at what it has not given back.
const before = takeStock();
after(() => requireNoLeaks(before));

/** A network namespace of its own for a test, and iproute2 in it as the independent witness. */
export class Bed implements Disposable {
  readonly netns: Netns = Netns.createAnonymous();
  readonly net: Netlink = new Netlink({ netns: this.netns });

  /** What a program prints that runs in the namespace. */
  run(command: string, ...args: string[]): string {
    return this.netns.run(() =>
      execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }),
    );
  }

  /** What `ip -json -details` tells. */
  ip<T = Record<string, unknown>>(...args: string[]): T[] {
    const text = this.run('ip', '-json', '-details', ...args);
    return text.trim() === '' ? [] : (JSON.parse(text) as T[]);
  }

  /** Sets a value below `net`, as in `ipv6.conf.default.disable_ipv6`. */
  sysctl(name: string, value: string): void {
    const path = `/proc/sys/net/${name.replaceAll('.', '/')}`;
    this.netns.run(() => writeFileSync(path, value));
  }

  /** A veth pair in the namespace, both ends up unless told otherwise. */
  veth(name: string, peer: string, up = true): void {
    this.net.links.create({ kind: 'veth', name, up, peer: { name: peer, up } });
  }

  [Symbol.dispose](): void {
    this.net.close();
    this.netns.close();
  }
}
