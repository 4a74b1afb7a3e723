/**
 * `npm run screenshots`: makes the pictures of `barewire monitor` in the docs, from the command itself on a terminal of 80
 * by 24 and from its page in Debian's Chromium, both over the same traffic in a lab.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { Monitor } from '../src/apps/monitor.ts';
import { MonitorWeb } from '../src/apps/monitor-web.ts';
import { Lab } from '../src/lab/index.ts';
import { CHROMIUM } from '../test/monitor/chromium.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MAIN = `${ROOT}dist/src/cli/main.js`;
const DOCS = `${ROOT}docs/`;
const folder = mkdtempSync(join(tmpdir(), 'barewire-screenshots-'));
const socket = join(folder, 'tmux');

const lab = Lab.create({
  hosts: ['clients', 'server'],
  wires: [
    {
      between: [
        {
          host: 'clients',
          addresses: ['192.0.2.10/24', '192.0.2.11/24', '192.0.2.12/24', '2001:db8::10/64'],
        },
        { host: 'server', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
      ],
    },
  ],
});
process.on('exit', () => {
  spawnSync('tmux', ['-S', socket, 'kill-server']);
  rmSync(folder, { recursive: true, force: true });
});
const server = lab.host('server');
const clients = lab.host('clients');
// Without link-local addresses nobody solicits routers, which would stand in the table with nothing to tell.
for (const host of lab.hosts) host.exec('ip', ['-6', 'address', 'flush', 'dev', 'eth0', 'scope', 'link']);

for (const port of [443, 5201, 8443, 27_015]) server.spawn('iperf3', ['-s', '-p', String(port)]);
await sleep(500);
const talk = (to: string, port: number, ...more: string[]): void => {
  clients.spawn('iperf3', ['-c', to, '-p', String(port), '-t', '60', ...more]);
};
talk('192.0.2.1', 443, '-B', '192.0.2.10', '-b', '38M');
talk('192.0.2.1', 8443, '-B', '192.0.2.11', '-b', '21M', '-R');
talk('2001:db8::1', 5201, '-b', '12M');
talk('192.0.2.1', 27_015, '-B', '192.0.2.12', '-u', '-b', '4M', '-l', '200');
clients.spawn('ping', ['-i', '0.05', '-I', '192.0.2.12', '192.0.2.1']);

await terminalPicture();
await pagePicture();
lab.destroy();
process.exit(0);

async function terminalPicture(): Promise<void> {
  const command = [process.execPath, MAIN, 'monitor', 'eth0', '-i', '500ms'];
  const session = ['new-session', '-d', '-s', 'monitor', '-x', '80', '-y', '24'];
  server.exec('tmux', ['-S', socket, '-f', '/dev/null', ...session, 'env', 'LC_ALL=C.UTF-8', ...command]);
  await sleep(16_000);
  const { stdout } = spawnSync('tmux', ['-S', socket, 'capture-pane', '-p', '-t', 'monitor'], {
    encoding: 'utf8',
  });
  spawnSync('tmux', ['-S', socket, 'kill-server']);
  writeFileSync(`${DOCS}monitor-terminal.svg`, svgOf(stdout.trimEnd().split('\n'), 80));
}

/** Lines of a terminal as a picture, in any monospaced face: every line is made as wide as its columns. */
function svgOf(lines: readonly string[], columns: number): string {
  const [width, height, margin] = [8.4, 18, 12];
  const escaped = (text: string): string =>
    text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const texts = lines.flatMap((line, row) => {
    if (line === '') return [];
    const y = margin + (row + 0.75) * height;
    const length = [...line].length * width;
    return [
      `<text x="${margin}" y="${y}" textLength="${length.toFixed(1)}"${row === 0 ? ' font-weight="bold"' : ''}>${escaped(line)}</text>`,
    ];
  });
  const size = [columns * width + 2 * margin, lines.length * height + 2 * margin];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${size[0]}" height="${size[1]}" viewBox="0 0 ${size[0]} ${size[1]}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14" fill="#ddd" xml:space="preserve">
<rect width="100%" height="100%" rx="8" fill="#1b1e23"/>
${texts.join('\n')}
</svg>
`;
}

async function pagePicture(): Promise<void> {
  using monitor = Monitor.open({ interface: 'eth0', netns: server.namespace });
  const seen = 'in by XDP in driver mode, out by tcx';
  await using web = await MonitorWeb.open({ interface: 'eth0', seen, notes: monitor.notes, top: 8 });
  const stop = new AbortController();
  const publishing = (async () => {
    for await (const report of monitor.reports({ interval: 500, signal: stop.signal })) web.publish(report);
  })();
  const browser = await chromium.launch(CHROMIUM);
  const page = await browser.newPage({ viewport: { width: 960, height: 640 } });
  await page.goto(web.url);
  await sleep(20_000);
  await page.screenshot({ path: `${DOCS}monitor-page.png` });
  await browser.close();
  stop.abort();
  await publishing;
}
