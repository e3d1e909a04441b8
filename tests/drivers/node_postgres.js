// node-postgres: each value is sent as text without a type.
const { Client } = require('pg');

const CASES = 'SELECT name, ask, guard, id_as, id, login_as, login FROM cases ORDER BY name, guard';
const CALLS = { session: ['session_verdict', 'session_valid'], token: ['token_valid'], 'round trip': ['round_trip'] };
const db = new Client();

const naturalId = (kind, text) => (text === null ? null
  : kind === 'int' ? Number(text) : kind === 'bigint' ? BigInt(text) : text);

// A Date knows the instant, so that only a naive text needs a cast to say what it is.
const naturalLogin = (kind, text) => (kind === 'aware' ? new Date(text)
  : kind === 'infinity' ? (text === 'infinity' ? Infinity : -Infinity) : text);

async function ask(name, call, args, naive) {
  const places = args.map((_, n) => (naive && n === args.length - 1 ? `$${n + 1}::timestamp` : `$${n + 1}`));
  const text = `SELECT ${call}(${places.join(', ')}) AS answer`;
  const { rows } = await db.query({ name: name && text, text, values: args });
  return rows[0].answer;
}

async function roundTrip(userId) {
  const isValid = async () => {
    const { rows: [{ valid }] } = await db.query('SELECT session_valid($1, $2) AS valid', [userId, loginAt]);
    return valid;
  };
  await db.query('SELECT stamp($1)', [userId]);
  const { rows: [{ login_at: loginAt }] } = await db.query('SELECT session_start($1) AS login_at', [userId]);
  const before = await isValid();
  await db.query('SELECT stamp($1)', [userId]);
  return `${before} ${await isValid()}`;
}

async function put(prepared, call, row) {
  const user = naturalId(row.id_as, row.id);
  if (call === 'round_trip') return roundTrip(user);
  const which = row.guard === null ? [] : [row.guard];
  let login = naturalLogin(row.login_as, row.login);
  if (row.login_as === 'read') login = await ask(prepared, 'read_time', [row.login]);
  if (row.login_as === 'started') login = await ask(prepared, 'session_start', [...which, user]);
  return ask(prepared, call, [...which, user, login], row.login_as === 'naive');
}

(async () => {
  await db.connect();
  for (const row of (await db.query(CASES)).rows) {
    for (const [way, prepared] of [['prepared', true], ['unprepared', false]]) {
      for (const call of CALLS[row.ask]) {
        const answer = await put(prepared, call, row).catch((error) => `error ${error.code || 'client'}`);
        console.log([row.name, row.guard || '', call, way, answer].join('\t'));
      }
    }
  }
  await db.end();
})().catch((error) => { console.error(error); process.exit(1); });
