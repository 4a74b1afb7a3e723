import { ArgumentError } from '../../error.ts';
import type { AddEntry } from '../../filter/filter.ts';
import type { RuleParts } from '../../policy/make-rule.ts';
import { duration, type Kind, oneOf, text } from '../kinds.ts';
import type { FlagOption, OptionValues, ValueOption } from '../table.ts';

type Value<T> = ValueOption & { readonly kind: Kind<T> };

/** Options that say what a rule is about, beside addresses. */
export const ruleOptions: {
  readonly ip: Value<string> & { readonly repeated: true };
  readonly per: Value<string> & { readonly default: string };
  readonly segment: Value<'syn' | 'established'>;
} & {
  readonly [N in 'allow' | 'destination']: FlagOption;
} & {
  readonly [N in
    | 'protocol'
    | 'port'
    | 'source-port'
    | 'limit'
    | 'limit-bytes'
    | 'burst'
    | 'preset']: Value<string>;
} = {
  ip: { kind: text('ADDRESS'), repeated: true, summary: 'An address or a prefix (the classic spelling)' },
  allow: { kind: 'flag', summary: 'Let it pass, whatever denies it; without this it is denied' },
  destination: { kind: 'flag', summary: 'The addresses are destinations, not sources' },
  protocol: {
    kind: text('PROTOCOL'),
    short: 'p',
    summary: 'Only this protocol: tcp, udp, icmp, ... or its number',
  },
  port: { kind: text('PORTS'), summary: 'Only to these ports: 53, 80,443 or 27015-27030' },
  'source-port': { kind: text('PORTS'), summary: 'Only from these ports' },
  segment: {
    kind: oneOf('SEGMENT', ['syn', 'established']),
    summary: 'Only the first segment of TCP connections, or only those that answer',
  },
  limit: { kind: text('RATE'), summary: 'Deny only what is beyond so many packets, as in 100/s or 10k/s' },
  'limit-bytes': { kind: text('RATE'), summary: 'Deny only what is beyond so many bytes, as in 1MB/s' },
  burst: { kind: text('N'), summary: 'So many packets may come at once; default is what a second brings' },
  per: {
    kind: text('WHOM'),
    default: 'source',
    summary: 'Whom a limit counts together: source, all, or /24,/64',
  },
  preset: { kind: text('NAME'), summary: 'A limit that is known by name: syn-flood, udp-flood, icmp-flood' },
};

export const entryOptions: { readonly expire: Value<number>; readonly reason: Value<string> } = {
  expire: { kind: duration({ min: '1s' }), short: 'e', summary: 'It ends by itself after so long' },
  reason: { kind: text('TEXT'), short: 'r', summary: 'Why it is there' },
};

/** What a command line says: entries for tables, or rules that become code. */
export interface Said {
  readonly entries: readonly AddEntry[];
  readonly rules: readonly RuleParts[];
}

export async function readRules(
  addresses: readonly string[],
  options: OptionValues<typeof ruleOptions>,
  more: { readonly expire?: number | undefined; readonly reason?: string | undefined } = {},
): Promise<Said> {
  const { parseByteRate, parsePacketRate, parsePer, parsePorts, parseProtocol, parseTarget, makeRate } =
    await import('../../policy/parse.ts');
  const { isAddressRule } = await import('../../policy/make-rule.ts');
  const { PRESETS, presetRule } = await import('../../policy/presets.ts');
  const { nearest } = await import('../../nearest.ts');
  const limited = options.limit !== undefined || options.limitBytes !== undefined;
  if (options.burst !== undefined && !/^\d+$/.test(options.burst)) {
    throw new ArgumentError(`--burst: '${options.burst}' is not a whole number`);
  }
  const burst = options.burst === undefined ? undefined : Number(options.burst);
  const parts: Omit<RuleParts, 'source' | 'destination'> = {
    action: limited ? 'limit' : options.allow ? 'allow' : 'deny',
    protocol: options.protocol === undefined ? undefined : parseProtocol(options.protocol),
    ports: options.port === undefined ? undefined : parsePorts(options.port),
    sourcePorts: options.sourcePort === undefined ? undefined : parsePorts(options.sourcePort),
    segment: options.segment,
    limit: limited
      ? {
          packets:
            options.limit === undefined ? undefined : makeRate(parsePacketRate(options.limit), burst, 1),
          bytes:
            options.limitBytes === undefined
              ? undefined
              : makeRate(parseByteRate(options.limitBytes), undefined, 1514),
          per: parsePer(options.per),
          within: options.allow ? 'allow' : 'continue',
        }
      : undefined,
    expires: more.expire === undefined ? undefined : Date.now() + more.expire,
    reason: more.reason,
  };
  if (options.preset !== undefined) {
    const preset = PRESETS[options.preset];
    if (preset === undefined) {
      const near = nearest(options.preset, Object.keys(PRESETS), 1)[0];
      throw new ArgumentError(`there is no preset '${options.preset}'`, {
        hint: near === undefined ? `There are: ${Object.keys(PRESETS).join(', ')}.` : `Did you mean ${near}?`,
      });
    }
    return { entries: [], rules: [{ ...parts, ...presetRule(preset, parts.limit?.packets?.perSecond) }] };
  }
  const all = [...addresses, ...options.ip];
  const targets = all.map(parseTarget);
  const made: RuleParts[] =
    targets.length === 0
      ? [parts]
      : targets.map((prefix) =>
          options.destination ? { ...parts, destination: prefix } : { ...parts, source: prefix },
        );
  const entries: AddEntry[] = [];
  const rules: RuleParts[] = [];
  for (const rule of made) {
    const prefix = rule.source ?? rule.destination;
    if (rule.action !== 'limit' && prefix !== undefined && isAddressRule(rule)) {
      const side = rule.source === undefined ? 'destination' : 'source';
      entries.push({ action: rule.action, side, prefix, expires: more.expire, reason: rule.reason });
    } else {
      if (
        Object.values({ ...rule, action: undefined, expires: undefined, reason: undefined }).every(
          (part) => part === undefined,
        )
      ) {
        throw new ArgumentError('the rule says nothing: no address, no protocol, no limit', {
          hint: 'Give an address or a prefix, as in 192.0.2.1 or 2001:db8::/32.',
        });
      }
      rules.push(rule);
    }
  }
  return { entries, rules };
}
