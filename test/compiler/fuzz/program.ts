import {
  type Env,
  type MapSpec,
  type PlainVerdict,
  program,
  type XdpProgram,
} from '../../../src/compiler/index.ts';
import {
  bigConstant,
  type EnvItem,
  evaluate,
  type Fill,
  literal,
  numberConstant,
  randomFill,
  randomMap,
} from './environment.ts';
import { randomPacket } from './packets.ts';
import { Random } from './random.ts';
import type { Helper, HelperParameter, NamedMap } from './scope.ts';
import { Statements } from './statement.ts';
import { print, type Tree, tree } from './tree.ts';

/** One program with what it runs on: everything a failure needs to be seen again. */
export interface Case {
  readonly env: readonly EnvItem[];
  readonly body: Tree;
  readonly onShort: PlainVerdict;
  readonly unroll: number;
  readonly fills: readonly Fill[];
  readonly packets: readonly Uint8Array[];
}

/** The program that a seed stands for. */
export function randomCase(seed: number): Case {
  const random = new Random(seed);
  const env: EnvItem[] = [];
  const g = new Statements(random, random.pick([30, 80, 160, 260]));
  const maps: NamedMap[] = [];
  for (
    let i = random.weighted<number>([
      [2, () => 0],
      [3, () => 1],
      [2, () => 2],
      [1, () => 4],
    ]);
    i > 0;
    i--
  ) {
    const item = randomMap(random, `m${i}`);
    env.push(item);
    maps.push({ name: item.name, spec: evaluate(print(item.source)) as MapSpec });
  }
  const helpers: Helper[] = [];
  for (
    let i = random.weighted<number>([
      [3, () => 0],
      [2, () => 1],
      [1, () => 3],
    ]);
    i > 0;
    i--
  ) {
    const [item, helper] = randomHelper(random, `f${i}`, maps);
    env.push(item);
    helpers.push(helper);
  }
  constants(random, env, g);
  g.maps = maps;
  g.helpers = helpers;
  const body = g.body(random.pick([2, 5, 9, 14]));
  return {
    env,
    body,
    onShort: random.pick(['pass', 'drop', 'tx', 'aborted']),
    unroll: random.pick([16, 16, 16, 0, 4, 32]),
    fills: maps.map(({ spec }) => randomFill(random, spec)),
    packets: Array.from({ length: 10 }, () => randomPacket(random)),
  };
}

function constants(random: Random, env: EnvItem[], g: Statements): void {
  const add = (name: string, text: string): void => {
    env.push({ name, source: tree('other', text) });
  };
  for (let i = random.int(0, 2); i > 0; i--) {
    const value = numberConstant(random);
    add(`k${i}`, `${value}`);
    g.scope.variables.push({ kind: 'num', name: `k${i}`, mutable: false, lo: value, hi: value });
  }
  if (random.chance(0.3)) {
    const text = bigConstant(random);
    add('kb', text);
    const value = BigInt(text.slice(0, -1));
    g.scope.variables.push({ kind: 'big', name: 'kb', mutable: false, lo: value, hi: value });
  }
  if (random.chance(0.4)) {
    const list = Array.from({ length: random.int(1, 6) }, () => numberConstant(random));
    add(
      'list',
      random.chance(0.2) ? `Uint8Array.of(${list.map((x) => x & 0xff).join(', ')})` : literal(list),
    );
    g.scope.variables.push({
      kind: 'numbers',
      name: 'list',
      length: list.length,
      lo: Math.min(0, ...list),
      hi: Math.max(255, ...list),
    });
  }
  if (random.chance(0.3)) {
    const on = random.chance(0.5);
    const port = random.int(0, 0xffff);
    add('config', `{ on: ${on}, port: ${port}, deep: { x: ${port & 7} } }`);
    g.scope.variables.push({ kind: 'bool', name: 'config.on', mutable: false });
    g.scope.variables.push({ kind: 'num', name: 'config.port', mutable: false, lo: port, hi: port });
    g.scope.variables.push({
      kind: 'num',
      name: 'config.deep.x',
      mutable: false,
      lo: port & 7,
      hi: port & 7,
    });
  }
}

/** A function of env, which sees its parameters alone. */
function randomHelper(random: Random, name: string, maps: readonly NamedMap[]): [EnvItem, Helper] {
  const g = new Statements(random, random.pick([10, 25, 50]));
  g.kernel = false;
  g.packet = random.chance(0.5);
  const parameters: HelperParameter[] = [];
  const names: string[] = [];
  const map = g.packet && maps.length > 0 && random.chance(0.5) ? random.pick(maps) : undefined;
  if (g.packet) {
    parameters.push({ kind: 'pkt' });
    names.push('pkt');
  }
  if (map !== undefined) {
    parameters.push({ kind: 'map', map });
    names.push('m');
    g.maps = [{ name: 'm', spec: map.spec }];
  }
  for (let i = random.int(1, 3); i > 0; i--) {
    const p = `p${i}`;
    names.push(p);
    random.weighted<() => void>([
      [
        4,
        () => () => {
          const [lo, hi] = random.pick([
            [0, 0xff],
            [0, 0xffff],
            [0, 0xffff_ffff],
            [-0x8000_0000, 0x7fff_ffff],
          ] as const);
          parameters.push({ kind: 'num', lo, hi });
          g.scope.variables.push({ kind: 'num', name: p, mutable: true, lo, hi });
        },
      ],
      [
        1,
        () => () => {
          parameters.push({ kind: 'big' });
          g.scope.variables.push({ kind: 'big', name: p, mutable: false, lo: 0n, hi: (1n << 64n) - 1n });
        },
      ],
      [
        1,
        () => () => {
          parameters.push({ kind: 'bool' });
          g.scope.variables.push({ kind: 'bool', name: p, mutable: false });
        },
      ],
    ])();
  }
  const wide = random.chance(0.25);
  const result = wide
    ? ({ kind: 'big' } as const)
    : ({ kind: 'num', lo: 0, hi: random.pick([0xff, 0xffff, 0xffff_ffff]) } as const);
  g.result = result;
  let source: Tree;
  if (random.chance(0.4)) {
    const value = wide ? g.u64(3).tree : g.numIn(3, 0, (result as { hi: number }).hi).tree;
    source = tree('other', `(${names.join(', ')}) => `, value);
  } else {
    source = tree('other', `(${names.join(', ')}) => {`, g.body(random.int(1, 3)), '}');
  }
  return [
    { name, source },
    { name, parameters, result },
  ];
}

/** A case as source text. */
export function caseText({ env, body }: Case): { readonly env: string; readonly fn: string } {
  const text = print(tree('other', '{', body, '}'));
  const used = env.filter(({ name }) => new RegExp(`\\b${name}\\b`).test(text));
  const items = used.map(({ name, source }) => tree('other', `${name}: `, source, ',\n'));
  const parameters = /\bkernel\b/.test(text) ? 'pkt, kernel' : 'pkt';
  return {
    env: print(tree('other', '({\n', ...items, '})')),
    fn: `({ ${used.map(({ name }) => name).join(', ')} }, ${parameters}) => ${text}`,
  };
}

/** A case as the program that `barewire/xdp` takes. */
export function caseProgram(given: Case): XdpProgram<Env> {
  const text = caseText(given);
  const env = evaluate(text.env) as Record<string, unknown>;
  const fn = evaluate(text.fn) as XdpProgram<Env>['fn'];
  return program<Env>('fuzzed', env, fn, { onShort: given.onShort, unroll: given.unroll });
}
