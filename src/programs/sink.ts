import {
  add64,
  assemble,
  call,
  exit,
  jeq,
  label,
  ldx,
  mapByName,
  mov64,
  r0,
  r1,
  r2,
  r10,
  st,
  stx,
} from '../asm/index.ts';
import { u64 } from '../layout/index.ts';
import { type MapSpec, type ProgramSpec, perCpuArray } from '../spec/index.ts';

export type SinkMaps = { readonly frames: MapSpec<'percpu_array', number, bigint> };

const XDP_DROP = 1;

/** A program that counts every frame and drops it: the far end of a benchmark. */
export function sinkSpec(): ProgramSpec<SinkMaps> {
  const assembly = assemble(
    [
      st('u32', r10, -4, 0),
      mapByName(r1, 'frames'),
      mov64(r2, r10),
      add64(r2, -4),
      call('map_lookup_elem'),
      jeq(r0, 0, 'drop'),
      // On one CPU at most one frame is in the program at a time, so a plain addition loses nothing.
      ldx('u64', r1, r0, 0),
      add64(r1, 1),
      stx('u64', r0, r1, 0),
      label('drop'),
      mov64(r0, XDP_DROP),
      exit(),
    ],
    { entry: 'sink' },
  );
  return {
    name: 'sink',
    type: 'xdp',
    attachType: 'xdp',
    frags: false,
    license: 'MIT',
    maps: { frames: perCpuArray('frames', u64, 1) },
    ...assembly,
  };
}
