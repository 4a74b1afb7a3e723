import { attachXdp } from '../bpf/attach.ts';
import { BpfMap } from '../bpf/map.ts';
import { openPinned } from '../bpf/pin.ts';
import { Program } from '../bpf/program.ts';
import { BarewireError } from '../error.ts';
import { Netlink } from '../netlink/index.ts';
import { EMPTY_POLICY, MANUAL, type Policy } from '../policy/policy.ts';
import { TABLES, type TableName } from '../policy/table.ts';
import { tableMap } from '../programs/filter-maps.ts';
import { withNetns } from '../sys/netns.ts';
import { mergeRules, requireWayIn, withoutEnded } from './change.ts';
import type { Attached, AttachFilterOptions, FilterPlace } from './filter.ts';
import { Generation } from './generation.ts';
import type { Live, Session } from './live.ts';
import { peerRule } from './peer.ts';
import { makeNext, type Next, type OnStep } from './switch.ts';

/** Frames up to this MTU lie in one buffer with every driver, and need no help to be measured. */
const ONE_BUFFER_MTU = 3000;

/** Puts a filter on an interface, with what is saved of it. */
export function attachFilter(
  session: Session,
  options: Omit<AttachFilterOptions, keyof FilterPlace>,
): Attached {
  const { place, pins, clock } = session;
  const onStep = options.onStep ?? (() => {});
  const mtu = withNetns(place.netns, () => {
    using net = new Netlink();
    return net.links.get(place.interface).mtu;
  });
  onStep('read what is saved');
  const restored = readSaved(session);
  const peer = options.peer === undefined ? [] : [{ ...peerRule(options.peer, clock.now), list: MANUAL }];
  const policy: Policy = {
    ...restored.policy,
    rules: mergeRules(withoutEnded(restored.policy.rules, clock), peer).rules,
    settings: { ...restored.policy.settings, ...options.settings },
  };
  try {
    requireWayIn(policy, undefined, restored.tables);
  } catch (error) {
    for (const { map } of restored.tables.values()) map.close();
    throw error;
  }
  const guardUntil = options.confirm === undefined ? undefined : clock.now + options.confirm;
  try {
    using next = makeNext(pins, {
      policy,
      record: {
        interface: place.interface,
        frags: mtu > ONE_BUFFER_MTU,
        capacities: restored.capacities,
      },
      tables: restored.tables,
      reasons: restored.reasons,
      guardUntil,
      clock,
      onStep,
    });
    onStep('attach');
    const attachment = attachXdp(next.program, {
      interface: place.interface,
      mode: options.mode ?? 'auto',
      replace: options.replace ?? false,
      method: 'link',
      netns: place.netns,
    });
    try {
      onStep('save');
      if (restored.log === undefined) {
        session.saved.write(next.generation, clock);
      } else {
        // What is saved stays what is saved, with what is different now behind it.
        next.generation.fill.log = restored.log;
        next.generation.fill.logSize = session.saved.journal(restored.log).size;
        if (guardUntil !== undefined) session.saved.write(next.generation, clock);
        else if (options.settings !== undefined) {
          session.saved.append(next.generation, [{ type: 'policy', policy }], clock);
        }
      }
      onStep('pin the link');
      pins.pinLink(attachment);
      if (guardUntil === undefined) session.saved.setCurrent(next.generation.fill.log);
    } catch (error) {
      pins.removeAll();
      throw error;
    } finally {
      attachment.close();
    }
    return { mode: attachment.mode, refusals: attachment.refusals, restored: restored.entries };
  } catch (error) {
    pins.removeAll();
    throw error;
  } finally {
    for (const { map } of restored.tables.values()) map.close();
  }
}

interface Restored {
  readonly policy: Policy;
  readonly tables: Map<TableName, { map: BpfMap<unknown, unknown>; entries: number }>;
  readonly capacities: Partial<Record<TableName, number>>;
  readonly reasons: readonly (readonly [number, string])[];
  readonly entries: number;
  /** The file it was read from. */
  readonly log: bigint | undefined;
}

/** Makes the tables of a saved filter anew. */
function readSaved(session: Session): Restored {
  const { saved, clock } = session;
  let policy: Policy = EMPTY_POLICY;
  const tables: Restored['tables'] = new Map();
  const capacities: Partial<Record<TableName, number>> = {};
  const reasons: (readonly [number, string])[] = [];
  const { current } = saved;
  if (current === undefined) return { policy, tables, capacities, reasons, entries: 0, log: undefined };
  const open = (name: TableName): { map: BpfMap<unknown, unknown>; entries: number } => {
    let table = tables.get(name);
    if (table === undefined) {
      const spec = tableMap(TABLES.find((table) => table.name === name)!, policy.settings.capacity);
      table = { map: BpfMap.create(spec) as BpfMap<unknown, unknown>, entries: 0 };
      tables.set(name, table);
      capacities[name] = policy.settings.capacity;
    }
    return table;
  };
  try {
    for (const record of saved.read(current, clock)) {
      switch (record.type) {
        case 'policy':
          policy = record.policy;
          break;
        case 'reason':
          reasons.push([record.id, record.text]);
          break;
        case 'put': {
          const { table, keys, values, count } = record.block;
          const to = open(table.name);
          const known: number[] = [];
          to.entries += to.map.insertPacked(keys, values, count, (index) => known.push(index));
          for (const index of known) {
            const key = keys.subarray(index * table.keySize, (index + 1) * table.keySize);
            to.map.setPacked(key, values.subarray(index * 32, (index + 1) * 32), 1);
          }
          break;
        }
        case 'delete': {
          const { table, keys, count } = record.block;
          const to = open(table.name);
          to.entries -= to.map.deletePacked(keys, count);
        }
      }
    }
    for (const name of policy.tables) open(name);
    const names = TABLES.map(({ name }) => name).filter((name) => tables.has(name));
    const entries = [...tables.values()].reduce((sum, table) => sum + table.entries, 0);
    return { policy: { ...policy, tables: names }, tables, capacities, reasons, entries, log: current };
  } catch (error) {
    for (const { map } of tables.values()) map.close();
    throw error;
  }
}

/**
 * Makes the filter go by another policy whose entries are the same, without a gap: a program for it, which shares the
 * tables, takes the place of the one before in one step.
 */
export function switchPolicy(session: Session, policy: Policy, onStep: OnStep = () => {}): Live {
  const live = session.require();
  const { generation } = live;
  using next = makeNext(session.pins, {
    policy,
    record: generation.record,
    from: generation,
    clock: session.clock,
    onStep,
  });
  replaceProgram(session, live, next, onStep);
  onStep('save');
  const { fill } = next.generation;
  session.saved.append(next.generation, [{ type: 'policy', policy }], session.clock);
  fill.dirty = false;
  onStep('clear away');
  const { number } = next;
  generation.close();
  live.previous?.close();
  session.pins.keepOnly([number]);
  session.live = {
    link: live.link,
    generation: Generation.open(session.pins, number),
    guard: 'none',
    previous: undefined,
  };
  return session.live;
}

/** The one step that changes what decides. From here until its file is written the next generation counts as dirty. */
export function replaceProgram(session: Session, live: Live, next: Next, onStep: OnStep): void {
  next.generation.fill.dirty = true;
  onStep('switch');
  const path = session.pins.path(live.generation.number, 'program');
  using present = Program.fromFd(openPinned(path, `the program at ${path}`));
  try {
    live.link.update(next.program, present);
  } catch (cause) {
    session.pins.removeGeneration(next.number);
    throw new BarewireError('BW_SWITCH', `the new filter was not put in place: ${(cause as Error).message}`, {
      hint: 'The one before goes on as it was.',
      cause,
    });
  }
}
