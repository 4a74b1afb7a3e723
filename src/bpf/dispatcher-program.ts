import { assemble, encode, exit, func, mov64, r0 } from '../asm/index.ts';
import { FUNC_INFO_SIZE, programBtf } from '../btf/index.ts';
import {
  DISPATCHER_CONFIG_SIZE,
  DISPATCHER_MAP,
  DISPATCHER_NAME,
  type DispatcherConfig,
  dispatcherCode,
  encodeDispatcherConfig,
  slotFunction,
} from '../object/index.ts';
import { cString, Errno, Fd } from '../sys/index.ts';
import { Attribute, bpfError } from './attribute.ts';
import { loadBtf } from './btf-object.ts';
import { programInfo } from './info.ts';
import { typesById } from './kernel-types.ts';
import { loadWithLog, Program, tryLoad } from './program.ts';
import { ATTACH_TYPE, Command, PROGRAM_TYPE_EXT, PROGRAM_TYPE_XDP, XDP_HAS_FRAGS } from './uapi.ts';

/** `BPF_F_RDONLY_PROG`. */
const READ_ONLY_PROGRAM = 0x80;

/**
 * Loads a dispatcher; nothing is attached to it yet.
 *
 * @throws SystemError when the kernel refuses it.
 */
export function loadDispatcher(config: DispatcherConfig): Program {
  const code = dispatcherCode();
  using btf = loadBtf(code.btf, DISPATCHER_NAME);
  using map = configMap(config, btf, code.configType);
  const instructions = encode(
    code.instructions.map((instruction) => {
      const { map: name, ...rest } = instruction;
      return name === DISPATCHER_MAP ? { ...rest, imm: map.number } : instruction;
    }),
  );
  // As in program.ts.
  const attribute = new Attribute(144)
    .u32(0, PROGRAM_TYPE_XDP)
    .u32(4, instructions.length / 8)
    .pointer(8, instructions)
    .pointer(16, cString('GPL'))
    .u32(44, config.frags ? XDP_HAS_FRAGS : 0)
    .name(48, DISPATCHER_NAME)
    .u32(68, ATTACH_TYPE.xdp)
    .u32(72, btf.number)
    .u32(76, FUNC_INFO_SIZE)
    .pointer(80, code.functionInfo)
    .u32(88, (code.functionInfo.length * 4) / FUNC_INFO_SIZE);
  const result = tryLoad(attribute);
  if (result >= 0) return Program.fromFd(new Fd(result, 'dispatcher'), DISPATCHER_NAME);
  const { log } = loadWithLog(attribute, 1);
  const said = log.trim().split('\n').at(-1);
  throw bpfError(-result, 'load the dispatcher of several programs', said ? { said } : {});
}

/** A frozen array of one value. */
function configMap(config: DispatcherConfig, btf: Fd, type: number): Fd {
  // As in map-create.ts.
  const result = new Attribute(60)
    .u32(0, 2)
    .u32(4, 4)
    .u32(8, DISPATCHER_CONFIG_SIZE)
    .u32(12, 1)
    .u32(16, READ_ONLY_PROGRAM)
    .name(28, DISPATCHER_MAP)
    .u32(48, btf.number)
    .u32(56, type)
    .try(Command.mapCreate);
  if (result < 0) throw bpfError(-result, 'create the map of a dispatcher');
  const map = new Fd(result, "a dispatcher's map");
  try {
    // struct { map_fd @0, key @8, value @16, flags @24 }
    new Attribute(32)
      .u32(0, map.number)
      .pointer(8, new Uint8Array(4))
      .pointer(16, encodeDispatcherConfig(config))
      .run(Command.mapUpdate, `write ${map.what}`);
    new Attribute(4).u32(0, map.number).run(Command.mapFreeze, `freeze ${map.what}`);
    return map;
  } catch (error) {
    map.close();
    throw error;
  }
}

/**
 * Puts a loaded program in the place of a dispatcher's function; one program may be in several dispatchers (5.10).
 *
 * @returns the link that holds it there.
 */
export function linkToDispatcher(dispatcher: Fd, position: number, program: Fd): Fd {
  const name = slotFunction(position);
  const target = typesById(programInfo(dispatcher).btfId)?.find(name, 'func') ?? 0;
  // struct { prog_fd @0, target_fd @4, attach_type @8, flags @12, target_btf_id @16 }
  const attribute = new Attribute(20).u32(0, program.number).u32(4, dispatcher.number).u32(16, target);
  const result = attribute.run(
    Command.linkCreate,
    `put ${program.what} in the place of ${name} of a dispatcher`,
  );
  return new Fd(result, `link of ${program.what}`);
}

let refusal: { readonly words: string | undefined } | undefined;

/**
 * Why this kernel runs no more than one program on an interface; undefined where it runs several.
 *
 * Found out by a dispatcher with one program, which is attached nowhere.
 */
export function dispatcherRefusal(): string | undefined {
  refusal ??= { words: tryDispatcher() };
  return refusal.words;
}

function tryDispatcher(): string | undefined {
  let dispatcher: Program;
  try {
    dispatcher = loadDispatcher({
      version: 2,
      frags: false,
      entries: [{ priority: 50, chain: 4, frags: false }],
    });
  } catch (error) {
    return `it does not load the dispatcher that would call them (${(error as Error).message})`;
  }
  using target = dispatcher;
  const { instructions, functions } = assemble([func('pass', 1), mov64(r0, 2), exit()]);
  const code = encode(instructions);
  const types = programBtf({
    ...{ name: 'pass', type: 'xdp', attachType: 'xdp', frags: false, license: 'GPL', maps: {} },
    ...{ instructions, functions },
  });
  if (types === undefined) return 'it does not know types of programs';
  using btf = loadBtf(types.btf, 'a program that extends another');
  const id = typesById(target.info().btfId)?.find(slotFunction(0), 'func') ?? 0;
  const result = new Attribute(144)
    .u32(0, PROGRAM_TYPE_EXT)
    .u32(4, code.length / 8)
    .pointer(8, code)
    .pointer(16, cString('GPL'))
    .name(48, 'pass')
    .u32(72, btf.number)
    .u32(76, FUNC_INFO_SIZE)
    .pointer(80, types.funcInfo)
    .u32(88, types.funcInfo.length / FUNC_INFO_SIZE)
    .u32(108, id)
    .u32(112, target.fd.number)
    .try(Command.programLoad);
  if (result < 0) {
    const errno = -result === Errno.EPERM ? 'EPERM' : bpfError(-result, 'load it').message;
    return `it refuses programs that take the place of another one's functions (freplace: ${errno})`;
  }
  using program = new Fd(result, 'a program that extends another');
  try {
    using _link = linkToDispatcher(target.fd, 0, program);
    return undefined;
  } catch (error) {
    return `it does not put programs into dispatchers (${(error as Error).message})`;
  }
}
