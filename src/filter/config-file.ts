import { readFileSync } from 'node:fs';
import { dirname, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { BarewireError } from '../error.ts';
import type { FilterConfig } from '../policy/config.ts';

/** A configuration file's content, and the folder that its paths count from. It is not checked yet. */
export interface ConfigFile {
  readonly config: FilterConfig;
  readonly folder: string;
}

/**
 * Reads a configuration: JSON, YAML, or a module in JavaScript or TypeScript that exports it as its default.
 *
 * @throws BarewireError `BW_CONFIG` when it cannot be read or is not well-formed, with the line.
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const folder = dirname(resolve(path));
  switch (extname(path).toLowerCase()) {
    case '.ts':
    case '.mts':
    case '.js':
    case '.mjs':
      return { config: await importConfig(path), folder };
    case '.yaml':
    case '.yml':
      return { config: await parseYaml(path), folder };
    case '.json':
      return { config: parseJson(path), folder };
    default:
      throw new BarewireError('BW_CONFIG', `${path} has no ending that says what it is`, {
        hint: 'Name it .yaml, .json, .ts or .js.',
      });
  }
}

async function importConfig(path: string): Promise<FilterConfig> {
  read(path);
  try {
    const module = (await import(pathToFileURL(resolve(path)).href)) as { default?: FilterConfig };
    if (module.default === undefined) {
      throw new BarewireError('BW_CONFIG', `${path} exports no configuration`, {
        hint: 'Write `export default { ... }`; the type is FilterConfig of barewire/filter.',
      });
    }
    return module.default;
  } catch (error) {
    if (error instanceof BarewireError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const unknown = code === 'ERR_UNKNOWN_FILE_EXTENSION';
    throw new BarewireError(
      'BW_CONFIG',
      unknown ? `Node ${process.versions.node} does not read TypeScript` : `${path}: ${message}`,
      {
        cause: error,
        ...(unknown
          ? { hint: 'Node 22.18 and later do; or write the same in a .js, .json or .yaml file.' }
          : {}),
      },
    );
  }
}

async function parseYaml(path: string): Promise<FilterConfig> {
  const text = read(path);
  const { LineCounter, parseDocument } = await import('yaml');
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw new BarewireError('BW_CONFIG', `${path}:${line}:${col}: ${error.message.split('\n')[0]}`);
  }
  // Few aliases suffice for anybody; many are a bomb.
  return (document.toJS({ maxAliasCount: 100 }) ?? {}) as FilterConfig;
}

function parseJson(path: string): FilterConfig {
  const text = read(path);
  try {
    return JSON.parse(text) as FilterConfig;
  } catch (cause) {
    throw new BarewireError('BW_CONFIG', `${path} is not JSON: ${(cause as Error).message}`, { cause });
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new BarewireError('BW_CONFIG', code === 'ENOENT' ? `there is no file ${path}` : message, { cause });
  }
}
