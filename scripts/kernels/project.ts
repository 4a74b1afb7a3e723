/** What of this project, and of this machine, its tests need inside a guest. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ArchiveEntry } from './archive.ts';
import { install } from './debian.ts';
import { copy, programs, tree } from './files.ts';

const ROOT: string = fileURLToPath(new URL('../../../', import.meta.url));

/** Where the project lies in the guest. */
export const GUEST_ROOT = '/barewire';

/** Modules that tests need, where they are not built into the kernel. */
export const MODULES: readonly string[] = [
  ...['veth', 'tun', 'dummy', 'bridge', '8021q', 'ifb', 'macvlan', 'ipvlan', 'vxlan'],
  ...['sch_ingress', 'cls_bpf', 'act_mirred'],
];

/** Programs that tests compare with, and the packages they come from. */
const TOOLS: Readonly<Record<string, string>> = {
  bash: 'bash',
  bpftool: 'bpftool',
  ethtool: 'ethtool',
  ip: 'iproute2',
  nsenter: 'util-linux',
  ping: 'iputils-ping',
  setpriv: 'util-linux',
  'xdp-loader': 'xdp-tools',
};

/** The objects that come with libxdp and xdp-tools, one of which xdp-loader puts beneath every other. */
const OBJECTS = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/bpf`;

/** What they read. */
const TOOL_DATA: Readonly<Record<string, string>> = { '/etc/protocols': 'netbase' };

/** Node packages that the tests import. */
const NODE_MODULES = ['acorn', 'fast-check', 'pure-rand'];

/** Node, the built project with its tests, and the tools that they run. */
export function projectFiles(): ArchiveEntry[] {
  install(...Object.values(TOOLS), ...Object.values(TOOL_DATA));
  const tools = Object.keys(TOOLS).map((name) => execFileSync('which', [name], { encoding: 'utf8' }).trim());
  const kept = (path: string): boolean => !/\.d\.ts(\.map)?$|\.tsbuildinfo$/.test(path);
  return [
    ...programs(process.execPath, ...tools),
    ...['dist', 'native/prebuilt', ...NODE_MODULES.map((name) => `node_modules/${name}`)].flatMap(
      (folder) => [...tree(`${ROOT}${folder}`, `${GUEST_ROOT}/${folder}`, kept)],
    ),
    ...['package.json', 'README.md'].map((name) => copy(`${ROOT}${name}`, `${GUEST_ROOT}/${name}`)),
    ...Object.keys(TOOL_DATA).map((path) => copy(path)),
    ...tree(OBJECTS, OBJECTS),
  ];
}
