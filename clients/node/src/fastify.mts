// One copy of each class, also where an app imports and requires.
export { CannotAsk, LOGIN_TIME_KEY, loginClaims, loginTimeOf, SessionGuard } from './fastify.js';
export type { Claims, Decode, Hook, LoadUser, Loaded, Log, Options, Plugin, WebOptions } from './fastify.js';
