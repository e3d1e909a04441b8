// What an app of Express writes in TypeScript, by import. It is only compiled: tsc --strict.
import cookieSession from 'cookie-session';
import express from 'express';
import jwt from 'jsonwebtoken';
import { Pool } from 'pg';
import { CannotAsk, LOGIN_TIME_KEY, SessionGuard, loginClaims, loginTimeOf, type Options } from 'pg-session-guard/express';
import type { Log } from 'pg-session-guard';

interface User {
  id: string;
  name: string;
}

const pool = new Pool();
const log: Log = (message, error) => console.error(message, error);
const options: Options = { users: 'public.users', failOpen: false, lockTimeoutMillis: 500, log };
const guard = new SessionGuard<User>(pool, { ...options, user: 'SELECT id, name FROM users WHERE id = $1', openPaths: ['/health'] });
new SessionGuard<User>(pool, {
  user: async (id, loginAt) => {
    const { rows: [row] } = await pool.query(`SELECT ${guard.sql('id', '$2')} AS valid FROM users WHERE id = $1`, [id, loginAt]);
    return row && { user: { id, name: String(row.name) }, valid: row.valid };
  },
});

const app = express();
app.use(cookieSession({ keys: ['a key'] }));
app.use(guard.middleware);
app.get('/private', guard.required, (req, res) => {
  const user: User | undefined = guard.user(req);
  const id: string | undefined = guard.userId(req);
  res.json({ name: user?.name, id, loginAt: guard.loginAt(req), message: guard.popMessage(req) });
});
app.post('/login', async (req, res) => {
  const begun: string | null = await guard.start(7n);
  const isIn: boolean = (await guard.logIn(req, 7)) && (await guard.logInAt(req, '7', begun)) && (await guard.keepSession(req));
  const client = await pool.connect();
  const later: boolean = await guard.keepSessionAt(req, await guard.start(7, client));
  client.release(later);
  await guard.logOut(req);
  res.json({ isIn, claims: loginClaims(begun), key: LOGIN_TIME_KEY });
});
const decode = (token: string) => jwt.verify(token, 'a key', { algorithms: ['HS256'] });
app.get('/by-token', guard.bearer(decode), async (req, res) => {
  const claims = guard.claims(req);
  res.json({ valid: claims && (await guard.isValid(claims['sub'], loginTimeOf(claims))) });
});
app.use(guard.errorHandler);

export const isUnavailable = (error: unknown): boolean => error instanceof CannotAsk && error.status === 503;

// @ts-expect-error a misspelt option
new SessionGuard(pool, { failopen: true });
// @ts-expect-error not the user, but the id
void guard.start({ id: 7 });
// @ts-expect-error the login time is missing
void guard.keepSessionAt({});
// @ts-expect-error a query has to be a text
new SessionGuard(pool, { user: 7 });
// @ts-expect-error the Pool is missing
new SessionGuard();
// @ts-expect-error the user has no such column
guard.user({})?.email;
