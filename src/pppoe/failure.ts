import { BarewireError, type ErrorDetails } from '../error.ts';

/** Why a PPPoE session did not come up or did not stay up, beside PPP's own reasons. */
export type PppoeFailure =
  /** Nobody answered the PADI. */
  | 'no-concentrator'
  /** Concentrators answered, none with the wanted name. */
  | 'ac-name'
  /** No concentrator offers the wanted service, or the chosen one refused it. */
  | 'service-name'
  /** The concentrator refused with AC-System-Error: no session, no address, a limit. */
  | 'ac-system-error'
  /** The concentrator refused with Generic-Error. */
  | 'generic-error'
  /** The chosen concentrator answers no PADR. */
  | 'no-session'
  /** The concentrator ended the session with a PADT. */
  | 'terminated'
  /** The interface has no carrier. */
  | 'carrier'
  /** We ended the session. */
  | 'closed';

const CODES: Readonly<Record<PppoeFailure, string>> = {
  'no-concentrator': 'BW_PPPOE_NO_CONCENTRATOR',
  'ac-name': 'BW_PPPOE_AC_NAME',
  'service-name': 'BW_PPPOE_SERVICE_NAME',
  'ac-system-error': 'BW_PPPOE_AC_SYSTEM_ERROR',
  'generic-error': 'BW_PPPOE_GENERIC_ERROR',
  'no-session': 'BW_PPPOE_NO_SESSION',
  terminated: 'BW_PPPOE_TERMINATED',
  carrier: 'BW_PPPOE_CARRIER',
  closed: 'BW_PPPOE_CLOSED',
};

/** A session that failed or ended in PPPoE itself. `code` is `BW_PPPOE_…` by `failure`. */
export class PppoeError extends BarewireError {
  readonly failure: PppoeFailure;
  /** The peer's own words, where it had any. Unprintable bytes are shown as `\xNN`. */
  readonly peerMessage: string | undefined;

  constructor(
    failure: PppoeFailure,
    message: string,
    details: ErrorDetails & { readonly peerMessage?: string } = {},
  ) {
    super(CODES[failure], message, details);
    this.failure = failure;
    this.peerMessage = details.peerMessage === '' ? undefined : details.peerMessage;
  }
}
