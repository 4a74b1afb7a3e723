import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { linesOf, parseSecrets, readPassword, readPoolConfig, readSecrets } from '../../src/lines/index.ts';
import { StateFile } from '../../src/lines/state-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'barewire-files-'));
after(() => rmSync(folder, { recursive: true }));
const write = (name: string, text: string, mode = 0o600): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
};

describe('a secrets file', () => {
  it('is read as pppd reads it', () => {
    const accounts = parseSecrets(
      '# client server secret addresses\n"alice@example.net" * "p@ss w\\"ord" *\nbob\tlab\tplain 10.0.0.7 # always\n\n',
      'secrets',
    );
    assert.deepEqual(
      [...accounts],
      [
        ['alice@example.net', { password: 'p@ss w"ord' }],
        ['bob', { password: 'plain', address: '10.0.0.7' }],
      ],
    );
  });

  it('with a wrong line is refused, and the secret is not told', () => {
    for (const line of [
      'bob',
      'bob *',
      'bob * hidden 10.0.0',
      'bob * hidden * more',
      'bob * hidden\nbob * hidden',
    ]) {
      assert.throws(
        () => parseSecrets(`alice * hidden\n${line}`, 'secrets'),
        (error: Error & { code: string }) => {
          assert.equal(error.code, 'BW_ARGUMENT');
          assert.match(error.message, /^secrets, line [23]: /);
          assert.doesNotMatch(error.message, /hidden/);
          return true;
        },
      );
    }
  });

  it('of any bytes is read or refused', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseSecrets(text, 'secrets');
        } catch (error) {
          assert.equal((error as { code: string }).code, 'BW_ARGUMENT');
        }
      }),
    );
  });

  it('that others may read is not read', () => {
    const path = write('open', 'bob * secret\n', 0o644);
    assert.throws(() => readSecrets(path), { code: 'BW_SECRETS_MODE' });
    assert.throws(() => readPassword(path), { code: 'BW_SECRETS_MODE' });
    assert.equal(readPassword(write('closed', 'p w \r\nrest')), 'p w ');
  });
});

describe('a configuration', () => {
  it('becomes a pool and lines', async () => {
    write('password', 'one\n');
    write('fleet', 'a * 1\nb * 2\n');
    const config = await readPoolConfig(
      write(
        'pppoe.yaml',
        `interface: eth1
mac: per-session
state-file: /run/x
dialling: { at-once: 10, per-mac: 1s }
lines:
  - { name: home, user: alice, password-file: password, vlans: [100, 7], mru: 1500, count: 2, device: bwh }
  - { accounts: fleet, ipv6: false, echo: { interval: 5s }, redial-at-most-every: 1m }
`,
      ),
    );
    assert.deepEqual(config.pool, {
      mac: 'per-session',
      stateFile: '/run/x',
      pacing: { maxInFlight: 10, perMacInterval: 1000 },
    });
    const home = {
      vlans: [{ id: 100 }, { id: 7 }],
      mru: 1500,
      user: 'alice',
      password: 'one',
    };
    const fleet = { ipv6: false, echo: { interval: 5000 }, minimumRedialInterval: 60_000, device: {} };
    assert.deepEqual(config.lines, [
      { ...home, name: 'home-1', device: { name: 'bwh0' } },
      { ...home, name: 'home-2', device: { name: 'bwh1' } },
      { ...fleet, user: 'a', password: '1' },
      { ...fleet, user: 'b', password: '2' },
    ]);
  });

  for (const [what, text] of [
    ['an unknown key', 'interface: eth1\nlines: [{ usr: alice }]'],
    ['no line', 'interface: eth1\nlines: []'],
    ['no interface', 'lines: [{}]'],
    ['a wrong number', 'interface: eth1\nlines: [{ vlans: [5000] }]'],
    ['a user without a password', 'interface: eth1\nlines: [{ user: alice }]'],
    ['no YAML', '{{{'],
  ] as const) {
    it(`with ${what} is refused`, async () => {
      await assert.rejects(readPoolConfig(write('bad.yaml', text)), { code: 'BW_ARGUMENT' });
    });
  }

  it('names accounts in one way', () => {
    assert.throws(() => linesOf({ accounts: 'fleet', user: 'alice' }, folder), { code: 'BW_ARGUMENT' });
    assert.throws(() => linesOf({ 'password-file': 'password' }, folder), { code: 'BW_ARGUMENT' });
  });
});

describe('a state file', () => {
  const identity = (sessionId: number) => ({
    mac: '02:00:00:00:00:01',
    peerMac: '02:ac:00:00:00:01',
    vlans: [{ id: 7 }],
    sessionId,
  });

  it('tells the next start what is open', () => {
    const path = join(folder, 'state');
    const { file, left } = StateFile.take(path);
    assert.deepEqual(left, []);
    file.opened(identity(1));
    file.opened(identity(2));
    file.opened(identity(2));
    file.closed(identity(1));
    // Not closed, as when its process is killed: the next one finds what is left.
    const next = StateFile.take(path);
    assert.deepEqual(next.left, [identity(2)]);
    next.file.closed(identity(2));
    next.file.close();
    next.file.close();
    assert.equal(existsSync(path), false, 'nothing is left');
  });

  it('with noise in it is read as far as it can be', () => {
    const path = join(folder, 'noise');
    const { file } = StateFile.take(path);
    file.opened(identity(3));
    appendFileSync(
      path,
      '{"open":"no mac at all 7"}\n\u0000\n{"closed":17}\n{"open":"02:00:00:00:00:01 02:ac',
    );
    assert.deepEqual(StateFile.take(path).left, [identity(3)]);
  });

  it('stays small in a process that runs for years', () => {
    const path = join(folder, 'long');
    const { file } = StateFile.take(path);
    for (let i = 0; i < 12_000; i++) {
      file.opened(identity((i % 1000) + 1));
      file.closed(identity((i % 1000) + 1));
    }
    assert.ok(readFileSync(path, 'utf8').split('\n').length < 15_000);
    file.close();
  });

  it('of a process that runs is left to it', () => {
    const path = join(folder, 'held');
    const stat = readFileSync('/proc/1/stat', 'utf8');
    const startTime = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
    writeFileSync(path, `${JSON.stringify({ owner: { pid: 1, startTime } })}\n`);
    assert.throws(() => StateFile.take(path), { code: 'BW_BUSY' });
    writeFileSync(path, `${JSON.stringify({ owner: { pid: 1, startTime: startTime + 1 } })}\n`);
    StateFile.take(path).file.close();
  });
});
