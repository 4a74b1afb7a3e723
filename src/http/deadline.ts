/**
 * A signal that aborts after a time with what Node's own connections say then: `ETIMEDOUT`.
 *
 * @param ms How long `doing` may take.
 */
export function deadline(ms: number, doing: string): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => {
    const error = new Error(`${doing} took longer than ${ms / 1000} s`);
    controller.abort(Object.assign(error, { code: 'ETIMEDOUT' }));
  }, ms).unref();
  return controller.signal;
}
