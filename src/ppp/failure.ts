import { BarewireError, type ErrorDetails } from '../error.ts';

/** Why a PPP link did not come up or did not stay up. */
export type PppFailure =
  /** The peer answers no Configure-Request, or a protocol of the network phase got no answer. */
  | 'no-answer'
  /** The peer does not take the name and password. */
  | 'authentication'
  /** No authentication method that both sides allow. */
  | 'authentication-method'
  /** The peer did not prove that it knows the password either (MS-CHAPv2). */
  | 'peer-not-authentic'
  /** Our own packets come back. */
  | 'loopback'
  /** The peer's MRU is below what was asked for at least. */
  | 'mru'
  /** The peer has no address for us. */
  | 'no-address'
  /** The peer does not speak the wanted network protocol, or ended it. */
  | 'network-refused'
  /** Options that neither side gives way on. */
  | 'not-converging'
  /** The peer ended the link. */
  | 'terminated'
  /** The peer stopped to answer echoes. */
  | 'echo'
  /** We ended the link. */
  | 'closed'
  /** A rejected code or protocol without which there is no link. */
  | 'rejected';

const CODES: Readonly<Record<PppFailure, string>> = {
  'no-answer': 'BW_PPP_NO_ANSWER',
  authentication: 'BW_PPP_AUTHENTICATION',
  'authentication-method': 'BW_PPP_AUTHENTICATION_METHOD',
  'peer-not-authentic': 'BW_PPP_PEER_NOT_AUTHENTIC',
  loopback: 'BW_PPP_LOOPBACK',
  mru: 'BW_PPP_MRU',
  'no-address': 'BW_PPP_NO_ADDRESS',
  'network-refused': 'BW_PPP_NETWORK_REFUSED',
  'not-converging': 'BW_PPP_NOT_CONVERGING',
  terminated: 'BW_PPP_TERMINATED',
  echo: 'BW_PPP_ECHO',
  closed: 'BW_PPP_CLOSED',
  rejected: 'BW_PPP_REJECTED',
};

/** A link that failed or ended. `code` is `BW_PPP_…` by `failure`. */
export class PppError extends BarewireError {
  readonly failure: PppFailure;
  /** The peer's own words, where it had any. Unprintable bytes are shown as `\xNN`. */
  readonly peerMessage: string | undefined;

  constructor(
    failure: PppFailure,
    message: string,
    details: ErrorDetails & { readonly peerMessage?: string } = {},
  ) {
    super(CODES[failure], message, details);
    this.failure = failure;
    this.peerMessage = details.peerMessage === '' ? undefined : details.peerMessage;
  }
}
