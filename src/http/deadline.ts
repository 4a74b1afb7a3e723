/**
 * A signal that aborts after a time with what Node's own connections say then: `ETIMEDOUT`.
 *
 * @param ms How long `doing` may take.
 */
export function deadline(ms: number, doing: string): AbortSignal {
  return startDeadline(ms, doing).signal;
}

/** As {@link deadline}; `clear` lets go of its timer once `doing` is done, where there are many. */
export function startDeadline(
  ms: number,
  doing: string,
): { readonly signal: AbortSignal; readonly clear: () => void } {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    const error = new Error(`${doing} took longer than ${ms / 1000} s`);
    controller.abort(Object.assign(error, { code: 'ETIMEDOUT' }));
  }, ms);
  timer.unref();
  return { signal: controller.signal, clear: () => clearTimeout(timer) };
}
