"""Engines, pools and connections, as a Starlette app has them: each is asked in its own way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool

from pg_session_guard.core import login_time
from pg_session_guard.core.settings import Settings
from pg_session_guard.core.statements import (
    numbered_parameters,
    start_in_transaction_statement,
    start_statement,
    valid_statement,
)
from pg_session_guard.core.user_id import is_nobodys, to_text


class CannotAsk(Exception):
    """The database gives no answer, so there is none."""


class Database(Protocol):
    async def first_value(self, statement: str, values: dict[str, Any]) -> Any:
        """Runs the statement, with parameters as `%(name)s`: of a pool, in a transaction of its
        own; of a connection, in the one that is open."""


class Psycopg:
    """psycopg_pool.AsyncConnectionPool"""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    async def first_value(self, statement: str, values: dict[str, Any]) -> Any:
        async with self.pool.connection() as connection:
            return await PsycopgConnection(connection).first_value(statement, values)


class PsycopgConnection:
    """psycopg.AsyncConnection"""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def first_value(self, statement: str, values: dict[str, Any]) -> Any:
        cursor = await _cursor(self.connection).execute(statement, values)
        return (await cursor.fetchone())[0]


class PsycopgSync:
    """psycopg_pool.ConnectionPool"""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    async def first_value(self, statement: str, values: dict[str, Any]) -> Any:
        def ask() -> Any:
            with self.pool.connection() as connection:
                return _cursor(connection).execute(statement, values).fetchone()[0]

        return await run_in_threadpool(ask)


class PsycopgSyncConnection:
    """psycopg.Connection"""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def first_value(self, statement: str, values: dict[str, Any]) -> Any:
        def ask() -> Any:
            return _cursor(self.connection).execute(statement, values).fetchone()[0]

        return await run_in_threadpool(ask)


def _cursor(connection: Any) -> Any:
    """The app may have chosen rows of another kind, such as dicts."""
    from psycopg.rows import tuple_row

    return connection.cursor(row_factory=tuple_row)


class Asyncpg:
    """asyncpg.Pool, or a connection, which has the same function."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    async def first_value(self, statement: str, values: dict[str, Any]) -> Any:
        numbered, arguments = numbered_parameters(statement, values)
        return await self.pool.fetchval(numbered, *arguments)


class SqlAlchemy:
    """sqlalchemy.Engine"""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    async def first_value(self, statement: str, values: dict[str, Any]) -> Any:
        def ask() -> Any:
            with self.engine.begin() as connection:
                return _scalar(statement, values)(connection)

        return await run_in_threadpool(ask)


class SqlAlchemyAsync:
    """sqlalchemy.ext.asyncio.AsyncEngine"""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    async def first_value(self, statement: str, values: dict[str, Any]) -> Any:
        async with self.engine.begin() as connection:
            return await connection.run_sync(_scalar(statement, values))


class SqlAlchemyConnection:
    """sqlalchemy.Connection, sqlalchemy.orm.Session"""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def first_value(self, statement: str, values: dict[str, Any]) -> Any:
        return await run_in_threadpool(_scalar(statement, values), self.connection)


class SqlAlchemyAsyncConnection:
    """AsyncConnection, AsyncSession of sqlalchemy.ext.asyncio"""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def first_value(self, statement: str, values: dict[str, Any]) -> Any:
        return await self.connection.run_sync(_scalar(statement, values))


class Later:
    """A pool that is there once the app runs: asked for anew each time, as an app may be started
    again with another."""

    def __init__(self, give_pool: Callable[[], Any]) -> None:
        self.give_pool = give_pool

    async def first_value(self, statement: str, values: dict[str, Any]) -> Any:
        return await database_of(self.give_pool()).first_value(statement, values)


def _scalar(statement: str, values: dict[str, Any]) -> Callable[[Any], Any]:
    from pg_session_guard.sqlalchemy import text_of

    return lambda connection: connection.execute(text_of(statement), values).scalar()


Kinds = dict[tuple[str, str], Callable[[Any], Database]]
KINDS: Kinds = {
    ("psycopg_pool", "AsyncConnectionPool"): Psycopg,
    ("psycopg_pool", "ConnectionPool"): PsycopgSync,
    ("asyncpg", "Pool"): Asyncpg,
    ("sqlalchemy", "Engine"): SqlAlchemy,
    ("sqlalchemy", "AsyncEngine"): SqlAlchemyAsync,
}
CONNECTIONS: Kinds = {
    ("psycopg", "AsyncConnection"): PsycopgConnection,
    ("psycopg", "Connection"): PsycopgSyncConnection,
    ("asyncpg", "Connection"): Asyncpg,
    ("asyncpg", "PoolConnectionProxy"): Asyncpg,
    ("sqlalchemy", "Connection"): SqlAlchemyConnection,
    ("sqlalchemy", "Session"): SqlAlchemyConnection,
    ("sqlalchemy", "AsyncConnection"): SqlAlchemyAsyncConnection,
    ("sqlalchemy", "AsyncSession"): SqlAlchemyAsyncConnection,
}


def _kind_of(value: Any, kinds: Kinds) -> Callable[[Any], Database] | None:
    """By the name of its class, or of one that it is made from: no driver is imported for it."""
    names = ((base.__module__.partition(".")[0], base.__name__) for base in type(value).__mro__)
    return next((kinds[name] for name in names if name in kinds), None)


def database_of(pool: Any) -> Database:
    kind = _kind_of(pool, KINDS)
    if kind:
        return kind(pool)
    if hasattr(pool, "first_value"):
        return pool  # type: ignore[no-any-return]
    if callable(pool) and not isinstance(pool, type):
        return Later(pool)
    raise TypeError(
        f"a {type(pool).__name__} is no pool or engine that can be asked, and gives none"
    )


def connection_of(connection: Any) -> Database:
    """Not of a pool: another of its connections would wait for the change that is not committed."""
    kind = _kind_of(connection, CONNECTIONS)
    if kind:
        return kind(connection)
    raise TypeError(f"a {type(connection).__name__} is no connection or session that can be asked")


async def start(database: Database, user_id: object, settings: Settings) -> str | None:
    """The login time to keep, or None for an account that must not log in."""
    if user_id is None:
        return None
    values = {"user_id": to_text(user_id), "lock_timeout": settings.lock_timeout_text}
    if is_nobodys(values["user_id"]):
        return None
    login_at = await _ask(database, start_statement(settings.users), values, settings)
    return login_time.to_text(login_at) if login_at else None


async def start_in_transaction(db: Any, user_id: object, settings: Settings) -> str | None:
    """The same in a transaction of the app's own, after a change that ends the user's sessions."""
    connection, values = connection_of(db), {"user_id": to_text(user_id)}
    if hasattr(db, "flush"):  # Its errors are the app's own.
        await (db.flush() if hasattr(db, "run_sync") else run_in_threadpool(db.flush))
    statement = start_in_transaction_statement(settings.users)
    login_at = await _ask(connection, statement, values, settings)
    return login_time.to_text(login_at) if login_at else None


async def is_valid(
    database: Database, user_id: object, login_at: datetime | None, settings: Settings
) -> bool:
    values: dict[str, Any] = {"user_id": str(user_id), "login_at": login_at}
    if is_nobodys(values["user_id"]):
        return False
    return await _ask(database, valid_statement(settings.users), values, settings) is True


async def _ask(
    database: Database, statement: str, values: dict[str, Any], settings: Settings
) -> Any:
    if settings.users:
        values["users"] = settings.users
    try:
        return await database.first_value(statement, values)
    except Exception as error:  # Each driver has its own, and one that is new must not let in.
        raise CannotAsk from error
