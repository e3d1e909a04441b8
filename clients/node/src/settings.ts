import type { UserId } from './user_id.js';

/** What is told beside an error, and the error. */
export type Log = (message: string, error?: unknown) => void;

export interface Options {
  /** The guarded table, as SQL names it: `'public.users'`. Without it, the default guard is asked. */
  users?: string | undefined;
  /** The schema of session_valid and session_start: that of CREATE EXTENSION. */
  schema?: string | undefined;
  /** Whether requests are served when the guard gives no answer. */
  failOpen?: boolean | undefined;
  /** How long a login waits for a change of its account that is not committed yet. */
  lockTimeoutMillis?: number | undefined;
  /** Whether statements are prepared under a name. Not with PgBouncer before 1.21. */
  prepare?: boolean | undefined;
  /** Where errors are told; console.error, or the log of Fastify. */
  log?: Log | undefined;
}

export interface Loaded<User> {
  user: User;
  /** What session_valid said. */
  valid: boolean | null | undefined;
}

/** Reads the user and asks, in a query of the app's own; undefined where there is no such user. */
export type LoadUser<User> = (userId: string, loginAt: string | null) => Promise<Loaded<User> | undefined>;

export interface WebOptions<User = any> extends Options {
  /** The query that reads the user, of `$1`, the id; or a function that reads the user and asks. */
  user?: string | LoadUser<User> | undefined;
  /** What is served without asking. `/health` is this path, and all below `/health/`. */
  openPaths?: readonly string[] | undefined;
  loginPath?: string | undefined;
  /** Where the session has the user's id. */
  userKey?: string | undefined;
  /** What the login page shows; null: nothing. */
  message?: string | null | undefined;
  /** The HTML of the page for 503. */
  errorPage?: ((status: number, message: string) => string) | undefined;
}

export const DEFAULTS = {
  users: undefined,
  schema: 'public',
  failOpen: false,
  lockTimeoutMillis: 2000,
  prepare: false,
  log: undefined,
};
export const WEB_DEFAULTS = {
  ...DEFAULTS,
  user: undefined,
  openPaths: [] as readonly string[],
  loginPath: '/login',
  userKey: 'user_id',
  message: 'Your session has ended. Please log in again.',
  errorPage: undefined,
};

const TEXT = 'a text';
const EXPECTED: Record<string, [string, (value: any) => boolean]> = {
  users: [TEXT, isText],
  schema: [TEXT, isText],
  failOpen: ['true or false', isBoolean],
  lockTimeoutMillis: ['a number of milliseconds above 0', (value) => value > 0 && value < 2 ** 31],
  prepare: ['true or false', isBoolean],
  log: ['a function', isFunction],
  user: ['a query or a function', (value) => isText(value) || isFunction(value)],
  openPaths: ['a list of paths', (value) => Array.isArray(value) && value.every((path) => typeof path === 'string')],
  loginPath: [TEXT, isText],
  userKey: [TEXT, isText],
  message: ['a text or null', (value) => value === null || typeof value === 'string'],
  errorPage: ['a function', isFunction],
};

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isBoolean(value: unknown): boolean {
  return typeof value === 'boolean';
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function';
}

/** With the defaults. Refuses a name that is misspelt: it would leave a door as it was. */
export function settingsOf<Given extends object, Defaults extends object>(
  given: Given,
  defaults: Defaults,
): Defaults & Given {
  if (typeof given !== 'object' || given === null) throw new TypeError('the options are an object');
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  for (const [name, value] of entries) {
    const expected = Object.hasOwn(defaults, name) ? EXPECTED[name] : undefined;
    if (!expected) throw new TypeError(`there is no option ${name}`);
    const isNumber = name !== 'lockTimeoutMillis' || typeof value === 'number';
    if (!isNumber || !expected[1](value)) throw new TypeError(`${name} must be ${expected[0]}`);
  }
  return { ...defaults, ...Object.fromEntries(entries) } as Defaults & Given;
}

export type { UserId };
