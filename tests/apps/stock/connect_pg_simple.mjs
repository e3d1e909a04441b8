// A small Express app whose sessions connect-pg-simple keeps in PostgreSQL.
import connect from 'connect-pg-simple';
import express from 'express';
import session from 'express-session';
import pg from 'pg';

const { PASSWORD, PORT = '3000', SECRET_KEY } = process.env;
const pool = new pg.Pool();
const app = express();
app.get('/ready', (_req, res) => res.send('ready'));
app.use(
  session({
    store: new (connect(session))({ pool, createTableIfMissing: true }),
    secret: SECRET_KEY,
    resave: false,
    saveUninitialized: false,
  }),
);

app.post('/login', express.urlencoded({ extended: false }), async (req, res) => {
  const { username, password } = req.body;
  const found = await pool.query('SELECT id FROM users WHERE name = $1 AND active', [username]);
  if (!found.rows.length || password !== PASSWORD) return res.sendStatus(401);
  await new Promise((resolve, reject) => req.session.regenerate((error) => (error ? reject(error) : resolve())));
  Object.assign(req.session, { userId: found.rows[0].id, username });
  res.redirect('/private');
});

app.get('/private', (req, res) => {
  if (!req.session.userId) return res.sendStatus(401);
  res.type('text').send(`Logged in as ${req.session.username}\n`);
});

// Takes as long as somebody has the lock, and then saves the session.
app.get('/slow', async (req, res) => {
  if (!req.session.userId) return res.sendStatus(401);
  await pool.query('SELECT pg_advisory_xact_lock(1)');
  req.session.visits = (req.session.visits ?? 0) + 1;
  res.type('text').send(`Visit ${req.session.visits}\n`);
});

app.listen(PORT, '127.0.0.1');
