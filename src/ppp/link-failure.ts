import type { AuthenticationParty } from './authentication.ts';
import type { ControlProtocol } from './control-protocol.ts';
import { PppError, type PppFailure } from './failure.ts';

/** The words for what ends a link, apart from the reasons that LCP has. */

/** An authentication that came to a bad end. @param message the authenticator's own words, or what went wrong. */
export function refusalOf(
  party: AuthenticationParty,
  user: string,
  failure: PppFailure,
  message: string,
): PppError {
  const said = message === '' ? '' : `: ${message}`;
  if (party.side === 'authenticator') return new PppError(failure, `'${user}' was refused${said}`);
  return new PppError(failure, `${REFUSED[failure] ?? 'the peer refused us'} (${party.method})${said}`, {
    peerMessage: failure === 'authentication' ? message : '',
    hint: HINTS[failure] ?? 'The peer gave up on us.',
  });
}

/** A network protocol that finished while the link needs it. */
export function networkEnd(control: ControlProtocol, name: string): PppError {
  switch (control.endCause) {
    case 'rejected':
      return new PppError('network-refused', `the peer does not speak ${name}`);
    case 'peer': {
      const said = control.peerReason === '' ? '' : `: ${control.peerReason}`;
      return new PppError('network-refused', `the peer ended ${name}${said}`, {
        peerMessage: control.peerReason,
      });
    }
    case 'not-converging':
      return new PppError('not-converging', `the peer objects to every request for ${name}`);
    default:
      return new PppError('no-answer', `the peer answers no request for ${name}`);
  }
}

const REFUSED: Partial<Record<PppFailure, string>> = {
  authentication: 'the peer does not take our name and password',
  'authentication-method': 'no way to say who we are that both sides know',
  'no-answer': 'the peer leaves authentication unanswered',
  'peer-not-authentic': 'the peer does not know our password either',
};

const HINTS: Partial<Record<PppFailure, string>> = {
  authentication:
    'Check user and password; some providers want the user with a realm, as in user@example.net.',
  'peer-not-authentic': 'Somebody else may be answering; nothing more was told to it.',
};
