import { type Btf, type BtfMember, formatDefinition } from '../btf/index.ts';
import { CodecError } from '../error.ts';
import { readObject } from './read.ts';
import type { ObjectMapSpec } from './spec.ts';

export interface GenerateOptions {
  /** What the module calls the object, as in `filter.o`; for its comment. */
  readonly name: string;
  /** Where the module finds Barewire. Default is `barewire`. */
  readonly package?: string;
}

/** Map types with a value for every possible CPU, and those that take descriptors and give ids. */
const PER_CPU: ReadonlySet<number> = new Set([5, 6, 10, 21]);
const REFERENCES: ReadonlySet<number> = new Set([3, 4, 8, 12, 13, 15, 17, 18, 20]);

/**
 * A TypeScript module for an object file: the object itself, its types, and `load()` whose maps, variables and programs
 * have names and types.
 *
 * @throws CodecError when the bytes are no object.
 */
export function generateModule(bytes: Uint8Array, options: GenerateOptions): string {
  const spec = readObject(bytes);
  const types = new TypeWriter(spec.btf?.types);
  const { package: from = 'barewire' } = options;
  const maps = Object.values(spec.maps)
    .filter((map) => map.data === undefined && map.unsupported === undefined)
    .map((map) => `  readonly ${property(map.name)}: ${mapType(map, types)};`);
  const variables = Object.values(spec.variables).map((variable) => {
    const constant = variable.constant ? 'readonly ' : '';
    const type = variable.type === 0 ? 'Uint8Array' : types.type(variable.type);
    return `  readonly ${property(variable.name)}: Omit<LiveVariable, 'value'> & { ${constant}value: ${type} };`;
  });
  const settings = Object.values(spec.variables).map((variable) => {
    const type = variable.type === 0 ? 'Uint8Array' : types.type(variable.type);
    return `  readonly ${property(variable.name)}?: ${type};`;
  });
  const programs = Object.values(spec.programs).map(
    ({ name, section }) =>
      `  /** Section \`${comment(section)}\`. */\n  readonly ${property(name)}: Program;`,
  );
  const used = new Set<string>(['loadObject']);
  if (maps.length > 0) used.add('type ObjectMap');
  if (maps.some((line) => line.includes('HasFd'))) used.add('type HasFd');
  if (variables.length > 0) used.add('type LiveVariable');
  if (programs.length > 0) used.add('type Program');
  used.add('type LoadedObject').add('type LoadObjectOptions');
  return `${[
    `// Made from ${comment(options.name)} by \`barewire gen\`; make it again when the object changes.`,
    `import { ${[...used].sort((a, b) => bare(a).localeCompare(bare(b))).join(', ')} } from '${from}/bpf';`,
    '',
    ...types.definitions(),
    block('Programs', 'The programs of the object.', programs),
    block('Maps', 'Its maps.', maps),
    block('Variables', 'Its global variables; constants are set before they are loaded.', variables),
    block('Settings', 'Values of variables to load it with.', settings),
    `export interface Loaded extends Omit<LoadedObject, 'programs' | 'maps' | 'variables'> {
  readonly programs: Programs;
  readonly maps: Maps;
  readonly variables: Variables;
}
`,
    `/** Loads the object; close what it returns. Nothing is attached. */
export function load(settings: Settings = {}, options: LoadObjectOptions = {}): Loaded {
  const object = loadObject(Uint8Array.from(atob(OBJECT), (character) => character.charCodeAt(0)));
  for (const [name, value] of Object.entries(settings)) {
    const variable = object.variables[name];
    if (variable !== undefined && value !== undefined) variable.value = value;
  }
  return object.load(options) as unknown as Loaded;
}
`,
    `const OBJECT: string =\n${base64Lines(bytes)};`,
  ].join('\n')}\n`;
}

function block(name: string, about: string, lines: readonly string[]): string {
  const body = lines.length === 0 ? '' : `\n${lines.join('\n')}\n`;
  return `/** ${about} */\nexport interface ${name} {${body}}\n`;
}

function mapType(map: ObjectMapSpec, types: TypeWriter): string {
  const untyped = (size: number): string => (size === 4 ? 'number' : 'Uint8Array');
  const key = map.keyType === 0 ? untyped(map.keySize) : types.type(map.keyType);
  if (REFERENCES.has(map.type)) return `ObjectMap<${key}, number, HasFd>`;
  const value = map.valueType === 0 ? untyped(map.valueSize) : types.type(map.valueType);
  return PER_CPU.has(map.type)
    ? `ObjectMap<${key}, ${value}[], ${value} | ${value}[]>`
    : `ObjectMap<${key}, ${value}>`;
}

/** Types of C as types of TypeScript: named structs become interfaces, everything else is written where it is used. */
class TypeWriter {
  readonly #btf: Btf | undefined;
  readonly #named = new Map<number, string>();
  readonly #taken = new Set(['Programs', 'Maps', 'Variables', 'Settings', 'Loaded', 'Program', 'ObjectMap']);
  readonly #bodies: string[] = [];

  constructor(btf: Btf | undefined) {
    this.#btf = btf;
  }

  definitions(): string[] {
    return this.#bodies;
  }

  type(id: number, depth = 0): string {
    const btf = this.#btf;
    if (btf === undefined) return 'unknown';
    const resolved = btf.resolve(id);
    if (resolved === 0) return 'never';
    if (depth > 32) throw new CodecError('btf', 0, `type ${id} nests too deeply`);
    const type = btf.type(resolved);
    switch (type.kind) {
      case 'int':
        if (type.encoding === 'bool') return 'boolean';
        return type.size > 4 ? 'bigint' : 'number';
      case 'enum':
      case 'enum64':
        return type.size > 4 ? 'bigint' : 'number';
      case 'float':
        return 'number';
      case 'ptr':
        return 'bigint';
      case 'array': {
        const element = btf.resolve(type.type);
        const inner = element === 0 ? undefined : btf.type(element);
        if (inner?.kind === 'int' && inner.size === 1 && inner.encoding !== 'bool') {
          return inner.name === 'char' ? 'string' : 'Uint8Array';
        }
        return `${this.type(type.type, depth + 1)}[]`;
      }
      case 'struct':
      case 'union': {
        if (type.name === '') return `{ ${this.#members(type.members, depth).join(' ')} }`;
        let name = this.#named.get(resolved);
        if (name === undefined) {
          name = pascal(type.name);
          while (this.#taken.has(name)) name += '_';
          this.#taken.add(name);
          this.#named.set(resolved, name);
          const members = this.#members(type.members, depth).map((member) => `  ${member}`);
          const definition = comment(formatDefinition(btf, resolved)).replaceAll('\n', '\n * ');
          this.#bodies.push(
            `/**\n * \`\`\`c\n * ${definition}\n * \`\`\`\n */\nexport interface ${name} {\n${members.join('\n')}\n}\n`,
          );
        }
        return name;
      }
      default:
        return 'never';
    }
  }

  #members(members: readonly BtfMember[], depth: number): string[] {
    return members.flatMap((member) => {
      if (member.name !== '') {
        const type =
          member.bitSize > 32 ? 'bigint' : member.bitSize > 0 ? 'number' : this.type(member.type, depth + 1);
        return [`${property(member.name)}: ${type};`];
      }
      const inner = this.#btf?.type(this.#btf.resolve(member.type));
      if (inner === undefined || !('members' in inner) || depth > 32) return [];
      // The members of an anonymous union stand side by side, and any of them may be given.
      const lines = this.#members(inner.members, depth + 1);
      return inner.kind === 'union' ? lines.map((line) => line.replace(/^([^:]*[^:?]):/, '$1?:')) : lines;
    });
  }
}

function pascal(name: string): string {
  const words = name.split('_').filter((word) => word !== '');
  return words.map((word) => `${word[0]?.toUpperCase()}${word.slice(1)}`).join('') || 'Anonymous';
}

function property(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}

/** Text that cannot end a comment. */
function comment(text: string): string {
  return text.replaceAll('*/', '* /').replaceAll(/[\r\u2028\u2029]/g, ' ');
}

function bare(name: string): string {
  return name.replace(/^type /, '');
}

function base64Lines(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  const lines = btoa(text).match(/.{1,100}/g) ?? [''];
  return lines.map((line) => `  '${line}'`).join(' +\n');
}
