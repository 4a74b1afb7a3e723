/**
 * `npm run test:kernels`: an older kernel takes what this one takes.
 *
 *     npm run test:kernels                    Debian's cloud kernel 6.1, all of it
 *     npm run test:kernels -- 6.1 6.12        several kernels
 *     npm run test:kernels -- corpus          the compiled programs only
 *     npm run test:kernels -- bpf/ xsk/       the test files with these words in their paths, and no programs
 *
 * The compiler's tests run here and leave every program that they compiled, its packets and what this kernel made of
 * them; the guest's kernel must accept the programs and give the same. Then the tests of the floors that stand on the
 * kernel run in the guest as they run here. The kernel is unpacked, not installed, and emulated in software.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchKernel, install, type Kernel } from './kernels/debian.ts';
import { tree } from './kernels/files.ts';
import { boot } from './kernels/guest.ts';
import { GUEST_ROOT, MODULES, projectFiles } from './kernels/project.ts';

/** Debian 12's own. Its verifier lacks three years of what this machine's has. */
const DEFAULT_SERIES = '6.1';

/** Tests of what stands on bpf(2), and whether frames reach AF_XDP sockets. */
const TESTS = [
  'asm/conformance',
  'asm/kernel',
  'bpf/',
  'btf/program',
  'btf/vmlinux',
  'object/dispatcher',
  'programs/',
  'xsk/redirect',
];

const CORPUS = '/corpus';
const DIST = fileURLToPath(new URL('../', import.meta.url));

const args = process.argv.slice(2);
const series = args.filter((word) => /^\d+\.\d+$/.test(word));
const words = args.filter((word) => !series.includes(word));
const wantsCorpus = words.length === 0 || words.includes('corpus');
const tests = words.length === 0 ? TESTS : words.filter((word) => word !== 'corpus');

const folder = mkdtempSync(join(tmpdir(), 'barewire-corpus-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

install('qemu-system-x86', 'xz-utils');
const kernels = (series.length === 0 ? [DEFAULT_SERIES] : series).map(fetchKernel);
let failures = words.length === 0 && !checkGuest() ? 1 : 0;
if (wantsCorpus && !makeCorpus()) failures++;
for (const kernel of kernels) if (!(await tryKernel(kernel))) failures++;
console.log(failures === 0 ? 'All passed.' : 'Failed.');
process.exitCode = failures === 0 ? 0 : 1;

/** Tests the emulated machine. */
function checkGuest(): boolean {
  console.log('# The emulated machine');
  const checked = spawnSync(
    process.execPath,
    ['--test', '--test-reporter=spec', `${DIST}test/kernels/guest.check.js`],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  return checked.status === 0;
}

/** Has the compiler's tests leave their programs, and this kernel its answers. */
function makeCorpus(): boolean {
  console.log('# Compiling the corpus and running it on this kernel');
  const env = { ...process.env, BAREWIRE_CORPUS: folder };
  const compiled = spawnSync(process.execPath, [`${DIST}scripts/test.js`, 'compiler/', 'programs/'], {
    env,
    encoding: 'utf8',
  });
  if (compiled.status !== 0) console.log(compiled.stdout);
  const answered = spawnSync(process.execPath, [`${DIST}test/kernels/try-corpus.js`, folder, 'answer'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  console.log(
    answered.stdout
      .split('\n')
      .filter((line) => !line.startsWith('ok '))
      .join('\n'),
  );
  return compiled.status === 0 && answered.status === 0;
}

async function tryKernel(kernel: Kernel): Promise<boolean> {
  console.log(`# Linux ${kernel.release}, emulated`);
  const started = performance.now();
  const {
    output,
    exitCode,
    console: said,
  } = await boot({
    kernel,
    files: [...projectFiles(), ...tree(folder, CORPUS)],
    modules: MODULES,
    command: guestCommand(),
    timeout: 2400,
    memory: 2048,
    onOutput: (text) => process.stdout.write(text),
  });
  const complaints = said.split('\n').filter((line) => /WARNING:|BUG:|Oops|RCU stall/.test(line));
  for (const line of complaints) console.log(`# The kernel's console: ${line.trim()}`);
  const seconds = Math.round((performance.now() - started) / 1000);
  const counts = ['pass', 'fail'].map((name) => new RegExp(`^ℹ ${name} (\\d+)$`, 'm').exec(output)?.[1]);
  const [programs] = /^# \d+ programs: .*$/m.exec(output) ?? [];
  const parts = [
    ...(wantsCorpus ? [programs?.slice(2) ?? 'no corpus'] : []),
    ...(tests.length > 0 ? [`${counts[0] ?? 'no'} tests passed, ${counts[1] ?? 'unknown'} failed`] : []),
  ];
  console.log(`# Linux ${kernel.release}: ${parts.join('; ')}; ${seconds} s`);
  return exitCode === 0;
}

function guestCommand(): string {
  const commands = [
    ...(wantsCorpus ? [`node dist/test/kernels/try-corpus.js ${CORPUS} compare`] : []),
    ...(tests.length > 0 ? [`node dist/scripts/test.js ${tests.join(' ')}`] : []),
  ];
  return [
    `cd ${GUEST_ROOT}`,
    'echo "# up after $(cut -d " " -f 1 /proc/uptime) s"',
    'failed=0',
    ...commands.flatMap((command) => [
      `${command} || failed=1`,
      'echo "# after $(cut -d " " -f 1 /proc/uptime) s"',
    ]),
    'exit $failed',
  ].join('\n');
}
