import { be16, hash, type MapSpec, program, u8, type XdpProgram, xskMap } from '../compiler/index.ts';

export type EtherTypeRedirectEnv = {
  /** The EtherTypes to redirect; the value is not looked at. */
  readonly etherTypes: MapSpec<'hash', number, number>;
  /** AF_XDP sockets by receive queue. */
  readonly sockets: MapSpec<'xskmap', number, number>;
};

/** Redirects the listed EtherTypes to the AF_XDP socket of the frame's receive queue; the rest passes. */
export function etherTypeRedirect(queues = 64): XdpProgram<EtherTypeRedirectEnv> {
  const etherTypes = hash('ethertypes', be16, u8, 64);
  const sockets = xskMap('sockets', queues);
  return program('ethertype', { etherTypes, sockets }, ({ etherTypes, sockets }, pkt) => {
    if (!etherTypes.has(pkt.be16(12))) return 'pass';
    return sockets.redirect(pkt.rxQueue, 'pass');
  });
}
