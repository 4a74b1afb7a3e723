import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import {
  BPFFS,
  BpfMap,
  type LoadedObject,
  type LoadObjectOptions,
  load,
  loadObject,
  type Program,
  unpin,
} from '../../src/bpf/index.ts';
import { type Btf, decodeBtf } from '../../src/btf/index.ts';
import type { BarewireError } from '../../src/error.ts';
import { u32 } from '../../src/layout/index.ts';
import { readElf, runConfigOf } from '../../src/object/index.ts';
import { array } from '../../src/spec/index.ts';
import { kernelVersion, possibleCpus, requireNoLeaks, takeStock } from '../../src/sys/index.ts';
import { kernelSince } from '../kernel-since.ts';
import { COMPILERS, compiled, loadByOthers, objectOf } from './compile.ts';

const before = takeStock();
after(() => requireNoLeaks(before));

/** Frames of several lengths and protocols, so that programs take more than one way. */
const FRAMES: readonly Uint8Array[] = [14, 60, 64, 101, 201, 999, 1000, 1400].flatMap((length) =>
  [
    [8, 0],
    [0x86, 0xdd],
    [8, 6],
  ].map(([high = 0, low = 0]) => {
    const frame = Uint8Array.from({ length }, (_, i) => i * 11);
    frame.set([high, low, high === 8 ? 0x45 : 0x60, 0].slice(0, length - 12), 12);
    if (length > 24) frame[23] = length % 2 === 0 ? 6 : 17;
    return frame;
  }),
);

function program(loaded: LoadedObject, name: string): Program {
  const found = loaded.programs[name];
  assert.ok(found !== undefined, name);
  return found;
}

/** The object with everything loaded that it loads by default. */
function loadFile(path: string, options?: LoadObjectOptions): LoadedObject {
  return loadObject(readFileSync(path)).load(options);
}

function sameVerdicts(ours: Program, theirs: Program, what: string): void {
  for (const data of FRAMES) {
    // The kernel empties a program array when the last descriptor of it goes, as bpftool's did.
    if (what === 'use_maps' && data.length > 200) continue;
    const own = ours.testRun({ data });
    const other = theirs.testRun({ data });
    assert.equal(own.returned, other.returned, `${what} on ${data.length} bytes`);
    assert.deepEqual(own.data, other.data, `${what} leaves the frame the same`);
  }
}

function value(loaded: LoadedObject, name: string): unknown {
  const variable = loaded.variables[name];
  assert.ok(variable !== undefined, name);
  return variable.value;
}

for (const compiler of COMPILERS) {
  describe(`an object of ${compiler}`, () => {
    for (const [source, names] of [
      ['globals', ['read_globals']],
      ['maps', ['use_maps', 'name_others', 'reject']],
      ['calls', ['call_all', 'call_back', 'call_again']],
      ['core', ['relocate']],
      ['externs', ['externs', 'functions']],
    ] as const) {
      it(`of ${source}.c gives the verdicts that libbpf's gives`, () => {
        const path = compiled(source, compiler);
        using theirs = loadByOthers(path, names);
        using ours = loadFile(path);
        for (const name of names) {
          sameVerdicts(program(ours, name), theirs[name] as Program, name);
          assert.equal(program(ours, name).info().name, theirs[name]?.info().name);
        }
      });
    }

    it('has variables that are set before, read and written after', () => {
      const object = loadObject(objectOf('globals', compiler));
      const settings = object.variables.settings;
      assert.deepEqual(settings?.value, {
        mac: Uint8Array.of(1, 2, 3, 4, 5, 6),
        name: 'bare',
        limit: 1n << 40n,
        enabled: true,
        mode: 7,
        bits: { low: 5, high: 300, negative: -3 },
        address: 0x01020304,
        bytes: Uint8Array.of(4, 3, 2, 1),
        table: [
          [1, 2, 3],
          [4, 5, 6],
        ],
      });
      assert.equal(object.variables.hidden_verdict?.value, 1);
      assert.equal(object.variables.runs?.value, 0n);
      {
        using plain = object.load();
        assert.equal(program(plain, 'read_globals').testRun({ data: new Uint8Array(64) }).action, 'pass');
        assert.equal(program(plain, 'read_globals').testRun({ data: new Uint8Array(128) }).action, 'drop');
        assert.equal(value(plain, 'runs'), 2n);
        assert.equal(value(plain, 'local_counter'), 9n);
        assert.equal(value(plain, 'last_length'), 128);
        assert.deepEqual(value(plain, 'sums'), [-1n, 2n + 84n, -3n, 4n]);
        assert.throws(() => Object.assign(plain.variables.verdict ?? {}, { value: 1 }), {
          code: 'BW_CONSTANT',
          message: /'verdict'/,
        });
        const frozen = plain.maps['.rodata'];
        assert.throws(() => frozen?.setBytes(new Uint8Array(4), new Uint8Array(frozen.valueSize)), {
          code: 'BW_PERMISSION',
        });
        const { runs } = plain.variables;
        assert.ok(runs !== undefined);
        runs.value = 100n;
        program(plain, 'read_globals').testRun({ data: new Uint8Array(64), repeat: 10 });
        assert.equal(runs.value, 110n);
        assert.equal(value(plain, 'local_counter'), 29n, 'what lies beside it is not touched');
      }
      assert.ok(settings !== undefined && object.variables.verdict !== undefined);
      object.variables.verdict.value = 3;
      object.variables.initial!.value = 5;
      settings.value = {
        ...(settings.value as object),
        enabled: false,
        bits: { low: 7, high: 1, negative: -16 },
      };
      assert.deepEqual((settings.value as { bits: object }).bits, { low: 7, high: 1, negative: -16 });
      using changed = object.load();
      assert.equal(program(changed, 'read_globals').testRun({ data: new Uint8Array(128) }).action, 'tx');
      assert.deepEqual(value(changed, 'sums'), [-1n, 2n + 45n, -3n, 4n]);
      for (const wrong of [8n, { low: 8 }, { nobody: 1 }, 'text']) {
        assert.throws(
          () => {
            settings.value = typeof wrong === 'object' ? { bits: wrong } : wrong;
          },
          { code: 'BW_ARGUMENT', message: /'settings'/ },
        );
      }
    });

    it('has maps of every form, filled as it says', () => {
      const object = loadObject(objectOf('maps', compiler));
      assert.deepEqual(
        Object.values(object.maps)
          .map(({ name, type, keySize, valueSize, maxEntries, flags }) =>
            [name, type, keySize, valueSize, maxEntries, flags].join(' '),
          )
          .toSorted(),
        [
          'devices 14 4 8 4 0',
          'events 27 0 0 4096 0',
          'first 2 4 4 1 0',
          'flows 1 8 16 128 1',
          'jumps 3 4 4 3 0',
          'named 13 4 4 4 0',
          'outer 12 4 4 4 0',
          'per_cpu 6 4 16 2 0',
          'prefixes 11 8 4 16 1',
          'queue 22 0 4 4 0',
          'samples 4 4 4 0 0',
          'second 2 4 4 1 0',
        ],
      );
      object.maps.flows!.maxEntries = 77;
      using loaded = object.load();
      const { flows, per_cpu: perCpu, queue, outer, named, first, second, samples, prefixes } = loaded.maps;
      assert.ok(flows && perCpu && queue && outer && named && first && second && samples && prefixes);
      assert.equal(flows.info().maxEntries, 77);
      assert.equal(samples.info().maxEntries, possibleCpus());
      const run = program(loaded, 'use_maps');
      assert.equal(run.testRun({ data: new Uint8Array(100), repeat: 3 }).action, 'pass');
      assert.equal(run.testRun({ data: new Uint8Array(300) }).action, 'drop', 'the tail call is taken');
      assert.deepEqual(
        [...flows],
        [
          [
            { source: 7, port: 53, protocol: 17 },
            { packets: 4n, bytes: 600n },
          ],
        ],
      );
      assert.equal(flows.get({ source: 7, port: 54, protocol: 17 }), undefined);
      const cpus = perCpu.get(1) as { packets: bigint }[];
      assert.equal(cpus.length, possibleCpus());
      assert.equal(
        cpus.reduce((sum, { packets }) => sum + packets, 0n),
        4n,
      );
      assert.deepEqual([queue.pop(), queue.pop()], [100, 100]);
      assert.equal(first.get(0), 4);
      assert.deepEqual(
        [...outer.keys()].map((key) => outer.get(key)),
        [undefined, first.info().id, undefined, second.info().id],
      );
      assert.equal(named.get(2), second.info().id);
      outer.set(0, second);
      assert.equal(outer.get(0), second.info().id);
      prefixes.set(Uint8Array.of(8, 0, 0, 0, 10, 0, 0, 0), 6);
      assert.equal(prefixes.get(Uint8Array.of(8, 0, 0, 0, 10, 0, 0, 0)), 6);
      assert.throws(() => flows.set({ source: -1 }, { packets: 1n }), {
        code: 'BW_ARGUMENT',
        message: /flow\.source/,
      });
      assert.equal(flows.delete({ source: 7, port: 53, protocol: 17 }), true);
      assert.equal(flows.delete({ source: 7, port: 53, protocol: 17 }), false);
    });

    it('uses timers, locks, tags, wide enumerations, floating point, strings and iterators', async () => {
      const names = ['set_timer', 'use_strings', 'use_maps', 'use_symbols', 'iterate'] as const;
      const path = compiled('features', compiler);
      if (compiler !== 'clang-14') {
        // What clang-14 puts into .rodata.cst16, though its BTF says .rodata, libbpf does not sort out.
        using theirs = loadByOthers(path, names);
        using ours = loadFile(path);
        for (const name of names) sameVerdicts(program(ours, name), theirs[name] as Program, name);
      }
      const object = loadObject(readFileSync(path));
      assert.equal(object.variables.ratio?.value, 1.5);
      assert.deepEqual(object.variables.halves?.value, [0.5, -0.25]);
      assert.equal(object.variables.wide?.value, compiler === 'clang-14' ? 1 : 1n);
      using loaded = object.load();
      const frame = (length: number): { data: Uint8Array } => ({ data: new Uint8Array(length) });
      program(loaded, 'set_timer').testRun(frame(64));
      const elements = loaded.maps.elements;
      assert.ok(elements);
      while (value(loaded, 'fired_total') !== 1) await new Promise((resolve) => setTimeout(resolve, 1));
      const element = elements.get(3) as { count: bigint; fired: number };
      assert.deepEqual([element.count, element.fired], [2n, 3]);
      assert.equal(program(loaded, 'use_strings').testRun(frame(65)).action, 'tx');
      assert.deepEqual([value(loaded, 'copied'), value(loaded, 'compared')], ['beta', 1]);
      program(loaded, 'use_strings').testRun(frame(64));
      assert.equal(value(loaded, 'copied'), 'alpha');
      program(loaded, 'use_maps').testRun({ ...frame(70), repeat: 2 });
      assert.deepEqual([value(loaded, 'visits'), loaded.maps.stack?.pop()], [1, 70]);
      const [first] = loaded.maps.anonymous ?? [];
      assert.deepEqual(first?.[0], { a: 5, b: new Uint8Array(6) });
      const values = first?.[1] as { x: number; y: number }[];
      assert.ok(values.some(({ x, y }) => x === 70 && y === 0));
      assert.equal(loaded.maps.uneven?.info().maxEntries, 8192);
      assert.equal(loaded.maps.anonymous?.info().flags, 2);
      program(loaded, 'iterate').testRun(frame(64));
      assert.equal(value(loaded, 'sum'), kernelSince('6.4') ? 10 : 0);
    });

    it('is loaded by the same function as programs in TypeScript, for one interface if need be', () => {
      const object = loadObject(objectOf('globals', compiler));
      using loaded = load(object, { programs: ['read_globals'] });
      assert.equal(program(loaded, 'read_globals').testRun({ data: new Uint8Array(64) }).action, 'pass');
      if (!kernelSince('6.3')) return;
      assert.throws(() => load(object, { boundTo: 0x7fff_fff0 }), { code: /^BW_(INVALID|NOT_FOUND|SYSTEM)/ });
    });

    it('says where its programs stand among others', () => {
      const object = loadObject(objectOf('place', compiler));
      const places = ['first', 'second', 'third', 'fourth'].map((name) => runConfigOf(object, name));
      const [drop, pass, tx, redirect] = [1, 2, 3, 4].map((action) => 1 << action) as [
        number,
        number,
        number,
        number,
      ];
      assert.deepEqual(places, [
        { priority: 10, chain: drop | pass },
        { priority: 0x7fff, chain: redirect },
        { priority: 50, chain: pass | tx },
        { priority: 50, chain: pass },
      ]);
    });

    it('for every instruction set gives the same verdicts', () => {
      const sets = compiler === 'clang-19' ? ['v1', 'v2', 'v3', 'v4'] : ['v1', 'v2', 'v3'];
      for (const set of sets) {
        for (const [source, names] of [
          ['globals', ['read_globals']],
          ['calls', ['call_all', 'call_back']],
        ] as const) {
          const path = compiled(source, compiler, `-mcpu=${set}`, '-O1');
          using theirs = loadByOthers(path, names);
          using ours = loadFile(path);
          for (const name of names)
            sameVerdicts(program(ours, name), theirs[name] as Program, `${name} ${set}`);
        }
      }
    });

    it('uses maps that exist already, and no others', () => {
      const object = loadObject(objectOf('maps', compiler));
      using own = BpfMap.create(array('first', u32, 1));
      using loaded = object.load({ maps: { first: own } });
      program(loaded, 'use_maps').testRun({ data: new Uint8Array(64) });
      assert.equal(own.get(0), 1);
      using wrong = BpfMap.create(array('first', u32, 2));
      assert.throws(() => object.load({ maps: { first: wrong } }), {
        code: 'BW_PIN_MISMATCH',
        message: /max entries/,
      });
      assert.throws(() => object.load({ maps: { nobody: own } }), { code: 'BW_ARGUMENT' });
    });

    it('keeps a map on bpffs that it wants there', () => {
      const pin = `${BPFFS}/bw_pinned_runs`;
      unpin(pin);
      try {
        const data = new Uint8Array(64);
        {
          using one = loadFile(compiled('pinned', compiler));
          program(one, 'count_runs').testRun({ data, repeat: 2 });
        }
        using two = loadFile(compiled('pinned', compiler));
        program(two, 'count_runs').testRun({ data });
        assert.equal(two.maps.bw_pinned_runs?.get(0), 3n);
        const other = loadObject(objectOf('pinned', compiler));
        other.maps.bw_pinned_runs!.maxEntries = 2;
        assert.throws(() => other.load(), {
          code: 'BW_PIN_MISMATCH',
          message: /max entries is 1 instead of 2/,
        });
      } finally {
        assert.ok(existsSync(pin));
        unpin(pin);
      }
    });

    it('calls functions, of its section and of others, and is called back', () => {
      using loaded = loadFile(compiled('calls', compiler));
      const run = (name: string, length: number): number =>
        program(loaded, name).testRun({ data: new Uint8Array(length) }).returned;
      assert.equal(run('call_all', 64), 64 + 15 + 1 + 192);
      assert.equal(run('call_again', 70), 210);
      assert.equal(run('call_back', 64), 4 + 2 * 45);
      using library = loadFile(compiled('calls', compiler, '-DLIBRARY'));
      assert.equal(program(library, 'call_library').testRun({ data: new Uint8Array(70) }).returned, 210);
      assert.equal(library.programs.in_library, undefined, 'a function that others call is no program');
    });

    it('says by its section names what its programs are', () => {
      const object = loadObject(objectOf('sections', compiler));
      const kinds = Object.values(object.programs).map(({ name, kind }) =>
        [name, kind?.type, kind?.xdp, kind?.flags].join(' '),
      );
      assert.deepEqual(kinds.toSorted(), [
        'by_name_only xdp xdp 0',
        'classify sched_cls  0',
        'filter_socket socket_filter  0',
        'frags xdp xdp 32',
        'frags_on_cpu xdp xdp/cpumap 32',
        'frags_on_device xdp xdp/devmap 32',
        'on_cpu xdp xdp/cpumap 0',
        'on_device xdp xdp/devmap 0',
        'on_egress cgroup_skb  0',
        'on_socket sock_ops  0',
        'plain xdp xdp 0',
      ]);
      assert.equal(object.license, 'Dual MIT/GPL');
      assert.equal(object.kernelVersion, 0x60c00);
      using loaded = object.load();
      assert.equal(Object.keys(loaded.programs).length, 10, 'all but the one with a question mark');
      assert.equal(program(loaded, 'classify').info().type, 'sched_cls');
      const jumbo = new Uint8Array(9000);
      assert.equal(program(loaded, 'frags').testRun({ data: jumbo }).action, 'tx');
      using named = object.load({ programs: ['by_name_only'] });
      assert.deepEqual(Object.keys(named.programs), ['by_name_only']);
      assert.throws(() => object.load({ programs: ['by_name_onyl'] }), { hint: /'by_name_only'/ });
    });

    it('is relocated against the types of the running kernel', () => {
      const object = loadObject(objectOf('core', compiler, '-DMISSING'));
      using loaded = object.load();
      assert.equal(program(loaded, 'relocate').testRun({ data: new Uint8Array(64) }).action, 'pass');
      const got = (name: string): number => Number(value(loaded, name));
      const kernel = decodeBtf(readFileSync('/sys/kernel/btf/vmlinux'));
      const task = kernel.find('task_struct', 'struct')!;
      assert.equal(got('pid_offset'), member(kernel, 'task_struct', 'pid').bitOffset / 8);
      assert.equal(got('comm_offset'), member(kernel, 'task_struct', 'comm').bitOffset / 8);
      assert.equal(got('third_char'), got('comm_offset') + 2);
      assert.deepEqual([got('comm_size'), got('pid_size'), got('typedef_size')], [16, 4, 1]);
      assert.equal(got('len_offset'), member(kernel, 'sk_buff', 'len').bitOffset / 8);
      assert.deepEqual([got('pid_signed'), got('len_signed')], [1, 0]);
      assert.deepEqual([got('pid_exists'), got('missing_exists')], [1, 0]);
      assert.deepEqual([got('task_exists'), got('nobody_exists')], [1, 0]);
      assert.deepEqual([got('queue_exists'), got('queue_value'), got('nobody_value_exists')], [1, 22, 0]);
      assert.deepEqual([got('task_size'), got('target_id')], [kernel.sizeOf(task), task]);
      assert.equal(got('local_id'), object.btf?.types.find('task_struct___ours', 'struct'));
      assert.equal(got('matches'), compiler === 'clang-14' ? 0 : 1);
      const bits = member(kernel, 'sk_buff', 'ip_summed');
      const word = got('bits_offset') * 8;
      assert.ok(bits.bitOffset >= word && bits.bitOffset + bits.bitSize <= word + got('bits_size') * 8);
      assert.equal(got('bits_left'), 64 - (bits.bitOffset + bits.bitSize - word));
      assert.equal(got('bits_right'), 64 - bits.bitSize);
      assert.equal(got('leader'), process.pid);
      assert.ok(got('pid') > 0);
      assert.throws(() => object.load({ programs: ['needs_nobody'] }), {
        code: 'BW_VERIFIER',
        hint: /does not have the field 'struct task_struct___ours\.no_such_field'/,
      });
    });

    it('gets configuration, symbols and functions of the kernel', () => {
      using loaded = loadFile(compiled('externs', compiler));
      program(loaded, 'externs').testRun({ data: new Uint8Array(64) });
      const { major, minor, patch } = kernelVersion();
      assert.equal(value(loaded, 'kernel_version'), major * 65536 + minor * 256 + Math.min(patch, 255));
      assert.equal(value(loaded, 'syscall_built'), true);
      assert.ok([100, 250, 300, 1000].includes(value(loaded, 'hertz') as number));
      assert.equal(value(loaded, 'nobody_config'), 0);
      assert.equal(value(loaded, 'nobody_address'), 0n);
      assert.equal(value(loaded, 'nobody_typed'), 0n);
      const address = /^([0-9a-f]+) T vfs_read$/m.exec(readFileSync('/proc/kallsyms', 'latin1'))?.[1];
      assert.equal(value(loaded, 'known_address'), BigInt(`0x${address}`));
      assert.equal(program(loaded, 'functions').testRun({ data: new Uint8Array(64) }).returned, 64);
    });

    it('may define its maps as before BTF', () => {
      const object = loadObject(objectOf('legacy', compiler));
      assert.throws(() => object.load(), {
        code: 'BW_UNSUPPORTED',
        message: /'tables': it holds maps, .* set `inner`/,
      });
      const { tables, counts } = object.maps;
      assert.ok(tables !== undefined && counts !== undefined);
      tables.inner = counts;
      using loaded = object.load();
      assert.equal(program(loaded, 'use_tables').testRun({ data: new Uint8Array(64) }).action, 'tx');
      loaded.maps.tables?.set(0, loaded.maps.counts!);
      assert.equal(program(loaded, 'use_tables').testRun({ data: new Uint8Array(64) }).action, 'drop');
      assert.equal(
        program(loaded, 'count_old').testRun({ data: new Uint8Array(64), repeat: 5 }).action,
        'pass',
      );
      assert.deepEqual(
        [...(loaded.maps.counts ?? [])],
        [
          [0, 0n],
          [1, 5n],
        ],
      );
      assert.equal(loaded.maps.others?.info().type, 'hash');
      assert.deepEqual([loaded.maps.others?.keySize, loaded.maps.others?.maxEntries], [2, 9]);
    });

    it('without debugging information loads all the same', () => {
      const object = loadObject(objectOf('legacy', compiler, '-g0'));
      assert.equal(object.btf, undefined);
      using loaded = object.load({ programs: ['count_old'] });
      assert.equal(program(loaded, 'count_old').testRun({ data: new Uint8Array(64) }).action, 'pass');
      assert.deepEqual(loaded.maps.counts?.get(1), Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
    });

    it('whose functions are not marked as such, as of old compilers, loads all the same', () => {
      const bytes = objectOf('calls', compiler);
      const view = new DataView(bytes.buffer);
      const symbols = readElf(bytes).sections.find(({ name }) => name === '.symtab');
      assert.ok(symbols !== undefined);
      for (let at = symbols.offset; at < symbols.offset + symbols.size; at += 24) {
        if ((view.getUint8(at + 4) & 15) !== 2) continue;
        view.setUint8(at + 4, view.getUint8(at + 4) & 0xf0);
        view.setBigUint64(at + 16, 0n, true);
      }
      using loaded = loadObject(bytes).load();
      assert.equal(program(loaded, 'call_again').testRun({ data: new Uint8Array(70) }).returned, 210);
      assert.equal(program(loaded, 'call_back').testRun({ data: new Uint8Array(70) }).returned, 94);
    });

    it('is refused by the name of what is not supported', () => {
      const object = loadObject(objectOf('refused', compiler));
      for (const [name, code, words] of [
        ['use_strange', 'BW_UNSUPPORTED', /map 'strange': the member 'unheard_of'/],
        ['use_pointers', 'BW_UNSUPPORTED', /addresses in the data section '\.data'/],
        ['use_custom', 'BW_UNSUPPORTED', /'custom' in section 'custom_section'/],
        ['use_nowhere', 'BW_UNSUPPORTED', /nothing defines the symbol 'defined_nowhere'/],
        ['use_forbidden', 'BW_VERIFIER', /return \*data/],
      ] as const) {
        assert.throws(() => object.load({ programs: [name] }), { code, message: words }, name);
      }
      const foreign = loadObject(objectOf('foreign', compiler));
      for (const [name, words] of [
        ['entry', /no function 'no_such_function_anywhere'/],
        ['replace', /'replace' replaces a function of another program/],
        ['congestion', /struct_ops/],
        ['unknown', /section 'something' names no program type/],
      ] as const) {
        assert.throws(
          () => foreign.load({ programs: [name] }),
          { code: 'BW_UNSUPPORTED', message: words },
          name,
        );
      }
      // Programs that extend others load where the kernel has them, and otherwise it is said which kind it refuses.
      using target = loadFile(compiled('globals', compiler));
      const on = { program: program(target, 'read_globals'), function: 'read_globals' };
      try {
        using extending = foreign.load({ programs: ['replace'], targets: { replace: on } });
        assert.equal(program(extending, 'replace').info().type, 'ext');
      } catch (error) {
        assert.equal((error as BarewireError).code, 'BW_PERMISSION');
        assert.match((error as BarewireError).message, /the ext program 'replace'/);
        assert.match((error as BarewireError).hint ?? '', /refuses programs that extend others/);
      }
      const big = loadObject(objectOf('globals', compiler, '-mbig-endian'));
      assert.throws(() => big.load(), { code: 'BW_UNSUPPORTED', message: /big-endian/ });
    });

    it('that the verifier refuses is told its line and what helps', () => {
      const object = loadObject(objectOf('complaints', compiler));
      for (const [name, line, hint] of [
        ['no_bounds', /\(long\)ctx->data/, /data_end right before the access/],
        ['no_null_check', /return \*value/, /compare its result with NULL/],
        ['no_index_check', /rx_queue_index & 15/, /index may lie outside of the value/],
        ['no_range', /rx_queue_index\]/, /sees no bound/],
        ['no_release', /./, /given back on every way out/],
        ['no_end', /infinite loop detected|back-edge/, /no end that the verifier sees|too many ways/],
        ['no_gpl', /bpf_trace_printk/, /GPL-compatible licence/],
        ['no_pointer', /rx_queue_index/, /a pointer is a number/],
      ] as const) {
        assert.throws(
          () => object.load({ programs: [name] }),
          (error: BarewireError) => {
            assert.equal(error.code, 'BW_VERIFIER', `${error}`);
            assert.match(error.message, /@ complaints\.c:\d+/);
            assert.match(error.message, line);
            assert.match(error.hint ?? '', hint, `${name}: ${error.message}`);
            return true;
          },
        );
      }
    });

    it('for big-endian machines reads the same', () => {
      const summary = (flags: string[]): unknown => {
        const { programs, maps, functions } = loadObject(objectOf('maps', compiler, ...flags));
        const places = functions.map(({ name, code, references }) => [name, code.length, references]);
        return { programs: Object.keys(programs), maps: JSON.stringify(Object.values(maps), exact), places };
      };
      const [little, big] = [summary([]), summary(['-mbig-endian'])];
      assert.deepEqual(big, little);
    });
  });
}

function exact(_: string, given: unknown): unknown {
  return typeof given === 'bigint' ? `${given}n` : given;
}

function member(btf: Btf, struct: string, name: string): { bitOffset: number; bitSize: number } {
  const look = (id: number): { bitOffset: number; bitSize: number } | undefined => {
    const type = btf.type(btf.resolve(id));
    if (type.kind !== 'struct' && type.kind !== 'union') return undefined;
    for (const field of type.members) {
      if (field.name === name) return field;
      const inner = field.name === '' ? look(field.type) : undefined;
      if (inner !== undefined) return { ...inner, bitOffset: inner.bitOffset + field.bitOffset };
    }
    return undefined;
  };
  const found = look(btf.find(struct, 'struct')!);
  assert.ok(found !== undefined, `${struct}.${name}`);
  return found;
}

describe("the objects of Debian's xdp-tools", () => {
  const folder = ['x86_64', 'aarch64'].map((arch) => `/usr/lib/${arch}-linux-gnu/bpf/`).find(existsSync);
  assert.ok(folder !== undefined, 'libxdp1 and xdp-tools are installed');
  const files = readdirSync(folder).filter((file) => file.endsWith('.o'));
  it('are those that are known', () => assert.ok(files.length >= 15, files.join(' ')));
  for (const file of files) {
    it(`${file} loads and decides as it does when libbpf loads it`, () => {
      const path = `${folder}${file}`;
      const object = loadObject(readFileSync(path));
      const xdp = Object.values(object.programs).filter(({ kind }) => kind?.type === 'xdp');
      if (xdp.length === 0) {
        // fentry and fexit of a program that is yet to be chosen.
        using target = loadFile(compiled('globals', 'clang-14'));
        const on = { program: program(target, 'read_globals'), function: 'read_globals' };
        try {
          using tracing = object.load({ targets: { trace_on_entry: on, trace_on_exit: on } });
          assert.equal(program(tracing, 'trace_on_entry').info().type, 'tracing');
        } catch (error) {
          // Some kernels refuse every program of this type.
          const { code, message } = error as { code?: string; message?: string };
          assert.equal(code, 'BW_PERMISSION');
          assert.match(message ?? '', /tracing program 'trace_on_entry'/);
        }
        return;
      }
      const names = xdp.map(({ name }) => name);
      // Maps that it keeps by name are for its own tool, not for a test.
      for (const map of Object.values(object.maps)) map.pinned = false;
      using ours = object.load();
      using theirs = loadByOthers(path, names);
      for (const name of names) sameVerdicts(program(ours, name), theirs[name] as Program, name);
    });
  }
});
