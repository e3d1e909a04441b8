/** The login time, as a session or a token keeps it: exact, as text. A `Date` has no microseconds. */

/** In the session, and in the claims of a token. */
export const LOGIN_TIME_KEY = 'guard_login_at';

/** Before every epoch, so that it counts for nobody who was ever stamped. */
export const LONG_AGO = '0001-01-02T00:00:00.000000Z';

const ISO = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)$/;

/**
 * What is sent for a kept value: null where nothing is kept. What is no time is one of long ago: PostgreSQL would take
 * 'infinity' and 'tomorrow' for times, and raise an error at others.
 */
export function fromKept(kept: unknown): string | null {
  if (kept === undefined || kept === null) return null;
  if (kept instanceof Date) return Number.isNaN(kept.getTime()) ? LONG_AGO : fromKept(kept.toISOString());
  return typeof kept === 'string' && isTime(kept) ? kept : LONG_AGO;
}

function isTime(text: string): boolean {
  const [, year = 0, month = 0, day = 0] = (ISO.exec(text) ?? []).map(Number);
  // Date.parse lets 30 February pass.
  return year > 0 && !Number.isNaN(Date.parse(text)) && day <= new Date(Date.UTC(year, month, 0)).getUTCDate();
}

/**
 * The login time of a token that has been verified.
 *
 * `iat` serves for tokens that were made before the package was there. It is not used for others: it is cut to whole
 * seconds, so just after a stamp it lies before the epoch.
 */
export function loginTimeOf(claims: Readonly<Record<string, unknown>>): string | null {
  const kept = claims[LOGIN_TIME_KEY];
  if (kept !== undefined && kept !== null) return fromKept(kept);
  const issued = claims['iat'];
  return typeof issued === 'number' ? fromKept(new Date(issued * 1000)) : null;
}

/**
 * The claims to put into a token beside `sub`. One that is made of another, or of a session, takes over the time of
 * that. If there is none, as of a session from before the guard, its `iat` would be too late a time.
 */
export function loginClaims(loginAt: string | null): Record<string, string> {
  return { [LOGIN_TIME_KEY]: loginAt ?? LONG_AGO };
}

/** By the app's own clock: only where the database cannot be asked, and the app has chosen to go on. */
export function now(): string {
  return new Date().toISOString();
}
