import type { Registry } from 'prom-client';
import type { ExitState } from './exit.ts';
import type { ExitProxy } from './proxy.ts';

const STATES: readonly ExitState[] = ['up', 'draining', 'down', 'changing'];

/**
 * The proxy's figures in Prometheus' text format. They are read when they are asked for; nothing is counted twice.
 *
 * @param registry A new one of prom-client's, which is loaded by whoever wants metrics.
 */
export async function proxyMetrics(
  proxy: ExitProxy,
  library: typeof import('prom-client'),
): Promise<{ readonly text: string; readonly contentType: string }> {
  const registry: Registry = new library.Registry();
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new library.Gauge({ name, help, labelNames, registers: [registry] });
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new library.Counter({ name, help, labelNames, registers: [registry] });

  gauge('barewire_proxy_clients', 'Connections of clients that are open').set(proxy.clients);
  const answers = counter('barewire_proxy_requests_total', 'Finished requests', ['protocol', 'status']);
  for (const [key, count] of proxy.service.answers) {
    const [protocol = '', status = ''] = key.split(' ');
    answers.inc({ protocol, status }, count);
  }

  const state = gauge('barewire_proxy_exit_state', '1 for the state that the exit is in', ['exit', 'state']);
  const open = gauge('barewire_proxy_exit_connections', 'Open connections by exit', ['exit']);
  const latency = gauge('barewire_proxy_exit_check_seconds', 'How long the last check took', ['exit']);
  const failures = counter('barewire_proxy_exit_failures_total', 'Requests that failed by exit', ['exit']);
  const exitBytes = counter('barewire_proxy_exit_bytes_total', 'Bytes by exit', ['exit', 'direction']);
  for (const exit of proxy.exits) {
    for (const name of STATES) state.set({ exit: exit.name, state: name }, exit.state === name ? 1 : 0);
    open.set({ exit: exit.name }, exit.connections);
    if (exit.latency !== undefined) latency.set({ exit: exit.name }, exit.latency / 1000);
    failures.inc({ exit: exit.name }, exit.failures);
    exitBytes.inc({ exit: exit.name, direction: 'up' }, exit.bytesUp);
    exitBytes.inc({ exit: exit.name, direction: 'down' }, exit.bytesDown);
  }

  const userOpen = gauge('barewire_proxy_user_connections', 'Open connections by user', ['user']);
  const userBytes = counter('barewire_proxy_user_bytes_total', 'Bytes by user', ['user', 'direction']);
  for (const user of proxy.service.users) {
    userOpen.set({ user: user.name }, user.connections);
    userBytes.inc({ user: user.name, direction: 'up' }, user.bytesUp);
    userBytes.inc({ user: user.name, direction: 'down' }, user.bytesDown);
  }
  return { text: await registry.metrics(), contentType: registry.contentType };
}
