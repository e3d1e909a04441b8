// One copy of each class, also where an app imports and requires.
export { CannotAsk, LOGIN_TIME_KEY, loginClaims, loginTimeOf, SessionGuard, sessionStart, sessionValid } from './index.js';
export type { Client, Log, Options, Pool, UserId } from './index.js';
