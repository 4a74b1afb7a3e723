import { ArgumentError } from '../error.ts';

/** What a lab *is*: hosts, and wires between them. Plain data; {@link Lab.create} makes it live. */
export interface LabSpec {
  /** Letters, digits and dashes, at most 24. Default is one that no other lab has. */
  readonly name?: string;
  /** Each host is a network namespace of its own. */
  readonly hosts: readonly (string | HostSpec)[];
  /** Each wire is a veth pair. */
  readonly wires: readonly WireSpec[];
  /**
   * Whether it outlives this process, until `Lab.open(name).destroy()` or `barewire lab down`. Default is false: the
   * next lab that is made clears it away if this process died without doing so.
   */
  readonly persistent?: boolean;
}

export interface HostSpec {
  /** Letters, digits and dashes, at most 24. */
  readonly name: string;
  /** Forwards packets between its interfaces. Default is false. */
  readonly forwarding?: boolean;
  /** Where packets go that no wire leads to: the address of a forwarding host on one of its wires. */
  readonly gateway?: string;
}

/** One wire. A bare string is a host's name. */
export interface WireSpec {
  readonly between: readonly [string | WireEndSpec, string | WireEndSpec];
  /** In bytes. Default is 1500. */
  readonly mtu?: number;
  /** Receive and transmit queues of each end. Default is 1. */
  readonly queues?: number;
}

export interface WireEndSpec {
  readonly host: string;
  /** Default is `eth0` for the host's first wire, `eth1` for the next. */
  readonly interface?: string;
  /**
   * Addresses with their prefix length. Default: the n-th wire is 10.77.n.0/24 and fd00:77:n::/64, its first end .1
   * and ::1, its second .2 and ::2. An empty list gives none.
   */
  readonly addresses?: readonly string[];
  /** As in `02:00:00:00:00:01`. Default is a readable one: `02:77:00:` wire, `00:` end. */
  readonly mac?: string;
}

/** A spec with every default filled in. */
export interface ResolvedLab {
  readonly hosts: readonly Required<Omit<HostSpec, 'gateway'>>[] & readonly HostSpec[];
  readonly wires: readonly ResolvedWire[];
}

export interface ResolvedWire {
  readonly ends: readonly [Required<WireEndSpec>, Required<WireEndSpec>];
  readonly mtu: number;
  readonly queues: number;
}

/** Fills in the defaults. @throws ArgumentError for names that are none, or that no host has. */
export function resolveLab(spec: LabSpec): ResolvedLab {
  const hosts = spec.hosts.map((host) => {
    const { name, forwarding = false, ...rest } = typeof host === 'string' ? { name: host } : host;
    return { name: requireName('host', name), forwarding, ...rest };
  });
  const interfaces = new Map<string, Set<string>>();
  for (const { name } of hosts) {
    if (interfaces.has(name)) throw new ArgumentError(`the lab has two hosts named '${name}'`);
    interfaces.set(name, new Set());
  }
  const wires = spec.wires.map((wire, index) => resolveWire(wire, index, interfaces));
  return { hosts, wires };
}

/** Names become parts of file and namespace names. */
export function requireName(what: string, name: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,23}$/i.test(name)) {
    throw new ArgumentError(`'${name}' cannot name a ${what}`, {
      hint: 'Use letters, digits and dashes, at most 24.',
    });
  }
  return name;
}

function resolveWire(wire: WireSpec, index: number, interfaces: Map<string, Set<string>>): ResolvedWire {
  const { mtu = 1500, queues = 1 } = wire;
  if (!Number.isInteger(queues) || queues < 1 || queues > 64) {
    throw new ArgumentError(`a wire has 1 to 64 queues, not ${queues}`);
  }
  const resolveEnd = (given: string | WireEndSpec, end: 0 | 1): Required<WireEndSpec> => {
    const { host, ...options } = typeof given === 'string' ? { host: given } : given;
    const taken = interfaces.get(host);
    if (taken === undefined) {
      const known = [...interfaces.keys()].join(', ');
      throw new ArgumentError(`a wire leads to '${host}', which is no host of the lab`, {
        hint: `There are: ${known}.`,
      });
    }
    const resolved = {
      host,
      interface: `eth${taken.size}`,
      addresses: [`10.77.${index}.${end + 1}/24`, `fd00:77:${index.toString(16)}::${end + 1}/64`],
      mac: `02:77:00:${byte(index)}:00:${byte(end + 1)}`,
      ...options,
    };
    if (taken.has(resolved.interface)) {
      throw new ArgumentError(`host '${host}' has two interfaces named '${resolved.interface}'`);
    }
    taken.add(resolved.interface);
    return resolved;
  };
  return { ends: [resolveEnd(wire.between[0], 0), resolveEnd(wire.between[1], 1)], mtu, queues };
}

function byte(value: number): string {
  return (value & 0xff).toString(16).padStart(2, '0');
}
