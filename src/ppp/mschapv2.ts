import { desEncrypt, desKey } from './hash/des.ts';
import { md4 } from './hash/md4.ts';
import { joined } from './hash/merkle.ts';
import { sha1 } from './hash/sha1.ts';

/** The computations of MS-CHAPv2 (RFC 2759, section 8); names are those of the RFC. */
export const MSCHAPV2_CHALLENGE_LENGTH = 16;
/** Peer challenge, 8 reserved bytes, NT response, flags. */
export const MSCHAPV2_RESPONSE_LENGTH = 49;

/** Section 8.3, of a password in UTF-16. */
export function ntPasswordHash(password: string): Uint8Array {
  const bytes = new Uint8Array(2 * password.length);
  for (let i = 0; i < password.length; i++) {
    const unit = password.charCodeAt(i);
    bytes[2 * i] = unit;
    bytes[2 * i + 1] = unit >>> 8;
  }
  return md4(bytes);
}

/** Section 8.2; a domain before the user name does not count. */
export function challengeHash(
  peerChallenge: Uint8Array,
  authenticatorChallenge: Uint8Array,
  userName: Uint8Array,
): Uint8Array {
  const name = userName.subarray(userName.lastIndexOf('\\'.charCodeAt(0)) + 1);
  return sha1(joined(peerChallenge, authenticatorChallenge, name)).slice(0, 8);
}

/** Sections 8.1 and 8.5. */
export function ntResponse(
  authenticatorChallenge: Uint8Array,
  peerChallenge: Uint8Array,
  userName: Uint8Array,
  password: string,
): Uint8Array {
  const challenge = challengeHash(peerChallenge, authenticatorChallenge, userName);
  const keys = new Uint8Array(21);
  keys.set(ntPasswordHash(password));
  return joined(...[0, 7, 14].map((at) => desEncrypt(desKey(keys.subarray(at, at + 7)), challenge)));
}

const MAGIC_1 = new TextEncoder().encode('Magic server to client signing constant');
const MAGIC_2 = new TextEncoder().encode('Pad to make it do more than one iteration');

/** Section 8.7: with it the authenticator shows that it knows the password, as in `S=407A…`. */
export function authenticatorResponse(
  password: string,
  response: Uint8Array,
  peerChallenge: Uint8Array,
  authenticatorChallenge: Uint8Array,
  userName: Uint8Array,
): string {
  const digest = sha1(joined(md4(ntPasswordHash(password)), response, MAGIC_1));
  const challenge = challengeHash(peerChallenge, authenticatorChallenge, userName);
  const bytes = sha1(joined(digest, challenge, MAGIC_2));
  return `S=${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))
    .join('')
    .toUpperCase()}`;
}
