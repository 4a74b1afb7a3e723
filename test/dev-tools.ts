import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

/**
 * The path of a development tool that tests compare with.
 *
 * A missing one fails the test: what is not compared is not shown.
 */
export function tool(name: string): string {
  for (const folder of ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/bin', '/sbin']) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  throw new Error(`${name} is not installed; run scripts/dev-tools.sh as root`);
}
