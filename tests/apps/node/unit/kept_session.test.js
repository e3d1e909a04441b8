// What goes on of a session in a store that is kept under a new id, and of a request that was under way beside it.
'use strict';

const assert = require('node:assert');
const { test } = require('node:test');
const express = require('pg-session-guard/express');
const fastify = require('pg-session-guard/fastify');

const SECRET = 'a secret of the tests, longer than 32 bytes';
// A store of its own is what is looked at here, so each session counts.
const pool = { query: async () => ({ rows: [{ valid: true, login_at: '2026-07-01T12:00:00.000000Z' }] }) };

/** The routes, of each framework's own request. */
const routes = (guard, underWay) => ({
  '/login': async (request) => {
    await guard.logIn(request, 1);
    request.session.cookie.maxAge = 3600000;
    request.session.basket = ['a book'];
  },
  '/keep': (request) => guard.keepSession(request),
  '/slow': async (request) => {
    request.session.basket = ['nothing'];
    await underWay();
  },
  '/basket': async (request) => request.session.basket ?? null,
});

function ofExpress(underWay) {
  const guard = new express.SessionGuard(pool);
  const app = require('express')();
  app.use(require('express-session')({ secret: SECRET, resave: false, saveUninitialized: false }));
  for (const [path, handler] of Object.entries(routes(guard, underWay))) {
    app.get(path, (req, res, next) => handler(req).then((body) => res.json(body ?? null), next));
  }
  return app;
}

function ofFastify(underWay) {
  const guard = new fastify.SessionGuard(pool);
  const app = require('fastify')();
  app.register(require('@fastify/cookie'));
  app.register(require('@fastify/session'), { secret: SECRET, cookie: { secure: false }, saveUninitialized: false });
  for (const [path, handler] of Object.entries(routes(guard, underWay))) {
    app.get(path, async (request) => JSON.stringify((await handler(request)) ?? null));
  }
  return app;
}

async function listening(app) {
  if (app.inject) {
    await app.listen({ port: 0, host: '127.0.0.1' });
    return { port: app.server.address().port, close: () => app.close() };
  }
  const server = await new Promise((resolve) => {
    const made = app.listen(0, '127.0.0.1', () => resolve(made));
  });
  return {
    port: server.address().port,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

for (const [name, make] of [['express-session', ofExpress], ['@fastify/session', ofFastify]]) {
  test(`${name}: the rest of a session goes on with it, and what is under way changes nothing of it`, async () => {
    let release;
    let begun;
    const isUnderWay = new Promise((resolve) => (begun = resolve));
    const released = new Promise((resolve) => (release = resolve));
    const server = await listening(make(() => (begun(), released)));
    const get = async (path, cookie = '') => {
      const answer = await fetch(`http://127.0.0.1:${server.port}${path}`, { headers: { cookie } });
      assert.strictEqual(answer.status, 200, await answer.clone().text());
      return { body: await answer.json(), cookie: answer.headers.get('set-cookie') ?? '' };
    };
    try {
      const before = await get('/login');
      const [old] = before.cookie.split(';');
      const slow = get('/slow', old);
      await isUnderWay;
      const kept = await get('/keep', old);
      assert.strictEqual(kept.body, true);
      const [cookie] = kept.cookie.split(';');
      assert.notStrictEqual(cookie, old);
      assert.match(before.cookie, /Expires=/);
      assert.match(kept.cookie, /Expires=/);
      release();
      await slow;
      assert.deepStrictEqual((await get('/basket', cookie)).body, ['a book']);
    } finally {
      release();
      await server.close();
    }
  });
}
