// What needs no database: open paths, login times, kinds of routes, options.
'use strict';

const assert = require('node:assert');
const path = require('node:path');
const { test } = require('node:test');
const core = require('pg-session-guard');
const { LOGIN_TIME_KEY, SessionGuard, loginClaims, loginTimeOf } = require('pg-session-guard/express');

// What is not exported to apps.
const built = (name) => require(path.join(path.dirname(require.resolve('pg-session-guard')), name));
const { isOpen } = built('open_paths.js');
const { fromKept, LONG_AGO } = built('login_time.js');
const { kindOfRoute, withNext } = built('answers.js');

const pool = { query: () => Promise.reject(new Error('not to be asked')) };

test('an open path is that path, and what is below it', () => {
  const open = ['/health', '/static/', '/a.b'];
  for (const each of ['/health', '/health/', '/health/live', '/static/', '/static/a.js', '/a.b', '/static/...']) {
    assert.ok(isOpen(each, open), each);
  }
  const closed = ['/', '', '/healthy', '/health-records', '/HEALTH', '/static', '/axb', '/private', '/private/health', '//health', 'health'];
  const led = ['/health/../private', '/health/..', '/health/./private', '/health/%2e%2e/private', '/health/.%2E/private'];
  const hidden = ['/health%2f..%2fprivate', '/health/%5c..', '/health/..\\private', '/health/%00', '/static/a%2Fb'];
  for (const each of [...closed, ...led, ...hidden]) assert.ok(!isOpen(each, open), each);
});

test('a slash opens the front page alone, and no path opens nothing', () => {
  assert.deepStrictEqual(['/', '/private', '//'].map((each) => isOpen(each, ['/'])), [true, false, false]);
  assert.ok(!isOpen('/', []) && !isOpen('/private', ['']));
});

test('a login time is kept exactly, and what is no time is one of long ago', () => {
  for (const exact of ['2026-07-01T12:00:00.123456Z', '2026-07-01T12:00:00Z', '2028-02-29T12:00:00.1+05:30']) {
    assert.strictEqual(fromKept(exact), exact);
  }
  assert.strictEqual(fromKept(new Date(Date.UTC(2026, 6, 1))), '2026-07-01T00:00:00.000Z');
  assert.deepStrictEqual([fromKept(undefined), fromKept(null)], [null, null]);
  const junk = ['', 'infinity', 'tomorrow', 'now', '2026-07-01', '2026-02-30T00:00:00Z', '2026-07-01T12:00:00', '2026-07-01T25:00:00Z'];
  for (const each of [...junk, 5, true, {}, [], new Date(NaN), '0000-01-01T00:00:00Z', ' 2026-07-01T12:00:00Z', '2026-07-01T12:00:00.1234567Z']) {
    assert.strictEqual(fromKept(each), LONG_AGO, String(each));
  }
});

test('the claim of a token counts before its iat', () => {
  const exact = '2026-07-01T12:00:00.123456Z';
  assert.deepStrictEqual(loginClaims(exact), { [LOGIN_TIME_KEY]: exact });
  // As of a session from before the guard: not the `iat`, which is later than what may end it.
  assert.strictEqual(loginTimeOf({ ...loginClaims(null), iat: 1 }), '0001-01-02T00:00:00.000000Z');
  assert.strictEqual(loginTimeOf({ ...loginClaims(exact), iat: 1 }), exact);
  assert.strictEqual(loginTimeOf({ [LOGIN_TIME_KEY]: 'infinity', iat: 4e9 }), LONG_AGO);
  assert.strictEqual(loginTimeOf({ iat: 1 }), '1970-01-01T00:00:01.000Z');
  assert.strictEqual(loginTimeOf({ iat: 1e300 }), LONG_AGO);
  assert.deepStrictEqual([loginTimeOf({ iat: 'now' }), loginTimeOf({})], [null, null]);
});

test('a page is what a browser opens', () => {
  const kind = (headers) => kindOfRoute((name) => headers[name] ?? '');
  const browser = 'text/html,application/xhtml+xml,*/*;q=0.8';
  assert.deepStrictEqual([{}, { accept: browser }, { accept: 'TEXT/HTML;q=1' }].map(kind), ['page', 'page', 'page']);
  const programs = [
    { accept: '*/*' },
    { accept: 'application/json' },
    { accept: 'text/htmlx' },
    { accept: browser, authorization: 'bearer x' },
    { accept: browser, 'x-requested-with': 'XMLHttpRequest' },
    { accept: browser, 'content-type': 'application/json' },
  ];
  for (const each of programs) assert.strictEqual(kind(each), 'api', JSON.stringify(each));
});

test('after the login it goes on to a page of this app', () => {
  assert.strictEqual(withNext('/login', 'GET', '/private?a=1&b'), '/login?next=%2Fprivate%3Fa%3D1%26b');
  assert.strictEqual(withNext('/login?a', 'HEAD', '/'), '/login?a&next=%2F');
  for (const url of ['//example.org', '/\\example.org', 'https://example.org', '']) assert.strictEqual(withNext('/login', 'GET', url), '/login');
  assert.strictEqual(withNext('/login', 'POST', '/pay'), '/login');
});

test('an option that is misspelt or of another type is refused', () => {
  const wrong = [{ failopen: true }, { failOpen: 'false' }, { failOpen: 0 }, { lockTimeoutMillis: 0 }, { lockTimeoutMillis: '2000' }];
  wrong.push({ lockTimeoutMillis: NaN }, { lockTimeoutMillis: Infinity }, { openPaths: '/health' }, { users: '' }, { user: null });
  wrong.push({ schema: 7 }, { toString: 1 }, { constructor: Object }, { message: 1 }, { prepare: 1 }, { log: 'x' }, { errorPage: 'x' });
  for (const options of wrong) assert.throws(() => new SessionGuard(pool, options), /there is no option|must be/, JSON.stringify(options));
  // What serves requests is none of those that only ask.
  assert.throws(() => new core.SessionGuard(pool, { user: 'SELECT 1' }), /there is no option user/);
  assert.throws(() => new SessionGuard(undefined), /Pool/);
  assert.throws(() => new SessionGuard({ query() {}, release() {} }), /not one of its clients/);
  assert.ok(new SessionGuard(pool, { failOpen: undefined, message: null }));
});

test('without a session nothing is asked, and without the middleware of the sessions it is said', async () => {
  const ask = (request) =>
    new Promise((resolve) => {
      const got = { headers: {}, method: 'GET', path: '/a', baseUrl: '', originalUrl: '/a', ...request };
      new SessionGuard(pool, { openPaths: ['/open'] }).middleware(got, {}, resolve);
    });
  assert.strictEqual(await ask({ session: {} }), undefined);
  assert.strictEqual(await ask({ session: null }), undefined);
  assert.strictEqual(await ask({ session: { user_id: 1 }, path: '/open' }), undefined);
  // Of a router that is mounted: the whole path counts.
  assert.strictEqual(await ask({ session: { user_id: 1 }, baseUrl: '/open', path: '/' }), undefined);
  assert.match((await ask({})).message, /no request\.session/);
});
