/**
 * Ends the sessions and tokens of disabled accounts, by the PostgreSQL extension pg_session_guard.
 *
 * Express is in `pg-session-guard/express`, Fastify in `pg-session-guard/fastify`. Here is what asks through a Pool of pg.
 */
import { SessionGuard, type Pool } from './session_guard.js';
import type { Options } from './settings.js';
import type { UserId } from './user_id.js';

/** The login time to keep, as it is, or null for an account that must not log in. */
export function sessionStart(pool: Pool, userId: UserId, options: Options = {}): Promise<string | null> {
  return new SessionGuard(pool, options).start(userId);
}

/** Whether the session of that login time counts. */
export function sessionValid(
  pool: Pool,
  userId: UserId,
  loginAt: string | Date | null | undefined,
  options: Options = {},
): Promise<boolean> {
  return new SessionGuard(pool, options).isValid(userId, loginAt);
}

export { CannotAsk } from './errors.js';
export { LOGIN_TIME_KEY, loginClaims, loginTimeOf } from './login_time.js';
export { SessionGuard, type Client, type Pool } from './session_guard.js';
export type { Log, Options } from './settings.js';
export type { UserId } from './user_id.js';
