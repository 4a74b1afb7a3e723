import { readFileSync } from 'node:fs';
import { ArgumentError } from '../error.ts';

/** An object file's bytes. @throws ArgumentError when there is none of that name. */
export function readObjectFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new ArgumentError(code === 'ENOENT' ? `there is no file ${path}` : message, { cause: error });
  }
}
