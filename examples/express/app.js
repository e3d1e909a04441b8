// A small Express app that is protected by pg_session_guard. Its sessions are signed cookies: nothing of them is on the
// server, so that nothing but the guard could end them.
//
//     createuser --pwprompt express && createdb --owner=express express     # as a superuser
//     npm ci
//     export PGHOST=localhost PGUSER=express PGPASSWORD=… PGDATABASE=express SECRET_KEY=…
//     psql -f schema.sql                            # here the app's role owns the database and the table
//     PASSWORD=… node add-user.js alice
//     PORT=3000 node app.js
//
// Log in at /login, set active to false in psql, reload the page.
'use strict';

const bcrypt = require('bcryptjs');
const cookieSession = require('cookie-session');
const express = require('express');
const { randomBytes } = require('node:crypto');
const { ask } = require('./database');
const guard = require('./session_guard');

const app = express();
app.disable('x-powered-by');
app.use(
  cookieSession({
    // A key of its own for each start logs everybody out, and serves one process only.
    keys: [process.env.SECRET_KEY || randomBytes(32).toString('hex')],
    sameSite: 'lax',
  }),
);
app.use(guard.middleware);

// Compared with where there is no such user, so that this takes as long.
const NOBODY = bcrypt.hashSync(randomBytes(32).toString('hex'));

const FORM = `<!doctype html>
<title>Example</title>
<form method="post"><input name="username"><input name="password" type="password"><button>Send</button></form>`;

app.get('/login', (_req, res) => res.send(FORM));

app.post('/login', express.urlencoded({ extended: false }), async (req, res) => {
  const { username, password } = req.body ?? {};
  if (typeof username !== 'string' || typeof password !== 'string') return res.sendStatus(400);
  const started = await guard.start(username);
  const user = started && (await ask('SELECT password_hash FROM users WHERE id = $1', [started.id]));
  const matches = await bcrypt.compare(password, user ? user.password_hash : NOBODY);
  if (!matches || !started.login_at) return res.status(401).send(FORM);
  req.session = { user_id: started.id, username, login_at: started.login_at };
  res.redirect('/private');
});

app.get('/private', (req, res) => {
  if (!req.session || req.session.user_id === undefined) return res.redirect('/login');
  res.type('text').send(`Logged in as ${req.session.username}\n`);
});

app.use((error, _req, res, _next) => {
  console.error(error);
  res.sendStatus(error.status || 500);
});

app.listen(process.env.PORT || 3000, '127.0.0.1');
