use std::{pin::Pin, sync::Arc};

use http::Extensions;

use crate::{
    error::{BoxError, DatabaseError},
    login_time::LoginTime,
    statements::{ANSWER, Place, Question, Template},
};

/// A future that a trait object gives.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the guard asks through: a `Pool` of deadpool-postgres, a `Client` of tokio-postgres in an
/// `Arc`, a `PgPool` of sqlx, or one of your own.
///
/// Each question is a transaction of its own, in autocommit: `session_start` needs that.
pub trait Database: Send + Sync + 'static {
    /// A row, as the driver has it.
    type Row: Send;

    /// The first row that the statement gives.
    fn first_row<'a>(
        &'a self,
        question: Question<'a>,
    ) -> impl Future<Output = Result<Option<Self::Row>, DatabaseError>> + Send + 'a;

    /// The value of a column of type `text`.
    fn text(row: &Self::Row, column: &str) -> Result<Option<String>, DatabaseError>;
}

/// Puts the user into the request.
pub(crate) type Put = Arc<dyn Fn(&mut Extensions) + Send + Sync>;

pub(crate) fn put<U: Clone + Send + Sync + 'static>(user: U) -> Put {
    Arc::new(move |extensions| {
        extensions.insert(user.clone());
    })
}

/// What is known of a user: whether the session counts, and the user.
pub(crate) struct Loaded {
    pub(crate) valid: bool,
    pub(crate) user: Option<Put>,
}

pub(crate) type MapRow<R> = Box<dyn Fn(&R) -> Result<Put, BoxError> + Send + Sync>;
pub(crate) type LoadFunction = Box<
    dyn Fn(String, Option<LoginTime>) -> BoxFuture<'static, Result<Option<(Put, bool)>, BoxError>>
        + Send
        + Sync,
>;

/// How the user is read.
pub(crate) enum Loader<R> {
    None,
    Query { asking: Template, plain: Template, map: MapRow<R> },
    Function(LoadFunction),
}

/// Asks in the words of the guard, whatever the driver is.
pub(crate) trait Ask: Send + Sync {
    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<String>, DatabaseError>>;
    fn valid<'a>(
        &'a self,
        id: &'a str,
        login_at: Option<&'a LoginTime>,
    ) -> BoxFuture<'a, Result<bool, DatabaseError>>;
    fn token_valid<'a>(
        &'a self,
        scope: &'a str,
        subject: &'a str,
        login_at: Option<&'a LoginTime>,
    ) -> BoxFuture<'a, Result<bool, DatabaseError>>;
    fn load<'a>(
        &'a self,
        id: &'a str,
        login_at: Option<&'a LoginTime>,
    ) -> BoxFuture<'a, Result<Loaded, DatabaseError>>;
    /// Without asking the guard; whoever can be read counts.
    fn load_unasked<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Loaded, DatabaseError>>;
}

pub(crate) struct Asking<D: Database> {
    pub(crate) database: D,
    pub(crate) start: Template,
    pub(crate) valid: Template,
    pub(crate) token_valid: Template,
    pub(crate) loader: Loader<D::Row>,
    pub(crate) lock_timeout: String,
    pub(crate) prepare: bool,
}

impl<D: Database> Asking<D> {
    pub(crate) fn new(
        database: D,
        place: &Place,
        loader: Loader<D::Row>,
        lock_timeout: String,
        prepare: bool,
    ) -> Self {
        let (start, valid, token_valid) = (place.start(), place.valid(), place.token_valid());
        Self { database, start, valid, token_valid, loader, lock_timeout, prepare }
    }

    async fn row(
        &self,
        template: &Template,
        values: &[Option<&str>],
    ) -> Result<Option<D::Row>, DatabaseError> {
        self.database.first_row(Question::new(template, values, self.prepare)).await
    }

    async fn answer(
        &self,
        template: &Template,
        values: &[Option<&str>],
    ) -> Result<Option<String>, DatabaseError> {
        match self.row(template, values).await? {
            Some(row) => D::text(&row, ANSWER),
            None => Ok(None),
        }
    }
}

fn is_true(answer: Option<String>) -> bool {
    answer.as_deref() == Some("true")
}

impl<D: Database> Ask for Asking<D> {
    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<String>, DatabaseError>> {
        Box::pin(
            async move { self.answer(&self.start, &[Some(id), Some(&self.lock_timeout)]).await },
        )
    }

    fn valid<'a>(
        &'a self,
        id: &'a str,
        login_at: Option<&'a LoginTime>,
    ) -> BoxFuture<'a, Result<bool, DatabaseError>> {
        Box::pin(async move {
            let values = [Some(id), login_at.map(LoginTime::as_str)];
            Ok(is_true(self.answer(&self.valid, &values).await?))
        })
    }

    fn token_valid<'a>(
        &'a self,
        scope: &'a str,
        subject: &'a str,
        login_at: Option<&'a LoginTime>,
    ) -> BoxFuture<'a, Result<bool, DatabaseError>> {
        Box::pin(async move {
            let values = [Some(scope), Some(subject), login_at.map(LoginTime::as_str)];
            Ok(is_true(self.answer(&self.token_valid, &values).await?))
        })
    }

    fn load<'a>(
        &'a self,
        id: &'a str,
        login_at: Option<&'a LoginTime>,
    ) -> BoxFuture<'a, Result<Loaded, DatabaseError>> {
        Box::pin(async move {
            let kept = login_at.map(LoginTime::as_str);
            let nobody = Loaded { valid: false, user: None };
            match &self.loader {
                Loader::None => Ok(Loaded { valid: self.valid(id, login_at).await?, user: None }),
                Loader::Query { asking, map, .. } => {
                    let row = match self.row(asking, &[Some(id), Some(id), kept]).await {
                        Ok(Some(row)) => row,
                        Ok(None) => return Ok(nobody),
                        Err(error) if error.is_no_value_of_its_type() => {
                            return match self.valid(id, login_at).await? {
                                true => Err(error),
                                false => Ok(nobody),
                            };
                        }
                        Err(error) => return Err(error),
                    };
                    if !is_true(D::text(&row, ANSWER)?) {
                        return Ok(nobody);
                    }
                    let user = map(&row).map_err(DatabaseError::other)?;
                    Ok(Loaded { valid: true, user: Some(user) })
                }
                Loader::Function(load) => {
                    match load(id.to_owned(), login_at.cloned()).await {
                        Ok(Some((user, true))) => Ok(Loaded { valid: true, user: Some(user) }),
                        Ok(_) => Ok(nobody),
                        // Which error it is, only the app knows: that of an id which is none ends
                        // the session.
                        Err(source) => {
                            let is_valid = self.valid(id, login_at).await;
                            match is_valid {
                                Ok(false) => Ok(nobody),
                                _ => Err(function_error(source)),
                            }
                        }
                    }
                }
            }
        })
    }

    fn load_unasked<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Loaded, DatabaseError>> {
        Box::pin(async move {
            let Loader::Query { plain, map, .. } = &self.loader else {
                return Ok(Loaded { valid: true, user: None });
            };
            let Some(row) = self.row(plain, &[Some(id)]).await? else {
                return Ok(Loaded { valid: false, user: None });
            };
            Ok(Loaded { valid: true, user: Some(map(&row).map_err(DatabaseError::other)?) })
        })
    }
}

/// With the code of PostgreSQL, where it is the error of a driver that is known here.
fn function_error(source: BoxError) -> DatabaseError {
    let source = match source.downcast::<DatabaseError>() {
        Ok(error) => return *error,
        Err(source) => source,
    };
    #[cfg(feature = "tokio-postgres")]
    let source = match source.downcast::<tokio_postgres::Error>() {
        Ok(error) => return (*error).into(),
        Err(source) => source,
    };
    #[cfg(feature = "sqlx")]
    let source = match source.downcast::<sqlx::Error>() {
        Ok(error) => return (*error).into(),
        Err(source) => source,
    };
    DatabaseError::other(source)
}
