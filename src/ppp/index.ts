/** The Point-to-Point Protocol as pure state machines: bytes and time in, bytes and events out. @module barewire/ppp */
export { AUTHENTICATION_METHODS, type AuthenticationMethod } from './authentication-method.ts';
export { PppError, type PppFailure } from './failure.ts';
