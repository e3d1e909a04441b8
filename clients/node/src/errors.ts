import type { Where } from './statements.js';

/** The database gives no answer, so there is none. Express and Fastify make a 503 of it. */
export class CannotAsk extends Error {
  readonly code = 'PG_SESSION_GUARD_CANNOT_ASK';
  readonly status = 503;
  readonly statusCode = 503;
  readonly expose = true;
  /** Of the answer that Express 5 and Fastify make of it by themselves. */
  readonly headers = { 'retry-after': '5', 'cache-control': 'no-store' };

  constructor(cause: unknown) {
    super('It cannot be checked now whether the session counts. Try again later.', { cause });
    this.name = 'CannotAsk';
  }
}

/** What is logged beside the error: where the database is not set up, what to do. */
export function cannotAsk(error: unknown, where: Where): string {
  const { code, hint } = (error ?? {}) as { code?: unknown; hint?: unknown };
  // What the extension itself says, such as where no table is guarded.
  const remedy = remedyOf(code, where) ?? (typeof hint === 'string' ? hint : undefined);
  return `cannot ask pg_session_guard${remedy ? `: ${remedy}` : ''}`;
}

/**
 * Of a query that compares the user's id with a column: the id may be none, such as 'nobody' for a bigint. session_valid
 * itself takes any text.
 */
export function isNoValueOfItsType(error: unknown): boolean {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: { code?: unknown } };
  // Some libraries wrap what pg has thrown.
  return [code, cause?.code].some((sqlstate) => sqlstate === '22P02' || sqlstate === '22003');
}

/**
 * Of a login: somebody is changing the account, and has not committed yet. What that ends began before it, and not before
 * now. A cancelled one has waited as long as statement_timeout says.
 */
export function isOfALock(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return code === '55P03' || code === '57014';
}

/**
 * Of a prepared query that gives other columns than when it was prepared, such as `SELECT *` after an ALTER TABLE. `pg` closes
 * the connection that the error came from. Each other connection of the Pool would raise the error, too.
 */
export function isOfAnAlteredTable(error: unknown): boolean {
  return ((error ?? {}) as { code?: unknown }).code === '0A000';
}

function remedyOf(sqlstate: unknown, where: Where): string | undefined {
  const missing =
    "run CREATE EXTENSION pg_session_guard in the app's database, or name the schema that it is in by the option schema" +
    ` (now ${where.schema})`;
  switch (sqlstate) {
    case '42501':
      return "let the owner of the extension run SELECT session_guard.grant_access('the role that the app connects as')";
    case '42883':
    case '3F000':
      return missing;
    case '42704':
      return (
        "let the owner of the table run SELECT session_guard.attach('the table')," +
        ' or name the table that is guarded by the option users'
      );
    case '42P01':
      return 'the option users, or the query that reads the user, names a table that is not there';
    default:
      return undefined;
  }
}
