import type { BenchResult } from './bench.ts';

/** All lengths in pixels. */
const WIDTH = 860;
const MARGIN = 24;
/** Where the bars begin: the names stand before it. */
const LABELS = 210;
/** What the figures behind the longest bar need. */
const FIGURES = 170;
const BAR = 18;
const GAP = 7;
const TITLE = 78;
const HEAD = 34;
const FOOT = 44;

const TITLES: Readonly<Record<string, string>> = {
  rxdrop: 'rxdrop: receive and forget',
  txpush: 'txpush: send as fast as it goes',
  l2fwd: 'l2fwd: receive, swap MACs, send back',
};

/**
 * The results as a picture: bars by scenario, with packets per second, the ratio to AF_PACKET's rings, and a whisker
 * from the least to the greatest run.
 *
 * It carries its own colours and fonts, follows a dark page, and tells screen readers its title.
 *
 * @param note A line below: the machine, the day.
 */
export function benchChart(results: readonly BenchResult[], note: string): string {
  const scenarios = [...new Set(results.map(({ scenario }) => scenario))];
  const groups = scenarios.map(
    (name) => [name, results.filter(({ scenario }) => scenario === name)] as const,
  );
  const most = Math.max(...results.map(({ spread }) => spread[1]), 1);
  const step = niceStep(most / 5);
  const end = Math.ceil(most / step) * step;
  const scale = (WIDTH - LABELS - FIGURES - MARGIN) / end;
  const heights = groups.map(([, rows]) => HEAD + rows.length * (BAR + GAP));
  const plot = heights.reduce((sum, height) => sum + height, 0);
  const height = TITLE + plot + FOOT;
  const parts: string[] = [];
  for (let tick = 0; tick <= end; tick += step) {
    const x = round(LABELS + tick * scale);
    parts.push(
      `<line class="grid" x1="${x}" y1="${TITLE}" x2="${x}" y2="${TITLE + plot}"/>`,
      `<text class="tick" x="${x}" y="${TITLE + plot + 16}" text-anchor="middle">${millions(tick, step)}</text>`,
    );
  }
  let y = TITLE;
  for (const [scenario, rows] of groups) {
    parts.push(
      `<text class="group" x="${MARGIN}" y="${y + 20}">${escaped(TITLES[scenario] ?? scenario)}</text>`,
    );
    y += HEAD;
    for (const row of rows) {
      parts.push(bar(row, y, scale));
      y += BAR + GAP;
    }
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="title">
<title id="title">AF_XDP against AF_PACKET: packets per second in three scenarios</title>
<style>
svg { font: 13px system-ui, sans-serif; color: #1c1c1c; background: #fff }
text { fill: currentColor }
.head { font-size: 18px; font-weight: 600 }
.group { font-weight: 600 }
.note, .tick, .figure { fill: #5b5b5b; font-size: 12px }
.grid { stroke: #d9d9d9 }
.xdp { fill: #1f7a4d }
.packet { fill: #9a9a9a }
.whisker { stroke: currentColor; stroke-width: 1.2 }
@media (prefers-color-scheme: dark) {
svg { color: #ececec; background: #161616 }
.note, .tick, .figure { fill: #a8a8a8 }
.grid { stroke: #383838 }
.xdp { fill: #43b581 }
.packet { fill: #777 }
}
</style>
<text class="head" x="${MARGIN}" y="32">AF_XDP against AF_PACKET</text>
<text class="note" x="${MARGIN}" y="54">Million packets per second, frames of 64 bytes on a veth pair; in brackets the ratio to AF_PACKET's rings.</text>
${parts.join('\n')}
<text class="note" x="${MARGIN}" y="${height - 10}">${escaped(note)}</text>
</svg>
`;
}

function bar({ variant, packetsPerSecond, spread, ratio }: BenchResult, y: number, scale: number): string {
  const width = round(Math.max(1, packetsPerSecond * scale));
  const middle = y + BAR / 2;
  const [from, to] = spread.map((rate) => round(LABELS + rate * scale));
  const kind = variant.over === 'xdp' ? 'xdp' : 'packet';
  const figure = `${(packetsPerSecond / 1e6).toFixed(2)}${ratio === undefined ? '' : ` (${ratio.toFixed(2)})`}`;
  const whisker =
    to! - from! < 2
      ? ''
      : `<path class="whisker" fill="none" d="M${from} ${middle}H${to}M${from} ${middle - 4}v8M${to} ${middle - 4}v8"/>`;
  return `<text x="${LABELS - 10}" y="${middle + 4.5}" text-anchor="end">${escaped(variant.name)}</text>
<rect class="${kind}" x="${LABELS}" y="${y}" width="${width}" height="${BAR}" rx="2"/>${whisker}
<text class="figure" x="${Math.max(LABELS + width, to!) + 8}" y="${middle + 4.5}">${figure}</text>`;
}

/** 1, 2 or 5 times a power of ten, at least `least`. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= least) ?? 10);
}

function millions(value: number, step: number): string {
  return (value / 1e6).toFixed(step >= 1e6 ? 0 : step >= 1e5 ? 1 : 2);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
