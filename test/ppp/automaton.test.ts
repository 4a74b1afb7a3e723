import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  AUTOMATON_EVENTS,
  Automaton,
  type AutomatonAction,
  type AutomatonEvent,
  AutomatonState,
} from '../../src/ppp/index.ts';

/** RFC 1661, section 4.1, both halves of the table as they are printed there. */
const RFC_1661 = [
  `
         | State
         |    0         1         2         3         4         5
   Events| Initial   Starting  Closed    Stopped   Closing   Stopping
   ------+-----------------------------------------------------------
    Up   |    2     irc,scr/6     -         -         -         -
    Down |    -         -         0       tls/1       0         1
    Open |  tls/1       1     irc,scr/6     3r        5r        5r
    Close|    0       tlf/0       2         2         4         4
         |
     TO+ |    -         -         -         -       str/4     str/5
     TO- |    -         -         -         -       tlf/2     tlf/3
         |
    RCR+ |    -         -       sta/2 irc,scr,sca/8   4         5
    RCR- |    -         -       sta/2 irc,scr,scn/6   4         5
    RCA  |    -         -       sta/2     sta/3       4         5
    RCN  |    -         -       sta/2     sta/3       4         5
         |
    RTR  |    -         -       sta/2     sta/3     sta/4     sta/5
    RTA  |    -         -         2         3       tlf/2     tlf/3
         |
    RUC  |    -         -       scj/2     scj/3     scj/4     scj/5
    RXJ+ |    -         -         2         3         4         5
    RXJ- |    -         -       tlf/2     tlf/3     tlf/2     tlf/3
         |
    RXR  |    -         -         2         3         4         5`,
  `
         | State
         |    6         7         8           9
   Events| Req-Sent  Ack-Rcvd  Ack-Sent    Opened
   ------+-----------------------------------------
    Up   |    -         -         -           -
    Down |    1         1         1         tld/1
    Open |    6         7         8           9r
    Close|irc,str/4 irc,str/4 irc,str/4 tld,irc,str/4
         |
     TO+ |  scr/6     scr/6     scr/8         -
     TO- | tlf/3p    tlf/3p    tlf/3p         -
         |
    RCR+ |  sca/8   sca,tlu/9   sca/8   tld,scr,sca/8
    RCR- |  scn/6     scn/7     scn/6   tld,scr,scn/6
    RCA  |  irc/7     scr/6x  irc,tlu/9   tld,scr/6x
    RCN  |irc,scr/6   scr/6x  irc,scr/8   tld,scr/6x
         |
    RTR  |  sta/6     sta/6     sta/6   tld,zrc,sta/5
    RTA  |    6         6         8       tld,scr/6
         |
    RUC  |  scj/6     scj/7     scj/8     scj/9
    RXJ+ |    6         6         8           9
    RXJ- |  tlf/3     tlf/3     tlf/3   tld,irc,str/5
         |
    RXR  |    6         7         8         ser/9`,
] as const;

interface Cell {
  readonly event: AutomatonEvent;
  readonly state: number;
  /** Undefined where the event cannot happen. */
  readonly next: number | undefined;
  readonly actions: readonly string[];
}

const CELLS: readonly Cell[] = RFC_1661.flatMap((text, half) =>
  text.split('\n').flatMap((line) => {
    const [head = '', tail = ''] = line.split('|');
    const event = head.trim() as AutomatonEvent;
    if (!AUTOMATON_EVENTS.includes(event)) return [];
    return tail
      .trim()
      .split(/\s+/)
      .map((cell, column): Cell => {
        const state = column + 6 * half;
        if (cell === '-') return { event, state, next: undefined, actions: [] };
        const [, actions = '', next] = cell.match(/^(?:(.*)\/)?(\d)[rpx]?$/) ?? [];
        return { event, state, next: Number(next), actions: actions === '' ? [] : actions.split(',') };
      });
  }),
);

/** The events that lead from Initial to each state. */
const WAYS: readonly (readonly AutomatonEvent[])[] = [
  [],
  ['Open'],
  ['Up'],
  ['Open', 'Up', 'TO-'],
  ['Open', 'Up', 'Close'],
  ['Open', 'Up', 'RCA', 'RCR+', 'RTR'],
  ['Open', 'Up'],
  ['Open', 'Up', 'RCA'],
  ['Open', 'Up', 'RCR+'],
  ['Open', 'Up', 'RCA', 'RCR+'],
];

class Recorder extends Automaton {
  readonly actions: AutomatonAction[] = [];
  /** The state that each action saw. */
  readonly states: number[] = [];

  happen(event: AutomatonEvent): boolean {
    return this.raise(event, 0);
  }

  protected act(action: AutomatonAction): void {
    this.actions.push(action);
    this.states.push(this.state);
  }
}

function inState(state: number): Recorder {
  const automaton = new Recorder();
  for (const event of WAYS[state] ?? []) assert.ok(automaton.happen(event));
  assert.equal(automaton.state, state);
  automaton.actions.length = 0;
  automaton.states.length = 0;
  return automaton;
}

describe("RFC 1661's table, cell by cell", () => {
  it('has sixteen events in ten states', () => {
    assert.equal(CELLS.length, 160);
    assert.equal(new Set(CELLS.map(({ event, state }) => `${event} ${state}`)).size, 160);
    assert.deepEqual([...new Set(CELLS.map(({ event }) => event))].toSorted(), AUTOMATON_EVENTS.toSorted());
    assert.deepEqual(
      Object.values(AutomatonState).toSorted((a, b) => a - b),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
  });

  for (const { event, state, next, actions } of CELLS) {
    const name = Object.keys(AutomatonState)[state];
    it(`${event} in ${name}: ${next === undefined ? 'cannot happen' : [...actions, next].join(' ')}`, () => {
      const automaton = inState(state);
      assert.equal(automaton.happen(event), next !== undefined);
      assert.deepEqual(automaton.actions, actions);
      assert.equal(automaton.state, next ?? state);
      assert.ok(automaton.states.every((seen) => seen === next));
    });
  }
});
