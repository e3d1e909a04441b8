"""What is asked through SQLAlchemy, 1.4 or 2. For apps whose framework has no module here: see
`valid_column`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    DateTime,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    func,
    inspect,
    literal,
    literal_column,
    null,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.orm import Mapper
from sqlalchemy.sql.elements import BindParameter

from pg_session_guard.core import login_time
from pg_session_guard.core.settings import Settings
from pg_session_guard.core.statements import (
    named_parameters,
    start_in_transaction_statement,
    start_statement,
    valid_statement,
)
from pg_session_guard.core.user_id import to_text

SESSION_SCOPE = "session"
END_SESSION = text("SELECT session_guard.revoke_tokens(:scope, :session_id, 'logout')")
END_ALL_SESSIONS = (
    r"SELECT session_guard.revoke_sessions(:user_id\:\:text, 'signed out everywhere'{guard})"
)


TIME = DateTime(timezone=True)


def valid_column(
    user_id: Any, login_at: Any, *, users: str | None = None, session_id: Any = None
) -> Any:
    """To select beside the user: it is true where the session still counts.

    `user_id` is the column of the id, so that the check rides on the app's own query. The guard of
    its table is asked, unless `users` names another as SQL does. `login_at` is a datetime or None,
    or a parameter. A session's own id has no time: once it is ended it stays so, since it is never
    used again.
    """
    arguments = [cast(user_id, Text), cast(_value(login_at, TIME), TIME)]
    users = users or _table_of_column(user_id)
    if users:
        arguments.insert(0, cast(_constant(users), REGCLASS))
    valid = func.session_valid(*arguments)
    if session_id is None:
        return valid
    scope, subject = _constant(SESSION_SCOPE), cast(_value(session_id, Text), Text)
    return and_(valid, func.token_valid(scope, subject, cast(null(), TIME)))


def _value(value: Any, its_type: Any) -> Any:
    return value if isinstance(value, BindParameter) else literal(value, its_type)


def _constant(value: str) -> Any:
    """Written into the statement, which is faster than a parameter. A value that would have to be
    escaped is a parameter."""
    is_plain = re.fullmatch(r'[\w". ]*', value, re.ASCII) is not None
    return literal_column(f"'{value}'", Text) if is_plain else literal(value, Text)


def users_table(user_class: type[Any]) -> str:
    """The table of the class, as SQL names it: to be the `users` of Settings. Of classes that
    inherit, the one with the ids of all."""
    table = _key_column(user_class).table
    if not isinstance(table, Table):
        raise TypeError(
            f"{user_class.__name__} is mapped to no table: name the guarded one by"
            " SESSION_GUARD_USERS"
        )
    return _quoted(table)


def for_class(settings: Settings, user_class: type[Any]) -> Settings:
    """The guard of the class's own table is asked, and not the default one: another table has other
    users under the same ids."""
    return settings if settings.users else replace(settings, users=users_table(user_class))


def _key_column(user_class: type[Any]) -> Any:
    mapper: Any = inspect(user_class, raiseerr=False)
    if not isinstance(mapper, Mapper):
        raise TypeError(f"{user_class!r} is no class of users that SQLAlchemy has mapped")
    if len(mapper.primary_key) != 1:
        raise TypeError(f"{user_class.__name__} must have a primary key of one column")
    return mapper.primary_key[0]


def _table_of_column(column: Any) -> str | None:
    if hasattr(column, "__clause_element__"):
        column = column.__clause_element__()
    table = getattr(column, "table", None)
    while table is not None and not isinstance(table, Table):
        table = getattr(table, "element", None)  # Of an alias.
    return None if table is None else _quoted(table)


def _quoted(table: Table) -> str:
    names = [table.schema, table.name] if table.schema else [table.name]
    return ".".join('"' + str(name).replace('"', '""') + '"' for name in names)


class UserQuery:
    """The query of a user by the primary key, and in it whether the session still counts."""

    def __init__(self, user_class: type[Any], settings: Settings) -> None:
        settings = for_class(settings, user_class)
        column = _key_column(user_class)
        mapper: Any = inspect(user_class)
        self.key_name: str = mapper.get_property_by_column(column).key
        try:
            self.key_type: Callable[[str], Any] = column.type.python_type
        except NotImplementedError:
            self.key_type = str
        # Made once: to put a statement together takes longer than to run it.
        key = getattr(user_class, self.key_name)
        login_at, session_id = (
            bindparam("login_at", type_=TIME),
            bindparam("session_id", type_=Text),
        )
        plain = valid_column(key, login_at, users=settings.users)
        single = valid_column(key, login_at, users=settings.users, session_id=session_id)
        self._by_login, self._by_session = (
            select(user_class, valid).where(key == bindparam("user_key"))
            for valid in (plain, single)
        )

    def read(
        self, session: Any, user_id: str, login_at: datetime | None, session_id: str | None = None
    ) -> tuple[Any, bool]:
        """The user, and whether the session counts. Keep the user: while somebody does,
        `session.get` finds it without asking the database again."""
        try:
            values = {"user_key": self.key_type(user_id), "login_at": login_at}
        except (ValueError, TypeError):
            return None, False
        if session_id is None:
            row = session.execute(self._by_login, values).unique().first()
        else:
            row = (
                session.execute(self._by_session, {**values, "session_id": session_id})
                .unique()
                .first()
            )
        return (row[0], row[1] is True) if row else (None, False)


@lru_cache
def text_of(statement: str) -> Any:
    return text(named_parameters(statement))


def start(connection: Any, user_id: object, settings: Settings) -> str | None:
    """The login time to keep, or None for an account that must not log in. In a transaction of its
    own: it locks the user's row, and counts once it is committed."""
    if user_id is None:
        return None
    values = {"user_id": to_text(user_id), "lock_timeout": settings.lock_timeout_text}
    return _start(connection, start_statement(settings.users), values, settings)


def start_in_transaction(db: Any, user_id: object, settings: Settings) -> str | None:
    """The same in the transaction of a change that ends the user's sessions, after the change. The
    time counts once that is committed, and whatever ends sessions later ends this one, too. After a
    rollback it must not be used. `db`: a connection, or a session that has been flushed."""
    values = {"user_id": to_text(user_id)}
    return _start(db, start_in_transaction_statement(settings.users), values, settings)


def _start(
    connection: Any, statement: str, values: dict[str, Any], settings: Settings
) -> str | None:
    if settings.users:
        values["users"] = settings.users
    login_at = connection.execute(text_of(statement), values).scalar()
    return login_time.to_text(login_at) if login_at else None


def is_valid(
    connection: Any, user_id: object, login_at: datetime | None, settings: Settings
) -> bool:
    """By a query of its own."""
    values: dict[str, Any] = {"user_id": str(user_id), "login_at": login_at}
    if settings.users:
        values["users"] = settings.users
    statement = text_of(valid_statement(settings.users))
    return connection.execute(statement, values).scalar() is True


def end_session(connection: Any, session_id: str) -> None:
    connection.execute(END_SESSION, {"scope": SESSION_SCOPE, "session_id": session_id})


def end_all_sessions(connection: Any, user_id: object, settings: Settings) -> None:
    values = {"user_id": str(user_id)}
    guard = ""
    if settings.users:
        guard, values["users"] = r", :users\:\:regclass", settings.users
    connection.execute(text(END_ALL_SESSIONS.format(guard=guard)), values)
