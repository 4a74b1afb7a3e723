import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type DnsMessage, decodeDns, emitDns } from '../../src/packet/index.ts';
import { type DnsTransport, ResolveError, Resolver, type ResolverOptions } from '../../src/resolver/index.ts';

type Answerer = (query: DnsMessage, server: string, over: 'udp' | 'tcp') => readonly Uint8Array[];

/** Name servers as a function, and what they were asked. */
class Servers implements DnsTransport {
  readonly asked: string[] = [];
  readonly #answer: Answerer;

  constructor(answer: Answerer) {
    this.#answer = answer;
  }

  async exchange(
    server: string,
    query: Uint8Array,
    accept: (bytes: Uint8Array) => boolean,
  ): Promise<Uint8Array> {
    const found = this.#ask(server, query, 'udp').find(accept);
    if (found === undefined) throw new Error('no answer in time');
    return found;
  }

  async exchangeStream(server: string, query: Uint8Array): Promise<Uint8Array> {
    const [first] = this.#ask(server, query, 'tcp');
    if (first === undefined) throw new Error('no answer in time');
    return first;
  }

  #ask(server: string, query: Uint8Array, over: 'udp' | 'tcp'): readonly Uint8Array[] {
    const message = decodeDns(query);
    const [question] = message.questions;
    this.asked.push(`${over} ${server} ${question?.type} ${question?.name}`);
    return this.#answer(message, server, over);
  }
}

function bytes(message: DnsMessage): Uint8Array {
  const buffer = new Uint8Array(4096);
  return buffer.slice(0, emitDns(buffer, 0, message));
}

function answer(query: DnsMessage, more: Partial<DnsMessage>): Uint8Array {
  return bytes({ id: query.id, response: true, questions: query.questions ?? [], ...more });
}

function resolverOf(servers: Servers, more: Partial<ResolverOptions> = {}): Resolver {
  let id = 7;
  return new Resolver({
    servers: () => ['192.0.2.53'],
    transport: servers,
    now: () => 0,
    random16: () => (id = (id * 31 + 11) & 0xffff),
    ...more,
  });
}

const a = (name: string, address: string, ttl = 60) => ({ type: 'A', name, address, ttl }) as const;

describe('a resolver', () => {
  it('gives the addresses of both versions, one of each in turn', async () => {
    const servers = new Servers((query) => {
      const [question] = query.questions ?? [];
      return [
        answer(query, {
          answers:
            question?.type === 'A'
              ? [a('host.example', '198.51.100.1'), a('host.example', '198.51.100.2')]
              : [{ type: 'AAAA', name: 'host.example', address: '2001:db8::1', ttl: 60 }],
        }),
      ];
    });
    const resolver = resolverOf(servers, { versions: () => [6, 4] });
    const expected = ['2001:db8::1', '198.51.100.1', '198.51.100.2'];
    assert.deepEqual(await resolver.resolve('HOST.example.'), expected);
  });

  it('asks nobody for an address', async () => {
    const servers = new Servers(() => []);
    assert.deepEqual(await resolverOf(servers).resolve('2001:db8::7'), ['2001:db8::7']);
    assert.deepEqual(servers.asked, []);
  });

  it('takes no answer but to its own question (RFC 5452 section 9.1)', async () => {
    const servers = new Servers((query) => [
      Uint8Array.of(1, 2, 3),
      answer({ ...query, id: query.id ^ 1 }, { answers: [a('host.example', '203.0.113.66')] }),
      answer(query, {
        questions: [{ name: 'other.example', type: 'A' }],
        answers: [a('host.example', '203.0.113.66')],
      }),
      answer(query, { response: false, answers: [a('host.example', '203.0.113.66')] }),
      answer(query, { answers: [a('other.example', '203.0.113.66'), a('host.example', '198.51.100.1')] }),
    ]);
    assert.deepEqual(await resolverOf(servers).resolve('host.example'), ['198.51.100.1']);
  });

  it('asks over TCP when the datagram was too small', async () => {
    const servers = new Servers((query, _, over) =>
      over === 'udp'
        ? [answer(query, { truncated: true })]
        : [answer(query, { answers: [a('host.example', '198.51.100.1')] })],
    );
    assert.deepEqual(await resolverOf(servers).resolve('host.example'), ['198.51.100.1']);
    assert.deepEqual(servers.asked, ['udp 192.0.2.53 A host.example', 'tcp 192.0.2.53 A host.example']);
  });

  it('goes to the next server when one fails or is silent, and round again', async () => {
    const servers = new Servers((query, server) =>
      server === '192.0.2.1'
        ? []
        : server === '192.0.2.2'
          ? [answer(query, { responseCode: 2 })]
          : [answer(query, { answers: [a('host.example', '198.51.100.1')] })],
    );
    const three = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];
    assert.deepEqual(await resolverOf(servers, { servers: () => three }).resolve('host.example'), [
      '198.51.100.1',
    ]);
    assert.equal(servers.asked.length, 3);
    const two = resolverOf(servers, { servers: () => three.slice(0, 2) });
    await assert.rejects(two.resolve('host.example'), (error) => {
      assert.ok(error instanceof ResolveError);
      assert.equal(error.code, 'EAI_AGAIN');
      assert.equal(error.stableCode, 'BW_NAME_SERVER');
      assert.equal(error.hostname, 'host.example');
      return true;
    });
    assert.equal(servers.asked.length, 3 + 4);
  });

  it('follows aliases, within an answer and from answer to answer', async () => {
    const servers = new Servers((query) => {
      const [question] = query.questions ?? [];
      if (question?.name === 'www.example') {
        const alias = { type: 'CNAME', name: 'www.example', target: 'cdn.example', ttl: 60 } as const;
        return [answer(query, { answers: [alias] })];
      }
      const alias = { type: 'CNAME', name: 'cdn.example', target: 'edge.example', ttl: 60 } as const;
      return [answer(query, { answers: [alias, a('edge.example', '198.51.100.1')] })];
    });
    assert.deepEqual(await resolverOf(servers).resolve('www.example'), ['198.51.100.1']);
  });

  it('gives up on aliases in a circle', async () => {
    const servers = new Servers((query) => {
      const [question] = query.questions ?? [];
      const [from, to] =
        question?.name === 'a.example' ? ['a.example', 'b.example'] : ['b.example', 'a.example'];
      return [answer(query, { answers: [{ type: 'CNAME', name: from, target: to, ttl: 60 }] })];
    });
    await assert.rejects(resolverOf(servers).resolve('a.example'), { code: 'EAI_AGAIN' });
    assert.ok(servers.asked.length <= 8);
  });

  it('tells a name that does not exist from one without an address', async () => {
    const servers = new Servers((query) => {
      const [question] = query.questions ?? [];
      return [answer(query, { responseCode: question?.name === 'none.example' ? 3 : 0 })];
    });
    const resolver = resolverOf(servers, { versions: () => [4, 6] });
    await assert.rejects(resolver.resolve('none.example'), { code: 'ENOTFOUND' });
    await assert.rejects(resolver.resolve('empty.example'), { code: 'ENODATA' });
  });

  it('remembers answers for their time to live, and what is missing as long as its SOA says (RFC 2308)', async () => {
    let now = 0;
    const soa = {
      type: 'SOA',
      name: 'example',
      primary: 'ns.example',
      mailbox: 'admin.example',
      serial: 1,
      refresh: 1,
      retry: 1,
      expire: 1,
      minimum: 20,
      ttl: 100,
    } as const;
    const servers = new Servers((query) => {
      const [question] = query.questions ?? [];
      return question?.name === 'host.example'
        ? [answer(query, { answers: [a('host.example', '198.51.100.1', 30)] })]
        : [answer(query, { responseCode: 3, authorities: [soa] })];
    });
    const resolver = resolverOf(servers, { now: () => now });
    const counts: number[] = [];
    for (now of [0, 19_999, 20_000, 29_999, 30_000]) {
      await resolver.resolve('host.example');
      await assert.rejects(resolver.resolve('none.example'), { code: 'ENOTFOUND' });
      counts.push(servers.asked.length);
    }
    assert.deepEqual(counts, [2, 2, 3, 3, 4]);
    resolver.clear();
    await resolver.resolve('host.example');
    assert.equal(servers.asked.length, 5);
  });

  it('asks once for many who want the same at a time', async () => {
    const servers = new Servers((query) => [answer(query, { answers: [a('host.example', '198.51.100.1')] })]);
    const resolver = resolverOf(servers);
    await Promise.all(Array.from({ length: 10 }, () => resolver.resolve('host.example')));
    assert.equal(servers.asked.length, 1);
  });

  it('refuses what is no host name before anybody is asked', async () => {
    const servers = new Servers(() => []);
    for (const name of ['', '.', 'a..b', 'a b', 'ex\u00e4mple', `${'a'.repeat(64)}.example`, 'x/y', 'a\0b']) {
      await assert.rejects(resolverOf(servers).resolve(name), { code: 'EBADNAME' });
    }
    assert.deepEqual(servers.asked, []);
  });

  it('lets go when it is told to', async () => {
    const never = new Promise<Uint8Array>(() => {});
    const transport: DnsTransport = { exchange: () => never, exchangeStream: () => never };
    const resolver = new Resolver({
      servers: () => ['192.0.2.1'],
      transport,
      now: () => 0,
      random16: () => 1,
    });
    const controller = new AbortController();
    const pending = resolver.resolve('host.example', { signal: controller.signal });
    controller.abort(new Error('enough'));
    await assert.rejects(pending, /enough/);
  });
});
