import type { BtfValue } from '../btf/index.ts';
import { BarewireError } from '../error.ts';
import type { ObjectVariable } from '../object/index.ts';
import { Arena, PAGE_SIZE, PROT_READ, PROT_WRITE } from '../sys/index.ts';
import type { ObjectMap } from './object-map.ts';

/** A global variable of a loaded object: reading and writing it goes to the kernel's memory, and to nothing beside it. */
export interface LiveVariable {
  readonly name: string;
  /** Whether it can only be read: constants are frozen when they are loaded. */
  readonly constant: boolean;
  /** @throws BarewireError `BW_CONSTANT` when a constant is set. */
  value: BtfValue;
}

/** The memory of a data section: mapped when it can change, read once when it cannot. */
export class SectionMemory {
  readonly #map: ObjectMap;
  readonly #constant: boolean;
  #arena: Arena | undefined;
  #view: DataView | undefined;

  constructor(map: ObjectMap, constant: boolean) {
    this.#map = map;
    this.#constant = constant;
  }

  view(): DataView {
    if (this.#view !== undefined) return this.#view;
    const { valueSize, fd } = this.#map;
    if (this.#constant) {
      const bytes = this.#map.getBytes(new Uint8Array(4)) ?? new Uint8Array(valueSize);
      this.#view = new DataView(bytes.buffer);
      return this.#view;
    }
    const size = Math.ceil(valueSize / PAGE_SIZE) * PAGE_SIZE;
    this.#arena = new Arena(size);
    this.#arena.map(fd, 0, size, PROT_READ | PROT_WRITE, 0);
    this.#view = new DataView(this.#arena.buffer, 0, valueSize);
    return this.#view;
  }

  close(): void {
    this.#arena?.close();
    this.#view = undefined;
  }
}

export function liveVariable(variable: ObjectVariable, memory: SectionMemory): LiveVariable {
  const { name, offset, constant } = variable;
  return {
    name,
    constant,
    get value() {
      return variable.decode(memory.view(), offset);
    },
    set value(value) {
      if (constant) {
        throw new BarewireError('BW_CONSTANT', `the variable '${name}' is constant once it is loaded`, {
          hint: 'Set it in the spec, before load().',
        });
      }
      variable.encode(memory.view(), offset, value);
    },
  };
}
