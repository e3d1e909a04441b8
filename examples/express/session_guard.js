'use strict';

const { ask } = require('./database');

/**
 * The user's id and the login time to store, or undefined where there is no such user; without a login time, the user
 * must not log in. To be called before the password's hash is read, or a password that is changed in between goes
 * unseen. session_start locks the user's row, and counts once it has committed: this statement is a transaction of its
 * own. The time stays text, since a JavaScript Date has no microseconds.
 */
function start(username) {
  return ask('SELECT id, session_start(id)::text AS login_at FROM users WHERE username = $1', [username]);
}

/** Ends a session that counts no more. On an error, Express calls no page; the cookie survives for when it can ask. */
async function middleware(req, _res, next) {
  if (req.session.user_id !== undefined) {
    const { valid } = await ask('SELECT session_valid($1::bigint, $2::timestamptz) AS valid', [
      req.session.user_id,
      req.session.login_at,
    ]);
    if (!valid) req.session = null;
  }
  next();
}

module.exports = { start, middleware };
