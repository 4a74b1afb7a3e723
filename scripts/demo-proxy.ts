import { type ChildProcess, execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { layOut } from '../src/cli/columns.ts';
import type { Output } from '../src/cli/output.ts';
import { BarewireError } from '../src/error.ts';
import { Session } from '../src/http/index.ts';
import type { LabHost } from '../src/lab/index.ts';
import type { ExitReport } from '../src/proxy/index.ts';
import { DeviceLine } from '../src/tun/index.ts';

const MAIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const REQUESTS = 100;
const run = promisify(execFile);

export interface ProxyDemo {
  readonly customer: LabHost;
  /** The web server that tells who asks. */
  readonly web: string;
  /** Who the sessions log in as, and with what. */
  readonly accounts: readonly { readonly user: string; readonly password: string }[];
  readonly output: Output;
  readonly say: (words: string) => void;
  readonly detail: (words: string) => void;
  readonly signal: AbortSignal;
}

interface Row {
  readonly exit: string;
  readonly address: string;
  readonly requests: readonly number[];
}

const columns = [
  { title: 'Exit', value: ({ exit }: Row) => exit },
  { title: 'The server saw', value: ({ address }: Row) => address },
  { title: 'Requests', align: 'right', value: ({ requests }: Row) => String(requests.length) },
  { title: 'Which', value: ({ requests }: Row) => some(requests) },
] as const;

/** The proxy with PPPoE sessions as its exits, asked by curl. */
export class DemoProxy implements AsyncDisposable {
  readonly #demo: ProxyDemo;
  readonly #folder: string = mkdtempSync(join(tmpdir(), 'barewire-demo-'));
  readonly #proxy: ChildProcess;
  /** The admin API, as seen from the customer's own machine. */
  readonly #local: Session;

  private constructor(demo: ProxyDemo) {
    const { customer, accounts } = demo;
    this.#demo = demo;
    const lines = accounts.map(({ user, password }) => `"${user}" * "${password}"\n`);
    writeFileSync(join(this.#folder, 'accounts'), lines.join(''), { mode: 0o600 });
    writeFileSync(this.config, this.#text());
    customer.net.links.set('lo', { up: true });
    this.#local = new Session(new DeviceLine({ device: 'lo', netns: customer.netns, dns: [] }));
    this.#proxy = customer.spawn(process.execPath, [MAIN, 'proxy', 'run', this.config], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  }

  static async start(demo: ProxyDemo): Promise<DemoProxy> {
    const made = new DemoProxy(demo);
    try {
      await made.#ready();
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  get config(): string {
    return join(this.#folder, 'proxy.yaml');
  }

  /** Asks a hundred times, then as one session, then with another address. */
  async show(): Promise<void> {
    const { output, say, detail, web } = this.#demo;
    say(`${REQUESTS} requests by curl, through the proxy, each by the next exit:`);
    const answers = await this.#curl([
      ...['--proxy', 'http://127.0.0.1:8080', '--proxy-user', 'demo:demo'],
      ...['--write-out', ' %header{x-exit}\\n', `http://${web}/?[1-${REQUESTS}]`],
    ]);
    const rows = rowsOf(answers);
    output.write('\n');
    for (const row of layOut(columns, rows, output.columns, output.paint)) output.write(`   ${row}\n`);
    output.write('\n');
    const exits = await this.#exits();
    const wrong = rows.some(({ exit, address }) => exits.get(exit)?.address !== address);
    if (wrong || rows.length !== this.#demo.accounts.length || answers.length !== REQUESTS) {
      throw new BarewireError('BW_DEMO', 'the requests did not leave by all exits in turn');
    }
    output.write(`${output.paint.green('✓')} Every request was seen with the address of its exit.\n`);

    say('A word in the user name keeps an exit; CONNECT and SOCKS5 are spoken at the same port:');
    const wish = ['--proxy-user', 'demo-session-basket-lifetime-10m:demo'];
    const kept = [
      ...(await this.#curl([
        ...['--proxy', 'http://127.0.0.1:8080', ...wish, '--write-out', '\\n', `http://${web}/?[1-5]`],
      ])),
      ...(await this.#curl(['--proxytunnel', '--proxy', 'http://127.0.0.1:8080', ...wish, `http://${web}/`])),
      ...(await this.#curl(['--proxy', 'socks5h://127.0.0.1:8080', ...wish, `http://${web}/`])),
    ];
    detail(`seen: ${kept.join(' ')}`);
    if (new Set(kept).size !== 1) throw new BarewireError('BW_DEMO', 'the session changed its exit');

    say('An exit dials again for another address, by the admin API:');
    const token = `Authorization: Bearer ${readFileSync(join(this.#folder, 'token'), 'utf8').trim()}`;
    const header = join(this.#folder, 'header');
    writeFileSync(header, `${token}\n`, { mode: 0o600 });
    const [rotation = '{}'] = await this.#curl([
      ...['--request', 'POST', '--header', `@${header}`, 'http://127.0.0.1:8081/exits/eth0-1/rotate'],
    ]);
    const { before, after } = JSON.parse(rotation) as { before?: string; after?: string };
    detail(`${before} before, ${after} now`);
    if (before === undefined || after === undefined || before === after) {
      throw new BarewireError('BW_DEMO', 'the exit has no other address');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#local.close();
    if (this.#proxy.exitCode === null && this.#proxy.signalCode === null) {
      const ended = once(this.#proxy, 'exit');
      this.#proxy.kill('SIGTERM');
      await ended;
    }
    rmSync(this.#folder, { recursive: true });
  }

  async #ready(): Promise<void> {
    const { signal, detail, accounts } = this.#demo;
    const start = performance.now();
    let said = '';
    this.#proxy.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const failed = once(this.#proxy, 'exit', { signal }).then(() => {
      throw new BarewireError('BW_DEMO', `the proxy did not start: ${said.trim()}`);
    });
    failed.catch(() => undefined);
    while (!said.includes('Serving')) await Promise.race([failed, setTimeout(20, undefined, { signal })]);
    for (;;) {
      const exits = [...(await this.#exits()).values()];
      if (exits.filter(({ state }) => state === 'up').length === accounts.length) break;
      await Promise.race([failed, setTimeout(50, undefined, { signal })]);
    }
    for (const line of this.#text().trimEnd().split('\n')) detail(line);
    detail('');
    detail(
      `npx barewire proxy run ${this.config}   is up with its sessions after ${Math.round(performance.now() - start)} ms`,
    );
  }

  #text(): string {
    return [
      'users: { demo: { from: [127.0.0.0/8] } }   # or: password, as npx barewire proxy hash makes it',
      `pppoe: [{ interface: eth0, accounts: ${join(this.#folder, 'accounts')}, via: stack, mac: per-session }]`,
      `targets: { allow: [${this.#demo.web}/32] }   # no private or reserved address is let through unasked`,
      `admin: { token-file: ${join(this.#folder, 'token')} }`,
      '',
    ].join('\n');
  }

  async #exits(): Promise<ReadonlyMap<string, ExitReport>> {
    const token = readFileSync(join(this.#folder, 'token'), 'utf8').trim();
    const response = await this.#local.fetch('http://127.0.0.1:8081/exits', {
      headers: { Authorization: `Bearer ${token}` },
    });
    return new Map(((await response.json()) as ExitReport[]).map((exit) => [exit.name, exit]));
  }

  /** Prints the command as one may repeat it, and runs it; the lines that it wrote. */
  async #curl(args: readonly string[]): Promise<readonly string[]> {
    const { customer, detail, signal } = this.#demo;
    const all = ['--silent', '--show-error', ...args];
    detail(`ip netns exec ${customer.namespace} curl ${all.map(quoted).join(' ')}`);
    const { stdout } = await run('ip', ['netns', 'exec', customer.namespace, 'curl', ...all], { signal });
    return stdout.trimEnd().split('\n');
  }
}

/** From lines of the server's answer and the exit behind it, as curl wrote them. */
function rowsOf(answers: readonly string[]): readonly Row[] {
  const rows = new Map<
    string,
    { readonly exit: string; readonly address: string; readonly requests: number[] }
  >();
  for (const [i, answer] of answers.entries()) {
    const [address = '', exit = ''] = answer.split(' ');
    const row = rows.get(answer) ?? { exit, address, requests: [] };
    row.requests.push(i + 1);
    rows.set(answer, row);
  }
  return [...rows.values()].sort((a, b) => a.exit.localeCompare(b.exit, 'en', { numeric: true }));
}

function some(numbers: readonly number[]): string {
  return numbers.length < 6 ? numbers.join(', ') : `${numbers.slice(0, 4).join(', ')}, …, ${numbers.at(-1)}`;
}

function quoted(word: string): string {
  return /^[\w./:=@%-]+$/.test(word) ? word : `'${word}'`;
}
