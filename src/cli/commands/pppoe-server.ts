import { AUTHENTICATION_METHODS } from '../../ppp/index.ts';
import type { PppoeConcentratorEvent, PppoeConcentratorSession } from '../../pppoe/index.ts';
import { address, file, integer, interfaceName, oneOf, text } from '../kinds.ts';
import type { Output } from '../output.ts';
import { json, netns } from '../standard-options.ts';
import { type Command, command } from '../table.ts';

export const pppoeServer: Command = command({
  name: 'pppoe-server',
  summary: 'Be a PPPoE concentrator on an interface, until it is stopped',
  description: [
    'Customers dial it and are hosts behind its device (bwac0), which the kernel routes to and from: turn forwarding on (net.ipv4.ip_forward) and translate addresses where they are private.',
    'Accounts are read from a file as chap-secrets of pppd: "alice" * "secret" 10.64.0.7. Without a file everybody is let in.',
  ],
  positionals: [{ name: 'interface', kind: interfaceName(), summary: 'The interface that customers are on' }],
  options: {
    secrets: { kind: file(), summary: 'The accounts; others may not read it' },
    pool: {
      kind: text('PREFIX'),
      default: '10.64.0.0/16',
      summary: 'Addresses to give out: a prefix or FIRST-LAST',
    },
    address: {
      kind: address(4),
      summary: "The concentrator's own address. Default is the first of the pool",
    },
    name: { kind: text('NAME'), default: 'barewire', summary: 'What it calls itself' },
    service: { kind: text('NAME'), repeated: true, summary: 'A service to offer. Default is any' },
    auth: {
      kind: oneOf('METHOD', AUTHENTICATION_METHODS),
      repeated: true,
      summary: 'How to ask who it is, best first',
    },
    dns: { kind: address(4), repeated: true, summary: 'A name server to tell customers of' },
    mru: {
      kind: integer({ min: 576, max: 1500, placeholder: 'BYTES' }),
      default: '1500',
      summary: 'Largest packet; above 1492 only for those who ask by RFC 4638',
    },
    'max-sessions': { kind: integer({ min: 1, max: 65_534 }), default: '32000', summary: 'Sessions in all' },
    'max-per-mac': {
      kind: integer({ min: 0 }),
      default: '0',
      summary: 'Sessions of one MAC address; 0 is any number',
    },
    device: { kind: text('NAME'), default: 'bwac%d', summary: 'Name of the device' },
    replace: { kind: 'flag', summary: "Evict another owner's program from the interface" },
    netns: { ...netns, summary: 'The network namespace of the interface' },
    json,
  },
  examples: [
    {
      does: 'For the accounts of a file',
      line: 'barewire pppoe-server eth1 --secrets /etc/barewire/secrets',
    },
    {
      does: 'For everybody, to try clients',
      line: 'barewire pppoe-server eth1 --pool 10.99.0.0/24 --dns 9.9.9.9',
    },
  ],
  async run({ args, options }, { output, signal }) {
    const { AccessConcentrator, readSecrets } = await import('../../lines/index.ts');
    const { secrets, pool, address, name, service, auth, dns, mru, device, replace, netns } = options;
    const accounts = secrets === undefined ? undefined : readSecrets(secrets);
    await using server = await AccessConcentrator.open(args.interface, {
      netns,
      replace,
      name,
      pool,
      dns,
      mru,
      device,
      maxSessions: options.maxSessions,
      maxSessionsPerMac: options.maxPerMac,
      account: (user) => accounts?.get(user),
      ...(address === undefined ? {} : { address }),
      ...(service.length === 0 ? {} : { services: service.map((one) => ({ name: one })) }),
      ...(accounts === undefined
        ? { authentication: [] }
        : auth.length === 0
          ? {}
          : { authentication: auth }),
    });
    const who = accounts === undefined ? 'everybody' : `${accounts.size} accounts`;
    output.note(`Serving ${who} on ${server.wire.name}, addresses of ${pool}, device ${server.device}`);
    server.on('event', (session, event) => print(session, event, options.json, output));
    await new Promise<void>((resolve, reject) => {
      if (signal.aborted) resolve();
      signal.addEventListener('abort', () => resolve(), { once: true });
      server.once('gone', reject);
    });
  },
});

function print(
  session: PppoeConcentratorSession,
  event: PppoeConcentratorEvent,
  asJson: boolean,
  output: Output,
): void {
  const { sessionId, peerMac: mac, user } = session;
  const who = `${user ?? 'somebody'} (${mac})`;
  if (event.type === 'closed') {
    const { error, accounting } = event;
    if (asJson)
      output.json({
        type: 'closed',
        sessionId,
        mac,
        user,
        code: error.code,
        message: error.message,
        ...accounting,
      });
    else output.write(`${who} is gone: ${error.message}\n`);
  } else if (asJson) {
    output.json({ sessionId, mac, ...event });
  } else if (event.type === 'opened') {
    output.write(`${who} has ${event.address ?? event.ipv6}\n`);
  } else if (event.type === 'refused') {
    output.write(`${event.user} (${mac}) was refused, by ${event.method}\n`);
  }
}
