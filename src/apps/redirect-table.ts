import type { LiveMaps } from '../bpf/index.ts';
import { BarewireError } from '../error.ts';
import { MAX_RULES, type PortKey, type RedirectMaps, type RuleHits } from '../programs/redirect-ports.ts';
import { possibleCpus } from '../sys/index.ts';
import { checkRules, describeRule, PROTOCOL_NUMBER, type RedirectRule } from './redirect-rule.ts';

/** A rule and what it did. */
export interface RuleStatus extends RedirectRule {
  readonly packets: bigint;
  /** Of whole frames. */
  readonly bytes: bigint;
  /** Replies that were sent from the port that was asked for. */
  readonly replies: bigint;
  /** When the last packet came; undefined for never. */
  readonly last: Date | undefined;
}

/** The rules of one interface, as its program's maps hold them. */
export class RuleTable {
  readonly #maps: Pick<LiveMaps<RedirectMaps>, 'rules' | 'targets' | 'hits'>;
  /** For messages. */
  readonly #interface: string;

  constructor(maps: Pick<LiveMaps<RedirectMaps>, 'rules' | 'targets' | 'hits'>, interfaceName: string) {
    this.#maps = maps;
    this.#interface = interfaceName;
  }

  /**
   * Adds rules; those that are there already stay with their counters.
   *
   * @throws ArgumentError, or BarewireError `BW_EXISTS` when a port leads elsewhere, `BW_LIMIT` when there is no room
   *   for all of them; none is added then.
   */
  add(added: readonly RedirectRule[]): void {
    checkRules(added);
    const { rules, targets, hits } = this.#maps;
    const present = new Map([...rules.entries()].map(([key, target]) => [nameOf(key), target]));
    const fresh = new Map<string, RedirectRule>();
    for (const rule of added) {
      const key = keyOf(rule);
      const target = present.get(nameOf(key));
      if (target === undefined) fresh.set(nameOf(key), rule);
      else if (target.to !== rule.to) throw this.#elsewhere(rule, target.to);
    }
    if (present.size + fresh.size > MAX_RULES) {
      throw new BarewireError(
        'BW_LIMIT',
        `${this.#interface} has ${present.size} of ${MAX_RULES} rules, and no room for ${fresh.size} more`,
        { hint: 'Remove those that are not needed.' },
      );
    }
    const taken = new Set([...present.values()].map(({ slot }) => slot));
    let slot = 0;
    for (const rule of fresh.values()) {
      while (taken.has(slot)) slot++;
      taken.add(slot);
      const key = keyOf(rule);
      hits.set(
        slot,
        Array.from({ length: possibleCpus() }, () => NO_HITS),
      );
      // The rule comes last: what it needs is there when the first packet meets it.
      targets.set({ protocol: key.protocol, port: rule.to }, 1);
      rules.set(key, { to: rule.to, slot });
    }
  }

  /** Removes the rule of a port; whether there was one. */
  remove(asked: Pick<RedirectRule, 'protocol' | 'from'>): boolean {
    const { rules, targets } = this.#maps;
    const key = keyOf(asked);
    const target = rules.get(key);
    if (target === undefined || !rules.delete(key)) return false;
    const wanted = [...rules.entries()].some(
      ([{ protocol }, { to }]) => protocol === key.protocol && to === target.to,
    );
    if (!wanted) targets.delete({ protocol: key.protocol, port: target.to });
    return true;
  }

  /** All rules, by protocol and port. */
  list(): RuleStatus[] {
    const now = process.hrtime.bigint();
    return [...this.#maps.rules.entries()]
      .map(([{ protocol, port }, { to, slot }]): RuleStatus => {
        const { last, ...sums } = sumUp(this.#maps.hits.get(slot) ?? []);
        return {
          protocol: protocol === PROTOCOL_NUMBER.tcp ? 'tcp' : 'udp',
          from: port,
          to,
          ...sums,
          last: last === 0n ? undefined : new Date(Date.now() - Number((now - last) / 1_000_000n)),
        };
      })
      .toSorted((a, b) => a.protocol.localeCompare(b.protocol) || a.from - b.from);
  }

  #elsewhere(rule: RedirectRule, to: number): BarewireError {
    return new BarewireError(
      'BW_EXISTS',
      `${this.#interface} has the rule ${describeRule({ ...rule, to })}`,
      {
        hint: `Remove it first: barewire redirect remove ${this.#interface} ${rule.protocol} ${rule.from}`,
      },
    );
  }
}

const NO_HITS: RuleHits = { packets: 0n, bytes: 0n, replies: 0n, last: 0n };

function keyOf({ protocol, from }: Pick<RedirectRule, 'protocol' | 'from'>): PortKey {
  return { protocol: PROTOCOL_NUMBER[protocol], port: from };
}

function nameOf({ protocol, port }: PortKey): string {
  return `${protocol} ${port}`;
}

function sumUp(cpus: readonly RuleHits[]): RuleHits {
  return cpus.reduce(
    (sum, hits) => ({
      packets: sum.packets + hits.packets,
      bytes: sum.bytes + hits.bytes,
      replies: sum.replies + hits.replies,
      // biome-ignore lint/complexity/useMathMinMax: these are bigints
      last: hits.last > sum.last ? hits.last : sum.last,
    }),
    NO_HITS,
  );
}
