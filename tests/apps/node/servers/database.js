// What both test servers share: a pool that counts, and the statements of the app's own.
'use strict';

const { Pool } = require('pg');

const pool = new Pool({ max: Number(process.env.POOL_SIZE || 8), connectionTimeoutMillis: 60000 });
pool.on('error', () => {});

let statements = 0;
const query = pool.query.bind(pool);
pool.query = (...question) => {
  statements += 1;
  return query(...question);
};

// How the guard is asked: query, function or own (by a query of the guard's own).
const MODE = process.env.MODE || 'query';
const USER = 'SELECT id, username FROM users WHERE id = $1 -- by its key';

/** The options of the guard, but for `user` of the mode `function`, which needs the guard. */
const options = {
  openPaths: ['/open', '/static', '/statements'],
  lockTimeoutMillis: Number(process.env.LOCK_TIMEOUT_MILLIS || 600000),
  failOpen: 'FAIL_OPEN' in process.env,
  prepare: 'PREPARE' in process.env,
  ...(MODE === 'query' ? { user: USER } : {}),
};

async function readUser(id) {
  return (await pool.query('SELECT id, username FROM users WHERE id = $1', [id])).rows[0];
}

async function byName(username) {
  return (await pool.query('SELECT id FROM users WHERE username = $1', [username])).rows[0]?.id;
}

// Not hashed: what counts here is that it is read after session_start.
async function passwordOf(id) {
  return (await pool.query('SELECT password FROM users WHERE id = $1', [id])).rows[0]?.password;
}

/** Gives what `start` gives, of the client, in the transaction of the change. Then somebody else does `meanwhile`. */
async function setPassword(id, password, start, meanwhile) {
  const client = await pool.connect();
  let begun;
  try {
    await client.query('BEGIN');
    await client.query('UPDATE users SET password = $2 WHERE id = $1', [id, password]);
    begun = await start(client);
    await client.query('COMMIT');
  } finally {
    client.release(true);
  }
  if (meanwhile) await pool.query(meanwhile);
  return begun;
}

async function setActive(active) {
  await pool.query("UPDATE users SET active = $1 WHERE username = 'alice'", [active]);
}

module.exports = { pool, MODE, options, readUser, byName, passwordOf, setPassword, setActive, count: () => statements };
