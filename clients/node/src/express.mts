// One copy of each class, also where an app imports and requires.
export { CannotAsk, LOGIN_TIME_KEY, loginClaims, loginTimeOf, SessionGuard } from './express.js';
export type { Claims, Decode, ErrorHandler, ExpressRequest, Handler, LoadUser, Loaded, Log, Next, Options, WebOptions } from './express.js';
