import { Fd } from '../sys/index.ts';
import { Attribute, bpfError } from './attribute.ts';
import { Command } from './uapi.ts';

/**
 * Gives a BTF blob to the kernel.
 *
 * @throws SystemError with the kernel's log as what it said.
 */
export function loadBtf(blob: Uint8Array, what: string): Fd {
  // struct { btf @0, btf_log_buf @8, btf_size @16, btf_log_size @20, btf_log_level @24 }
  const attribute = new Attribute(28).pointer(0, blob).u32(16, blob.length);
  const result = attribute.try(Command.btfLoad);
  if (result >= 0) return new Fd(result, `BTF of ${what}`);
  const log = new Uint8Array(64 * 1024);
  attribute.pointer(8, log).u32(20, log.length).u32(24, 1);
  const again = attribute.try(Command.btfLoad);
  if (again >= 0) return new Fd(again, `BTF of ${what}`);
  const text = new TextDecoder().decode(log.subarray(0, log.indexOf(0))).trim();
  throw bpfError(
    -again,
    `load the BTF of ${what}`,
    text === '' ? {} : { said: text.split('\n').slice(-3).join('; ') },
  );
}
