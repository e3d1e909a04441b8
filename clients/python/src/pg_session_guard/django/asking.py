"""What the database is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.contrib.auth import get_user_model
from django.db import Error, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, F, Func, TextField, Value
from django.db.models.expressions import RawSQL

from pg_session_guard.core import login_time
from pg_session_guard.core.statements import (
    start_in_transaction_statement,
    start_statement,
    valid_statement,
)
from pg_session_guard.django.conf import (
    guard_settings,
    reading_connection,
    users_table_name,
    writing_connection,
)

VALID = "session_valid(%s::regclass, %s::text, %s::timestamptz)"


class CannotAsk(Exception):
    """The database gives no answer, so there is none."""


@contextmanager
def failing_closed() -> Iterator[None]:
    try:
        yield
    except Error as error:
        raise CannotAsk from error


@contextmanager
def asking(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Where the app may have chosen to go on without an answer, an error must not be the end of the
    request's transaction."""
    with failing_closed(), ExitStack() as stack:
        if guard_settings().fail_open and connection.in_atomic_block:
            stack.enter_context(transaction.atomic(using=connection.alias))
        yield


def session_valid(connection: BaseDatabaseWrapper, user_id: object, kept: str | None) -> RawSQL:
    """Whether the session of that login time counts, as a column of the query that reads the user.

    Raw, since a tree of expressions takes longer to put together than the query takes.
    """
    values = (users_table_name(connection), str(user_id), login_time.from_text(kept))
    return RawSQL(VALID, values, BooleanField())  # noqa: S611  (of constants alone)


def session_valid_of_row(connection: BaseDatabaseWrapper, kept: str | None) -> Func:
    """The same for a query that finds the user by something else than the primary key."""
    arguments = (
        _cast(Value(users_table_name(connection)), "regclass"),
        _cast(F("pk"), "text"),
        _cast(Value(login_time.from_text(kept)), "timestamptz"),
    )
    return Func(*arguments, function="session_valid", output_field=BooleanField())


def _cast(value: Any, its_type: str) -> Func:
    return Func(value, template=f"(%(expressions)s)::{its_type}", output_field=TextField())


def is_valid(user_id: object, kept: str | None) -> bool:
    """By a query of its own."""
    connection = reading_connection()
    users = users_table_name(connection)
    values = {"users": users, "user_id": str(user_id), "login_at": login_time.from_text(kept)}
    with asking(connection):
        return _ask(connection, valid_statement(users), values) is True


def start(user_id: object, *, in_this_transaction: bool = False) -> str | None:
    """The login time to keep, or None for an account that must not log in.

    It locks the user's row. In the transaction of a request, two logins that then update the row
    would wait for each other: so where there is one, it takes a connection of its own. But a row
    that this transaction has written is locked already, and no other connection sees it.
    """
    connection = writing_connection()
    with failing_closed():
        has_own = not in_this_transaction and _is_in_transaction(connection)
        if not has_own or _has_written(connection, user_id):
            return _start(connection, user_id)
        other = connection.copy()
        try:
            return _start(other, user_id)
        finally:
            other.close()


def start_after_change(user_id: object) -> str | None:
    """In the transaction that has written the user's row."""
    with failing_closed():
        return _start(writing_connection(), user_id, start_in_transaction_statement)


def _start(
    connection: BaseDatabaseWrapper,
    user_id: object,
    statement: Callable[[str], str] = start_statement,
) -> str | None:
    users = users_table_name(connection)
    timeout = guard_settings().lock_timeout_text
    values = {"users": users, "user_id": str(user_id), "lock_timeout": timeout}
    login_at = _ask(connection, statement(users), values)
    return login_time.to_text(login_at) if login_at else None


def _has_written(connection: BaseDatabaseWrapper, user_id: object) -> bool:
    """The row's transaction is no older than this one. So it may also be another, which has begun
    since: the login then does without a connection of its own."""
    model: Any = get_user_model()
    fields = {field.name: field for field in model._meta.concrete_fields}
    owner = fields["password"].model if "password" in fields else model
    written = RawSQL("age(xmin) <= 0", (), BooleanField())
    rows = owner._base_manager.using(connection.alias).filter(pk=user_id)
    return rows.values_list(written, flat=True).first() is True


def _ask(connection: BaseDatabaseWrapper, statement: str, values: dict[str, Any]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    return row[0] if row else None


def _is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Not where it is a TestCase's: no other connection would see its users."""
    blocks = getattr(connection, "atomic_blocks", ())
    if any(getattr(block, "_from_testcase", False) for block in blocks):
        return False
    return connection.in_atomic_block or not connection.get_autocommit()
