// An app of Express, with cookie-session or express-session (SESSIONS). UNGUARDED leaves the guard out.
'use strict';

const express = require('express');
const jwt = require('jsonwebtoken');
const { SessionGuard, loginClaims, loginTimeOf } = require('pg-session-guard/express');
const { pool, MODE, options, readUser, byName, passwordOf, setPassword, setActive, count } = require('./database');

const { SECRET_KEY, SESSIONS, PORT } = process.env;
const isGuarded = !('UNGUARDED' in process.env);

async function loadByHand(userId, loginAt) {
  const text = `SELECT id, username, ${guard.sql('u.id', '$2')} AS valid FROM users u WHERE id = $1`;
  const { rows: [row] } = await pool.query({ text, values: [userId, loginAt] });
  return row && { user: row, valid: row.valid };
}

const guard = new SessionGuard(pool, MODE === 'function' ? { ...options, user: loadByHand } : options);

const app = express();
app.use('/static', express.static(__dirname));
app.use(
  SESSIONS === 'store'
    ? require('express-session')({ secret: SECRET_KEY, resave: false, saveUninitialized: false })
    : require('cookie-session')({ keys: [SECRET_KEY] }),
);
if (isGuarded) app.use(guard.middleware);

// Express 4 does not look at what a handler returns.
const handled = (handler) => (req, res, next) => handler(req, res, next).catch(next);

const required = isGuarded
  ? guard.required
  : (req, res, next) => (req.session.user_id === undefined ? res.redirect('/login') : next());
const withUser = handled(async (req, _res, next) => {
  if (!isGuarded || MODE === 'own') req.user = await readUser(req.session.user_id);
  next();
});

app.get('/login', (req, res) => res.send(`${(isGuarded && guard.popMessage(req)) || ''}<form>`));

app.post('/login', express.urlencoded({ extended: false }), handled(async (req, res) => {
  const { username, password } = req.body;
  const id = await byName(username);
  const begun = isGuarded ? await guard.start(id) : '';
  if (id === undefined || (await passwordOf(id)) !== password) return res.sendStatus(401);
  if (!isGuarded) req.session.user_id = id;
  else if (!(await guard.logInAt(req, id, begun))) return res.sendStatus(401);
  return res.redirect('/private');
}));

app.get('/logout', handled(async (req, res) => {
  await guard.logOut(req);
  res.send('');
}));

app.get('/private', required, withUser, (req, res) => res.send(`Logged in as ${req.user.username}`));
app.get('/api/me', required, withUser, (req, res) => res.json({ name: req.user.username }));
app.get('/open', (_req, res) => res.send('open to all'));
app.get('/public', (req, res) => res.send(`nobody: ${req.session.user_id === undefined}`));
app.get('/statements', (_req, res) => res.json(count()));

app.post('/password', required, express.urlencoded({ extended: false }), handled(async (req, res) => {
  const { user_id: id } = req.session;
  const begun = await setPassword(id, req.body.new, (client) => guard.start(id, client), req.body.meanwhile);
  res.json(await (req.body.plain ? guard.keepSession(req) : guard.keepSessionAt(req, begun)));
}));

app.get('/by-orm/:active', handled(async (req, res) => {
  await setActive(req.params.active === '1');
  res.send('');
}));

const sign = (claims) => jwt.sign(claims, SECRET_KEY, { expiresIn: '1h' });
const decode = (token) => jwt.verify(token, SECRET_KEY, { algorithms: ['HS256'] });

app.post('/token', express.json(), handled(async (req, res) => {
  const { id } = req.body;
  const loginAt = await guard.start(id);
  if (loginAt === null) return res.sendStatus(401);
  const claims = { sub: String(id), ...loginClaims(loginAt) };
  return res.json({ access: sign(claims), refresh: sign({ ...claims, use: 'refresh' }) });
}));

app.post('/token/refresh', express.json(), handled(async (req, res) => {
  const claims = decode(req.body.refresh);
  const loginAt = loginTimeOf(claims);
  if (!(await guard.isValid(claims.sub, loginAt))) return res.sendStatus(401);
  return res.json({ access: sign({ sub: claims.sub, ...loginClaims(loginAt) }) });
}));

app.get('/by-token', guard.bearer(decode), (req, res) => res.json({ id: req.auth.sub }));

app.use(guard.errorHandler);
app.listen(PORT, '127.0.0.1');
