// What an app of Fastify writes in TypeScript, by require. It is only compiled: tsc --strict.
import Fastify = require('fastify');
import pg = require('pg');
import secureSession = require('@fastify/secure-session');
import core = require('pg-session-guard');
import guards = require('pg-session-guard/fastify');

interface User {
  id: string;
  name: string;
}

const pool = new pg.Pool();
const guard = new guards.SessionGuard<User>(pool, { user: 'SELECT id, name FROM users WHERE id = $1', message: null });
const app = Fastify.fastify();
app.register(secureSession.default, { key: Buffer.alloc(32), cookie: { path: '/' } });
app.register(guard.plugin);
app.get('/private', { onRequest: guard.required }, async (request) => {
  const user: User | undefined = guard.user(request);
  return user?.name;
});
app.get('/by-token', { onRequest: guard.bearer(async () => ({ sub: '7' })) }, async (request) => guard.claims(request));
app.post('/login', async (request, reply) => {
  const begun: string | null = await guard.start('7');
  const isIn: boolean = (await guard.logIn(request, 7)) && (await guard.logInAt(request, 7, begun));
  await guard.keepSession(request);
  await guard.keepSessionAt(request, await guard.start(7, new pg.Client()));
  await guard.logOut(request);
  return isIn ? reply.redirect('/private') : reply.code(401).send();
});

export async function ask(): Promise<boolean> {
  const loginAt: string | null = await core.sessionStart(pool, 7);
  return (await core.sessionValid(pool, 7, loginAt)) || new core.SessionGuard(pool).isValid(7, new Date());
}

// @ts-expect-error a misspelt option
new guards.SessionGuard(pool, { loginpath: '/sign-in' });
// @ts-expect-error the request is missing
void guard.logIn(7);
