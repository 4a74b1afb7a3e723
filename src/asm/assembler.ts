import { ArgumentError, BarewireError } from '../error.ts';
import type { Reference } from './construct.ts';
import { faultOf, slotsOf } from './form.ts';
import type { FunctionSpec } from './function.ts';
import type { Instruction, SourceLine } from './instruction.ts';
import { Class, Jump } from './opcode.ts';

/** One line of an assembler program; a macro is a function that gives an array of them. */
export type Item = Instruction | Reference | Label | FunctionStart | readonly Item[];

/** Names the place of the next instruction, within its function. */
export interface Label {
  readonly label: string;
}

/** Begins a function; what stands before the first one belongs to the entry. */
export interface FunctionStart {
  readonly function: string;
  readonly parameters: number;
}

/** What `assemble` gives: the fields of a `ProgramSpec` that come from code. */
export interface Assembly {
  readonly instructions: readonly Instruction[];
  readonly functions: readonly FunctionSpec[];
}

export interface AssembleOptions {
  /** The name of the entry when the program does not begin with `func`. Default is `main`. */
  readonly entry?: string;
  /** Whether jumps farther than 16 bits may become `gotol` (kernels since 6.6). Default is `true`. */
  readonly gotol?: boolean;
}

/** A program that cannot be put together: an unknown or repeated name, a jump that is too far. */
export class AssemblerError extends BarewireError {
  constructor(message: string, hint?: string) {
    super('BW_ASSEMBLER', message, hint === undefined ? {} : { hint });
  }
}

/** Marks a place that jumps of the same function can name. */
export function label(name: string): Label {
  return { label: name };
}

/** Begins a function with `parameters` arguments (0 to 5); it ends where the next begins. */
export function func(name: string, parameters: number): FunctionStart {
  return { function: name, parameters };
}

/** The same items, with the line of source they come from; lines set further inside stay. */
export function at(source: SourceLine, ...items: readonly Item[]): Item[] {
  return items.map((item) => {
    if (isList(item)) return at(source, ...item);
    if ('opcode' in item) return item.source === undefined ? { ...item, source } : item;
    if (!('instruction' in item) || item.instruction.source !== undefined) return item;
    return { ...item, instruction: { ...item.instruction, source } };
  });
}

/**
 * Puts a program together: labels become offsets in slots, function names become relative addresses.
 *
 * A jump too far for 16 bits becomes a `gotol`; a conditional one then takes three slots.
 *
 * @throws AssemblerError for names that are unknown or defined twice, functions that are empty or never called, and
 *   jumps out of reach.
 * @throws ArgumentError for a field that does not fit its instruction.
 */
export function assemble(items: readonly Item[], options: AssembleOptions = {}): Assembly {
  const program = new Program(options.entry ?? 'main');
  program.add(items);
  program.place(options.gotol ?? true);
  return program.finish();
}

/** An instruction on its way, and where its target lies. */
interface Line {
  readonly instruction: Instruction;
  readonly target: string | undefined;
  readonly kind: Reference['kind'] | undefined;
  readonly function: number;
  /** Takes a `gotol`, because its target is farther than 16 bits. */
  far: boolean;
  slot: number;
}

interface OpenFunction {
  readonly name: string;
  readonly parameters: number;
  /** Index of its first line. */
  readonly line: number;
  readonly labels: Map<string, number>;
}

class Program {
  readonly #entry: string;
  readonly #lines: Line[] = [];
  readonly #functions: OpenFunction[] = [];
  readonly #byName = new Map<string, OpenFunction>();

  constructor(entry: string) {
    this.#entry = entry;
  }

  add(items: readonly Item[]): void {
    for (const item of items) {
      if (isList(item)) this.add(item);
      else if ('opcode' in item) this.#line(item, undefined);
      else if ('instruction' in item) this.#line(item.instruction, item);
      else if ('label' in item) this.#label(item.label);
      else this.#begin(item.function, item.parameters);
    }
  }

  /** Gives every line its slot; far jumps make the program longer, so it repeats until none is added. */
  place(gotol: boolean): void {
    let changed = true;
    while (changed) {
      changed = false;
      let slot = 0;
      for (const line of this.#lines) {
        line.slot = slot;
        slot += this.#lengthOf(line);
      }
      for (const line of this.#lines) {
        if (line.kind !== 'jump' || line.far) continue;
        const distance = this.#targetOf(line) - line.slot - 1;
        if (distance >= -0x8000 && distance <= 0x7fff) continue;
        if (!gotol) {
          throw new AssemblerError(
            `${this.#where(line)}: '${line.target}' is ${distance} slots away, more than 16 bits hold`,
            'Bring the target nearer, move code into a function of its own, or allow gotol (Linux 6.6).',
          );
        }
        line.far = true;
        changed = true;
      }
    }
  }

  finish(): Assembly {
    this.#requireCalled();
    const instructions: Instruction[] = [];
    for (const line of this.#lines) this.#emit(line, instructions);
    const functions = this.#functions.map(({ name, parameters, line }, index) => {
      if (line === this.#endOf(index)) throw new AssemblerError(`function '${name}' is empty`);
      return { name, slot: this.#lines[line]!.slot, parameters };
    });
    return { instructions, functions };
  }

  /** The kernel counts only functions that are called, and refuses unreachable instructions. */
  #requireCalled(): void {
    const called = new Set(this.#functions.slice(0, 1).map(({ name }) => name));
    // A set visits what is added while it is walked.
    for (const caller of called) {
      const index = this.#functions.findIndex(({ name }) => name === caller);
      for (let at = this.#functions[index]?.line ?? 0; at < this.#endOf(index); at++) {
        const { kind, target } = this.#lines[at]!;
        if (target !== undefined && (kind === 'call' || kind === 'address')) called.add(target);
      }
    }
    for (const { name } of this.#functions) {
      if (!called.has(name)) {
        throw new AssemblerError(
          `function '${name}' is never called`,
          'Leave it out: the verifier refuses it.',
        );
      }
    }
  }

  #line(instruction: Instruction, reference: Reference | undefined): void {
    const fault = faultOf(instruction);
    if (fault !== undefined) {
      const place =
        instruction.source === undefined ? `instruction ${this.#lines.length}` : where(instruction.source);
      throw new ArgumentError(`${place}: ${fault.field}: ${fault.problem}`);
    }
    this.#current();
    this.#lines.push({
      instruction,
      target: reference?.target,
      kind: reference?.kind,
      function: this.#functions.length - 1,
      far: false,
      slot: 0,
    });
  }

  #current(): OpenFunction {
    return this.#functions.at(-1) ?? this.#begin(this.#entry, 1);
  }

  #begin(name: string, parameters: number): OpenFunction {
    if (this.#byName.has(name)) throw new AssemblerError(`function '${name}' is defined twice`);
    if (!Number.isInteger(parameters) || parameters < 0 || parameters > 5) {
      throw new ArgumentError(`function '${name}': ${parameters} parameters; 0 to 5 fit the registers`);
    }
    const opened = { name, parameters, line: this.#lines.length, labels: new Map<string, number>() };
    this.#functions.push(opened);
    this.#byName.set(name, opened);
    return opened;
  }

  #label(name: string): void {
    const { labels, name: owner } = this.#current();
    if (labels.has(name)) throw new AssemblerError(`label '${name}' is defined twice in function '${owner}'`);
    labels.set(name, this.#lines.length);
  }

  #lengthOf(line: Line): number {
    if (!line.far) return slotsOf(line.instruction);
    return isAlways(line.instruction) ? 1 : 3;
  }

  #targetOf(line: Line): number {
    const name = line.target ?? '';
    if (line.kind === 'call' || line.kind === 'address') {
      const callee = this.#byName.get(name);
      if (callee === undefined) throw new AssemblerError(`${this.#where(line)}: no function '${name}'`);
      return this.#lines[callee.line]?.slot ?? 0;
    }
    const index = this.#functions[line.function]?.labels.get(name);
    if (index === undefined) throw new AssemblerError(`${this.#where(line)}: no label '${name}'`);
    if (index === this.#endOf(line.function)) {
      throw new AssemblerError(`${this.#where(line)}: no instruction follows label '${name}'`);
    }
    return this.#lines[index]!.slot;
  }

  /** The index after the function's last line. */
  #endOf(index: number): number {
    return this.#functions[index + 1]?.line ?? this.#lines.length;
  }

  #emit(line: Line, out: Instruction[]): void {
    const { instruction, kind } = line;
    if (kind === undefined) {
      out.push(instruction);
      return;
    }
    // Every relative address counts from the slot after the instruction, an lddw's from its second slot.
    const distance = this.#targetOf(line) - line.slot - 1;
    if (kind !== 'jump') {
      out.push({ ...instruction, imm: distance });
    } else if (!line.far) {
      out.push({ ...instruction, offset: distance });
    } else {
      const long = { opcode: Class.JMP32 | Jump.JA, dst: 0, src: 0, offset: 0 };
      const source = instruction.source === undefined ? {} : { source: instruction.source };
      if (isAlways(instruction)) {
        out.push({ ...long, imm: distance, ...source });
      } else {
        out.push({ ...instruction, offset: 1 });
        out.push({ opcode: Class.JMP | Jump.JA, dst: 0, src: 0, offset: 1, imm: 0, ...source });
        out.push({ ...long, imm: distance - 2, ...source });
      }
    }
  }

  #where(line: Line): string {
    const owner = this.#functions[line.function]?.name ?? this.#entry;
    const { source } = line.instruction;
    return source === undefined ? `function '${owner}'` : where(source);
  }
}

function where(source: SourceLine): string {
  return `${source.file}:${source.line}:${source.column}`;
}

function isList(item: Item): item is readonly Item[] {
  return Array.isArray(item);
}

function isAlways(instruction: Instruction): boolean {
  return instruction.opcode === (Class.JMP | Jump.JA);
}
