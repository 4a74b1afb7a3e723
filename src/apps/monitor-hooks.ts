import {
  attachXdp,
  type LiveMaps,
  type Loaded,
  load,
  type ModeRefusal,
  OccupiedError,
  probe,
  TcxLink,
} from '../bpf/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { type Link, Netlink, type XdpMode } from '../netlink/index.ts';
import { type MonitorMaps, monitorMaps, monitorSpec } from '../programs/traffic-monitor.ts';
import type { MonitorDirection, MonitorHook } from './monitor-words.ts';

export interface HookOptions {
  /** Its name. */
  readonly interface: string;
  /** Where the interface lies, by name or path. Default is the caller's namespace. */
  readonly netns?: string | undefined;
  /**
   * Where frames that come in are read. `xdp` is the earliest place, and one program's alone; `tcx` (Linux 6.6) lies
   * behind it, beside others. Default is `auto`: XDP where nobody else's program is.
   */
  readonly hook?: MonitorHook;
  /** Default is `both`. */
  readonly directions?: MonitorDirection;
  /** Of XDP. Default is `auto`: driver mode, and generic mode where the driver refuses. */
  readonly mode?: XdpMode | 'auto';
}

/** Where frames of one direction are read. */
export type Seen =
  | { readonly hook: 'xdp'; readonly mode: XdpMode; readonly refusals: readonly ModeRefusal[] }
  | { readonly hook: 'tcx' };

/** The programs of a monitor on its interface. */
export interface Hooks extends Disposable {
  readonly interface: { readonly name: string; readonly index: number };
  readonly incoming: Seen | undefined;
  readonly outgoing: Seen | undefined;
  /** What is not seen or counted otherwise than one may think, in whole sentences without a full stop. */
  readonly notes: readonly string[];
  readonly inTallies: LiveMaps<MonitorMaps>['tallies'] | undefined;
  readonly outTallies: LiveMaps<MonitorMaps>['tallies'] | undefined;
  readonly flows: LiveMaps<MonitorMaps>['flows'];
  readonly settings: LiveMaps<MonitorMaps>['settings'];
  /** Whether the programs are still where they were put; what happened where they are not. */
  lost(): string | undefined;
}

/**
 * Puts the monitor's programs on an interface, beside whatever is there.
 *
 * @param flows Conversations to remember.
 * @throws NoInterfaceError; OccupiedError for `xdp` where another program is; ArgumentError for an interface without
 *   Ethernet headers; BarewireError `BW_UNSUPPORTED` for `tcx`, or frames that go out alone, before Linux 6.6.
 */
export function attachHooks(options: HookOptions, flows: number): Hooks {
  const { hook = 'auto', directions = 'both', mode = 'auto', netns } = options;
  const own: Disposable[] = [];
  const close = (): void => {
    for (const object of own.splice(0).reverse()) object[Symbol.dispose]();
  };
  try {
    const net = new Netlink({ netns });
    own.push(net);
    const link = net.links.get(options.interface);
    requireEthernet(link);
    const { name, index } = link;
    const notes: string[] = [];
    const specs = monitorMaps(flows);
    let shared: Partial<Pick<LiveMaps<MonitorMaps>, 'flows' | 'settings'>> = {};
    const loadFor = (direction: 'in' | 'out', at: 'xdp' | 'tcx'): Loaded<MonitorMaps> => {
      const spec = monitorSpec(specs, { direction, hook: at, frags: at === 'tcx' || probe('xdp-frags') });
      const loaded = load(spec, { maps: shared });
      own.push(loaded);
      shared = { flows: loaded.maps.flows, settings: loaded.maps.settings };
      return loaded;
    };
    const besides = (direction: 'in' | 'out'): Loaded<MonitorMaps> => {
      const loaded = loadFor(direction, 'tcx');
      own.push(
        TcxLink.attach(loaded.program, {
          interface: index,
          netns,
          direction: direction === 'in' ? 'ingress' : 'egress',
        }),
      );
      return loaded;
    };
    let incoming: Seen | undefined;
    let received: Loaded<MonitorMaps> | undefined;
    let programId: number | undefined;
    if (directions !== 'out') {
      let occupied: OccupiedError | undefined;
      if (hook !== 'tcx') {
        const loaded = loadFor('in', 'xdp');
        try {
          const attachment = attachXdp(loaded.program, { interface: index, netns, mode });
          own.push(attachment);
          programId = loaded.program.info().id;
          received = loaded;
          incoming = { hook: 'xdp', mode: attachment.mode, refusals: attachment.refusals };
        } catch (error) {
          if (hook === 'xdp' || !(error instanceof OccupiedError)) throw error;
          occupied = error;
          own.pop();
          loaded.close();
          shared = {};
        }
      }
      if (received === undefined) {
        try {
          received = besides('in');
        } catch (error) {
          // Without tcx there is no place beside another program.
          throw isUnsupported(error) ? (occupied ?? error) : error;
        }
        incoming = { hook: 'tcx' };
        if (occupied !== undefined) notes.push(behind(occupied));
        notes.push('Frames that the kernel has put together on their way in (GRO) count as one');
      }
    }
    let sent: Loaded<MonitorMaps> | undefined;
    if (directions !== 'in') {
      try {
        sent = besides('out');
        notes.push('Frames that the card will split on their way out (TSO) count as one');
      } catch (error) {
        if (directions === 'out' || !isUnsupported(error)) throw error;
        notes.push('Frames that go out are not seen: that takes tcx, which came with Linux 6.6');
      }
    }
    const any = received ?? sent;
    if (any === undefined) throw new ArgumentError('nothing is to be seen');
    return {
      interface: { name, index },
      incoming,
      outgoing: sent === undefined ? undefined : { hook: 'tcx' },
      notes,
      inTallies: received?.maps.tallies,
      outTallies: sent?.maps.tallies,
      flows: any.maps.flows,
      settings: any.maps.settings,
      lost() {
        const now = net.links.find(index);
        if (now === undefined) return `${name} has gone, and the monitor with it`;
        if (programId === undefined || now.xdp.some((xdp) => xdp.programId === programId)) return undefined;
        return `somebody took the monitor off ${name}`;
      },
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function isUnsupported(error: unknown): boolean {
  return error instanceof BarewireError && error.code === 'BW_UNSUPPORTED';
}

function requireEthernet({ name, type }: Link): void {
  if (type === 'ether' || type === 'loopback') return;
  throw new ArgumentError(`the frames of ${name} have no Ethernet headers (it is of type ${type})`, {
    hint: 'Watch the Ethernet interface below it.',
  });
}

function behind({ interface: name, programId, programName }: OccupiedError): string {
  const program = programName === undefined ? `${programId}` : `'${programName}' (${programId})`;
  return `${name} has another XDP program, ${program}: frames that come in are read behind it, and those that it drops or redirects are not seen`;
}
