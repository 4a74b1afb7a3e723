import { existsSync } from 'node:fs';
import {
  attachXdp,
  BpfMap,
  type LiveMaps,
  load,
  type ModeRefusal,
  ModeRefusedError,
  ObjectMap,
  probe,
  RingBuffer,
  TcxLink,
  unpin,
  XdpLink,
} from '../bpf/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { takeLock } from '../filter/lock.ts';
import { requireLastingBpffs } from '../filter/pins.ts';
import type { Place, Roots } from '../filter/place.ts';
import { Netlink, type XdpMode } from '../netlink/index.ts';
import {
  type RedirectMaps,
  redirectMaps,
  redirectSpec,
  replyMap,
  replySpec,
} from '../programs/redirect-ports.ts';
import type { MapSpec } from '../spec/index.ts';
import { type PortRedirect, portRedirects } from './redirect-events.ts';
import {
  forget,
  isPinned,
  keptPlaces,
  pinsOf,
  type RedirectPins,
  readSaved,
  removePins,
  type SavedRedirect,
  save,
} from './redirect-pins.ts';
import { checkRules, type RedirectRule } from './redirect-rule.ts';
import { type RuleStatus, RuleTable } from './redirect-table.ts';

export interface RedirectorOptions extends RedirectorPlace {
  /** Default is `auto`: driver mode, and generic mode where the driver refuses. */
  readonly mode?: XdpMode | 'auto';
  /** Evict another owner's program. Default is false. */
  readonly replace?: boolean;
  /** To begin with. Default is none. */
  readonly rules?: readonly RedirectRule[];
  /** Send replies from the port that the client asked for (Linux 6.6). Default is false. */
  readonly replies?: boolean;
  /** Clients whose replies are remembered; the least recently seen go first. Default is 65536. */
  readonly flows?: number;
}

/** Where a redirector is. */
export interface RedirectorPlace {
  /** Its name. */
  readonly interface: string;
  /** Where the interface lies, by name or path. Default is the caller's namespace. */
  readonly netns?: string | undefined;
  /** Where what outlives its process is kept. */
  readonly roots?: Roots | undefined;
}

/**
 * Sends TCP and UDP for one port of an interface to another, before the host's stack sees it.
 *
 * `open` makes one that dies with the process, however it dies; `keep` one that stays, program, rules and counters,
 * until `Redirector.remove`.
 *
 * @example
 * using redirector = Redirector.open({ interface: 'eth0', rules: [{ protocol: 'udp', from: 7999, to: 7998 }] });
 * for await (const event of redirector.events()) console.log(event);
 */
export class Redirector implements Disposable {
  readonly interface: { readonly name: string; readonly index: number };
  /** The mode that was granted. */
  readonly mode: XdpMode;
  /** Better modes that were refused when it was attached, and why. */
  readonly refusals: readonly ModeRefusal[];
  readonly #maps: LiveMaps<RedirectMaps>;
  readonly #rules: RuleTable;
  readonly #own: readonly Disposable[];
  readonly #closing = new AbortController();
  /** Where it is kept; undefined when it dies with the process. */
  readonly #place: Place | undefined;

  private constructor(standing: Standing, own: readonly Disposable[], place: Place | undefined) {
    this.interface = standing.interface;
    this.mode = standing.mode;
    this.refusals = standing.refusals;
    this.#maps = standing.maps;
    this.#rules = new RuleTable(standing.maps, standing.interface.name);
    this.#own = own;
    this.#place = place;
  }

  /**
   * Attaches for as long as this process lives.
   *
   * @throws NoInterfaceError; OccupiedError when another owner's program is there and `replace` is not set;
   *   ModeRefusedError; BarewireError `BW_UNSUPPORTED` for replies before Linux 6.6; ArgumentError for rules that
   *   cannot be.
   */
  static open(options: RedirectorOptions): Redirector {
    checkRules(options.rules ?? []);
    requireInterface(options);
    return Redirector.#build((own) => attach(options, createMaps(options, own), own));
  }

  /**
   * Attaches for good, or takes up what an earlier call left and adds the rules to those that are there; after a
   * reboot, to those that were saved.
   *
   * @throws As {@link open}; as {@link add}; BarewireError `BW_PIN_MISMATCH` or `BW_STATE` for what another version
   *   left, `BW_NO_BPFFS` where nothing can be pinned, `BW_BUSY` while another process changes the same.
   */
  static keep(options: RedirectorOptions): Redirector {
    checkRules(options.rules ?? []);
    requireInterface(options);
    const pins = pinsOf(options.interface, options.netns, options.roots);
    using _lock = takeLock(pins.place.lock);
    requireLastingBpffs(pins.place.pins);
    let fresh = false;
    try {
      const redirector = Redirector.#build((own) => {
        const pinned = pinnedMaps(pins, own);
        fresh = pinned === undefined;
        // What a process left that died while it made them is of no use.
        if (fresh) removePins(pins);
        const saved = pinned === undefined ? readSaved(pins.place) : undefined;
        const wanted = saved === undefined ? options : together(saved, options);
        const maps = pinned ?? createMaps(wanted, own, pins);
        const standing = takeUp(options, pins, maps, own);
        if (standing === undefined) return attach(wanted, maps, own, pins);
        new RuleTable(maps, options.interface).add(options.rules ?? []);
        if (options.replies === true) sendReplies(options, maps, own, pins);
        return standing;
      }, pins.place);
      redirector.#save(pins.place, options.mode);
      return redirector;
    } catch (error) {
      if (fresh) removePins(pins);
      throw error;
    }
  }

  /**
   * Attaches what was saved, as after a reboot; what stands is left standing.
   *
   * @throws As {@link keep}; BarewireError `BW_NOT_FOUND` when nothing is saved.
   */
  static restore(place: RedirectorPlace): Redirector {
    const { place: kept } = pinsOf(place.interface, place.netns, place.roots);
    if (readSaved(kept) === undefined) throw nothingKept(place, kept);
    return Redirector.keep(place);
  }

  /** Opens what {@link keep} left. @throws BarewireError `BW_NOT_FOUND` when there is nothing. */
  static openKept(place: RedirectorPlace): Redirector {
    const pins = pinsOf(place.interface, place.netns, place.roots);
    return Redirector.#build((own) => {
      const maps = pinnedMaps(pins, own);
      const standing = maps && takeUp(place, pins, maps, own);
      if (standing === undefined) throw nothingKept(place, pins.place);
      return standing;
    }, pins.place);
  }

  /** Interfaces of which something is kept, in all namespaces: pinned, or saved and not restored since a reboot. */
  static kept(roots?: Roots): (RedirectorPlace & { readonly pinned: boolean })[] {
    return keptPlaces(roots).map((place) => {
      const { interface: name, key } = place;
      // The caller's own namespace may have no name to be opened by.
      const netns = pinsOf(name, undefined, roots).place.key === key ? undefined : place.netns;
      return { interface: name, netns, roots, pinned: isPinned(pinsOf(name, netns, roots)) };
    });
  }

  /** Takes away what {@link keep} left: program, rules, counters, and what is saved. Whether there was anything. */
  static remove(place: RedirectorPlace): boolean {
    const pins = pinsOf(place.interface, place.netns, place.roots);
    using _lock = takeLock(pins.place.lock);
    const pinned = removePins(pins);
    return forget(pins.place) || pinned;
  }

  /** Whether replies are sent from the port that was asked for. */
  get replies(): boolean {
    return (this.#maps.settings.get(0)?.replies ?? 0) === 1;
  }

  /**
   * Adds rules, all or none; those that are there already stay with their counters.
   *
   * @throws ArgumentError; BarewireError `BW_EXISTS` when a port leads elsewhere, `BW_LIMIT` beyond 1024 rules.
   */
  add(...rules: readonly RedirectRule[]): void {
    this.#change(() => this.#rules.add(rules));
  }

  /** Removes the rule of a port; whether there was one. */
  delete(asked: Pick<RedirectRule, 'protocol' | 'from'>): boolean {
    return this.#change(() => this.#rules.remove(asked));
  }

  /** All rules, by protocol and port, with what they did. */
  list(): RuleStatus[] {
    return this.#rules.list();
  }

  /**
   * Packets as they are sent to another port, from now on, until the signal or `close` ends them.
   *
   * @throws BarewireError `BW_BUSY` when another process reads them: each event goes to one reader.
   */
  events(options: { readonly signal?: AbortSignal | undefined } = {}): AsyncGenerator<PortRedirect> {
    const { signal } = this.#closing;
    const ended = options.signal === undefined ? signal : AbortSignal.any([signal, options.signal]);
    return portRedirects(this.#maps.events, this.#maps.settings, ended);
  }

  /** Detaches, unless it was kept, and ends events. A second call does nothing. */
  close(): void {
    this.#closing.abort();
    closeAll(this.#own);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Changes what is kept alone, and saves it. */
  #change<T>(task: () => T): T {
    if (this.#place === undefined) return task();
    using _lock = takeLock(this.#place.lock);
    const result = task();
    this.#save(this.#place);
    return result;
  }

  #save(place: Place, asked?: RedirectorOptions['mode']): void {
    const mode = asked === undefined || asked === 'auto' ? readSaved(place)?.mode : asked;
    const rules = this.list().map(({ protocol, from, to }) => ({ protocol, from, to }));
    save(place, {
      rules,
      replies: this.replies,
      flows: this.#maps.flows.spec.maxEntries,
      mode: mode === 'driver' || mode === 'generic' ? mode : 'auto',
    });
  }

  /** Gives everything back when a step fails. */
  static #build(make: (own: Disposable[]) => Standing, place?: Place): Redirector {
    const own: Disposable[] = [];
    try {
      return new Redirector(make(own), own, place);
    } catch (error) {
      closeAll(own);
      throw error;
    }
  }
}

/** What is attached. */
interface Standing extends Pick<Redirector, 'interface' | 'mode' | 'refusals'> {
  readonly maps: LiveMaps<RedirectMaps>;
}

const USUAL_FLOWS = 65_536;

function closeAll(own: readonly Disposable[]): void {
  for (const object of own.toReversed()) object[Symbol.dispose]();
}

/** Creates the maps; where they are to outlive the process, each with a pin. */
function createMaps(
  { flows = USUAL_FLOWS }: RedirectorOptions,
  own: Disposable[],
  pins?: RedirectPins,
): LiveMaps<RedirectMaps> {
  const made = Object.entries(redirectMaps({ flows })).map(([name, spec]) => {
    const map =
      spec.type === 'ringbuf' ? RingBuffer.create(spec as EventSpec) : BpfMap.create(spec as MapSpec);
    own.push(map as Disposable);
    if (pins !== undefined) (map as BpfMap).pin(pins.map(name));
    return [name, map];
  });
  return Object.fromEntries(made) as LiveMaps<RedirectMaps>;
}

type EventSpec = RedirectMaps['events'];

/** Maps that an earlier process pinned; undefined when they are not all there. */
function pinnedMaps(pins: RedirectPins, own: Disposable[]): LiveMaps<RedirectMaps> | undefined {
  const names = Object.keys(redirectMaps({ flows: USUAL_FLOWS }));
  if (!names.every((name) => existsSync(pins.map(name)))) return undefined;
  using pinned = ObjectMap.open(pins.map('flows'));
  const opened = Object.entries(redirectMaps({ flows: pinned.maxEntries })).map(([name, spec]) => {
    const path = pins.map(name);
    const map =
      spec.type === 'ringbuf'
        ? RingBuffer.openPinned(spec as EventSpec, path)
        : BpfMap.openPinned(spec as MapSpec, path);
    own.push(map as Disposable);
    return [name, map];
  });
  return Object.fromEntries(opened) as LiveMaps<RedirectMaps>;
}

/** What an earlier process attached and pinned; undefined where nothing is, or its interface has gone. */
function takeUp(
  place: RedirectorPlace,
  pins: RedirectPins,
  maps: LiveMaps<RedirectMaps>,
  own: Disposable[],
): Standing | undefined {
  if (!existsSync(pins.link)) return undefined;
  const link = XdpLink.openPinned(pins.link);
  own.push(link);
  using net = new Netlink({ netns: place.netns });
  const { name, index, xdp } = net.links.get(place.interface);
  const info = link.info();
  if (info.ifindex !== index) return undefined;
  const attached = xdp.find(({ programId }) => programId === info.programId);
  if (attached === undefined) return undefined;
  return { interface: { name, index }, mode: attached.mode, refusals: [], maps };
}

/** Loads the program over the maps and attaches it; its rules are in place before the first packet meets it. */
function attach(
  options: RedirectorOptions,
  maps: LiveMaps<RedirectMaps>,
  own: Disposable[],
  pins?: RedirectPins,
): Standing {
  using net = new Netlink({ netns: options.netns });
  const { name, index } = net.links.get(options.interface);
  if (options.mode === 'offload') throw new ModeRefusedError(name, [NO_OFFLOAD]);
  new RuleTable(maps, name).add(options.rules ?? []);
  const specs = redirectMaps({ flows: maps.flows.spec.maxEntries });
  const loaded = load(redirectSpec(specs, { frags: probe('xdp-frags') }), { maps });
  own.push(loaded);
  // Replies first: a packet that is redirected without them would be answered from the wrong port.
  if (options.replies === true) sendReplies(options, maps, own, pins);
  if (pins !== undefined) unpin(pins.link);
  const attachment = attachXdp(loaded.program, { ...options, interface: index });
  own.push(attachment);
  if (pins !== undefined) attachment.pin(pins.link);
  const { mode, refusals } = attachment;
  return { interface: { name, index }, mode, refusals, maps };
}

function sendReplies(
  options: RedirectorPlace,
  maps: LiveMaps<RedirectMaps>,
  own: Disposable[],
  pins?: RedirectPins,
): void {
  using net = new Netlink({ netns: options.netns });
  const { index } = net.links.get(options.interface);
  if (pins !== undefined && existsSync(pins.replies)) {
    using pinned = TcxLink.openPinned(pins.replies);
    if (pinned.info().ifindex === index) {
      rememberClients(maps);
      return;
    }
    unpin(pins.replies);
  }
  const { targets, hits, flows } = maps;
  const specs = redirectMaps({ flows: flows.spec.maxEntries });
  const spec = replySpec({ targets: specs.targets, hits: specs.hits, flows: specs.flows, reply: replyMap() });
  const loaded = load(spec, { maps: { targets, hits, flows } });
  own.push(loaded);
  const link = TcxLink.attach(loaded.program, {
    interface: index,
    direction: 'egress',
    netns: options.netns,
  });
  own.push(link);
  if (pins !== undefined) link.pin(pins.replies);
  rememberClients(maps);
}

/** From here on the program remembers who asked for which port. */
function rememberClients({ settings }: LiveMaps<RedirectMaps>): void {
  settings.set(0, { until: settings.get(0)?.until ?? 0n, replies: 1 });
}

/** Says which name is near, where there is no such interface; the programs read Ethernet frames. */
function requireInterface({ interface: asked, netns }: RedirectorPlace): void {
  using net = new Netlink({ netns });
  const { name, type } = net.links.get(asked);
  if (type === 'ether' || type === 'loopback') return;
  throw new ArgumentError(`the frames of ${name} have no Ethernet headers (it is of type ${type})`, {
    hint: 'Redirect on the Ethernet interface below it.',
  });
}

function nothingKept(place: RedirectorPlace, kept: Place): BarewireError {
  requireInterface(place);
  const name = place.interface;
  const others = Redirector.kept(place.roots).filter(({ pinned, netns }) => pinned && netns === place.netns);
  const hint =
    readSaved(kept) !== undefined
      ? `Rules are saved from before: barewire redirect restore ${name}`
      : others.length > 0
        ? `They are on ${others.map((other) => other.interface).join(', ')}.`
        : `Add a rule: barewire redirect add ${name} udp 7999 7998`;
  return new BarewireError('BW_NOT_FOUND', `no ports are redirected for good on ${name}`, { hint });
}

/** What was saved, and what is asked for beside it. */
function together(saved: SavedRedirect, options: RedirectorOptions): RedirectorOptions {
  return {
    ...options,
    flows: saved.flows,
    mode: options.mode === undefined || options.mode === 'auto' ? saved.mode : options.mode,
    rules: [...saved.rules, ...(options.rules ?? [])],
    replies: saved.replies || options.replies === true,
  };
}

/** The one family of cards that takes programs (nfp) has arrays and hashes only. */
const NO_OFFLOAD: ModeRefusal = {
  mode: 'offload',
  reason: 'no card that runs XDP programs itself has ring buffers, which the redirection needs',
  remedy: 'Use the driver or the generic mode.',
};
