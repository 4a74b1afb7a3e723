import type { FilterEntry } from './entries.ts';

/** How a list can be written. */
export const EXPORT_FORMATS = ['json', 'plain', 'nft', 'ipset'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/**
 * Entries as text, in lines. JSON has everything and is read again by `filter import`; the others have what is denied
 * by source, which is what those tools' lists are.
 */
export function* exportLines(
  entries: Iterable<FilterEntry>,
  format: ExportFormat,
  now: number,
): Generator<string> {
  if (format === 'json') {
    for (const { action, side, prefix, expires, reason } of entries) {
      yield `${JSON.stringify({ action, side, prefix, expires: expires?.toISOString(), reason })}\n`;
    }
    return;
  }
  const denied = function* (): Generator<FilterEntry> {
    for (const entry of entries) if (entry.action === 'deny' && entry.side === 'source') yield entry;
  };
  if (format === 'plain') {
    for (const { prefix, reason } of denied())
      yield `${short(prefix)}${reason === undefined ? '' : ` # ${reason}`}\n`;
    return;
  }
  const sets: Record<4 | 6, FilterEntry[]> = { 4: [], 6: [] };
  for (const entry of denied()) sets[entry.prefix.includes(':') ? 6 : 4].push(entry);
  const left = ({ expires }: FilterEntry): number | undefined =>
    expires === undefined ? undefined : Math.max(1, Math.ceil((expires.getTime() - now) / 1000));
  if (format === 'ipset') {
    for (const version of [4, 6] as const) {
      const family = version === 4 ? 'inet' : 'inet6';
      yield `create barewire${version} hash:net family ${family} maxelem ${Math.max(65_536, sets[version].length)} timeout 0\n`;
      for (const entry of sets[version])
        yield `add barewire${version} ${entry.prefix} timeout ${left(entry) ?? 0}\n`;
    }
    return;
  }
  yield 'table inet barewire {\n';
  for (const version of [4, 6] as const) {
    yield `  set denied${version} {\n    type ipv${version}_addr\n    flags interval, timeout\n`;
    if (sets[version].length > 0) {
      yield '    elements = {\n';
      for (const entry of sets[version]) {
        const seconds = left(entry);
        yield `      ${short(entry.prefix)}${seconds === undefined ? '' : ` timeout ${seconds}s`},\n`;
      }
      yield '    }\n';
    }
    yield '  }\n';
  }
  yield '}\n';
}

/** A whole address without its length. */
function short(prefix: string): string {
  return prefix.replace(/^([\d.]+)\/32$/, '$1').replace(/^([0-9a-f:.]+)\/128$/, '$1');
}
