use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Extensions, HeaderMap, request::Parts};
use serde::Serialize;

use crate::{
    BoxError, CannotAsk, ConfigError, Database, DatabaseError, Kept, Login, LoginTime, Renewal,
    Sessions, UserId,
    answers::{Answer, RouteKind, Scheme, kind_of_route, original_path, plain_page},
    database::{Ask, Asking, BoxFuture, LoadFunction, Loaded, Loader, MapRow, put},
    layer::{GuardLayer, Rule},
    login_time::login_time_of,
    open_paths::is_open,
    sessions::{NoSessions, SharedSessions},
    statements::{Place, Template},
};

const MESSAGE: &str = "Your session has ended. Please log in again.";

type Log = Box<dyn Fn(&str) + Send + Sync>;
type Page = Box<dyn Fn(&str) -> String + Send + Sync>;

/// The options of a [`SessionGuard`].
#[must_use]
pub struct Builder<D: Database> {
    database: D,
    place: Place,
    sessions: SharedSessions,
    loader: Option<Load<D::Row>>,
    forget: fn(&mut Extensions),
    fail_open: bool,
    lock_timeout: Duration,
    answer_timeout: Duration,
    prepare: bool,
    open_paths: Vec<String>,
    login_path: String,
    message: Option<String>,
    error_page: Page,
    log: Log,
}

enum Load<R> {
    Query(String, MapRow<R>),
    Function(LoadFunction),
}

impl<D: Database> Builder<D> {
    /// How the app keeps its logins. Only a guard of bearer tokens needs none.
    pub fn sessions(mut self, sessions: impl Sessions) -> Self {
        self.sessions = Arc::new(sessions);
        self
    }

    /// The query that reads the user, of `$1`, the id as a text: `SELECT id, name FROM users WHERE
    /// id = $1::bigint`. The guard asks in it. What `map` makes of the row is in the request's
    /// extensions.
    pub fn user<U, E>(
        mut self,
        query: impl Into<String>,
        map: impl Fn(&D::Row) -> Result<U, E> + Send + Sync + 'static,
    ) -> Self
    where
        U: Clone + Send + Sync + 'static,
        E: Into<BoxError>,
    {
        let map = move |row: &D::Row| map(row).map(put).map_err(Into::into);
        self.loader = Some(Load::Query(query.into(), Box::new(map)));
        self.forget = forget::<U>;
        self
    }

    /// A function that reads the user and asks in a query of its own, by [`SessionGuard::sql`] or
    /// by the same words: the user, and what `session_valid` said. None: there is no such user.
    pub fn load_user<U, E, F>(
        mut self,
        load: impl Fn(String, Option<LoginTime>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        U: Clone + Send + Sync + 'static,
        E: Into<BoxError>,
        F: Future<Output = Result<Option<(U, bool)>, E>> + Send + 'static,
    {
        self.forget = forget::<U>;
        self.loader = Some(Load::Function(Box::new(move |id, login_at| {
            let loading = load(id, login_at);
            Box::pin(async move {
                let loaded = loading.await.map_err(Into::into)?;
                Ok(loaded.map(|(user, valid)| (put(user), valid)))
            })
        })));
        self
    }

    /// The guarded table, as SQL names it: `public.staff`. The default guard unless another is
    /// given.
    pub fn users(mut self, users: impl Into<String>) -> Self {
        self.place.users = Some(users.into());
        self
    }

    /// The schema of CREATE EXTENSION; `public` unless another is given.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.place.schema = schema.into();
        self
    }

    /// Whether requests are served when the guard gives no answer. They are not, unless this is
    /// set.
    pub fn fail_open(mut self, fail_open: bool) -> Self {
        self.fail_open = fail_open;
        self
    }

    /// How long a login waits for a change of its account that is not committed yet; 2 seconds
    /// unless set.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// How long the database may take for an answer; 5 seconds unless set. Of a login, beside its
    /// `lock_timeout`.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// Whether statements are prepared under a name, which saves planning them at each request. Not
    /// with PgBouncer before 1.21.
    pub fn prepare(mut self, prepare: bool) -> Self {
        self.prepare = prepare;
        self
    }

    /// What is served without asking. `/health` is this path, and all below `/health/`.
    pub fn open_paths<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.open_paths = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Where a page is sent to, with `?next=`; `/login` unless another is given.
    pub fn login_path(mut self, path: impl Into<String>) -> Self {
        self.login_path = path.into();
        self
    }

    /// What [`SessionGuard::pop_message`] gives after a session has ended; None: nothing.
    pub fn message(mut self, message: Option<String>) -> Self {
        self.message = message;
        self
    }

    /// Makes the HTML of a 503, of a text.
    pub fn error_page(mut self, page: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        self.error_page = Box::new(page);
        self
    }

    /// Where errors are told: `|told| tracing::error!("{told}")`. Standard error unless it is set.
    pub fn log(mut self, log: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.log = Box::new(log);
        self
    }

    /// The guard, unless an option has no meaning.
    pub fn build(self) -> Result<SessionGuard, ConfigError> {
        static GUARDS: AtomicU64 = AtomicU64::new(0);

        let loader = match self.loader {
            None => Loader::None,
            Some(Load::Query(query, _)) if query.trim_end().ends_with(';') => {
                return Err(ConfigError("the query that reads the user ends without a semicolon"));
            }
            Some(Load::Query(query, map)) => Loader::Query {
                asking: self.place.user(&query),
                plain: Template::of_the_app(&query),
                map,
            },
            Some(Load::Function(load)) => Loader::Function(load),
        };
        // To PostgreSQL, 0 is no timeout.
        let lock_timeout = self.lock_timeout.as_millis().max(1);
        if i32::try_from(lock_timeout).is_err() {
            return Err(ConfigError("lock_timeout is longer than PostgreSQL knows"));
        }
        if http::HeaderValue::try_from(&self.login_path).is_err() || self.login_path.is_empty() {
            return Err(ConfigError("login_path is no path"));
        }
        if self.place.schema.is_empty() || self.place.users.as_deref() == Some("") {
            return Err(ConfigError("schema and users have names"));
        }
        let lock_timeout = format!("{lock_timeout}ms");
        Ok(SessionGuard(Arc::new(Shared {
            number: GUARDS.fetch_add(1, Ordering::Relaxed),
            asking: Box::new(Asking::new(
                self.database,
                &self.place,
                loader,
                lock_timeout,
                self.prepare,
            )),
            place: self.place,
            sessions: self.sessions,
            forget: self.forget,
            fail_open: self.fail_open,
            lock_timeout: self.lock_timeout,
            answer_timeout: self.answer_timeout,
            open_paths: self.open_paths,
            login_path: self.login_path,
            message: self.message,
            error_page: self.error_page,
            log: self.log,
            has_told: AtomicBool::new(false),
        })))
    }
}

/// Asks the guard. A clone is the same one.
#[derive(Clone)]
pub struct SessionGuard(Arc<Shared>);

struct Shared {
    /// Which guard has looked at a request: an app may have two.
    number: u64,
    asking: Box<dyn Ask>,
    place: Place,
    sessions: SharedSessions,
    forget: fn(&mut Extensions),
    fail_open: bool,
    lock_timeout: Duration,
    answer_timeout: Duration,
    open_paths: Vec<String>,
    login_path: String,
    message: Option<String>,
    error_page: Page,
    log: Log,
    has_told: AtomicBool,
}

impl fmt::Debug for SessionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionGuard").field("place", &self.0.place).finish_non_exhaustive()
    }
}

/// What a guard has found out about a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    Nobody,
    Ended,
    Valid,
}

#[derive(Clone, Copy)]
struct Checked {
    number: u64,
    verdict: Verdict,
}

/// What becomes of a request. The headers are added to its response.
pub(crate) enum Admitted {
    Go(HeaderMap),
    Refused(Answer),
}

impl SessionGuard {
    /// A guard that asks through a pool, with options.
    pub fn builder<D: Database>(database: D) -> Builder<D> {
        Builder {
            database,
            place: Place { schema: "public".to_owned(), users: None },
            sessions: Arc::new(NoSessions),
            loader: None,
            forget: forget::<Login>,
            fail_open: false,
            lock_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(5),
            prepare: false,
            open_paths: Vec::new(),
            login_path: "/login".to_owned(),
            message: Some(MESSAGE.to_owned()),
            error_page: Box::new(plain_page),
            log: Box::new(|told| eprintln!("{told}")),
        }
    }

    /// To select beside the user, in a query of the app's own, of expressions of SQL:
    /// `guard.sql("u.id", "$2")`. Where the driver gives parameters their types, write
    /// `"$2::text"`.
    ///
    /// For the default guard in `public` it is `"public".session_valid((u.id)::pg_catalog.text,
    /// ($2)::pg_catalog.timestamptz)`, which may stand in the query as it is.
    pub fn sql(&self, user_id: &str, login_at: &str) -> String {
        self.0.place.valid_call(user_id, login_at)
    }

    /// To select in a transaction of the app's own, after a change that ends the user's sessions, in
    /// a statement of its own: `format!("SELECT {}", guard.start_sql("$1::text"))`. It gives a text,
    /// or NULL for an account that must not log in. [`LoginTime::from_kept`] makes of it what
    /// [`keep_session_at`](Self::keep_session_at) takes.
    ///
    /// The time counts once the transaction is committed. After a rollback it must not be used: what
    /// ends sessions later might not end its session.
    pub fn start_sql(&self, user_id: &str) -> String {
        self.0.place.start_call(user_id)
    }

    // Layers

    /// Asks at each request with a session. One that counts no more is ended, and the request goes
    /// on as nobody's. Around all routes, inside of the layer of the sessions.
    pub fn layer(&self) -> GuardLayer {
        GuardLayer::new(self, Rule::Ask)
    }

    /// For routes that need a login: 401, or redirects to the login page. Also without
    /// [`layer`](Self::layer).
    pub fn required(&self) -> GuardLayer {
        GuardLayer::new(self, Rule::Require)
    }

    /// For routes that need a bearer token: 401 without one that counts. `decode` is the app's own:
    /// it checks the signature, and gives the claims, or an error for a bad token. The claims are
    /// in the request's extensions.
    pub fn bearer<C, E>(
        &self,
        decode: impl Fn(&str) -> Result<C, E> + Send + Sync + 'static,
    ) -> GuardLayer
    where
        C: Serialize + Clone + Send + Sync + 'static,
    {
        GuardLayer::new(self, Rule::bearer(None, decode))
    }

    /// The same for tokens of a thing, such as an embedded dashboard: `sub` is its name, and
    /// `revoke_tokens(scope, …)` ends them.
    pub fn bearer_of_scope<C, E>(
        &self,
        scope: impl Into<String>,
        decode: impl Fn(&str) -> Result<C, E> + Send + Sync + 'static,
    ) -> GuardLayer
    where
        C: Serialize + Clone + Send + Sync + 'static,
    {
        GuardLayer::new(self, Rule::bearer(Some(scope.into()), decode))
    }

    // Questions

    /// The login time to keep, or None for an account that must not log in. To be called before the
    /// hash of the password is read, where a new password ends sessions. It locks the user's row in
    /// a transaction of its own.
    pub async fn start(&self, user_id: impl UserId) -> Result<Option<LoginTime>, CannotAsk> {
        let id = user_id.to_text();
        if has_nul(&id) {
            return Ok(None);
        }
        let patience = self.0.answer_timeout.saturating_add(self.0.lock_timeout);
        let answer = self.within(patience, self.0.asking.start(&id)).await;
        let open = match &answer {
            Err(error) if error.is_of_a_lock() => Err(DatabaseError::other("a lock is held")),
            _ => Ok(Some(LoginTime::now().as_str().to_owned())),
        };
        self.asked(std::future::ready(answer), std::future::ready(open))
            .await
            .map(|login_at| login_at.as_deref().map(LoginTime::from_kept))
    }

    /// Whether the session counts; by a query of its own.
    pub async fn is_valid(
        &self,
        user_id: impl UserId,
        login_at: Option<&LoginTime>,
    ) -> Result<bool, CannotAsk> {
        let id = user_id.to_text();
        if has_nul(&id) {
            return Ok(false);
        }
        let ask = self.within(self.0.answer_timeout, self.0.asking.valid(&id, login_at));
        self.asked(ask, async { Ok(true) }).await
    }

    /// Whether a token of a thing counts.
    pub async fn is_token_valid(
        &self,
        scope: &str,
        subject: &str,
        issued_at: Option<&LoginTime>,
    ) -> Result<bool, CannotAsk> {
        if has_nul(scope) || has_nul(subject) {
            return Ok(false);
        }
        let ask = self.0.asking.token_valid(scope, subject, issued_at);
        self.asked(self.within(self.0.answer_timeout, ask), async { Ok(true) }).await
    }

    // Logins

    /// After the password was checked: a new session of this user, in place of the one that was
    /// there. Add the headers to the response. None: no login.
    ///
    /// Where a new password ends sessions, call [`start`](Self::start) before its hash is read, and
    /// afterwards [`log_in_at`](Self::log_in_at).
    pub async fn log_in(
        &self,
        parts: &Parts,
        user_id: impl UserId,
    ) -> Result<Option<HeaderMap>, CannotAsk> {
        let begun = self.start(&user_id).await?;
        self.log_in_at(parts, user_id, begun).await
    }

    /// Of a login that has begun: `begun` is what [`start`](Self::start) gave.
    pub async fn log_in_at(
        &self,
        parts: &Parts,
        user_id: impl UserId,
        begun: Option<LoginTime>,
    ) -> Result<Option<HeaderMap>, CannotAsk> {
        // What has changed since the login began counts, too.
        let Some(begun) = begun else { return Ok(None) };
        if !self.is_valid(&user_id, Some(&begun)).await? {
            return Ok(None);
        }
        let login = Some(Login::new(user_id, Some(begun)));
        self.renew(parts, Kept { login, message: None }, Renewal::Anew).await.map(Some)
    }

    /// After a change of the own password, once it is committed: it has ended all sessions of the
    /// user, and this one goes on. Add the headers to the response. None where the account must not
    /// log in any more.
    ///
    /// The session outlives whatever else has ended sessions since that COMMIT: see
    /// [`keep_session_at`](Self::keep_session_at).
    pub async fn keep_session(&self, parts: &Parts) -> Result<Option<HeaderMap>, CannotAsk> {
        let Some(login) = self.read(parts).await?.login else { return Ok(None) };
        let begun = self.start(&login.user_id).await?;
        self.keep_session_at(parts, begun).await
    }

    /// The same of a time that [`start_sql`](Self::start_sql) gave in the transaction of the change,
    /// after the change. The user's row is locked until COMMIT, so whatever ends sessions later ends
    /// this one, too.
    pub async fn keep_session_at(
        &self,
        parts: &Parts,
        begun: Option<LoginTime>,
    ) -> Result<Option<HeaderMap>, CannotAsk> {
        let Some(begun) = begun else { return Ok(None) };
        let Some(login) = self.read(parts).await?.login else { return Ok(None) };
        if !self.is_valid(&login.user_id, Some(&begun)).await? {
            return Ok(None);
        }
        let login = Some(Login::new(login.user_id, Some(begun)));
        self.renew(parts, Kept { login, message: None }, Renewal::NewId).await.map(Some)
    }

    /// At the logout. Add the headers to the response.
    pub async fn log_out(&self, parts: &Parts) -> Result<HeaderMap, CannotAsk> {
        self.renew(parts, Kept::default(), Renewal::Anew).await
    }

    /// On the login page: that the session has ended, once. Add the headers to the response.
    pub async fn pop_message(
        &self,
        parts: &Parts,
    ) -> Result<(Option<String>, HeaderMap), CannotAsk> {
        let Kept { login, message } = self.read(parts).await?;
        if message.is_none() {
            return Ok((None, HeaderMap::new()));
        }
        let kept = Kept { login, message: None };
        Ok((message, self.renew(parts, kept, Renewal::InPlace).await?))
    }

    // Each request

    pub(crate) fn is_open(&self, parts: &Parts) -> bool {
        is_open(original_path(parts), &self.0.open_paths)
    }

    pub(crate) async fn admit(&self, parts: &mut Parts, is_required: bool) -> Admitted {
        let (verdict, headers) = match self.check(parts).await {
            Ok(checked) => checked,
            Err(error) => return Admitted::Refused(self.unavailable(&parts.headers, &error)),
        };
        if !is_required || verdict == Verdict::Valid {
            return Admitted::Go(headers);
        }
        let ended = verdict == Verdict::Ended;
        let mut answer = Answer::refused(parts, Scheme::Cookie, ended, &self.0.login_path);
        answer.headers.extend(headers);
        Admitted::Refused(answer)
    }

    /// The headers are those of a session that ends here.
    async fn check(&self, parts: &mut Parts) -> Result<(Verdict, HeaderMap), CannotAsk> {
        if let Some(known) = parts.extensions.get::<Checked>()
            && known.number == self.0.number
        {
            return Ok((known.verdict, HeaderMap::new()));
        }
        let kept = self.read(parts).await?;
        let mut headers = HeaderMap::new();
        let verdict = match kept.login {
            None => Verdict::Nobody,
            Some(login) => match self.ask(&mut parts.extensions, &login).await? {
                true => Verdict::Valid,
                false => {
                    (self.0.forget)(&mut parts.extensions);
                    self.tell_of_missing_login_time(&login);
                    let is_page = kind_of_route(&parts.headers) == RouteKind::Page;
                    let message = self.0.message.clone().filter(|_| is_page);
                    let kept = Kept { login: None, message };
                    headers = self.renew(parts, kept, Renewal::Anew).await?;
                    Verdict::Ended
                }
            },
        };
        parts.extensions.insert(Checked { number: self.0.number, verdict });
        Ok((verdict, headers))
    }

    /// Puts the login and the user into the request, if it counts.
    async fn ask(&self, extensions: &mut Extensions, login: &Login) -> Result<bool, CannotAsk> {
        let id = &login.user_id;
        if has_nul(id) {
            return Ok(false);
        }
        let asking = &self.0.asking;
        let loading = asking.load(id, login.login_at.as_ref());
        let ask = self.within(self.0.answer_timeout, loading);
        let unasked = self.within(self.0.answer_timeout, asking.load_unasked(id));
        let Loaded { valid, user } = self.asked(ask, unasked).await?;
        if valid {
            extensions.insert(login.clone());
            if let Some(put) = user {
                put(extensions);
            }
        }
        Ok(valid)
    }

    /// The claims are JSON, of a token that has been verified.
    pub(crate) async fn admit_token(
        &self,
        parts: &mut Parts,
        scope: Option<&str>,
        claims: &serde_json::Value,
    ) -> Admitted {
        let subject = match &claims["sub"] {
            serde_json::Value::String(subject) => subject.clone(),
            serde_json::Value::Number(subject) => subject.to_string(),
            _ => return self.refuse_token(parts, true),
        };
        let login = Login { user_id: subject, login_at: login_time_of(claims) };
        let is_valid = match scope {
            None => self.ask(&mut parts.extensions, &login).await,
            Some(scope) => {
                self.is_token_valid(scope, &login.user_id, login.login_at.as_ref()).await
            }
        };
        match is_valid {
            Ok(true) => Admitted::Go(HeaderMap::new()),
            Ok(false) => self.refuse_token(parts, true),
            Err(error) => Admitted::Refused(self.unavailable(&parts.headers, &error)),
        }
    }

    pub(crate) fn refuse_token(&self, parts: &Parts, ended: bool) -> Admitted {
        Admitted::Refused(Answer::refused(parts, Scheme::Bearer, ended, &self.0.login_path))
    }

    pub(crate) fn unavailable(&self, headers: &HeaderMap, error: &CannotAsk) -> Answer {
        Answer::unavailable(kind_of_route(headers), &error.to_string(), &*self.0.error_page)
    }

    /// Once: one is enough to find the login that does not call the guard, and those from before
    /// the guard are many.
    fn tell_of_missing_login_time(&self, login: &Login) {
        if login.login_at.is_none() && !self.0.has_told.swap(true, Ordering::Relaxed) {
            (self.0.log)(
                "a session without a login time was refused: it is from before the guard, or the \
                 login does not call log_in",
            );
        }
    }

    async fn read(&self, parts: &Parts) -> Result<Kept, CannotAsk> {
        self.0.sessions.read(parts).await.map_err(|error| self.cannot_keep(error))
    }

    async fn renew(
        &self,
        parts: &Parts,
        kept: Kept,
        renewal: Renewal,
    ) -> Result<HeaderMap, CannotAsk> {
        let renewed = self.0.sessions.renew(parts, kept, renewal).await;
        renewed.map_err(|error| self.cannot_keep(error))
    }

    fn cannot_keep(&self, error: BoxError) -> CannotAsk {
        (self.0.log)(&format!("cannot read or write the session: {error}"));
        CannotAsk(Arc::new(DatabaseError::other(error)))
    }

    async fn within<T>(
        &self,
        patience: Duration,
        ask: BoxFuture<'_, Result<T, DatabaseError>>,
    ) -> Result<T, DatabaseError> {
        match tokio::time::timeout(patience, ask).await {
            Ok(answer) => answer,
            Err(late) => Err(DatabaseError::other(late)),
        }
    }

    /// An error gives no answer: it lets nobody in, unless the app has chosen otherwise.
    async fn asked<T>(
        &self,
        ask: impl Future<Output = Result<T, DatabaseError>>,
        open: impl Future<Output = Result<T, DatabaseError>>,
    ) -> Result<T, CannotAsk> {
        let error = match ask.await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        (self.0.log)(&error.told(&self.0.place));
        if !self.0.fail_open {
            return Err(CannotAsk(Arc::new(error)));
        }
        open.await.map_err(|error| CannotAsk(Arc::new(error)))
    }
}

/// Takes out of a request whose session has ended what a layer of the app's own has put there.
fn forget<U: Send + Sync + 'static>(extensions: &mut Extensions) {
    extensions.remove::<Login>();
    extensions.remove::<U>();
}

/// PostgreSQL has no such text.
fn has_nul(text: &str) -> bool {
    text.contains('\0')
}
