import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get, type IncomingMessage, request } from 'node:http';
import { get as getSecure } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import { Agent, fetch } from 'undici';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { KernelBed } from './kernel-bed.ts';

const stock = takeStock();
let folder: string;
let bed: KernelBed;
let file: Buffer;
let pem: { key: string; cert: string };
const children: ChildProcess[] = [];

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'barewire-peers-'));
  bed = new KernelBed();
  bed.interface.dns = [bed.kernel4];
  file = randomBytes(20_000_000);
  mkdirSync(join(folder, 'www'));
  writeFileSync(join(folder, 'www', 'file'), file);
  makeCertificate();
  startNginx();
  startDnsmasq();
  await ready(80);
  await ready(53);
});

after(async () => {
  for (const child of children) {
    const gone = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
    child.kill();
    await gone;
  }
  await bed[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
  requireNoLeaks(stock);
});

function makeCertificate(): void {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-keyout',
      key,
    ].concat([
      '-out',
      cert,
      '-days',
      '2',
      '-subj',
      '/CN=www.peers.test',
      '-addext',
      'subjectAltName=DNS:www.peers.test',
    ]),
    { stdio: 'ignore' },
  );
  pem = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
}

function start(command: string, args: readonly string[]): ChildProcess {
  const child = bed.netns.run(() => spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] }));
  children.push(child);
  child.stderr?.resume();
  return child;
}

function startNginx(): void {
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log stderr;
     user root; events { worker_connections 1024; }
     http { access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/p;
       fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
       keepalive_requests 100000; root ${folder}/www;
       server { listen 80; listen [::]:80;
         location /length { client_max_body_size 0; proxy_pass http://127.0.0.1:81; } }
       server { listen 81; client_max_body_size 0; location / { return 200 "$content_length"; } }
       server { listen 443 ssl; listen [::]:443 ssl; ssl_certificate ${folder}/cert.pem;
         ssl_certificate_key ${folder}/key.pem; } }`,
  );
  start('nginx', ['-e', 'stderr', '-p', folder, '-c', join(folder, 'nginx.conf')]);
}

function startDnsmasq(): void {
  const many = Array.from({ length: 120 }, (_, i) => `10.1.${i}.1 many.peers.test`).join('\n');
  writeFileSync(
    join(folder, 'hosts'),
    `${bed.kernel4} www.peers.test\n${bed.kernel6} www.peers.test\n${many}\n`,
  );
  start('dnsmasq', [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--no-resolv',
    '--no-hosts',
    '--pid-file',
    '--user=root',
    `--addn-hosts=${join(folder, 'hosts')}`,
    '--cname=alias.peers.test,www.peers.test',
    '--local=/peers.test/',
    '--local-ttl=60',
  ]);
}

/** Waits until something of the kernel's side takes connections. */
async function ready(port: number): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      (await bed.interface.connect({ host: bed.kernel4, port })).destroy();
      return;
    } catch (error) {
      if (tries > 100) throw error;
      await sleep(50);
    }
  }
}

async function body(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function run(command: string, args: readonly string[], input = ''): Promise<Buffer> {
  const child = start(command, args);
  child.stdin?.end(input);
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(child, 'close');
  return Buffer.concat(chunks);
}

describe('programs that others wrote, behind a TUN device', { concurrency: 1 }, () => {
  for (const version of [4, 6] as const) {
    it(`nginx, over IPv${version}: 20 MB by Node's http client`, async () => {
      const host = version === 4 ? bed.kernel4 : bed.kernel6;
      const sent = get({
        path: '/file',
        host,
        createConnection: () => bed.host.connect({ host, port: 80 }) as never,
      });
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      assert.equal(hash(await body(response)), hash(file));
    });
  }

  it('nginx: 5 MB uploaded', async () => {
    const sent = request({
      path: '/length',
      method: 'POST',
      host: bed.kernel4,
      createConnection: () => bed.host.connect({ host: bed.kernel4, port: 80 }) as never,
    });
    sent.end(file.subarray(0, 5_000_000));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 200);
    await body(response);
  });

  it('nginx: TLS', async () => {
    const socket = await bed.interface.connect({ host: bed.kernel4, port: 443 });
    const sent = getSecure({
      path: '/file',
      host: 'www.peers.test',
      createConnection: () => connectTls({ socket, ca: pem.cert, servername: 'www.peers.test' }),
    });
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    assert.equal(hash(await body(response)), hash(file));
  });

  it('nginx: undici, a hundred requests over kept connections', async () => {
    const agent = new Agent({
      connections: 8,
      connect: (_options, callback) => {
        bed.interface.connect({ host: bed.kernel4, port: 80 }).then(
          (socket) => callback(null, socket as never),
          (error: Error) => callback(error, null),
        );
      },
    });
    const ask = async (): Promise<number> => {
      const response = await fetch('http://www.peers.test/file', {
        dispatcher: agent,
        headers: { range: 'bytes=0-99999' },
      });
      return (await response.arrayBuffer()).byteLength;
    };
    const all = await Promise.all(Array.from({ length: 100 }, ask));
    assert.deepEqual(new Set(all), new Set([100_000]));
    await agent.close();
  });

  it('curl: downloads from us and uploads to us', async () => {
    const uploaded = createHash('sha256');
    const server = createServer((asked, response) => {
      if (asked.method === 'GET') response.end(file);
      else
        asked.on('data', (chunk: Buffer) => uploaded.update(chunk)).on('end', () => response.end('thanks'));
    });
    using listener = bed.host.listen({ allowHalfOpen: true }, (socket) => server.emit('connection', socket));
    const url = `http://${bed.ours4}:${listener.port}/`;
    assert.equal(hash(await run('curl', ['-sS', '--max-time', '20', url])), hash(file));
    const args = ['-sS', '--max-time', '20', '-T', join(folder, 'www', 'file'), url];
    assert.equal(String(await run('curl', args)), 'thanks');
    assert.equal(uploaded.digest('hex'), hash(file));
  });

  it('OpenSSL: s_client talks to TLS of ours', async () => {
    using listener = bed.host.listen({ allowHalfOpen: true }, (socket) => {
      const secure = new TLSSocket(socket as never, {
        isServer: true,
        secureContext: createSecureContext(pem),
      });
      secure.on('data', (chunk: Buffer) => secure.end(chunk.toString().toUpperCase()));
    });
    const args = ['s_client', '-quiet', '-ign_eof', '-connect', `${bed.ours4}:${listener.port}`];
    assert.match(String(await run('openssl', args, 'shout\n')), /SHOUT/);
  });

  it('dnsmasq: addresses of both versions, aliases, and names that are not', async () => {
    assert.deepEqual(await bed.interface.resolve('www.peers.test'), [bed.kernel6, bed.kernel4]);
    assert.deepEqual(await bed.host.resolver.resolve('alias.peers.test'), [bed.kernel6, bed.kernel4]);
    await assert.rejects(bed.interface.resolve('nobody.peers.test'), { code: 'ENOTFOUND' });
  });

  it('dnsmasq: an answer too long for a datagram comes over TCP', async () => {
    const addresses = await bed.interface.resolve('many.peers.test');
    assert.equal(addresses.length, 120);
  });
});
