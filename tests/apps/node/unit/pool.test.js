// What asks through a Pool, on databases of its own: other types of ids, other schemas, and what others have planted.
'use strict';

const assert = require('node:assert');
const { after, before, describe, test } = require('node:test');
const { Client, Pool } = require('pg');
const { CannotAsk, SessionGuard, loginClaims, sessionStart, sessionValid } = require('pg-session-guard');
const express = require('pg-session-guard/express');

const OWNER = 'session_guard_node';
const APP = 'session_guard_node_app';

async function asAdmin(database, ...statements) {
  const admin = new Client({ database });
  await admin.connect();
  try {
    let last;
    for (const statement of statements) last = await admin.query(statement);
    return last.rows?.[0] && Object.values(last.rows[0])[0];
  } finally {
    await admin.end();
  }
}

/** A database that OWNER owns, with the statements run in it, and a Pool of APP. */
function database(name, ...statements) {
  const made = { name, log: [] };
  const log = (message, error) => made.log.push({ message, error });
  before(async () => {
    for (const role of [OWNER, APP]) {
      const known = await asAdmin('postgres', `SELECT count(*) FROM pg_roles WHERE rolname = '${role}'`);
      if (known === '0') await asAdmin('postgres', `CREATE ROLE ${role} LOGIN`);
    }
    await asAdmin('postgres', `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`, `CREATE DATABASE ${name} OWNER ${OWNER}`);
    await asAdmin(name, `SET ROLE ${OWNER}`, ...statements);
    made.pool = new Pool({ database: name, user: APP, max: 2 });
    made.guard = (options = {}) => new SessionGuard(made.pool, { log, ...options });
    made.web = (options = {}) => new express.SessionGuard(made.pool, { log, ...options });
    made.sql = (...more) => asAdmin(name, ...more);
  });
  after(async () => {
    await made.pool.end();
    // Not by force: end() returns before its connections have ended, and one that is terminated is an error of the Pool.
    await asAdmin('postgres', `DROP DATABASE ${name}`);
  });
  return made;
}

/** As Express would call the middleware `required`: what the request is answered. */
function answered(guard, session, headers = {}) {
  const request = { session, headers, method: 'GET', path: '/', baseUrl: '', originalUrl: '/' };
  return new Promise((resolve, reject) => {
    const response = { setHeader() {}, end: () => resolve({ status: response.statusCode, request }) };
    guard.required(request, response, (error) => (error ? reject(error) : resolve({ status: 200, request })));
  });
}

const GUARDED = [
  'CREATE EXTENSION pg_session_guard',
  "CREATE TABLE users (id bigint PRIMARY KEY, name text, active bool NOT NULL DEFAULT true)",
  "INSERT INTO users VALUES (1, 'alice'), (2, 'bob'), (9007199254740993, 'many')",
  `GRANT SELECT ON users TO ${APP}`,
  "SELECT session_guard.attach('users')",
  `SELECT session_guard.grant_access('${APP}')`,
];
const USER = 'SELECT id, name FROM users WHERE id = $1';

describe('a Pool', () => {
  const db = database('session_guard_node_pool', ...GUARDED);

  test('a session ends by a disable, and stays dead', async () => {
    const [alice, bob] = [await sessionStart(db.pool, 1), await sessionStart(db.pool, '2')];
    assert.strictEqual(await sessionValid(db.pool, 1n, alice), true);
    await db.sql('UPDATE users SET active = false WHERE id = 1');
    assert.strictEqual(await sessionStart(db.pool, 1), null);
    await db.sql('UPDATE users SET active = true WHERE id = 1');
    assert.deepStrictEqual([await sessionValid(db.pool, 1, alice), await sessionValid(db.pool, 2, bob)], [false, true]);
    assert.strictEqual(await sessionValid(db.pool, 1, await sessionStart(db.pool, 1)), true);
  });

  test('an id that a number does not hold exactly is refused, and one that a text or a bigint holds is not', async () => {
    const guard = db.guard();
    await assert.rejects(guard.start(2 ** 53), TypeError);
    await assert.rejects(guard.isValid({ id: 1 }, null), TypeError);
    for (const id of ['9007199254740993', 9007199254740993n]) {
      assert.strictEqual(await guard.isValid(id, await guard.start(id)), true);
    }
  });

  test('nobody has an id that is none', async () => {
    for (const id of ['nobody', '', '3', '9223372036854775808', "1'; SELECT 1", '1\0']) {
      assert.strictEqual(await db.guard().start(id), null);
      assert.strictEqual(await db.guard().isValid(id, null), false);
      for (const options of [{}, { user: USER }]) {
        assert.strictEqual((await answered(db.web(options), { user_id: id })).status, 302);
      }
    }
    assert.deepStrictEqual(db.log.filter(({ error }) => error), []);
  });

  test('a login time has its microseconds, in UTC, whatever the settings of the database', async () => {
    await db.sql(`ALTER ROLE ${APP} SET DateStyle = 'German'`, `ALTER ROLE ${APP} SET TimeZone = 'Asia/Kolkata'`);
    const pool = new Pool({ database: db.name, user: APP });
    try {
      const times = [];
      for (let count = 0; count < 20; count += 1) times.push(await sessionStart(pool, 2));
      for (const time of times) {
        assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
        assert.ok(Math.abs(Date.now() - Date.parse(time)) < 60_000, time);
      }
      assert.ok(times.some((time) => !time.endsWith('000Z')), times[0]);
      assert.strictEqual(await sessionValid(pool, 2, times[0]), true);
      // A microsecond before the epoch is too early; the epoch itself is not.
      await db.sql('SELECT session_guard.revoke_sessions(1)');
      const epoch = await sessionStart(pool, 1);
      const before = await db.sql(
        "SELECT to_char((max(epoch) - interval '1 us') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM session_guard.epoch",
      );
      assert.deepStrictEqual([await sessionValid(pool, 1, epoch), await sessionValid(pool, 1, before)], [true, false]);
    } finally {
      await pool.end();
      await db.sql(`ALTER ROLE ${APP} RESET ALL`);
    }
  });

  test('statements are prepared where that is asked for, each text under a name of its own', async () => {
    const pool = new Pool({ database: db.name, user: APP, max: 1 });
    try {
      for (const prepare of [false, true]) {
        const guards = [new SessionGuard(pool, { prepare }), new SessionGuard(pool, { prepare, users: 'users' })];
        for (const guard of guards) assert.strictEqual(await guard.isValid(2, await guard.start(2)), true);
        const { rows } = await pool.query("SELECT name FROM pg_prepared_statements WHERE name LIKE 'pg\\_session%'");
        assert.strictEqual(rows.length, prepare ? 4 : 0);
      }
    } finally {
      await pool.end();
    }
  });

  test('a table that is altered under a prepared query is read as it is', async () => {
    const pool = new Pool({ database: db.name, user: APP, max: 2 });
    const log = [];
    try {
      const guard = new express.SessionGuard(pool, { user: 'SELECT * FROM users WHERE id = $1', prepare: true, log: (told) => log.push(told) });
      const session = { user_id: '2', guard_login_at: await guard.start(2) };
      // Of each connection of the Pool.
      const ask = () => Promise.all([1, 2].map(() => answered(guard, { ...session })));
      for (const change of ['ADD more int', 'ALTER more TYPE text', 'DROP more']) {
        assert.deepStrictEqual((await ask()).map(({ status }) => status), [200, 200]);
        await db.sql(`ALTER TABLE users ${change}`);
        const [{ request }] = await ask();
        assert.deepStrictEqual(Object.keys(guard.user(request) ?? {}).includes('more'), change !== 'DROP more');
      }
      assert.deepStrictEqual(log, []);
    } finally {
      await pool.end();
    }
  });

  test('the login waits no longer than its own timeout, and leaves none behind', async () => {
    const changing = new Client({ database: db.name });
    await changing.connect();
    const pool = new Pool({ database: db.name, user: APP, max: 1 });
    try {
      await changing.query('BEGIN');
      await changing.query('UPDATE users SET active = false WHERE id = 2');
      // Also where it fails open: a login by now would outlive what the change ends.
      for (const failOpen of [false, true]) {
        const guard = new SessionGuard(pool, { lockTimeoutMillis: 100, failOpen, log: () => {} });
        await assert.rejects(guard.start(2), (error) => error instanceof CannotAsk && error.cause.code === '55P03');
      }
      const guard = new SessionGuard(pool);
      await changing.query('ROLLBACK');
      assert.ok(await guard.start(2));
      assert.strictEqual((await pool.query('SHOW lock_timeout')).rows[0].lock_timeout, '0');
    } finally {
      await changing.end();
      await pool.end();
    }
  });

  test('the user is read and asked about in one query, with its columns as they are', async () => {
    const guard = db.web({ user: `${USER} -- by its key` });
    const { status, request } = await answered(guard, { user_id: '2', guard_login_at: await guard.start(2) });
    assert.strictEqual(status, 200);
    assert.deepStrictEqual(guard.user(request), { id: '2', name: 'bob' });
    assert.throws(() => db.web({ user: `${USER};` }), /semicolon/);
  });

  test('an error of the app\'s own query is a 503 for who is logged in, and no refusal', async () => {
    const guard = db.web({ user: "SELECT id, name::int FROM users WHERE id = $1" });
    assert.strictEqual((await answered(guard, { user_id: '2', guard_login_at: await guard.start(2) })).status, 503);
  });

  test('an error of a function of the app\'s own serves nobody who is out, also where it fails open', async () => {
    const user = async () => Promise.reject(new Error('of the app'));
    for (const [failOpen, status] of [[false, 503], [true, 200]]) {
      const guard = db.web({ user, failOpen });
      const session = () => ({ user_id: '2', guard_login_at: begun });
      const begun = await guard.start(2);
      assert.strictEqual((await answered(guard, session())).status, status);
      await db.sql('SELECT session_guard.revoke_sessions(2)');
      assert.strictEqual((await answered(guard, session())).status, 302);
    }
  });

  test('a token whose sub is a number that is not exact is of nobody', async () => {
    const guard = db.web();
    const status = async (sub, id = '9007199254740993') => {
      const begun = await guard.start(id);
      const request = { session: {}, headers: { authorization: 'Bearer x' }, method: 'GET', path: '/', baseUrl: '', originalUrl: '/' };
      const token = JSON.stringify({ sub: '?', ...loginClaims(begun) }).replace('"?"', sub);
      return new Promise((resolve, reject) => {
        const response = { setHeader() {}, end: () => resolve(response.statusCode) };
        guard.bearer(() => JSON.parse(token))(request, response, (error) => (error ? reject(error) : resolve(guard.userId(request))));
      });
    };
    await db.sql("INSERT INTO users VALUES (9007199254740992, 'somebody else')");
    assert.strictEqual(await status('"9007199254740993"'), '9007199254740993');
    for (const sub of ['9007199254740993', '1e400', '2.5', 'true', 'null', '[2]']) assert.strictEqual(await status(sub), 401, sub);
    assert.strictEqual(await status('2', 2), '2');
  });

  test('what has changed since the login began counts, too', async () => {
    const guard = db.web();
    const request = () => ({ session: { user_id: '2', cart: 1 }, headers: {}, method: 'POST', path: '/', baseUrl: '', originalUrl: '/' });
    for (const change of ['UPDATE users SET active = false WHERE id = 1', 'SELECT session_guard.revoke_sessions(1)']) {
      const [begun, login] = [await guard.start(1), request()];
      await db.sql(change);
      assert.strictEqual(await guard.logInAt(login, 1, begun), false);
      assert.deepStrictEqual(login.session, {});
      await db.sql('UPDATE users SET active = true WHERE id = 1');
    }
    const [begun, login] = [await guard.start(1), request()];
    assert.strictEqual(await guard.logInAt(login, 1, begun), true);
    assert.deepStrictEqual(login.session, { user_id: '1', guard_login_at: begun });
    assert.deepStrictEqual([guard.userId(login), guard.loginAt(login)], ['1', begun]);
    await db.sql('UPDATE users SET active = false WHERE id = 1');
    assert.deepStrictEqual([await guard.keepSession(login), login.session], [false, {}]);
    await db.sql('UPDATE users SET active = true WHERE id = 1');
  });

  test('a session is kept by a time of the transaction that changed its user', async () => {
    const guard = db.web({ failOpen: true });
    const request = (loginAt) => ({ session: { user_id: '1', guard_login_at: loginAt, cart: 1 }, headers: {} });
    const client = new Client({ database: db.name });
    await client.connect();
    try {
      const change = async () => {
        await client.query('BEGIN');
        await client.query('SELECT session_guard.revoke_sessions(1)');
        const begun = await guard.start(1, client);
        assert.match(begun, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
        // The app's own timeout is as it was.
        assert.strictEqual((await client.query('SHOW lock_timeout')).rows[0].lock_timeout, '0');
        await client.query('COMMIT');
        return begun;
      };
      const [before, begun] = [await guard.start(1), await change()];
      const kept = request(before);
      assert.strictEqual(await guard.isValid(1, before), false);
      assert.strictEqual(await guard.keepSessionAt(kept, begun), true);
      assert.deepStrictEqual(kept.session, { user_id: '1', guard_login_at: begun, cart: 1 });
      assert.deepStrictEqual([guard.userId(kept), guard.loginAt(kept)], ['1', begun]);

      const late = await change();
      await db.sql('SELECT session_guard.revoke_sessions(1)');
      assert.deepStrictEqual([await guard.keepSessionAt(kept, late), kept.session], [false, {}]);
      const none = request(before);
      assert.deepStrictEqual([await guard.keepSessionAt(none, null), none.session], [false, {}]);
      assert.strictEqual(await guard.keepSessionAt({ session: {}, headers: {} }, late), false);

      await assert.rejects(guard.start(1, db.pool), /not the Pool/);
      await client.query('BEGIN');
      await client.query('SELECT 1 / 0').catch(() => {});
      await assert.rejects(guard.start(1, client), CannotAsk);
    } finally {
      await client.end();
    }
  });

  test('nobody logs in without an id or a begun login', async () => {
    for (const [id, begun] of [[undefined, 'x'], [null, 'x'], [2, null]]) {
      const login = { session: { user_id: '2' }, headers: {} };
      assert.deepStrictEqual([await db.web().logInAt(login, id, begun), login.session], [false, {}]);
    }
    assert.strictEqual(await db.guard().start(undefined), null);
  });

  test('a missing login time is told once', async () => {
    const guard = db.web();
    await db.sql('SELECT session_guard.revoke_sessions(2)');
    const told = () => db.log.filter(({ message }) => message.includes('without a login time')).length;
    const before = told();
    await answered(guard, { user_id: '2', guard_login_at: '2020-01-01T00:00:00.000000Z' });
    assert.strictEqual(told() - before, 0);
    for (let count = 0; count < 3; count += 1) await answered(guard, { user_id: '2' });
    assert.strictEqual(told() - before, 1);
  });
});

describe('ids that are UUIDs, and another table, in another schema', () => {
  const ALICE = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11';
  const db = database(
    'session_guard_node_uuid',
    'CREATE SCHEMA guards',
    'CREATE EXTENSION pg_session_guard SCHEMA guards',
    'CREATE TABLE users (id text PRIMARY KEY, active bool)',
    'CREATE SCHEMA "the people"',
    'CREATE TABLE "the people"."it\'s \\ staff" (id uuid PRIMARY KEY, active bool NOT NULL DEFAULT true)',
    `INSERT INTO "the people"."it's \\ staff" VALUES ('${ALICE}')`,
    `GRANT USAGE ON SCHEMA guards, "the people" TO ${APP}`,
    `GRANT SELECT ON ALL TABLES IN SCHEMA "the people" TO ${APP}`,
    "SELECT session_guard.attach('users', 'id', 'active')",
    `SELECT session_guard.attach('"the people"."it''s \\ staff"')`,
    `SELECT session_guard.grant_access('${APP}')`,
  );
  const STAFF = { schema: 'guards', users: '"the people"."it\'s \\ staff"' };

  test('are asked about by their own guard', async () => {
    for (const conforming of ['on', 'off']) {
      await db.sql(`ALTER ROLE ${APP} SET standard_conforming_strings = ${conforming}`);
      const pool = new Pool({ database: db.name, user: APP });
      const guard = new express.SessionGuard(pool, { ...STAFF, user: `SELECT id FROM ${STAFF.users} WHERE id = $1`, log: () => {} });
      try {
        const begun = await guard.start(ALICE.toUpperCase());
        assert.strictEqual(await guard.isValid(ALICE, begun), true);
        assert.strictEqual((await answered(guard, { user_id: ALICE, guard_login_at: begun })).status, 200);
        assert.strictEqual((await answered(guard, { user_id: 'nobody', guard_login_at: begun })).status, 302);
        assert.strictEqual(await guard.start('nobody'), null);
        await db.sql(`UPDATE ${STAFF.users} SET active = false`, `UPDATE ${STAFF.users} SET active = true`);
        assert.strictEqual((await answered(guard, { user_id: ALICE, guard_login_at: begun })).status, 302);
      } finally {
        await pool.end();
      }
    }
  });

  test('and without the schema it is said what is wrong', async () => {
    await assert.rejects(db.guard({ users: STAFF.users }).start(ALICE), CannotAsk);
    assert.match(db.log.at(-1).message, /option schema \(now public\)/);
  });
});

describe('what others have planted', () => {
  const said = (name, types, result, value) =>
    `CREATE FUNCTION ${name}(${types}) RETURNS ${result} LANGUAGE sql IMMUTABLE AS $f$ SELECT ${value} $f$`;
  const NOW = "'2100-01-01'::timestamptz";
  // In both schemas; those in `public` stand beside the extension's own.
  const planted = ['public', 'planted'].flatMap((schema) => [
    ...['varchar, timestamptz', 'varchar, text', 'text, text', 'name, timestamptz', 'regclass, varchar, timestamptz'].map((types) =>
      said(`${schema}.session_valid`, types, 'bool', 'true'),
    ),
    ...['varchar', 'name', 'text, text', 'regclass, varchar'].map((types) => said(`${schema}.session_start`, types, 'timestamptz', NOW)),
  ]);
  const db = database(
    'session_guard_node_planted',
    ...GUARDED,
    'CREATE SCHEMA planted',
    ...planted,
    said('planted.session_valid', 'text, timestamptz', 'bool', 'true'),
    said('planted.session_start', 'text', 'timestamptz', NOW),
    said('planted.to_char', 'timestamp, text', 'text', "'2100-01-01T00:00:00.000000Z'::text"),
    said('planted.timezone', 'text, timestamptz', 'timestamp', "'2100-01-01'::timestamp"),
    said('planted.set_config', 'text, text, bool', 'text', 'NULL::text'),
    'CREATE DOMAIN planted.text AS pg_catalog.varchar',
    'CREATE DOMAIN planted.timestamptz AS pg_catalog.text',
    'CREATE DOMAIN planted.regclass AS pg_catalog.text',
    `GRANT USAGE ON SCHEMA planted TO ${APP}`,
  );

  test('is not called', async () => {
    const began = await sessionStart(db.pool, 1);
    await db.sql('UPDATE users SET active = false WHERE id = 1');
    for (const path of ['planted, public, pg_catalog', 'planted, pg_catalog', 'public']) {
      await db.sql(`ALTER ROLE ${APP} SET search_path = ${path}`);
      const pool = new Pool({ database: db.name, user: APP });
      try {
        for (const options of [{}, { users: 'public.users' }]) {
          const user = 'SELECT id FROM public.users WHERE id = $1';
          const guard = new express.SessionGuard(pool, { ...options, user });
          assert.strictEqual(await guard.start(1), null);
          assert.match(await guard.start(2), /^20[2-9]/);
          assert.strictEqual(await guard.isValid(1, began), false);
          // Of a column of a type for which a function was planted.
          const asked = `SELECT ${guard.sql('id::pg_catalog.varchar', '$1')} AS valid FROM public.users WHERE id = 1`;
          assert.deepStrictEqual((await pool.query(asked, [began])).rows, [{ valid: false }]);
          assert.strictEqual((await answered(guard, { user_id: '1', guard_login_at: began })).status, 302);
          assert.strictEqual((await answered(guard, { user_id: '2', guard_login_at: await guard.start(2) })).status, 200);
        }
      } finally {
        await pool.end();
      }
    }
  });
});

describe('a database that is not set up', () => {
  const db = database('session_guard_node_bare', 'CREATE TABLE users (id bigint PRIMARY KEY, active bool)');

  async function told(ask) {
    await assert.rejects(ask, (error) => error instanceof CannotAsk && error.statusCode === 503 && !/session_/.test(error.message));
    return db.log.at(-1).message;
  }

  test('is told how: the extension, the guard, the right, the table', async () => {
    const guard = db.guard();
    for (const ask of [() => guard.start(1), () => guard.isValid(1, null)]) {
      assert.match(await told(ask), /CREATE EXTENSION pg_session_guard/);
    }
    assert.strictEqual((await answered(db.web(), { user_id: '1' })).status, 503);
    await db.sql(`SET ROLE ${OWNER}`, 'CREATE EXTENSION pg_session_guard');
    assert.match(await told(() => guard.start(1)), /grant_access/);
    await db.sql(`SET ROLE ${OWNER}`, `SELECT session_guard.grant_access('${APP}')`);
    assert.match(await told(() => guard.start(1)), /SELECT session_guard\.attach/);
    assert.match(await told(() => db.guard({ users: 'users' }).start(1)), /or name the table that is guarded by the option users/);
    assert.match(await told(() => db.guard({ users: 'none' }).start(1)), /names a table that is not there/);
  });
});
