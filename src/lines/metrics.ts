import type { Registry } from 'prom-client';
import type { PppoeSessionState } from '../pppoe/index.ts';
import type { LinePool } from './pool.ts';

const STATES: readonly PppoeSessionState[] = [
  'idle',
  'queued',
  'discovering',
  'requesting',
  'establishing',
  'authenticating',
  'configuring',
  'open',
  'closing',
  'waiting',
];

/**
 * A pool's figures in Prometheus' text format. They are read when they are asked for; nothing is counted twice.
 *
 * @param library prom-client, which is loaded by whoever wants metrics.
 */
export async function poolMetrics(
  pool: LinePool,
  library: typeof import('prom-client'),
): Promise<{ readonly text: string; readonly contentType: string }> {
  const registry: Registry = new library.Registry();
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new library.Gauge({ name, help, labelNames, registers: [registry] });
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new library.Counter({ name, help, labelNames, registers: [registry] });

  const states = gauge('barewire_pppoe_sessions', 'Sessions by state', ['state']);
  const up = gauge('barewire_pppoe_up', '1 for a line that is open', ['line']);
  const since = gauge('barewire_pppoe_uptime_seconds', 'How long the line has been open', ['line']);
  const echo = gauge('barewire_pppoe_echo_seconds', "Round trip of the line's last LCP echo", ['line']);
  const packets = counter('barewire_pppoe_packets_total', 'IP packets by line', ['line', 'direction']);
  const bytes = counter('barewire_pppoe_bytes_total', 'Bytes of IP packets by line', ['line', 'direction']);
  const discarded = counter('barewire_pppoe_discarded_total', 'Frames not followed, by line', ['line']);
  const counts = new Map<PppoeSessionState, number>();
  const now = performance.now();
  for (const { name: line, state, session } of pool.lines) {
    counts.set(state, (counts.get(state) ?? 0) + 1);
    up.set({ line }, state === 'open' ? 1 : 0);
    since.set({ line }, state === 'open' ? (now - session.openedAt) / 1000 : 0);
    if (!Number.isNaN(session.echoRoundTrip)) echo.set({ line }, session.echoRoundTrip / 1000);
    packets.inc({ line, direction: 'received' }, session.receivedPackets);
    packets.inc({ line, direction: 'sent' }, session.sentPackets);
    bytes.inc({ line, direction: 'received' }, session.receivedBytes);
    bytes.inc({ line, direction: 'sent' }, session.sentBytes);
    discarded.inc({ line }, session.discarded);
  }
  for (const state of STATES) states.set({ state }, counts.get(state) ?? 0);
  gauge('barewire_pppoe_carrier', '1 while the interface has a carrier').set(pool.wire.carrier ? 1 : 0);
  counter('barewire_pppoe_unsent_total', 'Frames that found no room to be sent').inc(pool.wire.dropped);
  return { text: await registry.metrics(), contentType: registry.contentType };
}
