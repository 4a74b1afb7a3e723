import { MONITOR_SORTS, MONITOR_VIEWS, type MonitorSort, type MonitorView } from '../apps/monitor-words.ts';

/** What the keys of `barewire monitor` have set. */
export interface MonitorKeys {
  readonly view: MonitorView;
  readonly sort: MonitorSort;
  readonly frozen: boolean;
  readonly scrolled: number;
  readonly help: boolean;
  /** The filter while it is typed. */
  readonly prompt: string | undefined;
}

/** What a key asks for beyond what is kept here. */
export type KeyAction =
  | { readonly action: 'quit' }
  | { readonly action: 'filter'; readonly text: string }
  | { readonly action: 'record' };

/** Keys as a terminal in raw mode sends them: letters, control characters, and sequences for the others. */
export function keysOf(text: string): string[] {
  const keys: string[] = [];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: keys are control characters
  for (const [key] of text.matchAll(/\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|[\s\S]/gu)) keys.push(key);
  return keys;
}

const CTRL_C = '\x03';
const CTRL_D = '\x04';
const CTRL_U = '\x15';
const ESCAPE = '\x1b';
const BACKSPACE: readonly string[] = ['\x7f', '\b'];
const ENTER: readonly string[] = ['\r', '\n'];
const LONGEST_FILTER = 200;

/** What is set after a key, and what is to be done. */
export function press(
  keys: MonitorKeys,
  key: string,
): { readonly keys: MonitorKeys; readonly action?: KeyAction } {
  if (key === CTRL_C || key === CTRL_D) return { keys, action: { action: 'quit' } };
  if (keys.prompt !== undefined) return typed(keys, keys.prompt, key);
  if (keys.help) return { keys: { ...keys, help: false } };
  const view = MONITOR_VIEWS[Number(key) - 1];
  if (/^[1-9]$/.test(key) && view !== undefined) return { keys: { ...keys, view, scrolled: 0 } };
  switch (key) {
    case 'q':
    case 'Q':
      return { keys, action: { action: 'quit' } };
    case 'v':
    case '\t':
      return { keys: { ...keys, view: after(MONITOR_VIEWS, keys.view), scrolled: 0 } };
    case 's':
      return { keys: { ...keys, sort: after(MONITOR_SORTS, keys.sort), scrolled: 0 } };
    case ' ':
    case 'f':
      return { keys: { ...keys, frozen: !keys.frozen } };
    case '/':
      return { keys: { ...keys, prompt: '' } };
    case 'c':
      return { keys: { ...keys, scrolled: 0 }, action: { action: 'filter', text: '' } };
    case 'r':
      return { keys, action: { action: 'record' } };
    case '?':
    case 'h':
      return { keys: { ...keys, help: true } };
    case 'j':
    case `${ESCAPE}[B`:
    case `${ESCAPE}OB`:
      return { keys: { ...keys, scrolled: keys.scrolled + 1 } };
    case 'k':
    case `${ESCAPE}[A`:
    case `${ESCAPE}OA`:
      return { keys: { ...keys, scrolled: Math.max(0, keys.scrolled - 1) } };
    default:
      return { keys };
  }
}

function typed(
  keys: MonitorKeys,
  prompt: string,
  key: string,
): { readonly keys: MonitorKeys; readonly action?: KeyAction } {
  if (ENTER.includes(key)) {
    return { keys: { ...keys, prompt: undefined, scrolled: 0 }, action: { action: 'filter', text: prompt } };
  }
  if (key === ESCAPE) return { keys: { ...keys, prompt: undefined } };
  if (key === CTRL_U) return { keys: { ...keys, prompt: '' } };
  if (BACKSPACE.includes(key)) return { keys: { ...keys, prompt: [...prompt].slice(0, -1).join('') } };
  const fits = /^\P{C}$/u.test(key) && prompt.length < LONGEST_FILTER;
  return { keys: fits ? { ...keys, prompt: prompt + key } : keys };
}

function after<T>(list: readonly T[], item: T): T {
  return list[(list.indexOf(item) + 1) % list.length] ?? item;
}
