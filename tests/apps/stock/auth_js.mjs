// A small Express app with Auth.js: logins by links that are sent by mail, and sessions in PostgreSQL.
import { ExpressAuth, getSession } from '@auth/express';
import PostgresAdapter from '@auth/pg-adapter';
import express from 'express';
import pg from 'pg';

const { PORT = '3000', SECRET_KEY } = process.env;
// Instead of a mail server: the last link for each address.
const outbox = new Map();
const config = {
  adapter: PostgresAdapter(new pg.Pool()),
  session: { strategy: 'database' },
  secret: SECRET_KEY,
  trustHost: true,
  providers: [
    {
      id: 'email',
      type: 'email',
      name: 'Email',
      maxAge: 60,
      sendVerificationRequest: ({ identifier, url }) => outbox.set(identifier, url),
    },
  ],
  callbacks: { signIn: ({ user }) => !user.disabled_at },
};

const app = express();
app.get('/ready', (_req, res) => res.send('ready'));
app.get('/outbox/:address', (req, res) => res.type('text').send(outbox.get(req.params.address) ?? ''));
app.use('/auth', ExpressAuth(config));
app.get('/private', async (req, res) => {
  const session = await getSession(req, config);
  if (!session) return res.sendStatus(401);
  res.type('text').send(`Logged in as ${session.user.email}\n`);
});
app.listen(PORT, '127.0.0.1');
