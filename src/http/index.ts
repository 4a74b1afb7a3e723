/** HTTP through a line of one's choice: fetch, undici's dispatcher, Node's agents, TLS. @module barewire/http */
export { type Judge, type LineAgentOptions, LineHttpAgent, LineHttpsAgent } from './agent.ts';
export { deadline, startDeadline } from './deadline.ts';
export { type DialOptions, dial } from './dial.ts';
export { type DispatcherOptions, dispatcherOf, fetchOf, type LineFetch } from './dispatcher.ts';
export type { Line, LineTarget, LineUdp } from './line.ts';
export { type OpenSessionOptions, openSession, type RotatingLine, Session } from './session.ts';
export { type ConnectTlsOptions, connectTls } from './tls.ts';
