"""System checks. Those of the database are warnings: the migration that mends them must be able to
run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import Error as DatabaseError
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.urls import NoReverseMatch, get_resolver, reverse
from django.utils.module_loading import import_string

from pg_session_guard.core.errors import INSUFFICIENT_PRIVILEGE, sqlstate_of
from pg_session_guard.core.settings import InvalidSetting
from pg_session_guard.core.statements import valid_statement
from pg_session_guard.django.backends import SessionGuardMixin
from pg_session_guard.django.conf import (
    CREATE_EXTENSION,
    UsersTable,
    guard_settings,
    is_guarded,
    is_installed,
    model_table_name,
    users_table_name,
    writing_connection,
)
from pg_session_guard.django.models import Event

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
MIDDLEWARE = "pg_session_guard.django.middleware.SessionGuardMiddleware"
BACKEND = "pg_session_guard.django.backends.SessionGuardBackend"


def _settings_are_valid(found: list[CheckMessage] | None = None) -> bool:
    try:
        guard_settings()
    except InvalidSetting as error:
        if found is not None:
            found.append(Error(str(error), id="pg_session_guard.E001"))
        return False
    return True


@register(Tags.security)
def check_settings(**_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not _settings_are_valid(found):
        return found
    order = [name for name in settings.MIDDLEWARE if name in (AUTHENTICATION, MIDDLEWARE)]
    if order != [AUTHENTICATION, MIDDLEWARE]:
        found.append(
            Error(
                "no session is checked: the middleware is missing, or not in its place",
                hint=f"Put {MIDDLEWARE!r} right after {AUTHENTICATION!r} in MIDDLEWARE.",
                id="pg_session_guard.E002",
            )
        )
    backends = [import_string(path) for path in settings.AUTHENTICATION_BACKENDS]
    if not any(issubclass(backend, SessionGuardMixin) for backend in backends):
        found.append(
            Warning(
                "each request asks the database once more",
                hint=f"Put {BACKEND!r} in AUTHENTICATION_BACKENDS, in place of ModelBackend.",
                id="pg_session_guard.W003",
            )
        )
    return found


@register(Tags.urls)
def check_pages(**_: Any) -> list[CheckMessage]:
    """An admin's URLs are made where `urlpatterns` has them, of what is registered by then."""
    if not apps.is_installed("django.contrib.admin") or not settings.ROOT_URLCONF:
        return []
    from django.contrib.admin.sites import all_sites

    # Checks run in any order, and urls.py is what calls add_session_pages.
    if not get_resolver().url_patterns:
        return []
    return [
        Error(
            f"each page of the admin {site.name!r} fails:"
            " its URLs were made before its session pages",
            hint="Call add_session_pages before `urlpatterns` in urls.py.",
            id="pg_session_guard.E010",
        )
        for site in all_sites
        if site.is_registered(Event)
        and _has_url(f"{site.name}:index")
        and not _has_url(f"{site.name}:{Event._meta.app_label}_{Event._meta.model_name}_changelist")
    ]


def _has_url(name: str) -> bool:
    try:
        reverse(name)
    except NoReverseMatch:
        return False
    return True


@register(Tags.database)
def check_database(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    alias = router.db_for_write(get_user_model())
    if not databases or alias not in databases or not _settings_are_valid():
        return []
    if not is_guarded(writing_connection()):
        return [
            Warning(
                f"no session is guarded: the database {alias!r} is not PostgreSQL",
                id="pg_session_guard.W004",
            )
        ]
    return [*_check_pooler(alias), *_check_guard(alias)]


def _check_pooler(alias: str) -> list[CheckMessage]:
    """What PgBouncer in transaction mode does not take. To switch server-side cursors off is how
    Django is told of it."""
    configured = connections[alias].settings_dict
    options = configured.get("OPTIONS", {})
    if not configured.get("DISABLE_SERVER_SIDE_CURSORS"):
        return []
    found: list[CheckMessage] = []
    if options.get("prepare_threshold") is not None:
        found.append(
            Warning(
                "a pooler may answer by a prepared statement of another client",
                hint="Leave prepare_threshold out of OPTIONS,"
                " or set max_prepared_statements in PgBouncer 1.21 or later.",
                id="pg_session_guard.W005",
            )
        )
    if "options" in options:
        found.append(
            Warning(
                "PgBouncer refuses the startup parameter `options`",
                hint="Write ALTER ROLE … SET … in its place.",
                id="pg_session_guard.W006",
            )
        )
    return found


def _check_guard(alias: str) -> list[CheckMessage]:
    connection = connections[alias]
    users = users_table_name(connection)
    named = guard_settings().users
    try:
        if not _table_exists(connection, users):
            if named and _table_exists(connection, model_table_name(connection)):
                return [_no_such_table(named, f"there is no table {users}")]
            return []  # A database that is yet to be migrated.
    except DatabaseError as error:
        problem = str(error).splitlines()[0]
        if named and (sqlstate_of(error) or "").startswith("42"):
            return [_no_such_table(named, problem)]
        return [Warning(f"cannot ask the database: {problem}", id="pg_session_guard.W009")]
    try:
        with connection.cursor() as cursor:
            values = {"users": users, "user_id": "", "login_at": None}
            cursor.execute(valid_statement(users), values)
    except DatabaseError as error:
        return [
            Warning(
                f"nobody can log in: {str(error).splitlines()[0]}",
                hint=_remedy(connection, users, error),
                id="pg_session_guard.W007",
            )
        ]
    return []


def _table_exists(connection: BaseDatabaseWrapper, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [name])
        return bool(cursor.fetchone()[0])


def _no_such_table(name: str, problem: str) -> CheckMessage:
    return Error(
        f"nobody can log in: {problem}",
        hint=f"SESSION_GUARD_USERS is {name!r}. Write the name as SQL does, in double quotes where"
        " it has capital letters, or leave the setting out: it is then the user model's table.",
        id="pg_session_guard.E008",
    )


def _remedy(connection: BaseDatabaseWrapper, users: str, error: DatabaseError) -> str:
    if sqlstate_of(error) == INSUFFICIENT_PRIVILEGE:
        role = connection.ops.quote_name(connection.connection.info.user)
        return (
            "Let the owner of the extension run:"
            f" SELECT session_guard.grant_access({_literal(role)})"
        )
    table = UsersTable.of_model(get_user_model())
    revoke_on = ",".join(connection.ops.quote_name(name) for name in table.revoke_on)
    options = {
        "id_column": None if table.id_column == "id" else table.id_column,
        "active_column": table.active_column or "the column that says who is active",
        "revoke_on": f"{{{revoke_on}}}" if revoke_on else None,
    }
    with connection.cursor() as cursor:
        create = "" if is_installed(cursor) else f"{CREATE_EXTENSION}; "
    given = "".join(f", {name} => {_literal(value)}" for name, value in options.items() if value)
    return (
        "Run `manage.py migrate pg_session_guard`. Where the role may not, let the owner of the"
        f" table run: {create}SELECT session_guard.attach({_literal(users)}{given})"
    )


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
