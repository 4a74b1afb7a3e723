import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { decodeChap, decodeEap, decodePap } from '../../src/packet/index.ts';
import {
  authenticatorResponse,
  mschapMessage,
  ntResponse,
  type PppLinkOptions,
} from '../../src/ppp/index.ts';
import { Bench, CHAP, EAP, IPCP, LCP, MAGIC, PAP } from './carrier.ts';

const ascii = (text: string): number[] => [...Buffer.from(text)];
const counted = (bytes: readonly number[]): number[] => [bytes.length, ...bytes];
const CHALLENGE = Array.from({ length: 16 }, (_, i) => i + 1);
const chapMd5 = (identifier: number, password: string, challenge: readonly number[]): Buffer =>
  createHash('md5')
    .update(Uint8Array.from([identifier, ...ascii(password), ...challenge]))
    .digest();

const ASKS = {
  pap: [3, 4, 0xc0, 0x23],
  md5: [3, 5, 0xc2, 0x23, 5],
  ms: [3, 5, 0xc2, 0x23, 0x81],
  eap: [3, 4, 0xc2, 0x27],
};

/** A link whose peer asks who we are. */
function asked(how: keyof typeof ASKS, options: Partial<PppLinkOptions> = {}): Bench {
  return new Bench(options).openLcp([...ASKS[how], ...MAGIC]);
}

/** A link that asks its peer. */
function asking(
  method: 'pap' | 'chap-md5' | 'mschapv2' | 'eap-md5',
  options: Partial<PppLinkOptions> = {},
): Bench {
  const bench = new Bench({
    demands: [method],
    account: (user) => (user === 'user1' ? { password: 'pass1' } : undefined),
    name: 'ac',
    ...options,
  });
  return bench.openLcp();
}

describe('PAP', () => {
  it('repeats name and password until they are answered, under a new identifier each time', () => {
    const bench = asked('pap', { credentials: { user: 'alice@example.net', password: 'p@ss w"ord' } });
    const first = bench.last();
    assert.deepEqual(decodePap(first.bytes), {
      kind: 'request',
      identifier: first.identifier,
      peerId: new Uint8Array(ascii('alice@example.net')),
      password: new Uint8Array(ascii('p@ss w"ord')),
    });
    bench.take();
    bench.pass(1000);
    const [second] = bench.take();
    assert.notEqual(second?.identifier, first.identifier);
    bench.receive(PAP, 2, second!.identifier, counted(ascii('Welcome')));
    assert.deepEqual(bench.told, ['authenticated peer pap alice@example.net Welcome']);
    assert.equal(bench.last().protocol, IPCP);
  });

  it("tells the server's own message when it refuses", () => {
    const bench = asked('pap');
    bench.receive(PAP, 3, bench.last().identifier, counted(ascii('Line not paid')));
    assert.equal(bench.error?.code, 'BW_PPP_AUTHENTICATION');
    assert.equal(bench.error.peerMessage, 'Line not paid');
    assert.match(bench.error.message, /Line not paid/);
  });

  it('gives up on a server that does not answer', () => {
    const bench = asked('pap');
    bench.pass(60_000);
    assert.equal(bench.error?.code, 'BW_PPP_NO_ANSWER');
  });

  it('asks, checks, and answers a repeated request as the first', () => {
    for (const [password, code] of [
      ['pass1', 2],
      ['wrong', 3],
    ] as const) {
      const bench = asking('pap');
      bench.take();
      bench.receive(PAP, 1, 9, [...counted(ascii('user1')), ...counted(ascii(password))]);
      const answers = bench.take().filter(({ protocol }) => protocol === PAP);
      assert.equal(answers[0]?.code, code);
      assert.equal(bench.error?.code, code === 3 ? 'BW_PPP_AUTHENTICATION' : undefined);
      if (code === 3) continue;
      bench.receive(PAP, 1, 10, [...counted(ascii('user1')), ...counted(ascii('wrong'))]);
      assert.equal(bench.take()[0]?.code, 2, 'the verdict stands');
      assert.equal(bench.link.user, 'user1');
    }
  });

  it('takes a request cut short at every length without harm', () => {
    const whole = [...counted(ascii('user1')), ...counted(ascii('pass1'))];
    for (let length = 0; length < whole.length; length++) {
      const bench = asking('pap');
      bench.take();
      bench.receive(PAP, 1, 1, whole.slice(0, length));
      assert.deepEqual(bench.take(), []);
      assert.deepEqual(bench.discarded, ['a malformed PAP packet']);
    }
  });
});

describe('CHAP with MD5', () => {
  it('answers a challenge by RFC 1994, and a repeated one too', () => {
    const bench = asked('md5');
    bench.take();
    for (const identifier of [7, 8]) {
      bench.receive(CHAP, 1, identifier, [...counted(CHALLENGE), ...ascii('ac')]);
      const [response] = bench.take();
      const packet = decodeChap(response!.bytes);
      assert.ok('value' in packet && packet.kind === 'response');
      assert.deepEqual(Buffer.from(packet.value), chapMd5(identifier, 'pass1', CHALLENGE));
      assert.equal(Buffer.from(packet.name).toString(), 'user1');
    }
    bench.receive(CHAP, 3, 7, ascii('old'));
    assert.deepEqual(bench.told, [], 'a success for the challenge before');
    bench.receive(CHAP, 3, 8, ascii('Welcome'));
    assert.deepEqual(bench.told, ['authenticated peer chap-md5 user1 Welcome']);
  });

  it('repeats a response whose answer is lost', () => {
    const bench = asked('md5');
    bench.receive(CHAP, 1, 7, [...counted(CHALLENGE), ...ascii('ac')]);
    const [response] = bench.take().slice(-1);
    bench.pass(1000);
    assert.deepEqual(bench.take()[0]?.bytes, response?.bytes);
    bench.pass(60_000);
    assert.equal(bench.error?.code, 'BW_PPP_NO_ANSWER');
  });

  it('answers challenges in the midst of a session without disturbing it', () => {
    const bench = asked('md5');
    bench.receive(CHAP, 1, 1, [...counted(CHALLENGE), ...ascii('ac')]);
    bench.receive(CHAP, 3, 1, []);
    assert.equal(bench.link.phase, 'network');
    bench.take();
    bench.receive(CHAP, 1, 2, [...counted(CHALLENGE.toReversed()), ...ascii('ac')]);
    assert.equal(bench.take()[0]?.code, 2);
    bench.receive(CHAP, 3, 2, []);
    assert.equal(bench.link.phase, 'network');
    assert.deepEqual(bench.told, ['authenticated peer chap-md5 user1']);
    bench.receive(CHAP, 1, 3, [...counted(CHALLENGE), ...ascii('ac')]);
    bench.receive(CHAP, 4, 3, ascii('no longer'));
    assert.equal(bench.error?.code, 'BW_PPP_AUTHENTICATION');
  });

  it('ignores a challenge without a value, and gives up when none comes', () => {
    const bench = asked('md5');
    bench.take();
    bench.receive(CHAP, 1, 1, [0]);
    bench.receive(CHAP, 1, 1, []);
    assert.deepEqual(bench.take(), []);
    bench.pass(60_000);
    assert.equal(bench.error?.code, 'BW_PPP_NO_ANSWER');
  });

  it('asks with fresh values, takes the right response, refuses the wrong one', () => {
    const bench = asking('chap-md5');
    const challenge = bench.take().find(({ protocol }) => protocol === CHAP)!;
    const packet = decodeChap(challenge.bytes);
    assert.ok('value' in packet && packet.value.length === 16);
    const right = chapMd5(challenge.identifier, 'pass1', [...packet.value]);
    const wrong = asking('chap-md5');
    wrong.receive(CHAP, 2, wrong.last().identifier, [
      ...counted([...right].map((byte) => byte ^ 1)),
      ...ascii('user1'),
    ]);
    assert.equal(wrong.error?.code, 'BW_PPP_AUTHENTICATION');
    assert.deepEqual(wrong.told, ['refused chap-md5 user1']);
    const nobody = asking('chap-md5');
    nobody.receive(CHAP, 2, nobody.last().identifier, [...counted([...right]), ...ascii('nobody')]);
    assert.equal(nobody.error?.code, 'BW_PPP_AUTHENTICATION');
    bench.receive(CHAP, 2, challenge.identifier, [...counted([...right]), ...ascii('user1')]);
    assert.deepEqual(bench.told, ['authenticated authenticator chap-md5 user1']);
    bench.take();
    bench.receive(CHAP, 2, challenge.identifier, [...counted([...right]), ...ascii('user1')]);
    assert.equal(bench.take()[0]?.code, 3, 'a repeated response gets the same success');
  });

  it('asks again in the midst of a session, and ends it when the answer is wrong or another user', () => {
    for (const [user, password, code] of [
      ['user1', 'pass1', undefined],
      ['user1', 'wrong', 'BW_PPP_AUTHENTICATION'],
      ['user2', 'pass2', 'BW_PPP_AUTHENTICATION'],
    ] as const) {
      const bench = asking('chap-md5', {
        rechallengeInterval: 5000,
        account: (name) => ({ password: name.replace('user', 'pass') }),
      });
      const respond = (name: string, secret: string): void => {
        const challenge = bench
          .take()
          .findLast(({ protocol, code: kind }) => protocol === CHAP && kind === 1)!;
        const packet = decodeChap(challenge.bytes);
        assert.ok('value' in packet);
        const value = chapMd5(challenge.identifier, secret, [...packet.value]);
        bench.receive(CHAP, 2, challenge.identifier, [...counted([...value]), ...ascii(name)]);
      };
      respond('user1', 'pass1');
      bench.pass(5000);
      respond(user, password);
      assert.equal(bench.error?.code, code);
    }
  });

  it('repeats a challenge that is not answered, then ends', () => {
    const bench = asking('chap-md5');
    bench.take();
    bench.pass(60_000);
    const challenges = bench.take().filter(({ protocol }) => protocol === CHAP);
    assert.equal(challenges.length, 9);
    assert.equal(bench.error?.code, 'BW_PPP_NO_ANSWER');
  });
});

describe('MS-CHAPv2', () => {
  const challenged = (): { bench: Bench; peerChallenge: Uint8Array; response: Uint8Array } => {
    const bench = asked('ms');
    bench.receive(CHAP, 1, 5, [...counted(CHALLENGE), ...ascii('ac')]);
    const packet = decodeChap(bench.last().bytes);
    assert.ok('value' in packet);
    assert.equal(packet.value.length, 49);
    return { bench, peerChallenge: packet.value.slice(0, 16), response: packet.value.slice(24, 48) };
  };

  it('answers by RFC 2759 and checks what the authenticator shows in turn', () => {
    const { bench, peerChallenge, response } = challenged();
    const user = Uint8Array.from(ascii('user1'));
    assert.deepEqual(response, ntResponse(Uint8Array.from(CHALLENGE), peerChallenge, user, 'pass1'));
    const proof = authenticatorResponse('pass1', response, peerChallenge, Uint8Array.from(CHALLENGE), user);
    bench.receive(CHAP, 3, 5, ascii(`${proof} M=Welcome home`));
    assert.deepEqual(bench.told, ['authenticated peer mschapv2 user1 Welcome home']);
  });

  it('does not stay with an authenticator that does not know the password', () => {
    const { bench } = challenged();
    bench.receive(CHAP, 3, 5, ascii(`S=${'0'.repeat(40)} M=Welcome`));
    assert.equal(bench.error?.code, 'BW_PPP_PEER_NOT_AUTHENTIC');
    const silent = challenged().bench;
    silent.receive(CHAP, 3, 5, ascii('Welcome'));
    assert.equal(silent.error?.code, 'BW_PPP_PEER_NOT_AUTHENTIC');
  });

  it("tells the failure's message, or what its number means", () => {
    const { bench } = challenged();
    bench.receive(CHAP, 4, 5, ascii('E=691 R=0 C=00112233445566778899AABBCCDDEEFF V=3 M=No such user here'));
    assert.equal(bench.error?.peerMessage, 'No such user here');
    assert.equal(mschapMessage('E=648 R=0 V=3'), 'password expired');
    assert.equal(mschapMessage('go away'), 'go away');
  });

  it('ignores a challenge that is not 16 bytes', () => {
    const bench = asked('ms');
    bench.take();
    bench.receive(CHAP, 1, 5, [...counted([1, 2, 3]), ...ascii('ac')]);
    assert.deepEqual(bench.take(), []);
  });

  it('asks, proves itself, and refuses with the number of RFC 2759', () => {
    const respond = (password: string): Bench => {
      const bench = asking('mschapv2');
      const packet = decodeChap(bench.last().bytes);
      assert.ok('value' in packet);
      const user = Uint8Array.from(ascii('user1'));
      const response = ntResponse(packet.value, Uint8Array.from(CHALLENGE), user, password);
      const value = [...CHALLENGE, ...new Uint8Array(8), ...response, 0];
      bench.take();
      bench.receive(CHAP, 2, packet.identifier, [...counted(value), ...user]);
      return bench;
    };
    const right = respond('pass1')
      .take()
      .find(({ protocol }) => protocol === CHAP)!;
    assert.match(Buffer.from(right.data).toString(), /^S=[0-9A-F]{40} M=/);
    const wrong = respond('pass2')
      .take()
      .find(({ protocol }) => protocol === CHAP)!;
    assert.match(Buffer.from(wrong.data).toString(), /^E=691 R=0 C=[0-9A-F]{32} V=3 M=/);
  });
});

describe('EAP', () => {
  it('tells its identity, takes notice, and answers MD5 with the name behind the value', () => {
    const bench = asked('eap');
    bench.take();
    bench.receive(EAP, 1, 1, [1]);
    assert.deepEqual(decodeEap(bench.last().bytes), {
      kind: 'response',
      identifier: 1,
      type: 1,
      data: new Uint8Array(ascii('user1')),
    });
    bench.receive(EAP, 1, 2, [2, ...ascii('hello')]);
    assert.equal(bench.last().data[0], 2);
    bench.receive(EAP, 1, 3, [4, ...counted(CHALLENGE), ...ascii('ac')]);
    const packet = decodeEap(bench.last().bytes);
    assert.ok('data' in packet);
    assert.deepEqual(
      Buffer.from(packet.data),
      Buffer.from([16, ...chapMd5(3, 'pass1', CHALLENGE), ...ascii('user1')]),
    );
    bench.receive(EAP, 3, 3);
    assert.deepEqual(bench.told, ['authenticated peer eap-md5 user1 hello']);
  });

  it('says which method is missing when the server insists on it', () => {
    const bench = asked('eap');
    bench.receive(EAP, 1, 1, [1]);
    bench.receive(EAP, 1, 2, [13, 0x20]);
    assert.deepEqual([...bench.last().data], [3, 4], 'a Nak that wants MD5');
    bench.receive(EAP, 4, 2);
    assert.equal(bench.error?.code, 'BW_PPP_AUTHENTICATION_METHOD');
    assert.match(bench.error.message, /EAP method 13 \(TLS\) is wanted, only MD5 is spoken/);
  });

  it('believes no success before it was asked anything', () => {
    const bench = asked('eap');
    bench.receive(EAP, 3, 1);
    assert.deepEqual(bench.told, []);
  });

  it('gives up when EAP comes to no end', () => {
    const bench = asked('eap');
    bench.receive(EAP, 1, 1, [1]);
    bench.pass(60_000);
    assert.equal(bench.error?.code, 'BW_PPP_NO_ANSWER');
  });
});

describe('authentication among the rest', () => {
  it('is not skipped by a peer that begins IPCP early', () => {
    const bench = asked('md5');
    bench.take();
    bench.receive(IPCP, 1, 1, [3, 6, 10, 0, 0, 1]);
    assert.deepEqual(bench.take(), []);
    assert.deepEqual(bench.discarded, ['a packet before authentication was done']);
  });

  it('that the peer will not do ends the link with what it wanted', () => {
    const bench = new Bench({ answers: ['mschapv2'] }).start();
    const request = bench.take()[0]!;
    bench.receive(LCP, 2, request.identifier, request.data);
    for (let i = 1; i < 8; i++) bench.receive(LCP, 1, i, [...ASKS.pap, ...MAGIC]);
    bench.receive(LCP, 5, 9, ascii('peer refused to authenticate'));
    assert.equal(bench.error?.code, 'BW_PPP_AUTHENTICATION_METHOD');
    assert.match(bench.error.message, /wants pap/);
  });

  it('of a peer that does not let itself be asked ends the link', () => {
    const bench = new Bench({ demands: ['chap-md5'] }).start();
    const request = bench.take()[0]!;
    bench.receive(LCP, 4, request.identifier, ASKS.md5);
    assert.equal(bench.error?.code, 'BW_PPP_AUTHENTICATION_METHOD');
  });

  it('goes the way that the peer suggests, if that is allowed', () => {
    const bench = new Bench({ demands: ['chap-md5', 'mschapv2', 'pap'] }).start();
    const request = bench.take()[0]!;
    bench.receive(LCP, 3, request.identifier, ASKS.pap);
    assert.match(Buffer.from(bench.last().data).toString('hex'), /0304c023/);
  });

  it('keeps the password out of errors and events', () => {
    const bench = asked('md5', { credentials: { user: 'user1', password: 'secret-word' } });
    bench.receive(CHAP, 1, 1, [...counted(CHALLENGE), ...ascii('ac')]);
    bench.receive(CHAP, 4, 1, ascii('no'));
    const shown = JSON.stringify([bench.error, bench.error?.message, bench.told]);
    assert.doesNotMatch(shown, /secret-word/);
  });
});
