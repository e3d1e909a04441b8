// An app of Fastify 5, with @fastify/secure-session or @fastify/session (SESSIONS). UNGUARDED leaves the guard out.
import cookie from '@fastify/cookie';
import formbody from '@fastify/formbody';
import secureSession from '@fastify/secure-session';
import session from '@fastify/session';
import Fastify from 'fastify';
import jwt from 'jsonwebtoken';
import { SessionGuard, loginClaims, loginTimeOf } from 'pg-session-guard/fastify';
import database from './database.js';

const { pool, MODE, options, readUser, byName, passwordOf, setPassword, setActive, count } = database;
const { SECRET_KEY, SESSIONS, PORT } = process.env;
const isGuarded = !('UNGUARDED' in process.env);

const guard = new SessionGuard(pool, options);
const app = Fastify({ logger: { level: 'warn' } });
app.register(formbody);
if (SESSIONS === 'store') {
  app.register(cookie);
  app.register(session, { secret: SECRET_KEY, cookie: { secure: false }, saveUninitialized: false });
} else {
  app.register(secureSession, { secret: SECRET_KEY, cookie: { path: '/' } });
}
if (isGuarded) app.register(guard.plugin);

const required = isGuarded
  ? guard.required
  : async (request, reply) => (request.session.user_id === undefined ? reply.redirect('/login') : undefined);

async function withUser(request) {
  if (!isGuarded || MODE === 'own') request.user = await readUser(request.session.user_id);
}

const html = (reply, text) => reply.type('text/html').send(text);
const loggedIn = { onRequest: required, preHandler: withUser };

app.after(() => {
  app.get('/login', async (request, reply) => html(reply, `${(isGuarded && guard.popMessage(request)) || ''}<form>`));
  app.post('/login', async (request, reply) => {
    const { username, password } = request.body;
    const id = await byName(username);
    const begun = isGuarded ? await guard.start(id) : '';
    if (id === undefined || (await passwordOf(id)) !== password) return reply.code(401).send();
    if (!isGuarded) request.session.user_id = id;
    else if (!(await guard.logInAt(request, id, begun))) return reply.code(401).send();
    return reply.redirect('/private');
  });
  app.get('/logout', async (request) => {
    await guard.logOut(request);
    return '';
  });
  app.get('/private', loggedIn, async (request, reply) => html(reply, `Logged in as ${request.user.username}`));
  app.get('/api/me', loggedIn, async (request) => ({ name: request.user.username }));
  app.get('/open', async () => 'open to all');
  app.get('/static/server.js', async () => 'a file');
  app.get('/public', async (request) => `nobody: ${request.session.user_id === undefined}`);
  app.get('/statements', async () => count());
  app.post('/password', { onRequest: required }, async (request) => {
    const { session: { user_id: id }, body } = request;
    const begun = await setPassword(id, body.new, (client) => guard.start(id, client), body.meanwhile);
    return body.plain ? guard.keepSession(request) : guard.keepSessionAt(request, begun);
  });
  app.get('/by-orm/:active', async (request) => {
    await setActive(request.params.active === '1');
    return '';
  });

  const sign = (claims) => jwt.sign(claims, SECRET_KEY, { expiresIn: '1h' });
  const decode = (token) => jwt.verify(token, SECRET_KEY, { algorithms: ['HS256'] });
  app.post('/token', async (request, reply) => {
    const { id } = request.body;
    const loginAt = await guard.start(id);
    if (loginAt === null) return reply.code(401).send();
    const claims = { sub: String(id), ...loginClaims(loginAt) };
    return { access: sign(claims), refresh: sign({ ...claims, use: 'refresh' }) };
  });
  app.post('/token/refresh', async (request, reply) => {
    const claims = decode(request.body.refresh);
    const loginAt = loginTimeOf(claims);
    if (!(await guard.isValid(claims.sub, loginAt))) return reply.code(401).send();
    return { access: sign({ sub: claims.sub, ...loginClaims(loginAt) }) };
  });
  app.get('/by-token', { onRequest: guard.bearer(decode) }, async (request) => ({ id: request.auth.sub }));
});

await app.listen({ port: Number(PORT), host: '127.0.0.1' });
