// The program's part of python_helpers/added_time.py: the app that SERVER names, with the guard and without it, on one pool.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(import.meta.url);
const { count } = require('./database');
const { SERVER, PORTS, PASSWORD } = process.env;
const PAIRS = Number(process.env.PAIRS || 1000);
const WARM_UP = 1000;
// One that does not change from request to request, as it is in a browser.
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const turn = () => new Promise(setImmediate);

async function ask(port, path, { method = 'GET', headers = {}, body = '' } = {}) {
  const request = http.request({ port, path, method, headers, agent, host: '127.0.0.1' });
  request.end(body);
  const [response] = await once(request, 'response');
  response.resume();
  await once(response, 'end');
  return response;
}

/** Gives what makes a request to an app that has begun, and with whose cookies. */
async function begin(kind, port) {
  process.env.PORT = port;
  if (kind === 'unguarded') process.env.UNGUARDED = '1';
  if (SERVER.endsWith('.mjs')) {
    await import(`./${SERVER}?${kind}`);
  } else {
    require(`./${SERVER}`);
    delete require.cache[require.resolve(`./${SERVER}`)];
  }
  const body = `username=alice&password=${encodeURIComponent(PASSWORD)}`;
  const form = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length };
  const { statusCode, headers } = await ask(port, '/login', { method: 'POST', headers: form, body });
  if (statusCode !== 302) throw new Error(`no login: ${statusCode}`);
  const cookie = headers['set-cookie'].map((line) => line.split(';', 1)[0]).join('; ');
  return async () => {
    const answer = await ask(port, '/api/me', { headers: { cookie } });
    if (answer.statusCode !== 200) throw new Error(`no answer: ${answer.statusCode}`);
  };
}

const apps = {};
for (const [index, kind] of ['guarded', 'unguarded'].entries()) apps[kind] = await begin(kind, PORTS.split(' ')[index]);
const statements = {};
for (let number = 0; number < WARM_UP; number += 1) {
  for (const [kind, answer] of Object.entries(apps)) {
    const before = count();
    await answer();
    statements[kind] = count() - before;
  }
}
console.log('ready');
const [line] = await once(createInterface({ input: process.stdin }), 'line');
const onCpu = () =>
  line.split(' ').reduce((sum, pid) => sum + Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]), 0);
const taken = { guarded: [], unguarded: [] };
for (let number = 0; number < PAIRS; number += 1) {
  const kinds = Math.random() < 0.5 ? ['guarded', 'unguarded'] : ['unguarded', 'guarded'];
  for (const kind of kinds) {
    const backend = onCpu();
    const began = process.hrtime.bigint();
    const before = process.cpuUsage();
    await apps[kind]();
    const clock = Number(process.hrtime.bigint() - began);
    // What is left to do once the answer has been sent.
    await turn();
    await turn();
    const { user, system } = process.cpuUsage(before);
    taken[kind].push([(user + system) * 1000, onCpu() - backend, clock]);
  }
}
process.stdout.write(`${JSON.stringify({ statements, ...taken })}\n`, () => process.exit());
