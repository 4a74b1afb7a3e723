// The page of `barewire monitor --web`. Everything it shows comes from its own server, as server-sent events.

/** Readings that the charts go back. */
const HISTORY = 600;
const TITLES = {
  flows: 'Conversation (here - there)',
  remote: 'Address there',
  local: 'Address here',
  ports: 'Port',
  protocols: 'Protocol',
};
const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P'];

const at = (id) => document.getElementById(id);
const columns = { time: [], in: [], out: [], inPackets: [], outPackets: [] };
let frozen = false;
let events;

/** Three digits and a decimal prefix. */
function scaled(value, unit) {
  let step = 0;
  let rest = value;
  while (rest >= 999.5 && step < PREFIXES.length - 1) {
    rest /= 1000;
    step++;
  }
  const digits = step === 0 ? 0 : rest < 9.995 ? 2 : rest < 99.95 ? 1 : 0;
  return `${rest.toFixed(digits)} ${PREFIXES[step]}${unit}`;
}

function chart(id, unit) {
  const style = getComputedStyle(document.documentElement);
  const axis = { stroke: style.color, grid: { stroke: '#8883' }, ticks: { stroke: '#8883' } };
  const place = at(id);
  const plot = new uPlot(
    {
      width: place.clientWidth,
      height: 200,
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
  new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: 200 })).observe(place);
  return plot;
}

const charts = { bits: chart('bits', 'bit/s'), packets: chart('packets', '/s') };

function drawCharts() {
  charts.bits.setData([columns.time, columns.in, columns.out]);
  charts.packets.setData([columns.time, columns.inPackets, columns.outPackets]);
}

function remember({ time, in: received, out }) {
  columns.time.push(time);
  columns.in.push(received?.bits ?? null);
  columns.out.push(out?.bits ?? null);
  columns.inPackets.push(received?.packets ?? null);
  columns.outPackets.push(out?.packets ?? null);
  if (columns.time.length > HISTORY) for (const column of Object.values(columns)) column.shift();
}

function row(cells) {
  const line = document.createElement('tr');
  for (const text of cells) {
    const cell = document.createElement('td');
    cell.textContent = text;
    line.append(cell);
  }
  return line;
}

function show(reading) {
  const { talkers, shownFlows, flows, coverage, sample, view, filter, in: received, out } = reading;
  at('state').textContent = new Date(reading.time).toLocaleTimeString();
  for (const [way, direction] of Object.entries({ in: received, out })) {
    at(`${way}-bits`).textContent = direction
      ? `${way} ${scaled(direction.bitsPerSecond, 'bit/s')}`
      : `${way}: not seen`;
    at(`${way}-packets`).textContent = direction ? `${way} ${scaled(direction.packetsPerSecond, '/s')}` : '';
  }
  at('subject').textContent = TITLES[view];
  at('coverage').textContent = [
    filter === '' ? `${flows} conversations` : `${shownFlows} of ${flows} conversations`,
    `${Math.min(100, Math.round(coverage * 100))} % of the IP bytes`,
    sample === 1 ? 'every packet looked up' : `1 packet in ${sample} looked up`,
  ].join(', ');
  at('talkers').replaceChildren(
    ...talkers.map((talker) =>
      row([
        talker.name,
        scaled(talker.in.bitsPerSecond, 'bit/s'),
        scaled(talker.out.bitsPerSecond, 'bit/s'),
        scaled(talker.in.packetsPerSecond + talker.out.packetsPerSecond, '/s'),
        scaled(talker.totalBytes, 'B'),
        String(talker.flows),
      ]),
    ),
  );
  drawCharts();
}

function connect() {
  events?.close();
  const asked = new URLSearchParams({
    view: at('view').value,
    sort: at('sort').value,
    filter: at('filter').value,
  });
  events = new EventSource(`/events?${asked}`);
  at('problem').textContent = '';
  events.addEventListener('begin', ({ data }) => {
    const { interface: name, seen, notes, history } = JSON.parse(data);
    document.title = `${name} - barewire monitor`;
    at('interface').textContent = name;
    at('seen').textContent = seen;
    at('notes').replaceChildren(
      ...notes.map((note) => {
        const item = document.createElement('li');
        item.textContent = note;
        return item;
      }),
    );
    for (const column of Object.values(columns)) column.length = 0;
    for (const reading of history) remember(reading);
    drawCharts();
  });
  events.addEventListener('reading', ({ data }) => {
    const reading = JSON.parse(data);
    remember({
      time: Date.parse(reading.time) / 1000,
      in: reading.in && { bits: reading.in.bitsPerSecond, packets: reading.in.packetsPerSecond },
      out: reading.out && { bits: reading.out.bitsPerSecond, packets: reading.out.packetsPerSecond },
    });
    if (!frozen) show(reading);
  });
  events.addEventListener('problem', ({ data }) => {
    at('problem').textContent = JSON.parse(data);
  });
  events.addEventListener('drops', ({ data }) => {
    const lines = JSON.parse(data);
    at('dropped').hidden = lines.length === 0;
    at('drops').replaceChildren(
      ...lines.map((line) => {
        const item = document.createElement('li');
        item.textContent = line;
        return item;
      }),
    );
  });
  events.addEventListener('error', () => {
    at('state').textContent = 'connection lost';
  });
}

for (const id of ['view', 'sort', 'filter']) at(id).addEventListener('change', connect);
at('controls').addEventListener('submit', (event) => {
  event.preventDefault();
  connect();
});
at('freeze').addEventListener('click', () => {
  frozen = !frozen;
  at('freeze').setAttribute('aria-pressed', String(frozen));
  at('freeze').textContent = frozen ? 'Go on' : 'Freeze';
});
connect();
