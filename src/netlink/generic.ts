import { BarewireError } from '../error.ts';
import { Errno } from '../sys/errno.ts';
import { type Attribute, type Attributes, stringAttribute } from './attribute.ts';
import { NetlinkError } from './error.ts';
import type { AttributeNames } from './fault.ts';
import { decodeGenericBody, GENERIC_HEADER_BYTES } from './generic-message.ts';
import { type Message, NLM_F } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

/** A family of generic netlink, as the kernel's controller describes it. */
export interface GenericFamily {
  readonly name: string;
  /** The message type that it has until the next boot. */
  readonly id: number;
  readonly version: number;
  /** Commands that the running kernel knows. */
  readonly commands: ReadonlySet<number>;
  /** Multicast groups by name. */
  readonly groups: ReadonlyMap<string, number>;
}

export interface GenericRequest {
  readonly command: number;
  /** `NLM_F` bits beyond REQUEST and ACK. */
  readonly flags?: number;
  readonly attributes: readonly Attribute[];
  /** What it is for: errors begin with `could not …`. */
  readonly doing: string;
  readonly names?: AttributeNames;
  readonly hint?: (errno: number, reason: string | undefined) => string | undefined;
}

/** The controller has the one fixed message type (linux/genetlink.h). */
const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR = { FAMILY_ID: 1, FAMILY_NAME: 2, VERSION: 3, OPS: 6, MCAST_GROUPS: 7 } as const;
const CTRL_ATTR_OP = { ID: 1 } as const;
const CTRL_ATTR_MCAST_GRP = { NAME: 1, ID: 2 } as const;

/** Generic netlink over one socket: finds families by name, once, and sends them commands. */
export class GenericNetlink {
  readonly #socket: NetlinkSocket;
  readonly #families = new Map<string, GenericFamily>();

  /** @param socket One of the protocol `generic`. */
  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /**
   * @param missing What to do when the kernel lacks the family.
   * @throws BarewireError `BW_UNSUPPORTED` when it does.
   */
  family(name: string, missing?: string): GenericFamily {
    let family = this.#families.get(name);
    if (family === undefined) {
      family = this.#find(name, missing);
      this.#families.set(name, family);
    }
    return family;
  }

  /** Sends a command and returns the attributes of each message of the answer. */
  request(family: GenericFamily, request: GenericRequest): Attributes[] {
    return this.#send(family.id, family.version, request).map(
      (message) => decodeGenericBody(message).attributes,
    );
  }

  #find(name: string, missing: string | undefined): GenericFamily {
    try {
      const [message] = this.#send(GENL_ID_CTRL, 2, {
        command: CTRL_CMD_GETFAMILY,
        attributes: [stringAttribute(CTRL_ATTR.FAMILY_NAME, name)],
        doing: `find the netlink family '${name}'`,
      });
      return decodeFamily(message!);
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.errno !== Errno.ENOENT) throw error;
      throw new BarewireError('BW_UNSUPPORTED', `this kernel has no netlink family '${name}'`, {
        ...(missing === undefined ? {} : { hint: missing }),
        cause: error,
      });
    }
  }

  #send(type: number, version: number, request: GenericRequest): readonly Message[] {
    const { command, attributes, doing, names, hint } = request;
    const header = new Uint8Array(GENERIC_HEADER_BYTES);
    header[0] = command;
    header[1] = version;
    return this.#socket.request({
      type,
      flags: request.flags ?? 0,
      header,
      attributes,
      doing,
      ...(names === undefined ? {} : { names }),
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

/** `NLM_F` bits of a generic dump. */
export const GENERIC_DUMP: number = NLM_F.DUMP;

/**
 * The family in the controller's answer.
 *
 * @throws CodecError when the message is cut off or misformed.
 */
export function decodeFamily(message: Message): GenericFamily {
  const { attributes } = decodeGenericBody(message);
  const commands = new Set<number>();
  for (const operation of attributes.nested(CTRL_ATTR.OPS)?.children() ?? []) {
    const id = operation.u32(CTRL_ATTR_OP.ID);
    if (id !== undefined) commands.add(id);
  }
  const groups = new Map<string, number>();
  for (const group of attributes.nested(CTRL_ATTR.MCAST_GROUPS)?.children() ?? []) {
    const name = group.string(CTRL_ATTR_MCAST_GRP.NAME);
    const id = group.u32(CTRL_ATTR_MCAST_GRP.ID);
    if (name !== undefined && id !== undefined) groups.set(name, id);
  }
  return {
    name: attributes.string(CTRL_ATTR.FAMILY_NAME) ?? '',
    id: attributes.u16(CTRL_ATTR.FAMILY_ID) ?? 0,
    version: attributes.u32(CTRL_ATTR.VERSION) ?? 0,
    commands,
    groups,
  };
}
