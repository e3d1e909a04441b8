"""Starlette and FastAPI, on Starlette's SessionMiddleware.

guard = SessionGuard(engine)                           or a pool of psycopg or asyncpg
current_user = guard.load(User, get_db)                a dependency: one query, SQLAlchemy
await guard.log_in(request, user.id)                   at the login
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from pg_session_guard.core import login_time
from pg_session_guard.core.answers import (
    NO_STORE,
    Answer,
    RouteKind,
    answer_to,
    challenge,
    is_way_back,
    kind_of_route,
)
from pg_session_guard.core.errors import cannot_ask, is_of_a_lock
from pg_session_guard.core.login_time import LOGIN_TIME_KEY
from pg_session_guard.core.settings import Settings
from pg_session_guard.core.user_id import to_text
from pg_session_guard.databases import (
    CannotAsk,
    database_of,
    is_valid,
    start,
    start_in_transaction,
)

log = logging.getLogger("pg_session_guard")
MESSAGE_KEY = "guard_message"
SESSION_ENDED, NOT_LOGGED_IN = "The session has ended", "Not logged in"


class SessionGuard:
    """`pool`: an engine or a pool, or what gives it when called. `login_path`: where the login
    page is. `user_key`: where the session has the user's id."""

    def __init__(
        self,
        pool: Any,
        *,
        login_path: str = "/login",
        user_key: str = "user_id",
        settings: Settings | None = None,
    ) -> None:
        if not isinstance(settings, (Settings, type(None))):
            raise TypeError(f"settings is a Settings(…), and not a {type(settings).__name__}")
        self.database = database_of(pool)
        self.login_path = login_path
        self.user_key = user_key
        self.settings = settings or Settings()
        self._has_told = False
        self._names_table = bool(self.settings.users)

    # --- Logins ---

    async def log_in(self, request: HTTPConnection, user_id: object) -> bool:
        """After the password was checked; of the user's id. False: no login. Where a new password
        ends sessions, call `begin_login` before its hash is read, and afterwards `log_in_at`."""
        return await self.log_in_at(request, user_id, await self.begin_login(user_id))

    async def begin_login(self, user_id: object, db: Any = None) -> str | None:
        """The login time; None: no login. `db`: in its transaction, for `keep_session_at`; a
        session or a connection of SQLAlchemy, psycopg or asyncpg."""
        try:
            if db is not None:
                return await start_in_transaction(db, user_id, self.settings)
            return await start(self.database, user_id, self.settings)
        except CannotAsk as error:
            self._cannot_ask(error)
            if db is not None or is_of_a_lock(error):  # The app's own change is undone.
                raise _unavailable() from error
            return login_time.to_text(login_time.now())

    async def log_in_at(self, request: HTTPConnection, user_id: object, begun: str | None) -> bool:
        """Of a login that has begun: `begun` is what `begin_login` gave."""
        request.session.clear()
        if user_id is None or begun is None:
            return False
        kept_id = to_text(user_id)
        if not await self.ask(kept_id, login_time.from_text(begun)):
            return False
        request.session.update({self.user_key: kept_id, LOGIN_TIME_KEY: begun})
        return True

    async def keep_session(self, request: HTTPConnection) -> bool:
        """After a change of the own password, once it is committed: it has ended all sessions of
        the user, and this one begins anew. False where the account must not log in any more. It
        outlives whatever else has ended sessions since that COMMIT: see `keep_session_at`."""
        begun = await self.begin_login(request.session.get(self.user_key))
        return await self.keep_session_at(request, begun)

    async def keep_session_at(self, request: HTTPConnection, begun: str | None) -> bool:
        """The same of a time that `begin_login(user_id, db)` gave in the transaction of the change,
        after the change. The user's row is locked until COMMIT, so whatever ends sessions later
        ends this one, too."""
        user_id = request.session.get(self.user_key)
        is_nobody = user_id is None or begun is None
        if is_nobody or not await self.ask(user_id, login_time.from_text(begun)):
            request.session.clear()
            return False
        request.session[LOGIN_TIME_KEY] = begun
        return True

    def log_out(self, request: HTTPConnection) -> None:
        request.session.clear()

    # --- Each request ---

    def login_at(self, request: HTTPConnection) -> datetime | None:
        """To send as the second argument of session_valid, in a query of the app's own."""
        return login_time.from_text(request.session.get(LOGIN_TIME_KEY))

    def user_id(self, request: HTTPConnection) -> str:
        """Of the session, as a text, not yet checked; without one, the request is refused."""
        user_id = request.session.get(self.user_key)
        if user_id is None:
            raise self._refusal(request, NOT_LOGGED_IN, bearer=False)
        return str(user_id)

    def require(self, request: HTTPConnection, valid: bool | None) -> None:
        """Refuses the request, unless the query of the app's own said that the session counts."""
        answer = answer_to(valid is True, kind_of_route(request.headers))
        if answer is not Answer.SERVE:
            self.tell_of_missing_login_time(request)
            request.session.clear()
            if self.settings.message:
                request.session[MESSAGE_KEY] = self.settings.message
            raise self._refusal(request, bearer=False)

    def tell_of_missing_login_time(self, request: HTTPConnection) -> None:
        """Of a session that is refused. Once: one is enough to find the login that does not call
        the guard, and those from before the guard are many."""
        if self._has_told or LOGIN_TIME_KEY in request.session:
            return
        self._has_told = True
        log.warning(
            "a session without a login time was refused: it is from before SessionGuard, or the"
            " login does not call guard.log_in(request, user.id)"
        )

    async def required(self, request: Request) -> str:
        """A dependency that asks by a query of its own, and gives the user's id, as a text."""
        user_id = self.user_id(request)
        self.require(request, await self.ask(user_id, self.login_at(request)))
        return user_id

    async def ask(self, user_id: object, login_at: datetime | None) -> bool:
        try:
            return await is_valid(self.database, user_id, login_at, self.settings)
        except CannotAsk as error:
            self._cannot_ask(error)
            return True

    def load(self, user_class: type[Any], get_db: Callable[..., Any]) -> Callable[..., Any]:
        """A dependency of FastAPI that reads the user and asks, in one query. `get_db` is the app's
        own dependency, which gives a Session or an AsyncSession of SQLAlchemy. From now on all is
        asked of the guard of the class's table, logins too, unless the settings name one."""
        from fastapi import Depends

        from pg_session_guard.sqlalchemy import UserQuery, for_class

        if not self._names_table:
            settings = for_class(replace(self.settings, users=None), user_class)
            if self.settings.users not in (None, settings.users):
                raise TypeError(
                    f"this SessionGuard asks of {self.settings.users}: make another for"
                    f" {settings.users}, with a user_key of its own"
                )
            self.settings = settings
        query = UserQuery(user_class, self.settings)

        async def current_user(request: Request, db: Any = Depends(get_db)) -> Any:  # noqa: B008
            user_id, login_at = self.user_id(request), self.login_at(request)
            try:
                if hasattr(db, "run_sync"):
                    user, valid = await db.run_sync(query.read, user_id, login_at)
                else:
                    user, valid = await run_in_threadpool(query.read, db, user_id, login_at)
            except Exception as error:
                self._cannot_ask(error)
                await _maybe(db.rollback())
                user = await _maybe(db.get(user_class, query.key_type(user_id)))
                valid = bool(getattr(user, "is_active", user is not None))
            self.require(request, valid)
            return user

        return current_user

    # --- Bearer tokens ---

    def bearer(
        self, decode: Callable[[str], Mapping[str, Any]]
    ) -> Callable[..., Awaitable[Mapping[str, Any]]]:
        """A dependency that gives the claims of the token. `decode` is the app's own: it checks the
        signature, and raises where it does not like the token. `sub` is the user's id."""

        async def claims(request: Request) -> Mapping[str, Any]:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer":
                raise self._refusal(request, NOT_LOGGED_IN, bearer=True)
            try:
                decoded = decode(token.strip())
            except Exception as error:
                raise self._refusal(request, bearer=True) from error
            user_id = decoded.get("sub")
            if user_id is None or not await self.ask(user_id, login_time.of_token(decoded)):
                raise self._refusal(request, bearer=True)
            return decoded

        return claims

    # --- Answers ---

    def pop_message(self, request: HTTPConnection) -> str | None:
        """For the login page: that the session has ended."""
        message = request.session.pop(MESSAGE_KEY, None)
        return str(message) if message else None

    def _refusal(
        self, request: HTTPConnection, reason: str = SESSION_ENDED, *, bearer: bool
    ) -> HTTPException:
        if not bearer and kind_of_route(request.headers) is RouteKind.HTML:
            location = {"Location": self._login_address(request)}
            return HTTPException(302, headers=location | NO_STORE)
        header = challenge(bearer=bearer, ended=reason == SESSION_ENDED)
        return HTTPException(401, reason, headers={"WWW-Authenticate": header} | NO_STORE)

    def _login_address(self, request: HTTPConnection) -> str:
        """A WebSocket has no method."""
        url = request.url
        if not is_way_back(request.scope.get("method", ""), unquote(url.path)):
            return self.login_path
        here = quote(url.path + (f"?{url.query}" if url.query else ""))
        return f"{self.login_path}{'&' if '?' in self.login_path else '?'}next={here}"

    def _cannot_ask(self, error: Exception) -> None:
        log.error(cannot_ask(error), exc_info=error)
        if not self.settings.fail_open:
            raise _unavailable() from error


def _unavailable() -> HTTPException:
    return HTTPException(503, "Try again later", headers=NO_STORE)


async def _maybe(value: Any) -> Any:
    """Of a Session or of an AsyncSession."""
    return await value if hasattr(value, "__await__") else value
