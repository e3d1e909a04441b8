"""What the admin's pages ask of the database of the users."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import transaction

from pg_session_guard.core import administration as core
from pg_session_guard.core.administration import NO_SERVER, Account, Event, Finding, Rights
from pg_session_guard.django.conf import (
    guard_settings,
    is_guarded,
    users_table_name,
    writing_connection,
)

NO_RIGHTS = Rights(False, NO_SERVER, NO_SERVER, NO_SERVER)


def run(statement: str, values: dict[str, Any]) -> Sequence[Sequence[Any]]:
    with writing_connection().cursor() as cursor:
        cursor.execute(statement, values or None)
        rows: Sequence[Sequence[Any]] = cursor.fetchall()
    return rows


def users_table() -> str:
    return users_table_name(writing_connection())


def rights() -> Rights:
    return core.read_rights(run, users_table()) if is_guarded(writing_connection()) else NO_RIGHTS


def account(user: Any) -> Account:
    return core.read_accounts(run, users_table(), [str(user.pk)])[str(user.pk)]


def history(user: Any) -> tuple[list[Event], bool]:
    return core.read_history(run, users_table(), str(user.pk))


def findings() -> list[Finding]:
    return core.read_findings(run)


def guards() -> tuple[list[str], str | None]:
    return core.read_guards(run, users_table())


def end_sessions(ids: Iterable[Any], administrator: str, note: str) -> int:
    """Of all or of nobody, and in the transaction of the request where it is one."""
    given = [str(user_id) for user_id in ids]
    reason, timeout = core.reason_of(administrator, note), guard_settings().lock_timeout_text
    with transaction.atomic(using=writing_connection().alias):
        return core.end_sessions(run, users_table(), given, reason, timeout)


def users_by_id(ids: Iterable[str]) -> dict[str, Any]:
    """Those that there still are, by the text of their id."""
    model = get_user_model()
    keys = []
    for text in set(ids):
        try:
            keys.append(model._meta.pk.to_python(text))
        except ValidationError:
            continue
    users = model._base_manager.using(writing_connection().alias)
    return {str(user.pk): user for user in users.filter(pk__in=keys)}


def ids_by_name(part: str, most: int = 100) -> list[str]:
    model: Any = get_user_model()
    users = model._base_manager.using(writing_connection().alias)
    named = users.filter(**{f"{model.USERNAME_FIELD}__icontains": part})
    return [str(key) for key in named.values_list("pk", flat=True)[:most]]
