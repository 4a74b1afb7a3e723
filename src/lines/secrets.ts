import { readFileSync, statSync } from 'node:fs';
import { tryParseIPv4 } from '../address/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import type { PppoeAccount } from '../pppoe/index.ts';

/**
 * Reads a secrets file as pppd has it: `NAME SERVER SECRET [ADDRESS]` a line, words in quotes where they hold blanks, `#`
 * before remarks. SERVER is not looked at; an ADDRESS of `*` is any.
 *
 * @throws BarewireError `BW_SECRETS_MODE` when others may read it; ArgumentError for a line that is none.
 */
export function readSecrets(path: string): ReadonlyMap<string, PppoeAccount> {
  requirePrivate(path);
  return parseSecrets(readFileSync(path, 'utf8'), path);
}

/** The first line of a file, as a password. @throws BarewireError `BW_SECRETS_MODE` when others may read it. */
export function readPassword(path: string): string {
  requirePrivate(path);
  return readFileSync(path, 'utf8').split(/\r?\n/, 1)[0] ?? '';
}

export function parseSecrets(text: string, path: string): ReadonlyMap<string, PppoeAccount> {
  const accounts = new Map<string, PppoeAccount>();
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const words = wordsOf(line);
    if (words.length === 0) continue;
    const [name, , password, address = '*'] = words;
    // The line itself stays out of the message: it holds a password.
    const wrong = (what: string): ArgumentError =>
      new ArgumentError(`${path}, line ${i + 1}: ${what}`, {
        hint: 'Write it as in: "alice" * "secret" 10.64.0.7',
      });
    if (name === undefined || password === undefined || words.length > 4) {
      throw wrong(`${words.length} words instead of three or four`);
    }
    if (accounts.has(name)) throw wrong('this user has a line already');
    if (address !== '*' && tryParseIPv4(address) === undefined) throw wrong('the address is none of IPv4');
    accounts.set(name, address === '*' ? { password } : { password, address });
  }
  return accounts;
}

function wordsOf(line: string): string[] {
  const words: string[] = [];
  for (const match of line.matchAll(/"((?:[^"\\]|\\.)*)"|(#.*)|([^\s"#]+)/g)) {
    if (match[2] !== undefined) break;
    words.push(match[3] ?? (match[1] ?? '').replaceAll(/\\(.)/g, '$1'));
  }
  return words;
}

function requirePrivate(path: string): void {
  const { mode } = statSync(path);
  if ((mode & 0o007) === 0) return;
  throw new BarewireError('BW_SECRETS_MODE', `everybody on this machine may read or write ${path}`, {
    hint: `Take that from them: chmod 600 ${path}`,
  });
}
