/** The page of `barewire monitor --web`. All it shows comes from its own server, as server-sent events. */
import type UPlot from 'uplot';

declare const uPlot: typeof UPlot;

interface Rate {
  readonly packetsPerSecond: number;
  readonly bitsPerSecond: number;
}

interface Reading {
  readonly time: string;
  readonly in?: Rate;
  readonly out?: Rate;
  readonly view: string;
  readonly filter: string;
  readonly talkers: readonly {
    readonly name: string;
    readonly flows: number;
    readonly in: Rate;
    readonly out: Rate;
    readonly totalBytes: number;
  }[];
  readonly shownFlows: number;
  readonly flows: number;
  readonly coverage: number;
  readonly sample: number;
}

/** One moment of the charts. */
interface Point {
  /** In seconds since 1970. */
  readonly time: number;
  readonly in?: { readonly bits: number; readonly packets: number };
  readonly out?: { readonly bits: number; readonly packets: number };
}

interface Beginning {
  readonly interface: string;
  readonly seen: string;
  readonly notes: readonly string[];
  readonly history: readonly Point[];
}

/** Readings that the charts go back. */
const HISTORY = 600;
const HEIGHT = 200;
const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P'];
const TITLES: Readonly<Record<string, string>> = {
  flows: 'Conversation (here - there)',
  remote: 'Address there',
  local: 'Address here',
  ports: 'Port',
  protocols: 'Protocol',
};

const view = element<HTMLSelectElement>('view');
const sort = element<HTMLSelectElement>('sort');
const filter = element<HTMLInputElement>('filter');
const freeze = element<HTMLButtonElement>('freeze');
const state = element('state');

type Column = (number | null)[];
const columns = {
  time: [] as number[],
  in: [] as Column,
  out: [] as Column,
  inPackets: [] as Column,
  outPackets: [] as Column,
};
let frozen = false;
let events: EventSource | undefined;
const charts = { bits: chart('bits', 'bit/s'), packets: chart('packets', '/s') };

for (const control of [view, sort, filter]) control.addEventListener('change', connect);
element<HTMLFormElement>('controls').addEventListener('submit', (event) => {
  event.preventDefault();
  connect();
});
freeze.addEventListener('click', () => {
  frozen = !frozen;
  freeze.setAttribute('aria-pressed', String(frozen));
  freeze.textContent = frozen ? 'Go on' : 'Freeze';
});
connect();

/** Asks the server for readings as the controls say; they come until the next change. */
function connect(): void {
  events?.close();
  const asked = new URLSearchParams({ view: view.value, sort: sort.value, filter: filter.value });
  element('problem').textContent = '';
  events = new EventSource(`/events?${asked}`);
  listen<Beginning>(events, 'begin', begin);
  listen<Reading>(events, 'reading', (reading) => {
    remember({
      time: Date.parse(reading.time) / 1000,
      ...(reading.in && { in: moment(reading.in) }),
      ...(reading.out && { out: moment(reading.out) }),
    });
    if (!frozen) show(reading);
  });
  listen<string>(events, 'problem', (text) => {
    element('problem').textContent = text;
  });
  listen<readonly string[]>(events, 'drops', (lines) => {
    element('dropped').hidden = lines.length === 0;
    element('drops').replaceChildren(...lines.map((line) => withText('li', line)));
  });
  events.addEventListener('error', () => {
    state.textContent = 'connection lost';
  });
}

function listen<T>(source: EventSource, name: string, then: (value: T) => void): void {
  source.addEventListener(name, (event: MessageEvent<string>) => then(JSON.parse(event.data) as T));
}

function begin({ interface: name, seen, notes, history }: Beginning): void {
  document.title = `${name} - barewire monitor`;
  element('interface').textContent = name;
  element('seen').textContent = seen;
  element('notes').replaceChildren(...notes.map((note) => withText('li', note)));
  for (const column of Object.values(columns)) column.length = 0;
  for (const point of history) remember(point);
  drawCharts();
}

function show(reading: Reading): void {
  const { talkers, shownFlows, flows, coverage, sample } = reading;
  state.textContent = new Date(reading.time).toLocaleTimeString();
  for (const way of ['in', 'out'] as const) {
    const rate = reading[way];
    element(`${way}-bits`).textContent = rate
      ? `${way} ${scaled(rate.bitsPerSecond, 'bit/s')}`
      : `${way}: not seen`;
    element(`${way}-packets`).textContent = rate ? `${way} ${scaled(rate.packetsPerSecond, '/s')}` : '';
  }
  element('subject').textContent = TITLES[reading.view] ?? '';
  element('coverage').textContent = [
    reading.filter === '' ? `${flows} conversations` : `${shownFlows} of ${flows} conversations`,
    `${Math.min(100, Math.round(coverage * 100))} % of the IP bytes`,
    sample === 1 ? 'every packet looked up' : `1 packet in ${sample} looked up`,
  ].join(', ');
  element('talkers').replaceChildren(
    ...talkers.map((talker) => {
      const row = document.createElement('tr');
      const cells = [
        talker.name,
        scaled(talker.in.bitsPerSecond, 'bit/s'),
        scaled(talker.out.bitsPerSecond, 'bit/s'),
        scaled(talker.in.packetsPerSecond + talker.out.packetsPerSecond, '/s'),
        scaled(talker.totalBytes, 'B'),
        String(talker.flows),
      ];
      row.append(...cells.map((text) => withText('td', text)));
      return row;
    }),
  );
  drawCharts();
}

function chart(id: string, unit: string): UPlot {
  const style = getComputedStyle(document.documentElement);
  const axis = { stroke: style.color, grid: { stroke: '#8883' }, ticks: { stroke: '#8883' } };
  const place = element(id);
  const plot = new uPlot(
    {
      width: place.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      scales: { y: { range: (_, __, most) => [0, Math.max(1, most * 1.1)] } },
      axes: [axis, { ...axis, size: 80, values: (_, values) => values.map((value) => scaled(value, unit)) }],
      series: [
        {},
        { label: 'in', stroke: style.getPropertyValue('--in').trim(), width: 2, fill: '#2a78c822' },
        { label: 'out', stroke: style.getPropertyValue('--out').trim(), width: 2 },
      ],
    },
    [[], [], []],
    place,
  );
  new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
  return plot;
}

function drawCharts(): void {
  charts.bits.setData([columns.time, columns.in, columns.out]);
  charts.packets.setData([columns.time, columns.inPackets, columns.outPackets]);
}

function remember(point: Point): void {
  columns.time.push(point.time);
  columns.in.push(point.in?.bits ?? null);
  columns.out.push(point.out?.bits ?? null);
  columns.inPackets.push(point.in?.packets ?? null);
  columns.outPackets.push(point.out?.packets ?? null);
  if (columns.time.length > HISTORY) for (const column of Object.values(columns)) column.shift();
}

function moment({ bitsPerSecond, packetsPerSecond }: Rate): {
  readonly bits: number;
  readonly packets: number;
} {
  return { bits: bitsPerSecond, packets: packetsPerSecond };
}

/** Three digits and a decimal prefix. */
function scaled(value: number, unit: string): string {
  let step = 0;
  let rest = value;
  while (rest >= 999.5 && step < PREFIXES.length - 1) {
    rest /= 1000;
    step++;
  }
  const digits = step === 0 ? 0 : rest < 9.995 ? 2 : rest < 99.95 ? 1 : 0;
  return `${rest.toFixed(digits)} ${PREFIXES[step]}${unit}`;
}

/** Text only, never markup: names come from packets. */
function withText(tag: string, text: string): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no '${id}'`);
  return found as T;
}
