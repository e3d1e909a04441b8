// A small Express app that is protected by pg_session_guard. Its sessions are signed cookies: nothing of them is on the
// server, so that nothing but the guard could end them.
//
//     createuser --pwprompt express && createdb --owner=express express     # as a superuser
//     npm ci && npm install --no-save pg-session-guard
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
const { SessionGuard } = require('pg-session-guard/express');
const { ask, pool } = require('./database');

const app = express();
app.disable('x-powered-by');
app.use(
  cookieSession({
    // A key of its own for each start logs everybody out, and serves one process only.
    keys: [process.env.SECRET_KEY || randomBytes(32).toString('hex')],
    sameSite: 'lax',
  }),
);
const guard = new SessionGuard(pool, { user: 'SELECT id, username FROM users WHERE id = $1' });
app.use(guard.middleware);

// Compared with where there is no such user, so that this takes as long.
const NOBODY = bcrypt.hashSync(randomBytes(32).toString('hex'));

const form = (message) => `<!doctype html>
<title>Example</title>
<p>${message ?? ''}</p>
<form method="post"><input name="username"><input name="password" type="password"><button>Send</button></form>`;

app.get('/login', (req, res) => res.send(form(guard.popMessage(req))));

app.post('/login', express.urlencoded({ extended: false }), async (req, res) => {
  const { username, password } = req.body ?? {};
  if (typeof username !== 'string' || typeof password !== 'string') return res.sendStatus(400);
  const id = (await ask('SELECT id FROM users WHERE username = $1', [username]))?.id;
  // Before the hash is read, or a password that is changed in between goes unseen.
  const begun = await guard.start(id);
  const user = await ask('SELECT password_hash FROM users WHERE id = $1', [id]);
  const matches = await bcrypt.compare(password, user?.password_hash ?? NOBODY);
  if (!matches || !(await guard.logInAt(req, id, begun))) return res.status(401).send(form());
  res.redirect('/private');
});

app.get('/private', guard.required, (req, res) => res.type('text').send(`Logged in as ${req.user.username}\n`));

app.use(guard.errorHandler);
app.use((error, _req, res, _next) => {
  console.error(error);
  res.sendStatus(error.status || 500);
});

app.listen(process.env.PORT || 3000, '127.0.0.1');
