import { file } from '../kinds.ts';
import { json } from '../standard-options.ts';
import { type CommandGroup, command, group } from '../table.ts';

export const proxy: CommandGroup = group({
  name: 'proxy',
  summary: "An HTTP and SOCKS5 proxy whose exits are lines of one's choice",
  commands: [
    command({
      name: 'run',
      summary: 'Serve as the configuration file says, until it is stopped',
      description: [
        "One port speaks HTTP CONNECT, plain HTTP and SOCKS5. Every connection leaves by one of the exits, chosen by strategy, by the client's session or by name, and never by another line.",
        'SIGHUP ends it as SIGTERM does; POST /reload of the admin API reads the file again without dropping a connection.',
      ],
      positionals: [{ name: 'config', kind: file(), summary: 'The configuration, YAML or JSON' }],
      options: { json },
      examples: [{ does: 'Exits and users from a file', line: 'barewire proxy run proxy.yaml' }],
      async run({ args, options }, { output, signal }) {
        const { ProxyApp } = await import('../../apps/proxy.ts');
        await using app = await ProxyApp.start(args.config, (record) => output.json(record));
        const { address, port } = app.proxy.address;
        const admin = app.admin?.address;
        if (options.json) {
          output.json({ listening: { address, port }, admin });
        } else {
          output.note(`Serving HTTP and SOCKS5 at ${address} port ${port}`);
          if (admin !== undefined) output.note(`Exits live at http://${admin.address}:${admin.port}/`);
        }
        await new Promise<void>((resolve) => {
          if (signal.aborted) resolve();
          else signal.addEventListener('abort', () => resolve(), { once: true });
        });
        await app.close(GRACE);
      },
    }),
    command({
      name: 'check',
      summary: 'Check a configuration file and say what it means',
      positionals: [{ name: 'config', kind: file(), summary: 'The configuration, YAML or JSON' }],
      options: { json },
      async run({ args, options }, { output }) {
        const { readConfigFile } = await import('../../apps/proxy.ts');
        const { listen, settings, exits, pppoe } = await readConfigFile(args.config);
        if (options.json) {
          output.json({
            listen,
            exits,
            pppoe,
            users: settings.users.map(({ name }) => name),
            routing: settings.routing,
          });
          return;
        }
        output.write(`listens at ${listen.host ?? '127.0.0.1'} port ${listen.port}\n`);
        for (const exit of exits)
          output.write(`exit ${exit.name} by ${exit.device}, names from ${exit.dns.join(', ')}\n`);
        for (const { name, interface: on, sessions, accounts, via } of pppoe) {
          const whose = accounts === undefined ? '' : ` for each account in ${accounts}`;
          output.write(`exits ${name}-1 and on: ${sessions} PPPoE on ${on}${whose}, via ${via}\n`);
        }
        for (const { name, passwordHash, from } of settings.users) {
          const how = [
            passwordHash === undefined ? '' : 'a password',
            from === undefined ? '' : `an address in ${from.join(', ')}`,
          ];
          output.write(`user ${name} by ${how.filter((part) => part !== '').join(' and ')}\n`);
        }
      },
    }),
    command({
      name: 'hash',
      summary: 'Make the hash of a password for a configuration file',
      description: [
        'The password is read from the standard input, its first line, so that no list of processes shows it.',
      ],
      positionals: [],
      options: {},
      examples: [{ does: 'Typed, and ended with Ctrl-D', line: 'barewire proxy hash' }],
      async run(_, { output }) {
        const { hashPassword } = await import('../../proxy/index.ts');
        const { text } = await import('node:stream/consumers');
        const [password = ''] = (await text(process.stdin)).split('\n', 1);
        output.write(`${await hashPassword(password)}\n`);
      },
    }),
  ],
});

/** In ms. How long open tunnels may go on when the proxy is stopped. */
const GRACE = 1_000;
