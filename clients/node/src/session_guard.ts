import { CannotAsk, cannotAsk, isOfALock, isOfAnAlteredTable } from './errors.js';
import { fromKept, now } from './login_time.js';
import { DEFAULTS, settingsOf, type LoadUser, type Loaded, type Options } from './settings.js';
import {
  nameOf,
  startInTransactionStatement,
  startStatement,
  userStatement,
  validCall,
  validStatement,
  VALID_COLUMN,
  type Where,
} from './statements.js';
import { idToText, isNobodys, type UserId } from './user_id.js';

/** What is used of a Pool of pg. */
export interface Pool {
  query(query: { text: string; values: unknown[]; name?: string }): Promise<{ rows: any[] }>;
}

/** What is used of a Client of pg, or of one of a Pool. */
export type Client = Pool;

/** Asks the guard, through a Pool of pg. It knows no framework. */
export class SessionGuard {
  protected readonly where: Where;
  protected readonly failOpen: boolean;
  private readonly lockTimeout: string;
  private readonly prepare: boolean;
  private readonly startText: string;
  private readonly validText: string;
  protected log: (message: string, error?: unknown) => void;

  constructor(
    private readonly pool: Pool,
    options: Options = {},
  ) {
    if (typeof pool?.query !== 'function') throw new TypeError('give the Pool of pg');
    // session_start has to be a transaction of its own.
    if ('release' in pool) throw new TypeError('give the Pool of pg, and not one of its clients');
    const settings = settingsOf(options, DEFAULTS);
    this.where = { schema: settings.schema, users: settings.users };
    this.failOpen = settings.failOpen;
    // To PostgreSQL, 0 is no timeout.
    this.lockTimeout = `${Math.max(1, Math.round(settings.lockTimeoutMillis))}ms`;
    this.prepare = settings.prepare;
    this.log = settings.log ?? console.error;
    this.startText = startStatement(this.where);
    this.validText = validStatement(this.where);
  }

  /** To select beside the user, in a query of the app's own: `guard.sql('u.id', '$2')`. */
  sql(userId: string, loginAt: string): string {
    return validCall(this.where, userId, loginAt);
  }

  /**
   * The login time to keep, as it is, or null for an account that must not log in. To be called before the hash of the
   * password is read, where a new password ends sessions. It locks the user's row in a transaction of its own.
   *
   * `client`: in its transaction, which has changed the user's row, for `keepSessionAt`. The time counts once that is
   * committed. After a rollback it must not be used: what ends sessions later might not end its session.
   */
  async start(userId: UserId | null | undefined, client?: Client): Promise<string | null> {
    // Another connection of the Pool would wait for the change that is not committed.
    if (client && 'totalCount' in client) throw new TypeError('give the client that has made the change, and not the Pool');
    if (userId === null || userId === undefined) return null;
    const id = idToText(userId);
    if (isNobodys(id)) return null;
    if (client) return this.startIn(client, id);
    const values = [id, this.lockTimeout];
    return this.asked(
      async () => (await this.firstRow(this.startText, values))?.login_at ?? null,
      async (error) => {
        if (isOfALock(error)) throw error;
        return now();
      },
    );
  }

  /** An error has undone the app's own change, so `failOpen` does not pass it over. */
  private async startIn(client: Client, id: string): Promise<string | null> {
    try {
      const { rows } = await client.query({ text: startInTransactionStatement(this.where), values: [id] });
      return rows[0]?.login_at ?? null;
    } catch (error) {
      this.log(cannotAsk(error, this.where), error);
      throw new CannotAsk(error);
    }
  }

  /** Whether the session counts; by a query of its own. */
  async isValid(userId: UserId, loginAt: string | Date | null | undefined): Promise<boolean> {
    const [id, kept] = [idToText(userId), fromKept(loginAt)];
    if (isNobodys(id)) return false;
    return this.asked(
      () => this.answer(id, kept),
      async () => true,
    );
  }

  /** What session_valid says. It knows of an id of any form, and raises no error at one that cannot be. */
  protected async answer(userId: string, loginAt: string | null): Promise<boolean> {
    return (await this.firstRow(this.validText, [userId, loginAt]))?.valid === true;
  }

  /** For a query of `$1`: a function that runs it, and asks in it. */
  protected loaderOf(query: string): LoadUser<any> {
    if (/;\s*$/.test(query)) throw new TypeError('the query that reads the user ends without a semicolon');
    const text = userStatement(this.where, query);
    return async (userId, loginAt): Promise<Loaded<any> | undefined> => {
      const row = await this.firstRow(text, [userId, userId, loginAt]);
      if (!row) return undefined;
      const { [VALID_COLUMN]: valid, ...user } = row;
      return { user, valid };
    };
  }

  protected async firstRow(text: string, values: unknown[]): Promise<any> {
    const unprepared = { text, values };
    const query = this.prepare ? { ...unprepared, name: nameOf(text) } : unprepared;
    const { rows } = await this.pool.query(query).catch((error) => {
      if (!this.prepare || !isOfAnAlteredTable(error)) throw error;
      return this.pool.query(unprepared);
    });
    return rows[0];
  }

  /** An error gives no answer: it lets nobody in, unless the app has chosen otherwise. */
  protected async asked<T>(ask: () => Promise<T>, open: (error: unknown) => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      this.log(cannotAsk(error, this.where), error);
      if (!this.failOpen) throw new CannotAsk(error);
      return await open(error).catch((second) => {
        throw new CannotAsk(second);
      });
    }
  }
}
