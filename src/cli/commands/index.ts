import { type CommandGroup, group } from '../table.ts';
import { bench } from './bench.ts';
import { capture } from './capture.ts';
import { compile } from './compile.ts';
import { completion } from './completion.ts';
import { count } from './count.ts';
import { doctor } from './doctor.ts';
import { drop } from './drop.ts';
import { filter } from './filter.ts';
import { gen } from './gen.ts';
import { help } from './help.ts';
import { inspect } from './inspect.ts';
import { lab } from './lab.ts';
import { load, unload } from './load.ts';
import { map } from './map.ts';
import { monitor } from './monitor.ts';
import { pppoe } from './pppoe.ts';
import { pppoeServer } from './pppoe-server.ts';
import { proxy } from './proxy.ts';
import { redirect } from './redirect.ts';
import { reflect } from './reflect.ts';
import { run } from './run.ts';
import { send } from './send.ts';
import { status } from './status.ts';
import { trace } from './trace.ts';

/** Every command there is. */
export const barewire: CommandGroup = group({
  name: 'barewire',
  summary: 'kernel-bypass networking for Linux',
  description: [
    'Counts, filters, redirects and sends packets with eBPF/XDP and AF_XDP, and builds private networks to try it in.',
  ],
  commands: [
    count,
    filter,
    capture,
    send,
    monitor,
    redirect,
    reflect,
    drop,
    pppoe,
    pppoeServer,
    proxy,
    bench,
    doctor,
    status,
    load,
    unload,
    inspect,
    map,
    gen,
    run,
    trace,
    lab,
    compile,
    help,
    completion,
  ],
});
