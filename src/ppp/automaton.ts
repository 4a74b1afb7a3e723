/** The states of RFC 1661, section 4.2; their numbers are those of the table. */
export const AutomatonState = {
  initial: 0,
  starting: 1,
  closed: 2,
  stopped: 3,
  closing: 4,
  stopping: 5,
  requestSent: 6,
  ackReceived: 7,
  ackSent: 8,
  opened: 9,
} as const;
export type AutomatonState = (typeof AutomatonState)[keyof typeof AutomatonState];

/** The events of RFC 1661, section 4.3, as the rows of the table abbreviate them. */
export const AUTOMATON_EVENTS = [
  'Up',
  'Down',
  'Open',
  'Close',
  'TO+',
  'TO-',
  'RCR+',
  'RCR-',
  'RCA',
  'RCN',
  'RTR',
  'RTA',
  'RUC',
  'RXJ+',
  'RXJ-',
  'RXR',
] as const;
export type AutomatonEvent = (typeof AUTOMATON_EVENTS)[number];

/** The actions of RFC 1661, section 4.4. */
export const AUTOMATON_ACTIONS = [
  'tlu',
  'tld',
  'tls',
  'tlf',
  'irc',
  'zrc',
  'scr',
  'sca',
  'scn',
  'str',
  'sta',
  'scj',
  'ser',
] as const;
export type AutomatonAction = (typeof AUTOMATON_ACTIONS)[number];

/**
 * The table of RFC 1661, section 4.1: in each cell the actions and the next state, `-` where the event cannot happen.
 * The restart option `r` and the passive option `p` are not taken; `x` marks a crossed connection and changes nothing.
 */
const TABLE = `
  Up    2         irc,scr/6  -      -              -      -      -          -          -          -
  Down  -         -          0      tls/1          0      1      1          1          1          tld/1
  Open  tls/1     1          irc,scr/6  3          5      5      6          7          8          9
  Close 0         tlf/0      2      2              4      4      irc,str/4  irc,str/4  irc,str/4  tld,irc,str/4
  TO+   -         -          -      -              str/4  str/5  scr/6      scr/6      scr/8      -
  TO-   -         -          -      -              tlf/2  tlf/3  tlf/3      tlf/3      tlf/3      -
  RCR+  -         -          sta/2  irc,scr,sca/8  4      5      sca/8      sca,tlu/9  sca/8      tld,scr,sca/8
  RCR-  -         -          sta/2  irc,scr,scn/6  4      5      scn/6      scn/7      scn/6      tld,scr,scn/6
  RCA   -         -          sta/2  sta/3          4      5      irc/7      scr/6      irc,tlu/9  tld,scr/6
  RCN   -         -          sta/2  sta/3          4      5      irc,scr/6  scr/6      irc,scr/8  tld,scr/6
  RTR   -         -          sta/2  sta/3          sta/4  sta/5  sta/6      sta/6      sta/6      tld,zrc,sta/5
  RTA   -         -          2      3              tlf/2  tlf/3  6          6          8          tld,scr/6
  RUC   -         -          scj/2  scj/3          scj/4  scj/5  scj/6      scj/7      scj/8      scj/9
  RXJ+  -         -          2      3              4      5      6          6          8          9
  RXJ-  -         -          tlf/2  tlf/3          tlf/2  tlf/3  tlf/3      tlf/3      tlf/3      tld,irc,str/5
  RXR   -         -          2      3              4      5      6          7          8          ser/9`;

const STATES = 10;
const IMPOSSIBLE = -1;
/** Next state in the lowest four bits, then up to three actions, four bits each, counted from 1. */
const cells: Int32Array = encode(TABLE);

/**
 * The option negotiation automaton of RFC 1661, section 4, alone: what the actions do is the subclass's. A cell's next
 * state is taken before its actions run, so that they see where they lead; they must not raise events themselves.
 */
export abstract class Automaton {
  #state: AutomatonState = AutomatonState.initial;

  get state(): AutomatonState {
    return this.#state;
  }

  /** @returns whether the event can happen in this state by the table. */
  protected raise(event: AutomatonEvent, now: number): boolean {
    const cell = cells[AUTOMATON_EVENTS.indexOf(event) * STATES + this.#state]!;
    if (cell === IMPOSSIBLE) return false;
    this.#state = (cell & 0xf) as AutomatonState;
    for (let actions = cell >>> 4; actions !== 0; actions >>>= 4) {
      this.act(AUTOMATON_ACTIONS[(actions & 0xf) - 1]!, now);
    }
    return true;
  }

  protected abstract act(action: AutomatonAction, now: number): void;
}

function encode(text: string): Int32Array {
  const table = new Int32Array(AUTOMATON_EVENTS.length * STATES);
  const rows = text.trim().split('\n');
  for (const [row, line] of rows.entries()) {
    const [, ...columns] = line.trim().split(/\s+/);
    for (const [state, cell] of columns.entries()) table[row * STATES + state] = encodeCell(cell);
  }
  return table;
}

function encodeCell(cell: string): number {
  if (cell === '-') return IMPOSSIBLE;
  const [actions, next] = cell.includes('/') ? cell.split('/') : ['', cell];
  const names = actions === '' || actions === undefined ? [] : actions.split(',');
  return names.reduce(
    (bits, name, i) => bits | ((AUTOMATON_ACTIONS.indexOf(name as AutomatonAction) + 1) << (4 + 4 * i)),
    Number(next),
  );
}
