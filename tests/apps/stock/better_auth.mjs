// A small app with better-auth, its admin plugin, and its sessions in PostgreSQL.
//
//     node better_auth.mjs migrate    makes better-auth's tables
//     PORT=3000 node better_auth.mjs
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import { fromNodeHeaders, toNodeHandler } from 'better-auth/node';
import { admin } from 'better-auth/plugins/admin';
import express from 'express';
import pg from 'pg';

const { COOKIE_CACHE_SECONDS, PORT = '3000', SECRET_KEY } = process.env;
const options = {
  baseURL: `http://127.0.0.1:${PORT}`,
  secret: SECRET_KEY,
  database: new pg.Pool(),
  emailAndPassword: { enabled: true },
  plugins: [admin()],
};
if (COOKIE_CACHE_SECONDS) {
  options.session = { cookieCache: { enabled: true, maxAge: Number(COOKIE_CACHE_SECONDS) } };
}

if (process.argv[2] === 'migrate') {
  const { runMigrations } = await getMigrations(options);
  await runMigrations();
  await options.database.end();
} else {
  const auth = betterAuth(options);
  const app = express();
  app.all('/api/auth/{*path}', toNodeHandler(auth));
  app.get('/ready', (_req, res) => res.send('ready'));
  app.get('/private', async (req, res) => {
    const session = await auth.api.getSession({ headers: fromNodeHeaders(req.headers) });
    if (!session) return res.sendStatus(401);
    res.type('text').send(`Logged in as ${session.user.name}\n`);
  });
  app.listen(PORT, '127.0.0.1');
}
