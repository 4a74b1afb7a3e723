/** The Point-to-Point Protocol as pure state machines: bytes and time in, bytes and events out. @module barewire/ppp */
export type {
  AccountLookup,
  AuthenticationOwner,
  AuthenticationParty,
  Credentials,
} from './authentication.ts';
export { AUTHENTICATION_METHODS, type AuthenticationMethod } from './authentication-method.ts';
export {
  AUTOMATON_ACTIONS,
  AUTOMATON_EVENTS,
  Automaton,
  type AutomatonAction,
  type AutomatonEvent,
  AutomatonState,
} from './automaton.ts';
export { DEFAULT_TIMING, type PppCarrier, type PppTiming, type RandomSource, randomWord } from './carrier.ts';
export { ChapAuthenticator, type ChapMethod, ChapPeer, chapMd5, mschapMessage } from './chap.ts';
export { type ControlOwner, ControlProtocol, type EndCause, type OptionVerdict } from './control-protocol.ts';
export { EapAuthenticator, EapPeer } from './eap.ts';
export { PppError, type PppFailure } from './failure.ts';
export { hmacSha1 } from './hash/sha1.ts';
export { Ipcp, type IpcpOptions } from './ipcp.ts';
export { Ipv6cp, linkLocal } from './ipv6cp.ts';
export { Lcp, type LcpOptions, type LcpOwner } from './lcp.ts';
export { PppLink, type PppLinkObserver, type PppLinkOptions, type PppPhase } from './link.ts';
export {
  authenticatorResponse,
  challengeHash,
  ntPasswordHash,
  ntResponse,
} from './mschapv2.ts';
export { PapAuthenticator, PapPeer } from './pap.ts';
export { shownText } from './text.ts';
