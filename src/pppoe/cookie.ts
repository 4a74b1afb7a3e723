import { hmacSha1, type RandomSource } from '../ppp/index.ts';
import type { PppoeFrame } from './frame.ts';

const TIME_BYTES = 4;
const TAG_BYTES = 16;
const SECRET_BYTES = 32;

/**
 * AC-Cookies (RFC 2516, section 5.4 and appendix A): what a client has to bring back shows that it hears at the address
 * it asks from, and costs the concentrator no memory. A cookie holds the time and an HMAC over it, the MAC address and
 * the VLAN tags.
 */
export class Cookies {
  readonly #secret: Uint8Array = new Uint8Array(SECRET_BYTES);
  readonly #lifetime: number;

  /** @param lifetime in milliseconds. */
  constructor(random: RandomSource, lifetime: number) {
    random(this.#secret);
    this.#lifetime = lifetime;
  }

  /** The cookie for the sender of a PADI. */
  make(frame: PppoeFrame, now: number): Uint8Array {
    return this.#cookie(frame, Math.floor(now) >>> 0);
  }

  /** Whether the sender of a PADR has the cookie that was made for it, not too long ago. */
  isGood(cookie: Uint8Array | undefined, frame: PppoeFrame, now: number): boolean {
    if (cookie?.length !== TIME_BYTES + TAG_BYTES) return false;
    const made = new DataView(cookie.buffer, cookie.byteOffset).getUint32(0);
    // The subtraction is right across the 49 days at which 32 bits of milliseconds wrap.
    if ((Math.floor(now) - made) >>> 0 > this.#lifetime) return false;
    const expected = this.#cookie(frame, made);
    let difference = 0;
    for (let i = 0; i < expected.length; i++) difference |= expected[i]! ^ cookie[i]!;
    return difference === 0;
  }

  #cookie(frame: PppoeFrame, time: number): Uint8Array {
    const { bytes, offset, vlanCount, outerVlan, innerVlan } = frame;
    const message = new Uint8Array(TIME_BYTES + 11);
    const view = new DataView(message.buffer);
    view.setUint32(0, time);
    message.set(bytes.subarray(offset + 6, offset + 12), TIME_BYTES);
    view.setUint8(TIME_BYTES + 6, vlanCount);
    view.setUint16(TIME_BYTES + 7, vlanCount > 0 ? outerVlan : 0);
    view.setUint16(TIME_BYTES + 9, vlanCount > 1 ? innerVlan : 0);
    const cookie = new Uint8Array(TIME_BYTES + TAG_BYTES);
    cookie.set(message.subarray(0, TIME_BYTES));
    cookie.set(hmacSha1(this.#secret, message).subarray(0, TAG_BYTES), TIME_BYTES);
    return cookie;
  }
}
