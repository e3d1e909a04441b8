"""The query that reads the user and, in it, asks whether the session counts."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet
from django.db.models.manager import BaseManager

from pg_session_guard.core import login_time
from pg_session_guard.django.asking import session_valid
from pg_session_guard.django.conf import users_table_name

VALID_COLUMN = "session_guard_valid"


def read(model: Any, connection: BaseDatabaseWrapper, user_id: object, kept: str | None) -> Any:
    """The user, who has the answer in `session_guard_valid`; None where there is none."""
    users, alias = users_table_name(connection), connection.alias
    if (model, alias, users) not in _statements:
        rows = _annotated(model, connection, user_id, kept)
        _statements[model, alias, users] = _statement_of(rows) if _is_plain(model) else None
    statement = _statements[model, alias, users]
    if statement is None:
        return _annotated(model, connection, user_id, kept).first()
    key = model._meta.pk.get_db_prep_value(user_id, connection)
    values = (users, str(user_id), login_time.from_text(kept), key)
    return next(iter(model._default_manager.using(alias).raw(statement, values)), None)


# Each is made once: to put one together takes longer than to run it. None where it may differ from
# request to request.
_statements: dict[tuple[Any, str, str], str | None] = {}


def _is_plain(model: Any) -> bool:
    """Not where a manager of the app's own may leave users out."""
    manager = model._default_manager
    return (
        type(manager).get_queryset is BaseManager.get_queryset
        and manager._queryset_class is QuerySet
        and not model._meta.parents
        and not hasattr(model._meta.pk, "get_placeholder")
    )


def _annotated(
    model: Any, connection: BaseDatabaseWrapper, user_id: object, kept: str | None
) -> QuerySet[Any]:
    column = {VALID_COLUMN: session_valid(connection, user_id, kept)}
    users = model._default_manager.using(connection.alias)
    rows: QuerySet[Any] = users.annotate(**column).filter(pk=user_id)
    return rows


def _statement_of(rows: QuerySet[Any]) -> str | None:
    statement, values = rows.query.get_compiler(rows.db).as_sql()
    return statement if len(values) == 4 else None
