import { be16, hash, type MapSpec, program, u8, type XdpProgram, xskMap } from '../compiler/index.ts';

export type PppoeRedirectMaps = {
  /** The EtherTypes to take, inside any VLAN tags; user space fills it. The value is not looked at. */
  readonly etherTypes: MapSpec<'hash', number, number>;
  /** AF_XDP sockets by receive queue. */
  readonly sockets: MapSpec<'xskmap', number, number>;
};

export type PppoeRedirectEnv = PppoeRedirectMaps & { readonly tags: number };

/**
 * Takes the frames whose EtherType stands in the map, tagged or not, to the AF_XDP socket of their receive queue. All else
 * passes, and so does what comes in by a queue without a socket.
 */
export function pppoeRedirect(queues = 64): XdpProgram<PppoeRedirectEnv> {
  const etherTypes = hash('ethertypes', be16, u8, 64);
  const sockets = xskMap('sockets', queues);
  const env: PppoeRedirectEnv = { etherTypes, sockets, tags: 2 };
  return program('pppoe', env, ({ etherTypes, sockets, tags }, pkt) => {
    let off = 12;
    let type = pkt.be16(off);
    for (let i = 0; i < tags; i++) {
      if (type !== 0x8100 && type !== 0x88a8) break;
      off += 4;
      type = pkt.be16(off);
    }
    if (!etherTypes.has(type)) return 'pass';
    return sockets.redirect(pkt.rxQueue, 'pass');
  });
}
