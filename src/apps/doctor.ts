import type { Check } from './check.ts';
import { checkInterface, type InterfaceCheckOptions, type InterfaceDiagnosis } from './doctor-interface.ts';
import { checkFeatures, checkKernel, checkRights } from './doctor-machine.ts';

export type { Check, CheckState } from './check.ts';
export type { InterfaceDiagnosis } from './doctor-interface.ts';

/** Without an interface, only the machine is looked at. */
export type DiagnosisOptions = Partial<InterfaceCheckOptions>;

export interface Diagnosis {
  readonly kernel: readonly Check[];
  readonly rights: readonly Check[];
  readonly features: readonly Check[];
  /** Absent when none was asked for. */
  readonly interface: InterfaceDiagnosis | undefined;
  /** Whether nothing fails and nothing is blocked. */
  readonly healthy: boolean;
  /** All of it in a sentence. */
  readonly verdict: string;
}

/**
 * Looks at the machine, and at one interface if one is given.
 *
 * @throws NoInterfaceError, which names the nearest ones.
 */
export function diagnose(options: DiagnosisOptions = {}): Diagnosis {
  const { interface: name } = options;
  // First, for a mistyped name should not wait for the rest.
  const looked = name === undefined ? undefined : checkInterface({ ...options, interface: name });
  const kernel = checkKernel();
  const rights = checkRights();
  const features = checkFeatures();
  const checks = [...kernel, ...rights, ...features, ...(looked?.checks ?? [])];
  const failing = checks.filter(({ state }) => state === 'fails').length;
  const blocking = checks.filter(({ state }) => state === 'blocks').length;
  return {
    kernel,
    rights,
    features,
    interface: looked,
    healthy: failing + blocking === 0,
    verdict: conclude(looked, failing, blocking),
  };
}

function conclude(looked: InterfaceDiagnosis | undefined, failing: number, blocking: number): string {
  if (failing > 0) return 'XDP does not work here before what fails is mended.';
  if (looked === undefined) return 'XDP works here; name an interface to look at its driver.';
  if (blocking > 0) return `${looked.name} works in generic mode only, before what blocks is mended.`;
  if (looked.mode === 'generic') return `${looked.name} works in generic mode, for its driver has no XDP.`;
  return `${looked.name} is ready for XDP in ${looked.mode} mode.`;
}
