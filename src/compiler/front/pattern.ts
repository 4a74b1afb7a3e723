import type * as syntax from 'acorn';
import type { Context, Variable } from './context.ts';
import { readMember } from './member.ts';
import { describeVal, type Val } from './value.ts';

/** What has members without being an object of the program's own: each is read where it is named. */
const LIVE: ReadonlySet<Val['kind']> = new Set(['packet', 'kernel', 'header', 'view'] as const);

/** Gives names to a value, taking it apart where the pattern says so. */
export function bind(cx: Context, pattern: syntax.Pattern, val: Val, constant: boolean): void {
  switch (pattern.type) {
    case 'Identifier': {
      const variable: Variable = { name: pattern.name, constant };
      cx.frame.scope.names.set(pattern.name, variable);
      cx.state.vars.set(variable, val);
      return;
    }
    case 'ObjectPattern': {
      for (const property of pattern.properties) {
        if (property.type === 'RestElement' || property.computed || property.key.type !== 'Identifier') {
          throw cx.fault(property, 'only plain names can be taken out of an object', 'Write { a, b: c }.');
        }
        const name = property.key.name;
        if (LIVE.has(val.kind)) {
          const { start, end, key } = property;
          const member = { type: 'MemberExpression', object: key, property: key, start, end } as const;
          bind(
            cx,
            property.value,
            readMember(cx, val, { ...member, computed: false, optional: false }),
            constant,
          );
          continue;
        }
        if (val.kind !== 'object') {
          throw cx.fault(
            pattern,
            `${describeVal(val)} cannot be taken apart`,
            `Read its fields, as in x.${name}.`,
          );
        }
        const field = val.fields.get(name);
        if (field === undefined) {
          throw cx.fault(
            property,
            `there is no ${name} here`,
            `There are: ${[...val.fields.keys()].join(', ')}.`,
          );
        }
        bind(cx, property.value, field, constant);
      }
      return;
    }
    case 'ArrayPattern': {
      if (val.kind !== 'tuple') {
        throw cx.fault(pattern, `${describeVal(val)} cannot be taken apart`, 'Take apart an array literal.');
      }
      pattern.elements.forEach((element, i) => {
        if (element === null) return;
        const item = val.items[i];
        if (item === undefined) throw cx.fault(element, `the array has no element ${i}`, 'Take fewer.');
        bind(cx, element, item, constant);
      });
      return;
    }
    default:
      throw cx.fault(
        pattern,
        'default values and rest patterns are not part of the language',
        'Write plain names.',
      );
  }
}
