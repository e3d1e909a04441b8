/**
 * Fastify 5, on @fastify/session or @fastify/secure-session.
 *
 *     const guard = new SessionGuard(pool, { user: 'SELECT id, name FROM users WHERE id = $1' });
 *     app.register(guard.plugin);                     // after the plugin of the sessions
 *     app.get('/private', { onRequest: guard.required }, …);
 *     await guard.logIn(request, user.id)             // at the login
 */
import type { Answer } from './answers.js';
import { WebGuard, type Decode, type Exchange } from './web_guard.js';
import type { Pool } from './session_guard.js';
import type { WebOptions } from './settings.js';

export type { Claims, Decode } from './web_guard.js';
export type { LoadUser, Loaded, Log, Options, WebOptions } from './settings.js';
export { CannotAsk } from './errors.js';
export { LOGIN_TIME_KEY, loginClaims, loginTimeOf } from './login_time.js';

/** What is used of Fastify's own. */
export interface FastifyRequestLike {
  method: string;
  url: string;
  headers: Record<string, string | string[] | undefined>;
}
export interface FastifyReplyLike {
  code(status: number): any;
}
export interface FastifyLike {
  addHook(name: 'onRequest', hook: Hook): any;
  log: { error: (...told: any[]) => void };
}
export type Hook = (request: FastifyRequestLike, reply: FastifyReplyLike) => Promise<unknown>;
export type Plugin = (fastify: any, options: object) => Promise<void>;

export class SessionGuard<User = any> extends WebGuard<User, FastifyRequestLike> {
  /**
   * Asks at each request with a session, in all of the app. One that counts no more is ended, and the request goes on as
   * nobody's. Errors are told to the log of Fastify.
   */
  readonly plugin: Plugin;

  constructor(pool: Pool, options: WebOptions<User> = {}) {
    super(pool, options);
    this.plugin = async (fastify: FastifyLike) => {
      if (options.log === undefined) {
        this.log = (message, error) => (error === undefined ? fastify.log.error(message) : fastify.log.error({ err: error }, message));
      }
      fastify.addHook('onRequest', (request, reply) => sent(this.atRequest(request), reply));
    };
    // As fastify-plugin does: the hook counts outside of the plugin, too.
    Object.assign(this.plugin, {
      [Symbol.for('skip-override')]: true,
      [Symbol.for('fastify.display-name')]: 'pg-session-guard',
      [Symbol.for('plugin-meta')]: { name: 'pg-session-guard', fastify: '5.x' },
    });
  }

  /** A hook of routes that need a login: 401, or redirects to the login page. Also without `plugin`. */
  readonly required: Hook = (request, reply) => sent(this.require(request), reply);

  /** A hook of routes that need a token: 401 without one that counts. */
  bearer(decode: Decode): Hook {
    return (request, reply) => sent(this.requireToken(request, decode), reply);
  }

  protected exchangeOf(request: FastifyRequestLike): Exchange {
    return exchangeOf(request);
  }
}

function exchangeOf(request: any): Exchange {
  return {
    request,
    method: request.method,
    path: request.url.split(/[?#]/, 1)[0],
    url: request.originalUrl,
    header: (name) => String(request.headers[name] ?? ''),
    renew: async (values) => {
      // Both plugins have it; @fastify/session also deletes the old one from its store.
      await request.session.regenerate();
      put(request.session, values);
    },
    keep: async (values) => {
      const { session } = request;
      // Of @fastify/session; the other has no store.
      if (session.encryptedSessionId !== undefined) {
        await session.regenerate(Object.keys(session).filter((key) => key !== 'cookie'));
        Object.assign(request.session.cookie, session.cookie);
      }
      put(request.session, values);
    },
  };
}

function put(session: any, values: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(values)) session.set(key, value);
}

async function sent(asked: Promise<Answer | undefined>, reply: any): Promise<unknown> {
  const answer = await asked;
  return answer && reply.code(answer.status).headers(answer.headers).send(answer.body);
}
