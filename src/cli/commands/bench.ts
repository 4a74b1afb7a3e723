import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import type { BenchResult } from '../../apps/bench.ts';
import { SCENARIOS, YARDSTICK } from '../../apps/bench-scenarios.ts';
import { BarewireError } from '../../error.ts';
import { type Column, layOut } from '../columns.ts';
import { file, integer, oneOf } from '../kinds.ts';
import type { Output } from '../output.ts';
import { json } from '../standard-options.ts';
import { type Command, command } from '../table.ts';

export const bench: Command = command({
  name: 'bench',
  summary: 'Measure AF_XDP against AF_PACKET on this machine',
  description: [
    'Three scenarios on a veth pair in namespaces of its own, with frames of 64 bytes: rxdrop receives and forgets, txpush sends as fast as it goes, l2fwd receives, swaps the MACs and sends back. No interface of the machine is touched.',
    'AF_XDP in driver mode waits by busy polling, by short naps and on the event loop; in generic mode by busy polling. AF_PACKET is measured with its mmap rings (TPACKET_V3) and with a system call for each packet. All runs of a scenario take turns; shown are medians, and ratios to the mmap rings.',
    'Packets are counted where they arrive: rxdrop by the receiver, the other two by an XDP program at the far end. CPU is told for the core of the subject and for that of the other end, each with the share of interrupts, soft ones included; a veth receives on the core of its sender.',
  ],
  options: {
    quick: { kind: 'flag', summary: 'One short run of each, a quarter of a minute in all' },
    runs: { kind: integer({ min: 1, max: 99 }), summary: 'Runs of each; 3, or 1 with --quick' },
    scenario: { kind: oneOf('SCENARIO', SCENARIOS), repeated: true, summary: 'Only this scenario' },
    svg: { kind: file(), summary: 'Also draw a chart to this file' },
    json,
  },
  examples: [
    { does: 'All of it, in about a minute and a half', line: 'barewire bench' },
    { does: 'A first look, with a chart', line: 'barewire bench --quick --svg bench.svg' },
  ],
  async run({ options }, { output, signal }) {
    const { runBench } = await import('../../apps/bench.ts');
    const { quick, runs, scenario, svg } = options;
    const all: BenchResult[] = [];
    const results = runBench({
      quick,
      runs,
      signal,
      scenarios: SCENARIOS.filter((name) => scenario.length === 0 || scenario.includes(name)),
      onRun: (name, variant, run) => {
        if (output.terminal) output.note(`${name}, run ${run}: ${variant.name}`);
      },
    });
    for await (const some of results) {
      all.push(...some);
      if (options.json) for (const one of some) output.json(rowOf(one));
      else output.write(`${table(some, output).join('\n')}\n\n`);
    }
    const others = Math.max(
      0,
      ...all.map(({ cpu }) => cpu.subject.busy - cpu.subject.interrupts - cpu.process),
    );
    if (others > MUCH) {
      output.note(
        `Other programs took up to ${Math.round(100 * others)} % of the subject's core: on an idle machine the figures are others.`,
      );
    }
    if (svg === undefined || all.length === 0) return;
    const { benchChart } = await import('../../apps/bench-chart.ts');
    try {
      writeFileSync(svg, benchChart(all, machine()));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new BarewireError('BW_FILE', `cannot write to ${svg}: ${code ?? message}`, { cause: error });
    }
    output.note(`The chart is in ${svg}.`);
  },
});

/** Of a core; less may be the inexactness of its clock ticks. */
const MUCH = 0.25;

function machine(): string {
  const day = new Date().toISOString().slice(0, 10);
  return `${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}, Linux ${release()}, Node ${process.versions.node}, ${day}`;
}

/** As the project's own benchmarks print a figure. */
function rowOf({ scenario, variant, packetsPerSecond, spread, runs, ratio, mode, cpu }: BenchResult): object {
  return {
    name: `${scenario}, ${variant.name}`,
    scenario,
    variant: variant.id,
    unit: 'packets/s',
    ours: Math.round(packetsPerSecond),
    yardstick: ratio === undefined ? undefined : Math.round(packetsPerSecond / ratio),
    against: YARDSTICK,
    ratio,
    spread: spread.map(Math.round),
    runs,
    mode,
    cpu: {
      process: cpu.process,
      subject: cpu.subject.busy,
      subjectInterrupts: cpu.subject.interrupts,
      other: cpu.other.busy,
      otherInterrupts: cpu.other.interrupts,
    },
  };
}

const BAR = 28;

function table(results: readonly BenchResult[], output: Output): string[] {
  const most = Math.max(...results.map(({ packetsPerSecond }) => packetsPerSecond));
  const percent = (share: number): string => `${Math.round(100 * share)} %`;
  const share = ({ busy, interrupts }: { busy: number; interrupts: number }): string =>
    `${percent(busy)} (${percent(interrupts)})`;
  const columns: readonly Column<BenchResult>[] = [
    { title: results[0]?.scenario ?? '', value: ({ variant }) => variant.name },
    {
      title: 'Mpps',
      align: 'right',
      value: ({ packetsPerSecond }) => (packetsPerSecond / 1e6).toFixed(2),
    },
    { title: 'Ratio', align: 'right', value: ({ ratio }) => ratio?.toFixed(2) ?? '' },
    {
      title: '',
      drop: 5,
      value: ({ packetsPerSecond }) => '█'.repeat(Math.round((BAR * packetsPerSecond) / most)),
      least: BAR,
      paint: (cell, { variant }, paint) => (variant.over === 'xdp' ? paint.green(cell) : paint.dim(cell)),
    },
    {
      title: 'Spread',
      align: 'right',
      drop: 4,
      value: ({ spread }) => spread.map((rate) => (rate / 1e6).toFixed(2)).join('-'),
    },
    { title: 'Process', align: 'right', drop: 3, value: ({ cpu }) => percent(cpu.process) },
    { title: 'Its core (irq)', align: 'right', drop: 2, value: ({ cpu }) => share(cpu.subject) },
    { title: 'Far core (irq)', align: 'right', drop: 1, value: ({ cpu }) => share(cpu.other) },
    { title: 'Mode', drop: 6, value: ({ mode }) => mode },
  ];
  return layOut(columns, results, output.columns, output.paint);
}
