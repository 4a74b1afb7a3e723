import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { ProxyError, type ProxyErrorCode, readConfig } from '../../src/proxy/index.ts';
import { ROOT } from '../docs/documents.ts';

const manual = readFileSync(`${ROOT}docs/proxy.md`, 'utf8');

/** The keys that the reader knows at a place, as it says itself when it is given another. */
function keysAt(wrong: object): string[] {
  try {
    readConfig(wrong);
  } catch (error) {
    const hint = (error as { hint?: string }).hint ?? '';
    const list = /^The keys here are (.+)\.$/.exec(hint)?.[1];
    assert.ok(list !== undefined, `${(error as Error).message} ${hint}`);
    return list.split(', ');
  }
  throw new Error('no error');
}

const base = { users: { a: { from: ['192.0.2.0/24'] } }, exits: { a: { device: 'a', dns: [] } } };
const none = { xxxxxxxxxxxx: 1 };

/** Every key, as the manual writes them. */
function everyKey(): string[] {
  const nested: Readonly<Record<string, object>> = {
    'users.NAME.': { users: { a: none } },
    'exits.NAME.': { ...base, exits: { a: none } },
    'pppoe[].': { ...base, pppoe: [none] },
    'sessions.': { ...base, sessions: none },
    'targets.': { ...base, targets: none },
    'timeouts.': { ...base, timeouts: none },
    'health.': { ...base, health: none },
    'admin.': { ...base, admin: none },
  };
  const groups = Object.keys(nested).map((prefix) => prefix.replace(/[.[].*$/, ''));
  const plain = keysAt(none).filter((key) => !groups.includes(key));
  const inner = Object.entries(nested).flatMap(([prefix, wrong]) => keysAt(wrong).map((key) => prefix + key));
  return [...plain, ...inner];
}

describe('the manual of the proxy', () => {
  it('has every key of the configuration in its table, and no others', () => {
    const [, table = ''] = manual.split('## Keys');
    const written = [...(table.split('## Admin')[0] ?? '').matchAll(/^\| `([^`]+)` \|/gm)].map(
      ([, key]) => key,
    );
    assert.deepEqual(written.toSorted(), everyKey().toSorted());
  });

  it('shows a configuration that can be', () => {
    const yaml = /```yaml\n([\s\S]*?)```/.exec(manual)?.[1] ?? '';
    const { settings, exits, pppoe, health } = readConfig(parse(yaml));
    assert.deepEqual(
      settings.users.map(({ name }) => name),
      ['alice', 'office'],
    );
    assert.equal(exits[0]?.device, 'wwan0');
    assert.equal(pppoe[0]?.via, 'stack');
    assert.equal(health?.every, 30_000);
  });

  it('has the right answers for every code', () => {
    const [, table = ''] = manual.split('## When it goes wrong');
    const rows = [...(table.split('\n## ')[0] ?? '').matchAll(/^\| (`BW_.+?) \| (\d+) \| ([\d, ]+) \|/gm)];
    assert.ok(rows.length > 10);
    for (const [, codes = '', status, replies = ''] of rows) {
      for (const [i, code] of [...codes.matchAll(/`(\w+)`/g)].map(([, code]) => code).entries()) {
        const error = new ProxyError(code as ProxyErrorCode, '');
        assert.equal(error.status, Number(status), code);
        assert.equal(error.reply, Number(replies.split(', ')[i]), code);
      }
    }
  });
});
