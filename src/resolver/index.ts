/** Looks names up over a transport of one's own. Pure. @module barewire/resolver */
export { ResolveError, type ResolveErrorCode } from './error.ts';
export { type DnsTransport, type ExchangeOptions, Resolver, type ResolverOptions } from './resolver.ts';
