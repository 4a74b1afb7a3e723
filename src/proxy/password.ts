import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { ArgumentError } from '../error.ts';

/** Cost parameters of RFC 7914: 16 MB and about 50 ms a guess. */
const COST = 16_384;
const BLOCK = 8;
const BYTES = 32;
const SALT_BYTES = 16;

const derive = promisify(
  (password: string, salt: Uint8Array, length: number, done: (error: Error | null, key: Buffer) => void) =>
    scrypt(password, salt, length, { N: COST, r: BLOCK, p: 1 }, done),
);

/** A password as a configuration may hold it: `scrypt:SALT:HASH` in base64url. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const key = await derive(password, salt, BYTES);
  return `scrypt:${salt.toString('base64url')}:${key.toString('base64url')}`;
}

/** The salt and hash in a configuration's text. @throws ArgumentError when it is none. */
export function parseHash(text: string): PasswordHash {
  const [scheme, salt = '', key = '', rest] = text.split(':');
  const hash = { salt: Buffer.from(salt, 'base64url'), key: Buffer.from(key, 'base64url') };
  if (scheme !== 'scrypt' || hash.salt.length < 8 || hash.key.length !== BYTES || rest !== undefined) {
    throw new ArgumentError('this is no password hash', { hint: 'barewire proxy hash makes one.' });
  }
  return hash;
}

export interface PasswordHash {
  readonly salt: Uint8Array;
  readonly key: Uint8Array;
}

/**
 * Checks passwords against their hashes. One that was found right is remembered by a keyed digest, so that a client
 * with a thousand connections a second costs one derivation and not a thousand.
 */
export class PasswordChecker {
  readonly #key = randomBytes(32);
  readonly #known = new Map<string, Buffer>();

  /** Whether this very password was found right before; costs next to nothing. */
  isKnown(user: string, password: string, hash: PasswordHash): boolean {
    const known = this.#known.get(user);
    return known !== undefined && timingSafeEqual(known, this.#digest(password, hash));
  }

  async check(user: string, password: string, hash: PasswordHash): Promise<boolean> {
    if (this.isKnown(user, password, hash)) return true;
    const key = await derive(password, hash.salt, BYTES);
    if (!timingSafeEqual(key, hash.key)) return false;
    this.#known.set(user, this.#digest(password, hash));
    return true;
  }

  /** Takes as long as a wrong password does, so that nobody learns which users there are. */
  async checkNobody(password: string): Promise<false> {
    await derive(password, this.#key.subarray(0, SALT_BYTES), BYTES);
    return false;
  }

  #digest(password: string, hash: PasswordHash): Buffer {
    return createHmac('sha256', this.#key).update(hash.salt).update(hash.key).update(password).digest();
  }
}
