import { formatPrefix, parsePrefix } from '../address/index.ts';
import type { Policy } from './policy.ts';
import type { Rule } from './rule.ts';

/** A policy as plain JSON, in snapshots and beside the pins. */
export interface PolicyJson extends Omit<Policy, 'rules'> {
  readonly rules: readonly RuleJson[];
}

export interface RuleJson extends Omit<Rule, 'source' | 'destination'> {
  readonly source?: string | undefined;
  readonly destination?: string | undefined;
}

export function policyToJson(policy: Policy): PolicyJson {
  return { ...policy, rules: policy.rules.map(ruleToJson) };
}

export function policyFromJson(json: PolicyJson): Policy {
  return { ...json, rules: json.rules.map(ruleFromJson) };
}

export function ruleToJson(rule: Rule): RuleJson {
  const { source, destination } = rule;
  return {
    ...rule,
    source: source === undefined ? undefined : formatPrefix(source),
    destination: destination === undefined ? undefined : formatPrefix(destination),
  };
}

function ruleFromJson(json: RuleJson): Rule {
  const { source, destination } = json;
  return {
    ...json,
    source: source === undefined ? undefined : parsePrefix(source),
    destination: destination === undefined ? undefined : parsePrefix(destination),
  };
}
