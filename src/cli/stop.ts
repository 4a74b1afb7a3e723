/** Why a command was asked to stop: a signal, or because its output goes nowhere. */
export type StopReason = NodeJS.Signals | 'output';

/** Turns the ways of asking a process to stop into one `AbortSignal`. */
export interface Stop {
  readonly signal: AbortSignal;
  readonly reason: StopReason | undefined;
  request(reason: StopReason): void;
  /** Gives the signals back to their default action. */
  release(): void;
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The first signal asks the command to let go and end; a second one ends the process at once. */
export function listenForStop(): Stop {
  const controller = new AbortController();
  let reason: StopReason | undefined;
  const onSignal = (name: NodeJS.Signals): void => request(name);
  const release = (): void => {
    for (const name of signals) process.off(name, onSignal);
  };
  const request = (why: StopReason): void => {
    if (reason !== undefined) return;
    reason = why;
    release();
    controller.abort(why);
  };
  for (const name of signals) process.on(name, onSignal);
  return {
    signal: controller.signal,
    get reason() {
      return reason;
    },
    request,
    release,
  };
}
