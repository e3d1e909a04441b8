export type UserId = string | number | bigint;

/**
 * The user's id, as it is sent and kept: a text. Refuses what is no id, such as the user itself: nobody has it as an id,
 * so the login would be refused without a reason.
 */
export function idToText(userId: unknown): string {
  if (typeof userId === 'string' || typeof userId === 'bigint') return String(userId);
  if (typeof userId === 'number' && Number.isSafeInteger(userId)) return String(userId);
  const given = typeof userId === 'number' ? 'number that is not exact' : typeof userId;
  throw new TypeError(`give the user's id, such as user.id, and not a ${given}`);
}

/** PostgreSQL has no text with a NUL, so nobody has such an id. */
export function isNobodys(userId: string): boolean {
  return userId.includes('\0');
}
