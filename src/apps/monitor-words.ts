/** By what conversations are put together. */
export const MONITOR_VIEWS = ['flows', 'remote', 'local', 'ports', 'protocols'] as const;
export type MonitorView = (typeof MONITOR_VIEWS)[number];

/** What comes first. */
export const MONITOR_SORTS = ['bits', 'packets', 'total', 'flows'] as const;
export type MonitorSort = (typeof MONITOR_SORTS)[number];

/** Where frames that come in are read. */
export const MONITOR_HOOKS = ['auto', 'xdp', 'tcx'] as const;
export type MonitorHook = (typeof MONITOR_HOOKS)[number];

/** Which frames are read. */
export const MONITOR_DIRECTIONS = ['both', 'in', 'out'] as const;
export type MonitorDirection = (typeof MONITOR_DIRECTIONS)[number];
