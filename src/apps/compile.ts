import { readFileSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { XdpProgram } from '../compiler/index.ts';
import { ArgumentError, BarewireError } from '../error.ts';
import { nearest } from '../nearest.ts';
import { writeObject } from '../object/index.ts';
import { compile } from '../source/index.ts';
import { type ProgramSpec, serializeProgram } from '../spec/index.ts';

/** What a compiled program is written as: for this library, or for libbpf and bpftool. */
export type ProgramFormat = 'json' | 'object';

/** A program compiled ahead of time. */
export interface CompiledProgram {
  /** Under which name the module exports it. */
  readonly exported: string;
  readonly spec: ProgramSpec;
}

/**
 * Compiles the XDP programs that a module exports.
 *
 * The module is imported, so it runs: it should do nothing but define programs.
 *
 * @param file A JavaScript module; TypeScript where this Node strips types (22.18 and later).
 * @param only The exported name or the program's name of the one that is wanted. Default is all.
 * @throws CompileError; ArgumentError when the module has no such program; BarewireError `BW_MODULE` when it does not load.
 */
export async function compileFile(file: string, only?: string): Promise<CompiledProgram[]> {
  const module = await importModule(file);
  const programs = Object.entries(module).filter((entry): entry is [string, XdpProgram] =>
    isProgram(entry[1]),
  );
  const names = programs.map(([exported, { name }]) =>
    exported === name ? name : `${exported} ('${name}')`,
  );
  if (programs.length === 0) {
    throw new ArgumentError(`${file} exports no XDP program`, {
      hint: "Export what `program()` of 'barewire/xdp' returns.",
    });
  }
  const wanted = programs.filter(
    ([exported, { name }]) => only === undefined || only === exported || only === name,
  );
  if (only !== undefined && wanted.length === 0) {
    const [near] = nearest(
      only,
      programs.flatMap(([exported, { name }]) => [exported, name]),
    );
    throw new ArgumentError(`${file} exports no XDP program '${only}'`, {
      hint: near === undefined ? `It exports: ${names.join(', ')}.` : `Did you mean '${near}'?`,
    });
  }
  return wanted.map(([exported, program]) => ({
    exported,
    spec: compile(program) as ProgramSpec,
  }));
}

/** The bytes to keep. */
export function encodeProgram(spec: ProgramSpec, format: ProgramFormat): Uint8Array {
  return format === 'object' ? writeObject(spec) : new TextEncoder().encode(serializeProgram(spec));
}

/** `.o` is an object file, everything else the library's own artifact. */
export function formatOf(path: string): ProgramFormat {
  return extname(path) === '.o' ? 'object' : 'json';
}

async function importModule(file: string): Promise<Record<string, unknown>> {
  const path = resolve(file);
  try {
    // Import says of a missing file only that a module is missing, perhaps another one.
    readFileSync(path);
    return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const missing = code === 'ENOENT';
    const typescript = code === 'ERR_UNKNOWN_FILE_EXTENSION' && /\.[mc]?ts$/.test(file);
    const hint = typescript
      ? `Give the compiled JavaScript, or use Node 22.18 or later: Node ${process.versions.node} runs no TypeScript.`
      : 'It must be an ES module that runs by itself.';
    throw new BarewireError(
      'BW_MODULE',
      `${file} cannot be imported: ${missing ? 'there is no such file' : message}`,
      {
        ...(missing ? {} : { hint }),
        cause: error,
      },
    );
  }
}

function isProgram(value: unknown): value is XdpProgram {
  if (typeof value !== 'object' || value === null) return false;
  const { name, env, fn, options } = value as Partial<XdpProgram>;
  return (
    typeof name === 'string' &&
    typeof fn === 'function' &&
    typeof env === 'object' &&
    typeof options === 'object'
  );
}
