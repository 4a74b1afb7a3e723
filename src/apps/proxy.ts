import { randomBytes } from 'node:crypto';
import { createWriteStream, readFileSync, type WriteStream, writeFileSync } from 'node:fs';
import { BarewireError } from '../error.ts';
import { type AccessLog, Admin, ExitProxy, type ProxyConfig, readConfig } from '../proxy/index.ts';
import { ProxyLines } from './proxy-lines.ts';

/** A proxy as its configuration file says, with its admin API and its access log. */
export class ProxyApp implements AsyncDisposable {
  readonly proxy: ExitProxy;
  readonly admin: Admin | undefined;
  readonly #file: string;
  readonly #log: WriteStream | undefined;
  readonly #lines: ProxyLines;

  private constructor(
    file: string,
    proxy: ExitProxy,
    admin: Admin | undefined,
    lines: ProxyLines,
    log: WriteStream | undefined,
  ) {
    this.#file = file;
    this.proxy = proxy;
    this.admin = admin;
    this.#lines = lines;
    this.#log = log;
  }

  /**
   * @param print Where the access log goes when its file is `-`.
   * @throws ArgumentError that names the key; BarewireError `BW_FILE` when a file cannot be read.
   */
  static async start(file: string, print: AccessLog): Promise<ProxyApp> {
    const config = await readConfigFile(file);
    const lines = await ProxyLines.open(config);
    const { log, stream } = openLog(config.log, print);
    let proxy: ExitProxy | undefined;
    try {
      proxy = await ExitProxy.listen({
        ...config.settings,
        listen: config.listen,
        lines: await lines.take(config),
        log,
        ...(config.health === undefined ? {} : { health: config.health }),
        ...(config.maxClients === undefined ? {} : { maxClients: config.maxClients }),
      });
      let app: ProxyApp | undefined;
      const admin =
        config.admin === undefined
          ? undefined
          : await Admin.listen(proxy, {
              listen: config.admin.listen,
              token: readToken(config.admin.tokenFile),
              reload: () => app?.reload() ?? Promise.resolve(),
            });
      app = new ProxyApp(file, proxy, admin, lines, stream);
      return app;
    } catch (error) {
      await proxy?.close();
      await lines.close();
      stream?.end();
      throw error;
    }
  }

  /**
   * Reads the file again. What listens stays: addresses and ports change with a restart.
   *
   * @throws As `start`; then nothing has changed.
   */
  async reload(): Promise<void> {
    const config = await readConfigFile(this.#file);
    const lines = await this.#lines.take(config);
    const gone = this.proxy.reload(config.settings, lines);
    // What goes through them may end by itself; nobody waits for that here.
    for (const exit of gone) void exit.retire().then(() => this.#lines.drop(exit.line));
  }

  /** @param grace How long open connections may go on, in ms. Default is 0. */
  async close(grace = 0): Promise<void> {
    await this.admin?.close();
    await this.proxy.close(grace);
    await this.#lines.close();
    this.#log?.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** A configuration in YAML, of which JSON is a part. @throws ArgumentError, BarewireError `BW_FILE` */
export async function readConfigFile(file: string): Promise<ProxyConfig> {
  const { parse, YAMLParseError } = await import('yaml');
  try {
    return readConfig(parse(readText(file)));
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error;
    throw new BarewireError('BW_FILE', `${file} is no YAML: ${error.message.split('\n', 1)[0]}`);
  }
}

function openLog(
  file: string | undefined,
  print: AccessLog,
): { readonly log: AccessLog; readonly stream: WriteStream | undefined } {
  if (file === undefined) return { log: () => undefined, stream: undefined };
  if (file === '-') return { log: print, stream: undefined };
  const stream = createWriteStream(file, { flags: 'a', mode: 0o640 });
  return { log: (record) => void stream.write(`${JSON.stringify(record)}\n`), stream };
}

/** The token in the file; a new one is written to it when there is none. */
function readToken(file: string): string {
  try {
    writeFileSync(file, `${randomBytes(24).toString('base64url')}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unreadable(file, error);
  }
  const token = readText(file).trim();
  if (token.length < 16) {
    throw new BarewireError('BW_FILE', `${file} holds no token of at least 16 characters`, {
      hint: 'Remove the file, and the proxy makes a new one.',
    });
  }
  return token;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw unreadable(file, error);
  }
}

function unreadable(file: string, error: unknown): BarewireError {
  return new BarewireError('BW_FILE', `${file} cannot be read: ${(error as Error).message}`, {
    cause: error,
  });
}
