/**
 * Express 4 and 5, on cookie-session or express-session.
 *
 *     const guard = new SessionGuard(pool, { user: 'SELECT id, name FROM users WHERE id = $1' });
 *     app.use(guard.middleware);                      // after the middleware of the sessions
 *     app.get('/private', guard.required, …);
 *     await guard.logIn(req, user.id)                 // at the login
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answer } from './answers.js';
import { CannotAsk } from './errors.js';
import { WebGuard, type Decode, type Exchange } from './web_guard.js';

export type { Claims, Decode } from './web_guard.js';
export type { LoadUser, Loaded, Log, Options, WebOptions } from './settings.js';
export { CannotAsk } from './errors.js';
export { LOGIN_TIME_KEY, loginClaims, loginTimeOf } from './login_time.js';

/** What is used of the Request of Express; `session`, `user` and `auth` are those of other middleware, too. */
export interface ExpressRequest extends IncomingMessage {
  session?: any;
}
export type Next = (error?: any) => void;
export type Handler = (request: ExpressRequest, response: ServerResponse, next: Next) => void;
export type ErrorHandler = (error: any, request: ExpressRequest, response: ServerResponse, next: Next) => void;

export class SessionGuard<User = any> extends WebGuard<User, ExpressRequest> {
  /** Asks at each request with a session. One that counts no more is ended, and the request goes on as nobody's. */
  readonly middleware: Handler = (request, response, next) => {
    pass(this.atRequest(request), response, next);
  };

  /** For routes that need a login: 401, or redirects to the login page. Also without `middleware`. */
  readonly required: Handler = (request, response, next) => {
    pass(this.require(request), response, next);
  };

  /** For routes that need a token: 401 without one that counts. Its claims are in `request.auth`. */
  bearer(decode: Decode): Handler {
    return (request, response, next) => pass(this.requireToken(request, decode), response, next);
  }

  /** Makes a 503 of what a login throws where the database gives no answer. After all routes: `app.use`. */
  readonly errorHandler: ErrorHandler = (error, request, response, next) => {
    if (!(error instanceof CannotAsk) || response.headersSent) return next(error);
    send(response, this.unavailable(exchangeOf(request), error));
  };

  protected exchangeOf(request: ExpressRequest): Exchange {
    return exchangeOf(request);
  }
}

function exchangeOf(request: any): Exchange {
  return {
    request,
    method: request.method,
    path: (request.baseUrl ?? '') + request.path,
    url: request.originalUrl,
    header: (name) => String(request.headers[name] ?? ''),
    renew: (values) => renew(request, values),
    keep: async (values) => {
      const { cookie, ...kept } = request.session;
      if (hasStore(request.session)) {
        await renew(request, kept);
        Object.assign(request.session.cookie, cookie);
      }
      Object.assign(request.session, values);
    },
  };
}

/** express-session gives a new session by `regenerate`, which also deletes the old one from its store. */
async function renew(request: any, values: Record<string, unknown>): Promise<void> {
  const session = request.session;
  if (hasStore(session)) {
    await new Promise<void>((resolve, reject) => {
      session.regenerate((error: unknown) => (error ? reject(error) : resolve()));
    });
  } else if (session) {
    // In place: cookie-session would not send one that is new and empty, and the old cookie would stay.
    for (const key of Object.keys(session)) delete session[key];
  } else {
    request.session = {};
  }
  Object.assign(request.session, values);
}

function hasStore(session: any): boolean {
  return typeof session?.regenerate === 'function';
}

function pass(asked: Promise<Answer | undefined>, response: ServerResponse, next: Next): void {
  asked.then((answer) => (answer ? send(response, answer) : next())).catch(next);
}

function send(response: ServerResponse, answer: Answer): void {
  response.statusCode = answer.status;
  for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, value);
  response.setHeader('content-length', Buffer.byteLength(answer.body));
  response.end(response.req?.method === 'HEAD' ? undefined : answer.body);
}
