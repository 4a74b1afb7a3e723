/** `npm run bench -- [NAME …] [--json]`: runs benchmarks and prints a table, or one JSON object a line. */
import { cpus, release } from 'node:os';
import { argv, exit, stderr, stdout } from 'node:process';
import type { Bench, Row } from './row.ts';

/** Every benchmark, loaded when it is asked for. */
const BENCHES: Readonly<Record<string, () => Promise<{ readonly bench: Bench }>>> = {
  compiler: () => import('./compiler.ts'),
  counter: () => import('./counter.ts'),
  filter: () => import('./filter.ts'),
  maps: () => import('./maps.ts'),
  monitor: () => import('./monitor.ts'),
  netstack: () => import('./netstack.ts'),
  objects: () => import('./objects.ts'),
  packet: () => import('./packet.ts'),
  redirect: () => import('./redirect.ts'),
  pppoe: () => import('./pppoe.ts'),
  xsk: () => import('./xsk.ts'),
  send: () => import('./send.ts'),
  proxy: () => import('./proxy.ts'),
};

const names = argv.slice(2).filter((word) => !word.startsWith('-'));
const json = argv.includes('--json');
const unknown = names.filter((name) => !(name in BENCHES));
if (unknown.length > 0) {
  stderr.write(
    `There is no benchmark ${unknown.join(', ')}. There are: ${Object.keys(BENCHES).join(', ')}.\n`,
  );
  exit(2);
}

if (!json) {
  const model = cpus()[0]?.model ?? 'unknown CPU';
  stdout.write(`${cpus().length} x ${model}, Linux ${release()}, Node ${process.versions.node}\n`);
}
for (const name of names.length > 0 ? names : Object.keys(BENCHES)) {
  const { bench } = (await BENCHES[name]?.()) ?? { bench: undefined };
  if (bench === undefined) continue;
  if (!json) stdout.write(`\n**${name}**: ${bench.summary}\n${tableHead()}\n`);
  for await (const row of bench.run()) stdout.write(`${json ? JSON.stringify(row) : tableLine(row)}\n`);
}

/** Markdown, so that a run can be kept in docs/benchmarks.md as it is. */
function tableHead(): string {
  const titles = ['figure', 'ours', 'yardstick', 'ratio', 'spread of ours', 'runs', 'unit, mode and more'];
  return `\n| ${titles.join(' | ')} |\n|${' --- |'.repeat(titles.length)}`;
}

function tableLine(row: Row): string {
  const cpu = Object.entries(row.cpu ?? {}).map(
    ([side, share]) => `${side} CPU ${Math.round(share * 100)} %`,
  );
  const more = Object.entries(row.more ?? {}).map(([key, value]) => `${key} ${shown(value)}`);
  const cells = [
    row.name,
    shown(row.ours),
    row.yardstick === undefined ? '' : `${shown(row.yardstick)} ${row.against ?? ''}`.trim(),
    row.ratio === undefined ? '' : row.ratio.toFixed(2),
    row.spread.map(shown).join(' to '),
    String(row.runs),
    [row.unit, row.mode, ...cpu, ...more].filter((part) => part !== undefined).join(', '),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** Three significant digits, thousands apart. */
function shown(value: number | string): string {
  if (typeof value === 'string') return value;
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US').replaceAll(',', ' ');
  return String(Number(value.toPrecision(3)));
}
