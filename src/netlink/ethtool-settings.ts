import { type Attribute, type Attributes, numberOption, u8Attribute } from './attribute.ts';

/*
 * What ethtool messages carry besides bitsets: tables of numbers and switches, one attribute each. The tables below
 * drive both directions. Numbers are from linux/ethtool_netlink.h.
 */

/** How many queues an interface has, by what they do. */
export interface ChannelCounts {
  readonly rx: number;
  readonly tx: number;
  readonly other: number;
  /** Queue pairs that do both. */
  readonly combined: number;
}

export interface Channels {
  readonly current: ChannelCounts;
  /** What the driver could do. */
  readonly max: ChannelCounts;
}

/** Sizes of the descriptor rings, in descriptors. Absent where the driver has no such ring. */
export interface RingSizes {
  readonly rx?: number;
  readonly rxMini?: number;
  readonly rxJumbo?: number;
  readonly tx?: number;
}

export interface RingOptions {
  /** In bytes. */
  readonly rxBufferLength?: number;
  /** Headers and data in separate buffers; XDP without frags refuses it. */
  readonly tcpDataSplit?: boolean;
  /** In bytes. */
  readonly cqeSize?: number;
  readonly txPush?: boolean;
  readonly rxPush?: boolean;
  /** In bytes. */
  readonly txPushBufferLength?: number;
  /** In bytes: larger packets are split when `tcpDataSplit` is on. */
  readonly hdsThreshold?: number;
}

export interface Rings extends RingSizes, RingOptions {
  /** What the driver could do. */
  readonly max: RingSizes & Pick<RingOptions, 'txPushBufferLength' | 'hdsThreshold'>;
}

/** When interrupts are raised. Absent where the driver has no such setting. Times are in microseconds. */
export type Coalesce = { readonly [Name in CoalesceNumber]?: number } & {
  readonly [Name in CoalesceSwitch]?: boolean;
};

export type CoalesceNumber =
  | 'rxUsecs'
  | 'rxMaxFrames'
  | 'rxUsecsIrq'
  | 'rxMaxFramesIrq'
  | 'txUsecs'
  | 'txMaxFrames'
  | 'txUsecsIrq'
  | 'txMaxFramesIrq'
  | 'statsBlockUsecs'
  | 'packetRateLow'
  | 'rxUsecsLow'
  | 'rxMaxFramesLow'
  | 'txUsecsLow'
  | 'txMaxFramesLow'
  | 'packetRateHigh'
  | 'rxUsecsHigh'
  | 'rxMaxFramesHigh'
  | 'txUsecsHigh'
  | 'txMaxFramesHigh'
  | 'rateSampleInterval';

export type CoalesceSwitch = 'adaptiveRx' | 'adaptiveTx' | 'cqeModeTx' | 'cqeModeRx';

/** Speed, duplex and what lies behind. */
export interface LinkSettings {
  /** In Mbit/s; absent while it is not known. */
  readonly speed: number | undefined;
  readonly duplex: 'half' | 'full' | undefined;
  readonly autonegotiation: boolean | undefined;
  readonly port: Port;
  /** Whether the driver sees a link partner. */
  readonly detected: boolean | undefined;
  /** Link modes that the hardware supports, and those it offers to its partner. */
  readonly supported: readonly string[];
  readonly advertised: readonly string[];
}

/** `PORT_` numbers (linux/ethtool.h). */
export const PORTS = {
  'twisted-pair': 0,
  aui: 1,
  mii: 2,
  fibre: 3,
  bnc: 4,
  'direct-attach': 5,
  none: 0xef,
  other: 0xff,
} as const;

export type Port = keyof typeof PORTS | `port-${number}`;

export const CHANNELS = {
  RX_MAX: 2,
  TX_MAX: 3,
  OTHER_MAX: 4,
  COMBINED_MAX: 5,
  RX_COUNT: 6,
  TX_COUNT: 7,
  OTHER_COUNT: 8,
  COMBINED_COUNT: 9,
} as const;

export const RINGS = {
  RX_MAX: 2,
  RX_MINI_MAX: 3,
  RX_JUMBO_MAX: 4,
  TX_MAX: 5,
  RX: 6,
  RX_MINI: 7,
  RX_JUMBO: 8,
  TX: 9,
  RX_BUF_LEN: 10,
  TCP_DATA_SPLIT: 11,
  CQE_SIZE: 12,
  TX_PUSH: 13,
  RX_PUSH: 14,
  TX_PUSH_BUF_LEN: 15,
  TX_PUSH_BUF_LEN_MAX: 16,
  HDS_THRESH: 17,
  HDS_THRESH_MAX: 18,
} as const;

export const COALESCE = {
  RX_USECS: 2,
  RX_MAX_FRAMES: 3,
  RX_USECS_IRQ: 4,
  RX_MAX_FRAMES_IRQ: 5,
  TX_USECS: 6,
  TX_MAX_FRAMES: 7,
  TX_USECS_IRQ: 8,
  TX_MAX_FRAMES_IRQ: 9,
  STATS_BLOCK_USECS: 10,
  USE_ADAPTIVE_RX: 11,
  USE_ADAPTIVE_TX: 12,
  PKT_RATE_LOW: 13,
  RX_USECS_LOW: 14,
  RX_MAX_FRAMES_LOW: 15,
  TX_USECS_LOW: 16,
  TX_MAX_FRAMES_LOW: 17,
  PKT_RATE_HIGH: 18,
  RX_USECS_HIGH: 19,
  RX_MAX_FRAMES_HIGH: 20,
  TX_USECS_HIGH: 21,
  TX_MAX_FRAMES_HIGH: 22,
  RATE_SAMPLE_INTERVAL: 23,
  USE_CQE_MODE_TX: 24,
  USE_CQE_MODE_RX: 25,
} as const;

const COALESCE_NUMBERS: Table<CoalesceNumber> = {
  rxUsecs: COALESCE.RX_USECS,
  rxMaxFrames: COALESCE.RX_MAX_FRAMES,
  rxUsecsIrq: COALESCE.RX_USECS_IRQ,
  rxMaxFramesIrq: COALESCE.RX_MAX_FRAMES_IRQ,
  txUsecs: COALESCE.TX_USECS,
  txMaxFrames: COALESCE.TX_MAX_FRAMES,
  txUsecsIrq: COALESCE.TX_USECS_IRQ,
  txMaxFramesIrq: COALESCE.TX_MAX_FRAMES_IRQ,
  statsBlockUsecs: COALESCE.STATS_BLOCK_USECS,
  packetRateLow: COALESCE.PKT_RATE_LOW,
  rxUsecsLow: COALESCE.RX_USECS_LOW,
  rxMaxFramesLow: COALESCE.RX_MAX_FRAMES_LOW,
  txUsecsLow: COALESCE.TX_USECS_LOW,
  txMaxFramesLow: COALESCE.TX_MAX_FRAMES_LOW,
  packetRateHigh: COALESCE.PKT_RATE_HIGH,
  rxUsecsHigh: COALESCE.RX_USECS_HIGH,
  rxMaxFramesHigh: COALESCE.RX_MAX_FRAMES_HIGH,
  txUsecsHigh: COALESCE.TX_USECS_HIGH,
  txMaxFramesHigh: COALESCE.TX_MAX_FRAMES_HIGH,
  rateSampleInterval: COALESCE.RATE_SAMPLE_INTERVAL,
};

const COALESCE_SWITCHES: Table<CoalesceSwitch> = {
  adaptiveRx: COALESCE.USE_ADAPTIVE_RX,
  adaptiveTx: COALESCE.USE_ADAPTIVE_TX,
  cqeModeTx: COALESCE.USE_CQE_MODE_TX,
  cqeModeRx: COALESCE.USE_CQE_MODE_RX,
};

const RING_NUMBERS = {
  rx: RINGS.RX,
  rxMini: RINGS.RX_MINI,
  rxJumbo: RINGS.RX_JUMBO,
  tx: RINGS.TX,
  rxBufferLength: RINGS.RX_BUF_LEN,
  cqeSize: RINGS.CQE_SIZE,
  txPushBufferLength: RINGS.TX_PUSH_BUF_LEN,
  hdsThreshold: RINGS.HDS_THRESH,
} as const;

const RING_MAX_NUMBERS = {
  rx: RINGS.RX_MAX,
  rxMini: RINGS.RX_MINI_MAX,
  rxJumbo: RINGS.RX_JUMBO_MAX,
  tx: RINGS.TX_MAX,
  txPushBufferLength: RINGS.TX_PUSH_BUF_LEN_MAX,
  hdsThreshold: RINGS.HDS_THRESH_MAX,
} as const;

const RING_SWITCHES = { txPush: RINGS.TX_PUSH, rxPush: RINGS.RX_PUSH } as const;

/** `ETHTOOL_TCP_DATA_SPLIT_`: 0 is unknown. */
const SPLIT_DISABLED = 1;
const SPLIT_ENABLED = 2;

/** `ETHTOOL_A_LINKMODES_`, `ETHTOOL_A_LINKINFO_`, `ETHTOOL_A_LINKSTATE_`. */
export const LINKMODES = { AUTONEG: 2, OURS: 3, PEER: 4, SPEED: 5, DUPLEX: 6 } as const;
export const LINKINFO = { PORT: 2 } as const;
export const LINKSTATE = { LINK: 2 } as const;

export const SPEED_UNKNOWN = 0xffff_ffff;

export function decodeChannels(attributes: Attributes): Channels {
  const number = (type: number): number => attributes.u32(type) ?? 0;
  return {
    current: {
      rx: number(CHANNELS.RX_COUNT),
      tx: number(CHANNELS.TX_COUNT),
      other: number(CHANNELS.OTHER_COUNT),
      combined: number(CHANNELS.COMBINED_COUNT),
    },
    max: {
      rx: number(CHANNELS.RX_MAX),
      tx: number(CHANNELS.TX_MAX),
      other: number(CHANNELS.OTHER_MAX),
      combined: number(CHANNELS.COMBINED_MAX),
    },
  };
}

export function channelAttributes(counts: Partial<ChannelCounts>): Attribute[] {
  const types = {
    rx: CHANNELS.RX_COUNT,
    tx: CHANNELS.TX_COUNT,
    other: CHANNELS.OTHER_COUNT,
    combined: CHANNELS.COMBINED_COUNT,
  };
  return numberAttributes(types, counts);
}

export function decodeRings(attributes: Attributes): Rings {
  const split = attributes.u8(RINGS.TCP_DATA_SPLIT) ?? 0;
  return {
    ...numbersOf(RING_NUMBERS, attributes),
    ...switchesOf(RING_SWITCHES, attributes),
    ...(split === 0 ? {} : { tcpDataSplit: split === SPLIT_ENABLED }),
    max: numbersOf(RING_MAX_NUMBERS, attributes),
  };
}

export function ringAttributes(rings: RingSizes & RingOptions): Attribute[] {
  const attributes = [...numberAttributes(RING_NUMBERS, rings), ...switchAttributes(RING_SWITCHES, rings)];
  if (rings.tcpDataSplit !== undefined) {
    const split = rings.tcpDataSplit ? SPLIT_ENABLED : SPLIT_DISABLED;
    attributes.push(u8Attribute(RINGS.TCP_DATA_SPLIT, split));
  }
  return attributes;
}

export function decodeCoalesce(attributes: Attributes): Coalesce {
  return { ...numbersOf(COALESCE_NUMBERS, attributes), ...switchesOf(COALESCE_SWITCHES, attributes) };
}

export function coalesceAttributes(coalesce: Coalesce): Attribute[] {
  return [...numberAttributes(COALESCE_NUMBERS, coalesce), ...switchAttributes(COALESCE_SWITCHES, coalesce)];
}

type Table<Name extends string> = Readonly<Record<Name, number>>;

function numbersOf<Name extends string>(
  table: Table<Name>,
  attributes: Attributes,
): Partial<Record<Name, number>> {
  const values: Partial<Record<Name, number>> = {};
  for (const name in table) {
    const value = attributes.u32(table[name]);
    if (value !== undefined) values[name] = value;
  }
  return values;
}

function switchesOf<Name extends string>(
  table: Table<Name>,
  attributes: Attributes,
): Partial<Record<Name, boolean>> {
  const values: Partial<Record<Name, boolean>> = {};
  for (const name in table) {
    const value = attributes.u8(table[name]);
    if (value !== undefined) values[name] = value !== 0;
  }
  return values;
}

function numberAttributes<Name extends string>(
  table: Table<Name>,
  values: { readonly [Key in NoInfer<Name>]?: number | undefined },
): Attribute[] {
  const attributes: Attribute[] = [];
  for (const name in table) {
    attributes.push(...numberOption(name, 32, table[name], values[name]));
  }
  return attributes;
}

function switchAttributes<Name extends string>(
  table: Table<Name>,
  values: { readonly [Key in NoInfer<Name>]?: boolean | undefined },
): Attribute[] {
  const attributes: Attribute[] = [];
  for (const name in table) {
    const value = values[name];
    if (value !== undefined) attributes.push(u8Attribute(table[name], value ? 1 : 0));
  }
  return attributes;
}
