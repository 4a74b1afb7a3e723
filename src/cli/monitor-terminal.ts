import type { Monitor, MonitorReport, MonitorReportOptions } from '../apps/monitor.ts';
import type { DropWatch } from '../apps/monitor-drops.ts';
import { type MonitorFilter, parseMonitorFilter } from '../apps/monitor-filter.ts';
import type { Recorder } from '../apps/monitor-recorder.ts';
import type { MonitorSort, MonitorView } from '../apps/monitor-words.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import type { Context } from './context.ts';
import { keysOf, type MonitorKeys, press } from './monitor-keys.ts';
import { ASCII_BARS, BARS, drawMonitor, type MonitorScreen } from './monitor-screen.ts';
import { openFullScreen } from './terminal.ts';

export interface TerminalMonitor {
  readonly monitor: Monitor;
  /** Where frames are read. */
  readonly seen: string;
  readonly limits: Omit<MonitorReportOptions, 'signal'>;
  readonly settings: {
    readonly view: MonitorView;
    readonly sort: MonitorSort;
    readonly filter: MonitorFilter;
  };
  readonly drops: DropWatch;
  /** One that records already, which stays its owner's. */
  readonly recorder: Recorder | undefined;
  /** Starts a recording. */
  readonly start: (file: string, filter: MonitorFilter) => Promise<Recorder>;
}

/** Readings that the sparklines go back. */
const HISTORY = 600;
/** How long a word about what was done stays, in ms. */
const MESSAGE_TIME = 4000;

/** Shows readings on the whole terminal and follows keys, until a limit, a key or a signal ends it. */
export async function watchOnTerminal(options: TerminalMonitor, { output, signal }: Context): Promise<void> {
  const { monitor, settings } = options;
  const quit = new AbortController();
  const ended = AbortSignal.any([signal, quit.signal]);
  const history = { in: [] as number[], out: [] as number[] };
  const bars = /utf-?8/i.test(locale()) ? BARS : ASCII_BARS;
  let keys: MonitorKeys = {
    view: settings.view,
    sort: settings.sort,
    frozen: false,
    scrolled: 0,
    help: false,
    prompt: undefined,
  };
  let filter = settings.filter;
  let latest: MonitorReport | undefined;
  let shown: MonitorReport | undefined;
  let message: string | undefined;
  let silence: NodeJS.Timeout | undefined;
  let recorder = options.recorder;

  const screenNow = (): MonitorScreen => ({
    ...keys,
    interface: monitor.interface.name,
    seen: options.seen,
    notes: monitor.notes,
    report: shown,
    history,
    filter,
    message,
    recording: recorder,
    drops: options.drops.lines,
  });
  const redraw = (): void => {
    screen.draw(drawMonitor(screenNow(), { columns: output.columns, rows: output.rows }, output.paint, bars));
  };
  const say = (text: string): void => {
    message = text;
    clearTimeout(silence);
    silence = setTimeout(() => {
      message = undefined;
      redraw();
    }, MESSAGE_TIME);
    silence.unref();
  };
  const setFilter = (text: string): void => {
    try {
      filter = parseMonitorFilter(text);
      if (recorder !== undefined) recorder.filter = filter;
    } catch (error) {
      if (!(error instanceof ArgumentError)) throw error;
      say(`${error.message}${error.hint === undefined ? '' : `. ${error.hint}`}`);
    }
  };
  let switching = false;
  const switchRecording = async (): Promise<void> => {
    if (switching) return;
    switching = true;
    try {
      if (recorder !== undefined) {
        const ending = recorder;
        recorder = undefined;
        await ending.close();
        say(ending.failed?.message ?? `${ending.recorded} packets are in ${ending.file}`);
      } else {
        const stamp = new Date().toISOString().slice(0, 19).replaceAll(':', '');
        recorder = await options.start(`${monitor.interface.name}-${stamp}.pcapng`, filter);
        say(`Recording to ${recorder.file}; r ends it`);
      }
    } catch (error) {
      if (!(error instanceof BarewireError)) throw error;
      say(error.message);
    } finally {
      switching = false;
    }
    if (!ended.aborted) redraw();
  };
  const screen = openFullScreen({
    input: process.stdin,
    output: process.stdout,
    onResize: () => redraw(),
    onKeys: (text) => {
      for (const key of keysOf(text)) {
        const pressed = press(keys, key);
        const thawed = keys.frozen && !pressed.keys.frozen;
        keys = pressed.keys;
        if (thawed) shown = latest;
        const { action } = pressed;
        if (action?.action === 'quit') quit.abort();
        else if (action?.action === 'filter') setFilter(action.text);
        else if (action?.action === 'record') void switchRecording();
      }
      if (!ended.aborted) redraw();
    },
  });
  try {
    redraw();
    for await (const report of monitor.reports({ ...options.limits, signal: ended })) {
      latest = report;
      for (const way of ['in', 'out'] as const) {
        const counted = report[way];
        const bytes = counted === undefined ? 0n : counted.counts.total.bytes - counted.before.total.bytes;
        history[way].push((8000 * Number(bytes)) / report.span);
        if (history[way].length > HISTORY) history[way].shift();
      }
      if (!keys.frozen) shown = report;
      // A full disk, for one: what could be written is there.
      if (recorder?.failed !== undefined) void switchRecording();
      redraw();
    }
  } finally {
    clearTimeout(silence);
    screen.close();
    // One that a key began ends here; one of the command line is its owner's.
    if (recorder !== undefined && recorder !== options.recorder) await recorder.close();
  }
  // The other screen is gone with all that was on it: what was last stays.
  const size = { columns: output.columns, rows: Math.min(output.rows, 16) };
  const last = drawMonitor({ ...screenNow(), help: false, prompt: undefined }, size, output.paint, bars);
  output.write(`${last.slice(0, -1).join('\n').trimEnd()}\n`);
}

function locale(): string {
  const { LC_ALL, LC_CTYPE, LANG } = process.env;
  return LC_ALL || LC_CTYPE || LANG || '';
}
