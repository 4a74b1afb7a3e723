import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { PcapngWriter } from '../../src/packet/index.ts';
import type { AuthenticationMethod } from '../../src/ppp/index.ts';
import type { PppoeSessionOptions } from '../../src/pppoe/index.ts';
import { tsharkFields } from '../packet/tshark.ts';
import { Pair, sendPacket } from './pair.ts';

const folder = mkdtempSync(join(tmpdir(), 'bw-pppoe-tshark-'));
after(() => rmSync(folder, { recursive: true }));

const FIELDS = [
  '_ws.malformed',
  'pppoe.code',
  'pppoe.session_id',
  'ppp.protocol',
  'ppp.code',
  'chap.code',
  'pap.code',
  'eap.code',
  'vlan.id',
  'pppoed.tags.service_name',
  'pppoed.tags.ac_name',
  'pppoed.tags.max_payload',
  'lcp.opt.mru',
  'lcp.opt.auth_protocol',
  'ipcp.opt.ip_address',
  'ipcp.opt.pri_dns_address',
  'chap.name',
  'pap.peer_id.length',
] as const;

/** A whole life of a session, from PADI to PADT, as tshark reads it. */
function life(name: string, method: AuthenticationMethod, options: Partial<PppoeSessionOptions> = {}) {
  const pair = new Pair({
    concentrator: { authentication: [method], mru: 1500, name: 'isp', services: [{ name: 'internet' }] },
  });
  const writer = new PcapngWriter();
  writer.addInterface();
  pair.wire.tap = (bytes) => writer.packet(bytes, 0, bytes.length, BigInt(Math.round(pair.wire.now * 1e6)));
  const session = pair.dial({ serviceName: 'internet', mru: 1500, ...options });
  assert.equal(session.state, 'open', session.lastError?.message);
  const header = Uint8Array.from([0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0, 10, 64, 0, 2, 192, 0, 2, 1]);
  assert.ok(sendPacket(pair.wire, pair.client, session, header));
  session.hangUp(pair.wire.now);
  pair.untilSettled(session);
  const file = join(folder, `${name}.pcapng`);
  writeFileSync(file, writer.take());
  return tsharkFields(file, FIELDS);
}

const DISCOVERY: Readonly<Record<string, string>> = {
  9: 'PADI',
  7: 'PADO',
  25: 'PADR',
  101: 'PADS',
  167: 'PADT',
};
const PROTOCOLS: Readonly<Record<string, string>> = {
  49185: 'LCP',
  49187: 'PAP',
  49699: 'CHAP',
  49703: 'EAP',
  32801: 'IPCP',
  32855: 'IPV6CP',
  33: 'IPv4',
};
const CODES = [
  '',
  'request',
  'ack',
  'nak',
  'reject',
  'terminate',
  'terminate-ack',
  '',
  '',
  'echo',
  'echo-reply',
];

function summary(fields: ReadonlyMap<string, readonly string[]>): string {
  const one = (field: string): string => fields.get(field)?.[0] ?? '';
  if (one('pppoe.code') !== '0') return DISCOVERY[one('pppoe.code')] ?? one('pppoe.code');
  const protocol = PROTOCOLS[one('ppp.protocol')] ?? one('ppp.protocol');
  const own = one('chap.code') || one('pap.code') || one('eap.code');
  return own === '' ? `${protocol} ${CODES[Number(one('ppp.code'))]}`.trim() : `${protocol} ${own}`;
}

describe("a session's life as tshark reads it", () => {
  for (const method of ['chap-md5', 'mschapv2', 'pap', 'eap-md5'] as const) {
    it(`with ${method}: no packet malformed, every step where it belongs`, () => {
      const frames = life(method, method, { vlans: [{ id: 42 }] });
      for (const [i, fields] of frames.entries()) {
        assert.equal(fields.get('_ws.malformed'), undefined, `frame ${i + 1} ${summary(fields)}`);
        assert.deepEqual(fields.get('vlan.id'), ['42']);
      }
      const steps = frames.map(summary);
      assert.deepEqual(steps.slice(0, 4), ['PADI', 'PADO', 'PADR', 'PADS']);
      const own = { pap: 'PAP', 'eap-md5': 'EAP', mschapv2: 'CHAP', 'chap-md5': 'CHAP' }[method];
      const order = [
        'LCP request',
        'LCP ack',
        `${own} 1`,
        'IPCP request',
        'IPCP nak',
        'IPCP ack',
        'LCP echo',
        'LCP echo-reply',
        'IPv4',
        'LCP terminate',
        'LCP terminate-ack',
        'PADT',
      ];
      let at = 3;
      for (const step of order) {
        const next = steps.indexOf(step, at + 1);
        assert.ok(next > at, `${step} behind ${steps[at]} in ${steps.join(', ')}`);
        at = next;
      }
    });
  }

  it('says the names, addresses and sizes that were meant', () => {
    const frames = life('values', 'chap-md5');
    const all = (field: (typeof FIELDS)[number]): string[] => [
      ...new Set(frames.flatMap((fields) => fields.get(field) ?? [])),
    ];
    assert.deepEqual(all('pppoed.tags.service_name'), ['internet']);
    assert.deepEqual(all('pppoed.tags.ac_name'), ['isp']);
    assert.deepEqual(all('pppoed.tags.max_payload'), ['05dc']);
    assert.deepEqual(all('lcp.opt.auth_protocol'), [String(0xc223)]);
    assert.deepEqual(all('ipcp.opt.ip_address').toSorted(), ['0.0.0.0', '10.64.0.1', '10.64.0.2']);
    assert.deepEqual(all('ipcp.opt.pri_dns_address').toSorted(), ['0.0.0.0', '192.0.2.53']);
    assert.deepEqual(all('chap.name').toSorted(), ['isp', 'user1']);
    assert.equal(all('pppoe.session_id').length, 2, 'zero in discovery, then one');
    assert.equal(frames[0]?.get('pppoed.tags.max_payload')?.length, 1);
  });
});
