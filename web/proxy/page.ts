/** The exits of a proxy, live. It asks the admin API with a token that stays in this tab. */

interface Exit {
  readonly name: string;
  readonly state: 'up' | 'draining' | 'down' | 'changing';
  readonly address?: string;
  readonly connections: number;
  readonly requests: number;
  readonly failures: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly latency?: number;
  readonly lastError?: string;
  readonly canRotate: boolean;
}

interface User {
  readonly name: string;
  readonly connections: number;
  readonly requests: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
}

type Action = 'rotate' | 'drain' | 'resume';

/** In ms, between two looks. */
const INTERVAL = 1000;
const STORED = 'barewire-proxy-token';

const login = element<HTMLFormElement>('login');
const live = element<HTMLElement>('live');
const summary = element<HTMLElement>('summary');
const field = element<HTMLInputElement>('token');

let token = sessionStorage.getItem(STORED) ?? '';
login.addEventListener('submit', (event) => {
  event.preventDefault();
  token = field.value.trim();
  void look();
});
void look();

async function look(): Promise<void> {
  if (token === '') return ask('');
  try {
    const [exits, users] = await Promise.all([fetched<Exit[]>('/exits'), fetched<User[]>('/users')]);
    sessionStorage.setItem(STORED, token);
    login.hidden = true;
    live.hidden = false;
    show(exits, users);
  } catch (error) {
    if (error instanceof Refused) return ask('This token is not the one.');
    summary.textContent = 'The proxy does not answer.';
  }
  setTimeout(() => void look(), INTERVAL);
}

class Refused extends Error {}

async function fetched<T>(path: string, method = 'GET'): Promise<T> {
  const response = await fetch(path, { method, headers: { Authorization: `Bearer ${token}` } });
  if (response.status === 401) throw new Refused();
  const body = (await response.json()) as T & { readonly message?: string };
  if (!response.ok) throw new Error(body.message);
  return body;
}

function ask(complaint: string): void {
  sessionStorage.removeItem(STORED);
  login.hidden = false;
  live.hidden = true;
  element('refused').textContent = complaint;
  field.focus();
}

function show(exits: readonly Exit[], users: readonly User[]): void {
  const up = exits.filter(({ state }) => state === 'up').length;
  const open = exits.reduce((sum, { connections }) => sum + connections, 0);
  summary.textContent = `${up} of ${exits.length} up, ${open} connections open`;
  element('exits').replaceChildren(...exits.map(exitRow));
  element('users').replaceChildren(
    ...users.map(({ name, connections, requests, bytesUp, bytesDown }) =>
      row(cell(name), number(connections), number(requests), bytes(bytesUp), bytes(bytesDown)),
    ),
  );
}

function exitRow(exit: Exit): HTMLTableRowElement {
  const state = cell(exit.state, `state-${exit.state}`);
  if (exit.lastError !== undefined) state.title = exit.lastError;
  const check = exit.latency === undefined ? '' : `${exit.latency.toFixed(1)} ms`;
  const actions = cell('');
  if (exit.state === 'up') actions.append(button(exit, 'drain', 'Drain'));
  if (exit.state === 'draining') actions.append(button(exit, 'resume', 'Resume'));
  if (exit.canRotate && exit.state !== 'changing') actions.append(button(exit, 'rotate', 'New address'));
  return row(
    cell(exit.name),
    state,
    cell(exit.address ?? ''),
    number(exit.connections),
    number(exit.requests),
    number(exit.failures),
    bytes(exit.bytesUp),
    bytes(exit.bytesDown),
    cell(check, 'number'),
    actions,
  );
}

function button(exit: Exit, action: Action, label: string): HTMLButtonElement {
  const made = document.createElement('button');
  made.type = 'button';
  made.textContent = label;
  made.addEventListener('click', () => {
    made.disabled = true;
    fetched(`/exits/${encodeURIComponent(exit.name)}/${action}`, 'POST').catch((error: Error) => {
      summary.textContent = error.message;
    });
  });
  return made;
}

function row(...cells: readonly HTMLTableCellElement[]): HTMLTableRowElement {
  const made = document.createElement('tr');
  made.append(...cells);
  return made;
}

function cell(text: string, className = ''): HTMLTableCellElement {
  const made = document.createElement('td');
  made.textContent = text;
  made.className = className;
  return made;
}

function number(value: number): HTMLTableCellElement {
  return cell(value.toLocaleString('en'), 'number');
}

function bytes(value: number): HTMLTableCellElement {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, value < 1 ? 0 : Math.floor(Math.log10(value) / 3));
  const shown = value / 1000 ** power;
  return cell(`${power === 0 ? shown : shown.toFixed(shown < 10 ? 2 : 1)} ${units[power]}`, 'number');
}

function element<E extends HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found as E;
}
