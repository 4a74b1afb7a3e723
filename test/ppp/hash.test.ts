import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { desEncrypt, desKey } from '../../src/ppp/hash/des.ts';
import { md4 } from '../../src/ppp/hash/md4.ts';
import { md5 } from '../../src/ppp/hash/md5.ts';
import { hmacSha1, sha1 } from '../../src/ppp/hash/sha1.ts';
import { authenticatorResponse, challengeHash, ntPasswordHash, ntResponse } from '../../src/ppp/mschapv2.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('hashes of PPP authentication', () => {
  it('MD4 gives the digests of RFC 1320, appendix A.5', () => {
    const vectors = {
      '': '31d6cfe0d16ae931b73c59d7e0c089c0',
      a: 'bde52cb31de33e46245e05fbdbd6fb24',
      abc: 'a448017aaf21d8525fc10ae87aa6729d',
      'message digest': 'd9130a8164549fe818874806e1c7014b',
      abcdefghijklmnopqrstuvwxyz: 'd79e1c308aa5bbcdeea8ed63df412da9',
      ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789: '043f8582f241db351ce627e153e7f0e4',
      '12345678901234567890123456789012345678901234567890123456789012345678901234567890':
        'e33b4ddc9c38f2199c3e7b164fcc0536',
    };
    for (const [message, digest] of Object.entries(vectors)) assert.equal(hex(md4(ascii(message))), digest);
  });

  it('MD5 and SHA-1 agree with OpenSSL at every length around a block', () => {
    for (let length = 0; length < 200; length++) {
      const message = Uint8Array.from({ length }, (_, i) => (i * 37 + length) & 0xff);
      assert.equal(hex(md5(message)), createHash('md5').update(message).digest('hex'), `MD5 of ${length}`);
      assert.equal(
        hex(sha1(message)),
        createHash('sha1').update(message).digest('hex'),
        `SHA-1 of ${length}`,
      );
    }
  });

  it('HMAC-SHA-1 agrees with OpenSSL', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ maxLength: 300 }), (key, message) => {
        assert.equal(hex(hmacSha1(key, message)), createHmac('sha1', key).update(message).digest('hex'));
      }),
    );
  });

  it('DES gives the known ciphertexts, and complements under complement', () => {
    assert.equal(hex(desEncrypt(bytes('133457799bbcdff1'), bytes('0123456789abcdef'))), '85e813540f0ab405');
    assert.equal(hex(desEncrypt(bytes('0101010101010101'), bytes('8000000000000000'))), '95f8a5e5dd31d900');
    assert.equal(hex(desEncrypt(bytes('7ca110454a1a6e57'), bytes('01a1d6d039776742'))), '690f5b0d9a26939b');
    const block8 = fc.uint8Array({ minLength: 8, maxLength: 8 });
    const not = (value: Uint8Array): Uint8Array => value.map((byte) => ~byte);
    fc.assert(
      fc.property(block8, block8, (key, block) => {
        assert.equal(hex(desEncrypt(not(key), not(block))), hex(not(desEncrypt(key, block))));
      }),
      { numRuns: 50 },
    );
  });

  it('a DES key of 56 bits leaves the parity bits alone', () => {
    assert.equal(hex(desKey(bytes('ffffffffffffff'))), 'fefefefefefefefe');
    assert.equal(hex(desKey(bytes('00000000000001'))), '0000000000000002');
  });
});

describe('MS-CHAPv2', () => {
  it('gives every value of RFC 2759, section 9.2', () => {
    const authenticator = bytes('5b5d7c7d7b3f2f3e3c2c602132262628');
    const peer = bytes('21402324255e262a28295f2b3a337c7e');
    const user = ascii('User');
    assert.equal(hex(challengeHash(peer, authenticator, user)), 'd02e4386bce91226');
    assert.equal(hex(ntPasswordHash('clientPass')), '44ebba8d5312b8d611474411f56989ae');
    assert.equal(hex(md4(ntPasswordHash('clientPass'))), '41c00c584bd2d91c4017a2a12fa59f3f');
    const response = ntResponse(authenticator, peer, user, 'clientPass');
    assert.equal(hex(response), '82309ecd8d708b5ea08faa3981cd83544233114a3d85d6df');
    assert.equal(
      authenticatorResponse('clientPass', response, peer, authenticator, user),
      'S=407A5589115FD0D6209F510FE9C04566932CDA56',
    );
  });

  it('leaves a domain out of the hash', () => {
    const challenge = new Uint8Array(16).fill(7);
    assert.deepEqual(
      challengeHash(challenge, challenge, ascii('DOMAIN\\User')),
      challengeHash(challenge, challenge, ascii('User')),
    );
  });
});
