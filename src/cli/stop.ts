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

/**
 * The first signal asks the command to let go and end; one that comes later, because that takes too long, ends the
 * process at once.
 */
export function listenForStop(): Stop {
  const controller = new AbortController();
  let reason: StopReason | undefined;
  let requestedAt = 0;
  const request = (why: StopReason): void => {
    if (reason !== undefined) return;
    reason = why;
    requestedAt = performance.now();
    controller.abort(why);
  };
  const release = (): void => {
    for (const name of signals) process.off(name, onSignal);
  };
  const onSignal = (name: NodeJS.Signals): void => {
    if (reason === undefined) {
      request(name);
    } else if (performance.now() - requestedAt > SAME_PRESS) {
      release();
      process.kill(process.pid, name);
    }
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

/** In ms. Ctrl-C goes to every process of the terminal, and npx hands its own copy on: one press comes twice. */
const SAME_PRESS = 500;
