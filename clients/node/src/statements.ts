import { createHash } from 'node:crypto';

/**
 * What the database is asked. Each name has its schema, and each argument its type: so the call has an exact match, and
 * no function that somebody has planted is preferred. An id is sent as text: it may be an integer, a UUID or a text, and
 * session_valid reads it as the id column would.
 */
export interface Where {
  schema: string;
  users: string | undefined;
}

/** To select beside the user; of expressions of SQL. */
export function validCall(where: Where, userId: string, loginAt: string): string {
  return call(where, 'session_valid', [`(${userId})::pg_catalog.text`, `(${loginAt})::pg_catalog.timestamptz`]);
}

/** At a request whose user is not read anyway; of the id and the login time. */
export function validStatement(where: Where): string {
  return `SELECT ${validCall(where, '$1', '$2')} AS valid`;
}

/**
 * The app's own query, of `$1`, and in it whether the session counts. On lines of its own, as the query may end with a
 * comment. `$2` is the id once more: `$1` has the type that the app's query gives it.
 */
export function userStatement(where: Where, query: string): string {
  return `SELECT the_user.*, ${validCall(where, '$2', '$3')} AS ${VALID_COLUMN} FROM (\n${query}\n) AS the_user`;
}

export const VALID_COLUMN = 'pg_session_guard_valid';

/**
 * At a login; of the id and the timeout. It is set for this transaction alone, in the same round trip, and before the
 * lock is asked for: the WHERE is evaluated first. The time is formatted here, as text in the way of any DateStyle.
 */
export function startStatement(where: Where): string {
  return (
    "WITH waits AS MATERIALIZED (SELECT pg_catalog.set_config('lock_timeout', $2::pg_catalog.text, true) AS at_most)" +
    ` ${startInTransactionStatement(where)} FROM waits WHERE at_most IS NOT NULL`
  );
}

/**
 * In a transaction of the app's own that has changed the user's row, after the change; of the id. The row is locked
 * already, and the transaction's timeouts are the app's.
 */
export function startInTransactionStatement(where: Where): string {
  const start = call(where, 'session_start', ['$1::pg_catalog.text']);
  const inUtc = `pg_catalog.timezone('UTC'::pg_catalog.text, ${start})`;
  return `SELECT pg_catalog.to_char(${inUtc}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS login_at`;
}

const names = new Map<string, string>();

/** A name of its own for each text: node-postgres refuses two texts under one name. */
export function nameOf(statement: string): string {
  const known = names.get(statement);
  if (known !== undefined) return known;
  const name = `pg_session_guard_${createHash('sha256').update(statement).digest('hex').slice(0, 16)}`;
  names.set(statement, name);
  return name;
}

function call(where: Where, name: string, values: string[]): string {
  const guard = where.users === undefined ? [] : [`${literal(where.users)}::pg_catalog.regclass`];
  return `${identifier(where.schema)}.${name}(${[...guard, ...values].join(', ')})`;
}

function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`;
  return text.includes('\\') ? ` E${quoted}` : quoted;
}
