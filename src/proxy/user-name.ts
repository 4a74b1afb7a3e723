import { parseDuration } from '../duration.ts';
import { nearest } from '../nearest.ts';
import { ProxyError } from './error.ts';

/**
 * What a client asks for in its user name, as proxies with many exits have it:
 * `alice-session-abc-lifetime-10m-mode-hard`.
 */
export interface UserName {
  /** The user's own name. */
  readonly user: string;
  /** Requests with the same word leave by the same exit. */
  readonly session: string | undefined;
  /** How long a session keeps its exit, in ms. */
  readonly lifetime: number | undefined;
  /** Soft sessions move on when their exit's address is gone, hard ones fail. */
  readonly mode: 'soft' | 'hard' | undefined;
  /** The one exit that will do. */
  readonly exit: string | undefined;
}

/**
 * Splits a user name at the parameters behind it. A user's own name may contain hyphens: the longest known name that
 * the text begins with is taken, so that `web-team-session-1` is user `web-team` where there is one.
 *
 * @throws ProxyError `BW_PROXY_AUTHENTICATION` for parameters that do not exist or have no good value.
 */
export function parseUserName(text: string, isUser: (name: string) => boolean): UserName {
  const parts = text.split('-');
  let own = parts.length;
  while (own > 1 && !isUser(parts.slice(0, own).join('-'))) own--;
  const user = parts.slice(0, own).join('-');
  const given: { -readonly [K in keyof UserName]: UserName[K] } = {
    user,
    session: undefined,
    lifetime: undefined,
    mode: undefined,
    exit: undefined,
  };
  // An unknown user's parameters are not looked at: what fails is the password, as with any unknown user.
  if (!isUser(user)) return { ...given, user: text };
  let rest = parts.slice(own);
  while (rest.length > 0) {
    const [key = '', ...values] = rest;
    if (!isParameter(key)) {
      const near = nearest(key, PARAMETERS, 1)[0];
      throw bad(`there is no parameter '${key}'`, near === undefined ? LIST : `Did you mean ${near}?`);
    }
    // Exits' names and sessions may have hyphens too: a value goes on to the next parameter's name.
    const end = values.findIndex((word, i) => i > 0 && isParameter(word));
    const words = end === -1 ? values : values.slice(0, end);
    const value = words.join('-');
    if (value === '') throw bad(`parameter '${key}' has no value`, LIST);
    if (given[key] !== undefined) throw bad(`parameter '${key}' is given twice`, LIST);
    if (key === 'lifetime') given.lifetime = lifetime(value);
    else if (key === 'mode') given.mode = mode(value);
    else given[key] = value;
    rest = values.slice(words.length);
  }
  if (given.session === undefined && (given.lifetime !== undefined || given.mode !== undefined)) {
    throw bad(
      "'lifetime' and 'mode' belong to a session",
      'Add session and a word of your choice, as in session-a1.',
    );
  }
  return given;
}

const PARAMETERS = ['session', 'lifetime', 'mode', 'exit'] as const;
const LIST = `The parameters are ${PARAMETERS.join(', ')}, as in alice-session-a1-lifetime-10m.`;

function isParameter(word: string): word is (typeof PARAMETERS)[number] {
  return (PARAMETERS as readonly string[]).includes(word);
}

function lifetime(value: string): number {
  try {
    const span = parseDuration(value);
    if (span > 0) return span;
  } catch {
    // Said below, in the words of a user name.
  }
  throw bad(`lifetime '${value}' is no duration`, 'Write a number with s, m, h or d, as in 10m.');
}

function mode(value: string): 'soft' | 'hard' {
  if (value === 'soft' || value === 'hard') return value;
  throw bad(
    `mode '${value}' is neither soft nor hard`,
    'soft moves on when the address is gone, hard fails.',
  );
}

function bad(problem: string, hint: string): ProxyError {
  return new ProxyError('BW_PROXY_AUTHENTICATION', `in the user name, ${problem}`, { hint });
}
