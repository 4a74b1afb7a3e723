import { together } from '../apps/counts.ts';
import type { MonitorReport } from '../apps/monitor.ts';
import type { MonitorFilter } from '../apps/monitor-filter.ts';
import { type Talker, talkers } from '../apps/monitor-talkers.ts';
import { MONITOR_SORTS, MONITOR_VIEWS, type MonitorSort, type MonitorView } from '../apps/monitor-words.ts';
import { FRAME_KINDS, type FrameKind } from '../programs/counter.ts';
import { type Column, layOut } from './columns.ts';
import type { Paint } from './output.ts';
import { bitRate, bytes, perSecond } from './quantity.ts';
import { printable, truncate, widthOf } from './text.ts';

/** All that the screen of `barewire monitor` shows. */
export interface MonitorScreen {
  /** As in `eth0`. */
  readonly interface: string;
  /** Where frames are read, as in `in by XDP (driver), out by tcx`. */
  readonly seen: string;
  readonly notes: readonly string[];
  readonly report: MonitorReport | undefined;
  /** Bits per second of past readings, oldest first. */
  readonly history: { readonly in: readonly number[]; readonly out: readonly number[] };
  readonly view: MonitorView;
  readonly sort: MonitorSort;
  readonly filter: MonitorFilter;
  readonly frozen: boolean;
  /** Rows of the table that are scrolled past. */
  readonly scrolled: number;
  readonly help: boolean;
  /** The filter while it is typed. */
  readonly prompt: string | undefined;
  /** A word about what was done last, or why it was not. */
  readonly message: string | undefined;
  readonly recording:
    | { readonly file: string; readonly recorded: number; readonly dropped: number }
    | undefined;
  /** What a filter dropped last, one line each, newest first. */
  readonly drops: readonly string[];
}

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

/** The screen as at most `rows` lines of at most `columns` columns. */
export function drawMonitor(
  screen: MonitorScreen,
  size: ScreenSize,
  paint: Paint,
  bars: string = BARS,
): string[] {
  const { columns, rows } = size;
  const head = headLines(screen, size, paint, bars);
  const foot = footLine(screen, columns, paint);
  const room = Math.max(0, rows - head.length - 1);
  const drops = screen.drops.slice(0, Math.min(screen.drops.length, Math.max(0, Math.floor(room / 4))));
  const body = screen.help ? helpLines(columns) : tableLines(screen, columns, room - drops.length, paint);
  const shown = body.slice(0, room - drops.length);
  while (shown.length < room - drops.length) shown.push('');
  const dropped = drops.map((line) => paint.red(truncate(printable(line), columns)));
  return [...head, ...shown, ...dropped, foot].slice(0, rows);
}

/** Eighths of a character's height, and what stands for them where there is only ASCII. */
export const BARS = '▁▂▃▄▅▆▇█';
export const ASCII_BARS = '_.,-=+*#';

/** The last values that fit, the highest of them at full height. */
export function sparkline(values: readonly number[], width: number, bars: string = BARS): string {
  const shown = width > 0 ? values.slice(-width) : [];
  const most = Math.max(1, ...shown);
  const levels = [...bars];
  return shown
    .map((value) => levels[Math.min(levels.length - 1, Math.floor((value / most) * levels.length))])
    .join('');
}

function headLines(
  screen: MonitorScreen,
  { columns, rows }: ScreenSize,
  paint: Paint,
  bars: string,
): string[] {
  const { report } = screen;
  const flags = [
    ...(screen.recording === undefined ? [] : [`REC ${screen.recording.recorded}`]),
    ...(screen.frozen ? ['FROZEN'] : []),
    ...(report === undefined ? [] : [report.time.toISOString().slice(11, 19)]),
  ].join('  ');
  const title = truncate(`${printable(screen.interface)}  ${screen.seen}`, columns - widthOf(flags) - 2);
  const gap = ' '.repeat(Math.max(1, columns - widthOf(title) - widthOf(flags)));
  const lines = [paint.bold(truncate(title + gap + flags, columns))];
  for (const direction of ['in', 'out'] as const) {
    lines.push(directionLine(screen, direction, columns, bars));
  }
  if (report !== undefined) lines.push(truncate(protocolShares(report), columns));
  if (rows >= 16) {
    if (report !== undefined) lines.push(paint.dim(truncate(coverageLine(screen, report), columns)));
    for (const note of screen.notes.slice(0, rows >= 24 ? 2 : 1)) {
      lines.push(paint.dim(truncate(printable(note), columns)));
    }
  }
  return lines;
}

function directionLine(
  { report, history }: MonitorScreen,
  direction: 'in' | 'out',
  columns: number,
  bars: string,
): string {
  const title = direction === 'in' ? 'In ' : 'Out';
  const counted = report?.[direction];
  if (report === undefined) return `${title}  …`;
  if (counted === undefined) return `${title}  not seen`;
  const { counts, before } = counted;
  const seconds = report.span / 1000;
  const packets = Number(counts.total.packets - before.total.packets) / seconds;
  const bits = (8 * Number(counts.total.bytes - before.total.bytes)) / seconds;
  const parts = [title, perSecond(packets).padStart(8), bitRate(bits).padStart(11)];
  if (columns >= 60) parts.push(bytes(counts.total.bytes).padStart(8));
  const text = parts.join('  ');
  return truncate(`${text}  ${sparkline(history[direction], columns - widthOf(text) - 2, bars)}`, columns);
}

const SHARES: readonly (readonly [string, readonly FrameKind[]])[] = [
  ['tcp', ['ipv4-tcp', 'ipv6-tcp']],
  ['udp', ['ipv4-udp', 'ipv6-udp']],
  ['icmp', ['ipv4-icmp', 'ipv6-icmpv6']],
  ['other IP', ['ipv4-other', 'ipv6-other']],
  ['arp', ['arp']],
  ['other', ['other']],
];

/** Shares of the bytes of this span, both ways. */
function protocolShares(report: MonitorReport): string {
  const sum = (kinds: readonly FrameKind[]): number =>
    [report.in, report.out].reduce((all, direction) => {
      if (direction === undefined) return all;
      const { counts, before } = direction;
      return all + Number(together(counts, kinds).bytes - together(before, kinds).bytes);
    }, 0);
  const all = sum(FRAME_KINDS);
  if (all === 0) return 'nothing';
  return SHARES.map(([name, kinds]) => [name, sum(kinds)] as const)
    .filter(([, value]) => value > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([name, value]) => `${name} ${percent(value / all)}`)
    .join('  ');
}

function percent(share: number): string {
  const value = share * 100;
  return value > 0 && value < 1 ? '<1 %' : `${Math.min(100, Math.round(value))} %`;
}

function coverageLine({ filter }: MonitorScreen, report: MonitorReport): string {
  const shown = report.flows.filter((flow) => filter.matches(flow)).length;
  const count =
    filter.text === '' ? `${shown} conversations` : `${shown} of ${report.flows.length} conversations`;
  const share = `${percent(report.coverage)} of the IP bytes`;
  const sampled = report.sample === 1 ? 'every packet looked up' : `1 packet in ${report.sample} looked up`;
  return `${count}, ${share}, ${sampled}`;
}

const TITLES: Readonly<Record<MonitorView, string>> = {
  flows: 'Conversation (here - there)',
  remote: 'Address there',
  local: 'Address here',
  ports: 'Port',
  protocols: 'Protocol',
};

function tableLines(screen: MonitorScreen, columns: number, room: number, paint: Paint): string[] {
  const { report, view, sort, filter, scrolled } = screen;
  if (report === undefined) return ['', truncate('The first reading comes after one interval', columns)];
  const all = talkers(
    report.flows.filter((flow) => filter.matches(flow)),
    view,
    sort,
  );
  if (all.length === 0) {
    const nothing = filter.text === '' ? 'No IP packets yet' : 'Nothing that the filter lets through';
    return ['', truncate(nothing, columns)];
  }
  const from = Math.min(scrolled, Math.max(0, all.length - 1));
  const seconds = report.span / 1000;
  const mark = (own: MonitorSort, title: string): string => (own === sort ? `${title}*` : title);
  const list: readonly Column<Talker>[] = [
    { title: TITLES[view], least: 15, value: (talker) => talker.name },
    {
      title: mark('bits', 'In'),
      align: 'right',
      least: 11,
      value: (talker) => bitRate((talker.in.bytes * 8) / seconds),
    },
    {
      title: mark('bits', 'Out'),
      align: 'right',
      least: 11,
      drop: 1,
      value: (talker) => bitRate((talker.out.bytes * 8) / seconds),
    },
    {
      title: mark('packets', 'Packets'),
      align: 'right',
      least: 8,
      drop: 3,
      value: (talker) => perSecond((talker.in.packets + talker.out.packets) / seconds),
    },
    {
      title: mark('total', 'Total'),
      align: 'right',
      least: 7,
      drop: 2,
      value: (talker) => bytes(talker.total.bytes),
    },
    { title: mark('flows', 'Flows'), align: 'right', drop: 4, value: (talker) => String(talker.flows) },
  ];
  const wanted = list.filter((column) => view !== 'flows' || !column.title.startsWith('Flows'));
  return layOut(wanted, all.slice(from, from + Math.max(0, room - 1)), columns, paint);
}

/** What matters most first: those that do not fit are left out. */
const KEYS: readonly (readonly [string, string])[] = [
  ['q', 'quit'],
  ['?', 'help'],
  ['v', 'view'],
  ['s', 'sort'],
  ['/', 'filter'],
  ['space', 'freeze'],
  ['r', 'record'],
];

function footLine(
  { prompt, message, view, sort, filter }: MonitorScreen,
  columns: number,
  paint: Paint,
): string {
  if (prompt !== undefined) return truncate(`filter: ${printable(prompt)}_`, columns);
  if (message !== undefined) return paint.yellow(truncate(printable(message), columns));
  const state = `${view} by ${sort}${filter.text === '' ? '' : `, only ${printable(filter.text)}`}`;
  const keys = KEYS.map(([key, does]) => `${key} ${does}`);
  let line = state;
  for (const key of keys) {
    if (widthOf(line) + 2 + widthOf(key) > columns) break;
    line += `  ${key}`;
  }
  return paint.dim(truncate(line, columns));
}

function helpLines(columns: number): string[] {
  const rows: readonly (readonly [string, string])[] = [
    ['q', 'quit (also Ctrl-C)'],
    ['v, Tab', `next view: ${MONITOR_VIEWS.join(', ')}`],
    ['1 to 5', 'that view'],
    ['s', `next sort: ${MONITOR_SORTS.join(', ')}`],
    ['space', 'freeze the screen; counting goes on'],
    ['/', 'filter, as udp 53 not 192.0.2.0/24'],
    ['c', 'no filter'],
    ['j, k', 'scroll (also the arrows)'],
    ['r', 'record what the filter lets through'],
    ['?', 'this help; any key ends it'],
  ];
  return ['', ...rows.map(([key, does]) => truncate(`${key.padEnd(8)}${does}`, columns))];
}
