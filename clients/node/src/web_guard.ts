import { challenge, json, kindOfRoute, page, plainPage, withNext, type Answer, type RouteKind } from './answers.js';
import { CannotAsk, isNoValueOfItsType } from './errors.js';
import { fromKept, LOGIN_TIME_KEY, loginTimeOf } from './login_time.js';
import { isOpen } from './open_paths.js';
import { SessionGuard, type Pool } from './session_guard.js';
import { settingsOf, WEB_DEFAULTS, type LoadUser, type WebOptions } from './settings.js';
import { idToText, isNobodys, type UserId } from './user_id.js';

const MESSAGE_KEY = 'guard_message';
const SESSION_ENDED = 'The session has ended';
const NOT_LOGGED_IN = 'Not logged in';

export type Claims = Record<string, any>;
/** The app's own: checks the signature, and throws where it does not like the token. */
export type Decode = (token: string) => Claims | string | Promise<Claims | string>;

/** A request, as both frameworks have it. */
export interface Exchange {
  /** The framework's own object. */
  request: any;
  method: string;
  /** Without the query. */
  path: string;
  /** With the query. */
  url: string;
  header(name: string): string;
  /** A new session in place of the one that was there, with these values alone. */
  renew(values: Record<string, unknown>): Promise<void>;
  /** The same session with these values besides; in a store, under a new id: a copy of its cookie must not go on. */
  keep(values: Record<string, unknown>): Promise<void>;
}

interface State<User> {
  verdict: 'nobody' | 'ended' | 'valid';
  userId?: string;
  loginAt?: string | null;
  user?: User | undefined;
  claims?: Claims;
}

/** What Express and Fastify have in common. An `Answer` is what a request gets in place of the app's own. */
export abstract class WebGuard<User, Request extends object> extends SessionGuard {
  private readonly states = new WeakMap<object, State<User>>();
  private readonly loadUser: LoadUser<User> | undefined;
  private readonly query: string | undefined;
  private readonly openPaths: readonly string[];
  private readonly loginPath: string;
  private readonly userKey: string;
  private readonly message: string | null;
  private readonly errorPage: (status: number, message: string) => string;
  private hasTold = false;

  constructor(pool: Pool, options: WebOptions<User> = {}) {
    const settings = settingsOf(options, WEB_DEFAULTS);
    const { user, openPaths, loginPath, userKey, message, errorPage, ...rest } = settings;
    super(pool, rest);
    this.query = typeof user === 'string' ? user : undefined;
    this.loadUser = typeof user === 'string' ? this.loaderOf(user) : user;
    this.openPaths = [...openPaths];
    this.loginPath = loginPath;
    this.userKey = userKey;
    this.message = message;
    this.errorPage = errorPage ?? ((status, text) => plainPage(String(status), text));
  }

  protected abstract exchangeOf(request: Request): Exchange;

  // Each request

  /** Asks, and ends a session that counts no more; the request goes on as nobody's. Gives a 503 where it cannot ask. */
  protected async atRequest(request: Request): Promise<Answer | undefined> {
    const exchange = this.exchangeOf(request);
    if (isOpen(exchange.path, this.openPaths)) return undefined;
    return this.answered(exchange, async () => {
      await this.check(exchange);
      return undefined;
    });
  }

  /** Refuses a request that has no session which counts. */
  protected async require(request: Request): Promise<Answer | undefined> {
    const exchange = this.exchangeOf(request);
    return this.answered(exchange, async () => {
      const { verdict } = await this.check(exchange);
      return verdict === 'valid' ? undefined : this.refusal(exchange, 'cookie', verdict === 'ended');
    });
  }

  /** Refuses a request that has no token which counts. */
  protected async requireToken(request: Request, decode: Decode): Promise<Answer | undefined> {
    const exchange = this.exchangeOf(request);
    return this.answered(exchange, async () => {
      const [, token] = /^bearer +(\S+) *$/i.exec(exchange.header('authorization')) ?? [];
      if (!token) return this.refusal(exchange, 'bearer', /^bearer\b/i.test(exchange.header('authorization')));
      const claims = await decoded(token, decode);
      if (!claims) return this.refusal(exchange, 'bearer', true);
      const state = await this.ask(String(claims['sub']), loginTimeOf(claims));
      if (state.verdict !== 'valid') return this.refusal(exchange, 'bearer', true);
      this.keep(exchange, { ...state, claims });
      exchange.request.auth = claims;
      return undefined;
    });
  }

  private async check(exchange: Exchange): Promise<State<User>> {
    const known = this.states.get(exchange.request);
    if (known) return known;
    const session = sessionOf(exchange.request);
    const userId = session?.[this.userKey];
    if (userId === undefined || userId === null) return this.keep(exchange, { verdict: 'nobody' });
    const state = await this.ask(idToText(userId), fromKept(session[LOGIN_TIME_KEY]));
    if (state.verdict === 'ended') {
      this.tellOfMissingLoginTime(session);
      const isTold = this.message !== null && kindOfRoute(exchange.header) === 'page';
      await this.renew(exchange, isTold ? { [MESSAGE_KEY]: this.message } : {});
    }
    return this.keep(exchange, state);
  }

  private keep(exchange: Exchange, state: State<User>): State<User> {
    this.states.set(exchange.request, state);
    if (state.user !== undefined) exchange.request.user = state.user;
    return state;
  }

  private async ask(userId: string, loginAt: string | null): Promise<State<User>> {
    const ended = { verdict: 'ended', userId } as const;
    const valid = { verdict: 'valid', userId, loginAt } as const;
    if (isNobodys(userId)) return ended;
    if (!this.loadUser) return (await this.isValid(userId, loginAt)) ? valid : ended;
    const load = this.loadUser;
    return this.asked<State<User>>(
      async () => {
        try {
          const loaded = await load(userId, loginAt);
          return loaded?.valid === true ? { ...valid, user: loaded.user } : ended;
        } catch (error) {
          // Which error a function of the app's own throws at a user who is gone, only the app knows.
          const mayBeOfUser = isNoValueOfItsType(error) || this.query === undefined;
          if (mayBeOfUser && !(await this.answer(userId, loginAt).catch(() => true))) return ended;
          throw error;
        }
      },
      async () => {
        if (this.query === undefined) return valid;
        const user = await this.firstRow(this.query, [userId]);
        return user ? { ...valid, user } : ended;
      },
    );
  }

  /** Once: one is enough to find the login that does not call the guard, and those from before the guard are many. */
  private tellOfMissingLoginTime(session: Record<string, unknown>): void {
    if (this.hasTold || (session[LOGIN_TIME_KEY] ?? null) !== null) return;
    this.hasTold = true;
    this.log(
      'a session without a login time was refused: it is from before the guard, or the login does not call' +
        ' guard.logIn(request, user.id)',
    );
  }

  // What the app asks

  /** What the query of the option `user` gave; undefined where nobody is logged in. */
  user(request: object): User | undefined {
    return this.states.get(request)?.user;
  }

  /** Of the session or the token that counts, as a text; undefined where there is none. */
  userId(request: object): string | undefined {
    const state = this.states.get(request);
    return state?.verdict === 'valid' ? state.userId : undefined;
  }

  /** The same session's login time: to make a token of it. */
  loginAt(request: object): string | null {
    return this.states.get(request)?.loginAt ?? null;
  }

  /** Of the token. */
  claims(request: object): Claims | undefined {
    return this.states.get(request)?.claims;
  }

  /** For the login page: that the session has ended. */
  popMessage(request: any): string | null {
    const session = sessionOf(request);
    const message = session?.[MESSAGE_KEY];
    if (typeof message !== 'string') return null;
    delete session[MESSAGE_KEY];
    // @fastify/secure-session has no delete.
    if (session[MESSAGE_KEY] !== undefined) session[MESSAGE_KEY] = undefined;
    return message;
  }

  // Logins

  /**
   * After the password was checked: a new session of this user. False: no login. Where a new password ends sessions, call
   * `start` before its hash is read, and afterwards `logInAt`.
   */
  async logIn(request: Request, userId: UserId): Promise<boolean> {
    return this.logInAt(request, userId, await this.start(userId));
  }

  /** Of a login that has begun: `begun` is what `start` gave. */
  async logInAt(request: Request, userId: UserId, begun: string | null): Promise<boolean> {
    const exchange = this.exchangeOf(request);
    const isNobody = userId === null || userId === undefined;
    const keptId = isNobody ? '' : idToText(userId);
    // What has changed since the login began counts, too.
    if (isNobody || begun === null || !(await this.isValid(keptId, begun))) {
      await this.end(exchange);
      return false;
    }
    await this.renew(exchange, { [this.userKey]: keptId, [LOGIN_TIME_KEY]: begun });
    this.keep(exchange, { verdict: 'valid', userId: keptId, loginAt: begun });
    return true;
  }

  /**
   * After a change of the own password, once it is committed: it has ended all sessions of the user, and this one begins
   * anew. False where the account must not log in any more. It outlives whatever else has ended sessions since that COMMIT:
   * see `keepSessionAt`.
   */
  async keepSession(request: Request): Promise<boolean> {
    return this.keepSessionAt(request, await this.start(sessionOf(request)?.[this.userKey]));
  }

  /**
   * The same of a time that `start(userId, client)` gave in the transaction of the change, after the change. The user's row
   * is locked until COMMIT, so whatever ends sessions later ends this one, too.
   */
  async keepSessionAt(request: Request, begun: string | null): Promise<boolean> {
    const exchange = this.exchangeOf(request);
    const session = sessionOf(request);
    const userId = session?.[this.userKey];
    const isNobody = userId === null || userId === undefined;
    if (isNobody || begun === null || !(await this.isValid(userId, begun))) {
      await this.end(exchange);
      return false;
    }
    await exchange.keep({ [LOGIN_TIME_KEY]: begun });
    const known = this.states.get(request);
    this.keep(exchange, { ...known, verdict: 'valid', userId: idToText(userId), loginAt: begun });
    return true;
  }

  logOut(request: Request): Promise<void> {
    return this.end(this.exchangeOf(request));
  }

  private async end(exchange: Exchange): Promise<void> {
    await this.renew(exchange, {});
    this.keep(exchange, { verdict: 'nobody' });
  }

  /** A user whom something before the guard has put there is not that of the new session. */
  private async renew(exchange: Exchange, values: Record<string, unknown>): Promise<void> {
    await exchange.renew(values);
    if (exchange.request.user !== undefined) exchange.request.user = undefined;
  }

  // Answers

  private refusal(exchange: Exchange, scheme: 'cookie' | 'bearer', ended: boolean): Answer {
    const kind: RouteKind = scheme === 'bearer' ? 'api' : kindOfRoute(exchange.header);
    if (kind === 'page') {
      const location = withNext(this.loginPath, exchange.method, exchange.url);
      return page(302, '', { location });
    }
    const headers = { 'www-authenticate': challenge(scheme, ended) };
    return json(401, 'Unauthorized', ended ? SESSION_ENDED : NOT_LOGGED_IN, headers);
  }

  protected unavailable(exchange: Exchange, error: CannotAsk): Answer {
    const headers = { 'retry-after': '5' };
    if (kindOfRoute(exchange.header) === 'page') return page(503, this.errorPage(503, error.message), headers);
    return json(503, 'Service Unavailable', error.message, headers);
  }

  private async answered(exchange: Exchange, ask: () => Promise<Answer | undefined>): Promise<Answer | undefined> {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof CannotAsk) return this.unavailable(exchange, error);
      throw error;
    }
  }
}

async function decoded(token: string, decode: Decode): Promise<Claims | undefined> {
  try {
    const claims = await decode(token);
    const sub = typeof claims === 'object' ? claims?.['sub'] : undefined;
    // A number that is not exact may be the id of somebody else.
    return typeof sub === 'string' || Number.isSafeInteger(sub) ? (claims as Claims) : undefined;
  } catch {
    return undefined;
  }
}

/** null where the app has ended it in this request. */
function sessionOf(request: any): any {
  if (request.session === undefined) {
    throw new Error('the guard finds no request.session: the middleware or plugin of the sessions comes before it');
  }
  return request.session;
}
