import { BarewireError, CodecError } from '../../src/error.ts';
import { kernelBtf, linkProgram, type ObjectSpec, readObject, relocateCore } from '../../src/object/index.ts';

/**
 * Does with bytes all that needs no kernel: reads them, looks at every variable, links every program, prepares its types
 * and relocates it against its own.
 *
 * @throws CodecError for bytes that are no object; whatever else is thrown is a fault.
 */
export function probeObject(bytes: Uint8Array): ObjectSpec {
  const spec = readObject(bytes);
  for (const variable of Object.values(spec.variables)) {
    // Sections may claim more than there is memory for; nobody asks for that much at once.
    if (variable.size <= 1 << 20) tolerate(() => variable.value);
  }
  tolerate(() => kernelBtf(spec));
  for (const program of Object.values(spec.programs)) {
    tolerate(() => {
      const linked = linkProgram(spec, program);
      if (spec.btf === undefined) return;
      const { types } = spec.btf;
      relocateCore(linked.code, linked.relocations, types, () => [types]);
    });
  }
  return spec;
}

/** What cannot be loaded says so by its own errors; everything else must not happen. */
function tolerate(task: () => unknown): void {
  try {
    task();
  } catch (error) {
    const expected =
      error instanceof CodecError ||
      (error instanceof BarewireError &&
        ['BW_UNSUPPORTED', 'BW_RELOCATION', 'BW_LIMIT'].includes(error.code));
    if (!expected) throw error;
  }
}
