import { readFileSync } from 'node:fs';
import { ArgumentError } from '../../error.ts';
import { EXPORT_FORMATS } from '../../filter/export.ts';
import { LIST_FORMATS } from '../../policy/list.ts';
import { duration, file, oneOf, text } from '../kinds.ts';
import { json } from '../standard-options.ts';
import { type Command, command } from '../table.ts';
import { filterOf, target } from './filter-target.ts';

export const importCommand: Command = command({
  name: 'import',
  summary: 'Add a whole list: of a file, another tool, or a feed that is followed',
  description: [
    'Plain lists of addresses, prefixes and ranges, CSV, what nft list set and ipset save print, what filter export wrote, and the decisions of CrowdSec. A line that is wrong is named, and nothing is added, unless --skip-bad is given.',
    'With --watch it stays and follows the file or URL; entries that are gone from it are taken off the list that --list names, and only those.',
    'A key for the feed comes from --key-file or from BAREWIRE_FEED_KEY, never from the command line.',
  ],
  positionals: [{ name: 'source', kind: file(), summary: 'A file, - for the standard input, or a URL' }],
  options: {
    ...target,
    format: {
      kind: oneOf('FORMAT', LIST_FORMATS),
      summary: 'What it looks like; told from its beginning otherwise',
    },
    list: {
      kind: text('NAME'),
      summary: 'The list that the entries are put on; manual, or the name of a feed',
    },
    allow: { kind: 'flag', summary: 'Allow what is on it; without this it is denied' },
    destination: { kind: 'flag', summary: 'The addresses are destinations, not sources' },
    expire: { kind: duration({ min: '1s' }), short: 'e', summary: 'Entries end by themselves after so long' },
    reason: { kind: text('TEXT'), short: 'r', summary: 'Why they are there, where the list does not say it' },
    replace: { kind: 'flag', summary: 'Take off that list what is not named any more' },
    'skip-bad': { kind: 'flag', summary: 'Leave lines out that are wrong' },
    'clear-host-bits': { kind: 'flag', summary: 'Take 192.0.2.7/24 for 192.0.2.0/24' },
    watch: { kind: 'flag', short: 'w', summary: 'Stay and follow it' },
    interval: {
      kind: duration({ min: '1s' }),
      summary: 'How often to look; 2s for a file, 10s for CrowdSec, 5m for others',
    },
    'key-file': { kind: file(), summary: 'A file with the key for the feed' },
    json,
  },
  examples: [
    { does: 'A blocklist', line: 'barewire filter import blocklist.txt --reason blocklist' },
    {
      does: 'What nftables knows',
      line: 'nft list set ip f bad | barewire filter import -',
    },
    {
      does: "CrowdSec's decisions, as they are made",
      line: 'barewire filter import http://127.0.0.1:8080/v1/decisions/stream --watch --list crowdsec --key-file /etc/barewire/crowdsec.key',
    },
  ],
  async run({ args, options }, { output, signal }) {
    const { source } = args;
    const { allow, destination, expire, keyFile, watch, interval, format, reason, skipBad, clearHostBits } =
      options;
    const isUrl = /^https?:\/\//.test(source);
    const key = keyFile === undefined ? process.env.BAREWIRE_FEED_KEY : readKey(keyFile);
    const common = {
      format,
      reason,
      skipBad,
      hostBits: clearHostBits ? ('clear' as const) : ('reject' as const),
      action: allow ? ('allow' as const) : ('deny' as const),
      side: destination ? ('destination' as const) : ('source' as const),
    };
    const filter = await filterOf(options);
    if (watch) {
      if (source === '-') throw new ArgumentError('the standard input cannot be followed');
      const list = options.list ?? new URL(isUrl ? source : 'file://local/').hostname;
      for await (const report of filter.follow({ ...common, source, list, interval, key, signal })) {
        if (!report.ok) {
          output.note(`barewire: ${report.error.message}; the list stays as it was`);
          continue;
        }
        const { added, changed, removed, read } = report;
        if (options.json) output.json({ time: new Date(), entries: read.entries, added, changed, removed });
        else
          output.write(
            `${new Date().toISOString()} ${added} added, ${changed} changed, ${removed} removed\n`,
          );
      }
      return 0;
    }
    const bytes = isUrl
      ? await download(source, key, signal)
      : source === '-'
        ? readFileSync(0)
        : readList(source);
    const started = performance.now();
    const expires = expire === undefined ? undefined : Date.now() + expire;
    const done = await filter.import(bytes, {
      ...common,
      expires,
      name: source === '-' ? 'the standard input' : source,
      list: options.list,
      replace: options.replace,
    });
    const { added, changed, removed, read } = done;
    const seconds = (performance.now() - started) / 1000;
    if (options.json) {
      output.json({
        interface: filter.place.key,
        format: read.format,
        entries: read.entries,
        added,
        changed,
        removed,
        bad: read.badLines,
        seconds,
      });
    } else {
      output.write(
        `${added} added, ${changed} changed, ${removed} removed on ${filter.place.key}, in ${seconds.toFixed(2)} s\n`,
      );
    }
    for (const { line, problem } of read.bad.slice(0, 5)) output.note(`left out line ${line}: ${problem}`);
    if (read.badLines > 5) output.note(`left out ${read.badLines} lines in all`);
    return 0;
  },
});

async function download(url: string, key: string | undefined, signal: AbortSignal): Promise<Uint8Array> {
  const { fetchList } = await import('../../filter/feed.ts');
  return (await fetchList(url, undefined, { key, signal }))?.text ?? new Uint8Array();
}

function readList(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new ArgumentError(code === 'ENOENT' ? `there is no file ${path}` : message, { cause });
  }
}

function readKey(path: string): string {
  const key = Buffer.from(readList(path)).toString().trim();
  if (!/^[\x21-\x7e]+$/.test(key))
    throw new ArgumentError(`${path} holds no key: one line of text without spaces`);
  return key;
}

export const exportCommand: Command = command({
  name: 'export',
  summary: 'Write the list, for another machine or another tool',
  options: {
    ...target,
    format: {
      kind: oneOf('FORMAT', EXPORT_FORMATS),
      default: 'json',
      summary: 'json has everything; the others have what is denied by source',
    },
  },
  examples: [
    { does: 'To another machine', line: 'barewire filter export | ssh edge2 barewire filter import -' },
  ],
  async run({ options }, { output, signal }) {
    const { exportLines } = await import('../../filter/export.ts');
    const filter = await filterOf(options);
    let text = '';
    for (const line of exportLines(filter.entries(), options.format, Date.now())) {
      if (signal.aborted) return;
      text += line;
      if (text.length > 65_536) {
        output.write(text);
        text = '';
      }
    }
    output.write(text);
  },
});
