/** The guest's root: Debian's programs, and the configuration that a test wants. */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../docs/documents.ts';
import { type GuestFiles, MODULES } from './packages.ts';

/** What the concentrator in the guest shall be like. */
export interface ConcentratorSettings {
  /** AC-Name. Default is `lab-ac`. */
  readonly name?: string;
  /** A second concentrator on the same wire that answers every PADI as well. Default is none. */
  readonly secondName?: string;
  /** Tagged networks with a concentrator each. Default is none. */
  readonly vlans?: readonly number[];
  /** Addresses to give out. Default is 600. */
  readonly pool?: number;
  /** Sessions of one MAC address at a time; 0 for any number, the default. */
  readonly maxPerMac?: number;
  /** In bytes. Default is 1508, so that sessions may have 1500. */
  readonly mtu?: number;
}

/** Tells the guest's C library to leave alone what launch.c cannot save: an environment variable. */
export const TUNABLES = 'GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-XSAVEC,-XSAVE';

/** `userN` with `passN` for N up to this, and one name that has to be quoted. */
const USERS = 600;
export const ODD_USER = { user: 'alice@example.net', password: 'p@ss w"ord' } as const;

const COMMON = [
  'auth',
  'name lab-ac',
  'noccp',
  'novj',
  'nodefaultroute',
  'noproxyarp',
  'lcp-echo-interval 20',
  'lcp-echo-failure 3',
  // pppd gives its scripts a new environment, and they need this one as much as pppd itself.
  `set ${TUNABLES}`,
];
const DNS = ['ms-dns 198.51.100.2', 'ms-dns 203.0.113.1'];
const IPV6 = ['ipv6 ::1,'];

/** What pppd does for each Service-Name; the first is what a client gets that names none. */
export const SERVICES: Readonly<Record<string, readonly string[]>> = {
  internet: ['require-chap', 'require-pap', ...DNS, ...IPV6],
  advertise: ['require-chap', 'ipparam advertise', ...DNS, ...IPV6],
  pap: ['require-pap', 'refuse-chap', 'refuse-eap', ...DNS, ...IPV6],
  chap: ['require-chap', 'refuse-pap', 'refuse-eap', ...DNS, ...IPV6],
  mschapv2: ['require-mschap-v2', 'refuse-pap', 'refuse-chap', ...DNS, ...IPV6],
  eap: ['require-eap', 'refuse-pap', 'refuse-chap', ...DNS, ...IPV6],
  noauth: ['noauth', ...DNS, ...IPV6],
  rechap: ['require-chap', 'refuse-pap', 'chap-interval 2', ...DNS, ...IPV6],
  short: ['require-chap', 'maxconnect 3', ...DNS, ...IPV6],
  nodns: ['require-chap', ...IPV6],
  noip6: ['require-chap', 'noipv6', ...DNS],
};

/** A root for a guest that dials with the kernel's own PPPoE and then runs a script; the caller removes its folder. */
export function makeClientRoot(files: GuestFiles, options: readonly string[], script: string): string {
  const root = join(mkdtempSync(join(tmpdir(), 'barewire-interop-')), 'root');
  execFileSync('cp', ['-al', files.root, root]);
  copyFileSync(`${ROOT}test/interop/guest/client.sh`, join(root, 'init'));
  chmodSync(join(root, 'init'), 0o755);
  mkdirSync(join(root, 'etc/ppp'), { recursive: true });
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(root, 'etc/ppp/options'), '');
  writeFileSync(join(root, 'lab.env'), `MODULES="${MODULES.join(' ')}" OPTIONS='${options.join(' ')}'\n`);
  writeFileSync(join(root, 'script'), script);
  return root;
}

/** Makes a root below the system's folder for temporary files; the caller removes it. */
export function makeRoot(files: GuestFiles, settings: ConcentratorSettings): string {
  const { name = 'lab-ac', secondName = '', vlans = [], pool = 600, maxPerMac = 0, mtu = 1508 } = settings;
  const folder = mkdtempSync(join(tmpdir(), 'barewire-interop-'));
  const root = join(folder, 'root');
  // Hard links: the programs take no room and no time.
  execFileSync('cp', ['-al', files.root, root]);
  const script = (from: string, to: string): void => {
    mkdirSync(join(root, to, '..'), { recursive: true });
    copyFileSync(`${ROOT}test/interop/guest/${from}.sh`, join(root, to));
    chmodSync(join(root, to), 0o755);
  };
  script('init', 'init');
  script('start-pppd', 'usr/sbin/start-pppd');
  script('ipv6-up', 'etc/ppp/ipv6-up');
  script('ipv6-down', 'etc/ppp/ipv6-down');
  script('whoami', 'www/cgi-bin/whoami');
  script('shell', 'shell/cgi-bin/shell');
  const write = (path: string, lines: readonly string[]): void => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), `${lines.join('\n')}\n`, { mode: 0o600 });
  };
  for (const [service, options] of Object.entries(SERVICES)) {
    write(`etc/ppp/services/${service}`, [...COMMON, ...options]);
  }
  const secrets = Array.from({ length: USERS }, (_, i) => `"user${i + 1}" * "pass${i + 1}" *`);
  secrets.push(`"${ODD_USER.user}" * "${ODD_USER.password.replaceAll('"', '\\"')}" *`);
  for (const file of ['chap-secrets', 'pap-secrets']) write(`etc/ppp/${file}`, secrets);
  for (const file of ['options', 'pppoe-server-options']) write(`etc/ppp/${file}`, []);
  write('etc/passwd', ['root:x:0:0:root:/root:/bin/sh', 'radvd:x:0:0::/run:/bin/sh']);
  write('etc/group', ['root:x:0:']);
  const offered = Object.keys(SERVICES).map((service) => `-S ${service}`);
  write('lab.env', [
    `MODULES="${MODULES.join(' ')}"`,
    `NAME=${name} SECOND_NAME=${secondName} VLANS="${vlans.join(' ')}"`,
    `POOL=${pool} MAX_PER_MAC=${maxPerMac} WIRE_MTU=${mtu} SERVICES="${offered.join(' ')}"`,
  ]);
  return root;
}
