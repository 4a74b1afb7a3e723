import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { formatsIn, parseTraceLine } from '../../src/apps/trace.ts';
import { loadObject } from '../../src/bpf/index.ts';
import { Lab } from '../../src/lab/index.ts';
import { PcapngWriter } from '../../src/packet/index.ts';
import { requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { barewire, errorLine, run, start } from '../cli/bin.ts';
import { tool } from '../dev-tools.ts';
import { ROOT } from '../docs/documents.ts';
import { compiled, objectOf } from './compile.ts';

const stock = takeStock();
const folder = mkdtempSync(join(tmpdir(), 'barewire-objects-'));
const lab = Lab.create({ hosts: ['here', 'there'], wires: [{ between: ['here', 'there'] }] });
const here = lab.host('here');
const there = lab.host('there');
after(() => {
  barewire('unload', 'eth0', '--netns', here.namespace);
  lab.destroy();
  rmSync(folder, { recursive: true, force: true });
  requireNoLeaks(stock);
});

function output(...args: string[]): string {
  const { code, stdout, stderr } = barewire(...args);
  assert.deepEqual([code, stderr], [0, ''], args.join(' '));
  return stdout;
}

const lines = (text: string): unknown[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

describe('barewire load', () => {
  it('puts a program on an interface that stays, with maps to read and change, until it is unloaded', async () => {
    const object = compiled('maps', 'clang-16');
    const netns = ['--netns', here.namespace];
    assert.match(
      errorLine(barewire('load', 'eth0', object, ...netns)),
      /3 XDP programs.*--program: reject, use_maps, name_others/,
    );
    const [placed] = lines(output('load', 'eth0', object, '-p', 'use_maps', ...netns, '--json')) as [
      { program: { id: number }; mode: string; maps: Record<string, string>; link: string },
    ];
    assert.ok(['driver', 'generic'].includes(placed.mode));
    const [found] = lines(output('status', 'eth0', ...netns, '--json')) as [
      { program: { id: number; name: string } },
    ];
    assert.deepEqual([found.program.id, found.program.name], [placed.program.id, 'use_maps']);
    assert.match(
      errorLine(barewire('load', 'eth0', object, '-p', 'reject', ...netns)),
      /loaded on eth0 already/,
    );

    const { flows, first, queue } = placed.maps as { flows: string; first: string; queue: string };
    assert.ok(flows && first && queue);
    const key = '{"source":8,"port":53,"protocol":17}';
    output('map', 'set', flows, key, '{"packets":9007199254740993,"bytes":1}');
    const entry = {
      key: { source: 8, port: 53, protocol: 17 },
      value: { packets: 9007199254740993n, bytes: 1 },
    };
    // The interface's own traffic has an entry as well.
    const dumped = output('map', 'dump', flows).split('\n');
    assert.ok(
      dumped.includes('{"source":8,"port":53,"protocol":17}: {"packets":9007199254740993,"bytes":1}'),
      `${dumped}`,
    );
    assert.equal(
      output('map', 'get', flows, key, '--json').trim(),
      `{"key":${JSON.stringify(entry.key)},"value":{"packets":9007199254740993,"bytes":1}}`,
    );
    assert.equal(barewire('map', 'set', flows, key, '{}', '--create').code, 1);
    assert.match(errorLine(barewire('map', 'set', flows, '{"prot":1}', '1')), /no member 'prot'/);
    output('map', 'set', first, '0', '0x10');
    assert.match(output('map', 'get', first, '0'), /^0: (1[6-9]|[2-9]\d)\n$/);
    const watching = start(['map', 'watch', flows, '-i', '20ms', '--json']);
    await watching.until(({ stdout }) => stdout.includes('"added"'), 'the first look');
    output('map', 'delete', flows, key);
    await watching.until(({ stdout }) => stdout.includes('"deleted"'), 'the entry was gone');
    watching.child.kill('SIGINT');
    await watching.ended;
    assert.equal(barewire('map', 'delete', flows, key).code, 1);
    assert.equal(barewire('map', 'get', flows, key).code, 1);

    // Traffic reaches it: the program reports every frame in its ring buffer.
    const tracing = start(['trace', '--map', placed.maps.events ?? '', '--type', '__u32']);
    const ping = there.spawn('ping', ['-c', '1', '-W', '1', '10.77.0.1'], { stdio: 'ignore' });
    await tracing.until(({ stdout }) => stdout.includes('\n'), 'an event');
    tracing.child.kill('SIGINT');
    const { stdout } = await tracing.ended;
    assert.ok(Number(stdout.split('\n')[0]) >= 42, stdout);
    ping.kill();

    assert.equal(output('unload', 'eth0', ...netns), 'eth0 is free\n');
    assert.equal(output('status', 'eth0', ...netns, '--json'), '');
    assert.match(errorLine(barewire('unload', 'eth0', ...netns)), /no object was loaded on eth0/);
    assert.equal(barewire('map', 'dump', flows).code, 1);
  });
});

describe('barewire trace', () => {
  for (const compiler of ['clang-14', 'clang-16', 'clang-19'] as const) {
    it(`gives events of a program of ${compiler} by the names of their struct`, async () => {
      const netns = ['--netns', here.namespace];
      const [placed] = lines(output('load', 'eth0', compiled('events', compiler), ...netns, '--json')) as [
        { maps: Record<string, string> },
      ];
      const tracing = start(['trace', '--map', placed.maps.events ?? '', '--type', 'event']);
      const ping = there.spawn('ping', ['-i', '0.2', '-c', '50', '10.77.0.1'], { stdio: 'ignore' });
      await tracing.until(({ stdout }) => stdout.includes('"type":2048'), 'an event of a ping');
      tracing.child.kill('SIGINT');
      const { stdout } = await tracing.ended;
      ping.kill();
      output('unload', 'eth0', ...netns);
      const line = stdout.split('\n').find((text) => text.includes('"type":2048')) ?? '';
      // JavaScript's own reader would round the number.
      assert.match(line, /^\{"number":115292150460684\d{4},/);
      const { number: _, to, ...event } = JSON.parse(line) as Record<string, unknown>;
      assert.match((to as { mac: string }).mac, /^hex:[0-9a-f]{12}$/);
      const { negative, last, low, high, reason, name, lengths } = event;
      assert.deepEqual(
        [negative, last, low, high, reason, name, lengths],
        [-7, true, 5, 4097, 3, 'x', [0, 98]],
      );
    });
  }
});

describe("barewire load and Debian's xdp-loader", () => {
  const netns = ['--netns', here.namespace];
  const loader = (...args: string[]): { code: number | null; said: string } => {
    const { code, stdout, stderr } = run('ip', 'netns', 'exec', here.namespace, tool('xdp-loader'), ...args);
    return { code, said: stdout + stderr };
  };

  it('leave each other alone, and each sees the other', () => {
    const object = compiled('globals', 'clang-14');
    assert.equal(loader('load', '-m', 'skb', 'eth0', object).code, 0);
    try {
      assert.match(output('status', 'eth0', ...netns), /read_globals|xdp_dispatcher/);
      const refused = barewire('load', 'eth0', object, ...netns);
      assert.equal(refused.code, 1);
      assert.match(refused.stderr, /another owner's XDP program/);
      assert.match(loader('status', 'eth0').said, /read_globals/, 'it is still there');
    } finally {
      loader('unload', 'eth0', '--all');
    }
    output('load', 'eth0', object, ...netns, '--alone');
    assert.match(loader('status', 'eth0').said, /read_globals/);
    assert.notEqual(loader('load', 'eth0', object).code, 0);
    assert.match(output('status', 'eth0', ...netns), /read_globals/);
    output('unload', 'eth0', ...netns);
    assert.match(loader('status', 'eth0').said, /No XDP program/);
  });
});

describe('barewire inspect', () => {
  it('shows programs, maps, variables, code and types', () => {
    const path = compiled('globals', 'clang-19');
    const [found] = lines(output('inspect', path, '--json', '--code', '--types')) as [
      {
        programs: { name: string; type: string }[];
        variables: { name: string; value: unknown }[];
        code: string;
        types: string;
      },
    ];
    assert.deepEqual(
      found.programs.map(({ name, type }) => [name, type]),
      [['read_globals', 'xdp']],
    );
    const settings = found.variables.find(({ name }) => name === 'settings')?.value as {
      mac: string;
      limit: number;
    };
    assert.deepEqual([settings.mac, settings.limit], ['hex:010203040506', 2 ** 40]);
    assert.match(found.code, /; runs\+\+; @ globals\.c:\d+\n.*map\[\.bss\]/);
    assert.match(found.types, /struct settings \{\n\t__u8 mac\[6\];/);
    const text = output('inspect', compiled('externs', 'clang-14'));
    assert.match(text, /needs CONFIG_HZ \(kconfig, or does without\)/);
    assert.match(text, /License GPL, little-endian/);
    writeFileSync(join(folder, 'none.o'), 'no object');
    assert.match(errorLine(barewire('inspect', join(folder, 'none.o'))), /elf: the file header is truncated/);
    assert.match(errorLine(barewire('inspect', join(folder, 'nowhere.o'))), /there is no file/);
  });
});

describe('barewire run', () => {
  it('prints the verdicts of a program on a capture', () => {
    const writer = new PcapngWriter();
    writer.addInterface();
    for (const length of [60, 128]) writer.packet(new Uint8Array(length), 0, length, 1n);
    const capture = join(folder, 'two.pcapng');
    writeFileSync(capture, writer.take());
    const { code, stdout, stderr } = barewire('run', capture, compiled('globals', 'clang-16'), '--json');
    assert.equal(code, 0, stderr);
    const found = lines(stdout) as { packet: number; action: string; length: number }[];
    assert.deepEqual(
      found.map(({ packet, action, length }) => [packet, action, length]),
      [
        [1, 'pass', 60],
        [2, 'drop', 128],
      ],
    );
    assert.equal(stderr, '1 pass, 1 drop\n');
  });

  it('takes copies of what an interface receives', async () => {
    const running = start([
      'run',
      'eth0',
      compiled('globals', 'clang-16'),
      '--netns',
      here.namespace,
      '-n',
      '2',
    ]);
    const ping = there.spawn('ping', ['-i', '0.2', '10.77.0.1'], {
      stdio: 'ignore',
    });
    const { code, stdout, stderr } = await running.ended;
    ping.kill();
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^1 pass \d+ bytes .*\n2 pass/);
  });
});

describe('barewire gen', () => {
  it('writes a module that type-checks and loads', async () => {
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    for (const source of ['globals', 'maps'] as const) {
      const module = join(folder, `${source}.ts`);
      output('gen', compiled(source, 'clang-19'), '-o', module, '--package', `${ROOT}dist/src`);
      const text = execFileSync('sed', ["s#/bpf'#/bpf/index.js'#", module], { encoding: 'utf8' });
      writeFileSync(module, text);
      const use =
        source === 'maps'
          ? `import { load } from './maps.ts';
const live = load();
live.maps.flows.set({ source: 1, port: 2, protocol: 3 }, { packets: 4n, bytes: 5n });
const read: bigint | undefined = live.maps.flows.get({ source: 1, port: 2, protocol: 3 })?.packets;
// @ts-expect-error a number where a bigint is wanted
live.maps.flows.set({ source: 1, port: 2, protocol: 3 }, { packets: 4, bytes: 5n });
console.log(read, live.programs.use_maps.testRun({ data: new Uint8Array(64) }).action);
live.close();
`
          : `import { load } from './globals.ts';
const live = load({ verdict: 3, settings: { mac: new Uint8Array(6), name: 'x', limit: 1n, enabled: false, mode: 0, bits: { low: 1, high: 2, negative: -1 }, address: 1, table: [[1, 2, 3], [4, 5, 6]] } });
console.log(live.programs.read_globals.testRun({ data: new Uint8Array(64) }).action, live.variables.runs.value);
// @ts-expect-error a constant
live.variables.verdict.value = 1;
`;
      writeFileSync(
        join(folder, `use-${source}.ts`),
        source === 'globals'
          ? use.replace(
              /\/\/ @ts[\s\S]*$/,
              (end) => `if (live.programs === undefined) {\n${end}}\nlive.close();\n`,
            )
          : use,
      );
      execFileSync(
        `${ROOT}node_modules/.bin/tsc`,
        [
          ...[
            '--ignoreConfig',
            '--strict',
            '--target',
            'es2023',
            '--module',
            'nodenext',
            '--rewriteRelativeImportExtensions',
          ],
          ...['--typeRoots', `${ROOT}node_modules/@types`, '--types', 'node', '--skipLibCheck'],
          ...[
            '--allowImportingTsExtensions',
            '--outDir',
            join(folder, 'out'),
            join(folder, `use-${source}.ts`),
          ],
        ],
        { stdio: 'inherit' },
      );
      const said = execFileSync(process.execPath, [join(folder, 'out', `use-${source}.js`)], {
        encoding: 'utf8',
      });
      assert.equal(said, source === 'maps' ? '4n pass\n' : 'tx 1n\n');
    }
  });
});

describe('barewire trace', () => {
  it('reads lines of the pipe, and knows those of a program by its formats', () => {
    assert.deepEqual(
      parseTraceLine('          <idle>-0       [001] b.s2. 12.500000: bpf_trace_printk: port 53 of 7'),
      {
        thread: '<idle>-0',
        cpu: 1,
        time: 12.5,
        text: 'port 53 of 7',
      },
    );
    assert.equal(parseTraceLine('  x-1 [000] d... 1.0: sched_switch: prev'), undefined);
    const formats = formatsIn(Buffer.from('port %d of %u\n\0\0other: %pI4 (%llx) 100%%\0'));
    const matches = (line: string): boolean[] => formats.map((format) => format.test(line));
    assert.deepEqual(matches('port 53 of 7'), [true, false]);
    assert.deepEqual(matches('other: 010.000.000.001 (ff) 100%'), [false, true]);
    assert.deepEqual(matches('something else'), [false, false]);
  });

  it('says what is missing where there is no pipe, and refuses what is no ring buffer', () => {
    using loaded = loadObject(objectOf('maps', 'clang-14')).load();
    const id = loaded.maps.first?.info().id ?? 0;
    assert.match(
      errorLine(barewire('trace', '--map', String(id))),
      /'first' is no ring buffer, but of type array/,
    );
    assert.match(errorLine(barewire('trace', '--type', 'event')), /of a --map/);
  });
});
