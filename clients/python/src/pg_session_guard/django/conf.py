"""The settings, and where the users are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field

from pg_session_guard.core.settings import PREFIX, Settings

APP = "pg_session_guard.django"
CREATE_EXTENSION = "CREATE EXTENSION IF NOT EXISTS pg_session_guard"


def require_app() -> None:
    """The app remembers the time of each login, without which none would count."""
    if not apps.is_installed(APP):
        raise ImproperlyConfigured(f"nobody can log in: add {APP!r} to INSTALLED_APPS")


@lru_cache(maxsize=1)
def guard_settings() -> Settings:
    names = [name for name in dir(django_settings) if name.startswith(PREFIX)]
    return Settings.of_config({name: getattr(django_settings, name) for name in names})


def _forget(*, setting: str, **_: Any) -> None:
    """Tests change settings."""
    if setting.startswith(PREFIX):
        guard_settings.cache_clear()


setting_changed.connect(_forget)


@dataclass(frozen=True)
class UsersTable:
    """The table with the passwords: a parent's, where the user model inherits one."""

    name: str
    id_column: str
    active_column: str | None
    revoke_on: tuple[str, ...]

    @classmethod
    def of_model(cls, model: Any) -> UsersTable:
        fields: dict[str, Field[Any, Any]] = {
            field.name: field for field in model._meta.concrete_fields
        }
        password = fields.get("password")
        owner = password.model if password else model
        active = fields.get("is_active")
        return cls(
            name=owner._meta.db_table,
            id_column=owner._meta.pk.column,
            active_column=active.column if active and active.model is owner else None,
            revoke_on=(str(password.column),) if password else (),
        )


def model_table_name(connection: BaseDatabaseWrapper) -> str:
    """As PostgreSQL reads it: in quotes."""
    return connection.ops.quote_name(UsersTable.of_model(get_user_model()).name)


def users_table_name(connection: BaseDatabaseWrapper) -> str:
    return guard_settings().users or model_table_name(connection)


def reading_connection() -> BaseDatabaseWrapper:
    return connections[router.db_for_read(get_user_model())]


def writing_connection() -> BaseDatabaseWrapper:
    return connections[router.db_for_write(get_user_model())]


def is_guarded(connection: BaseDatabaseWrapper) -> bool:
    """Not where tests, or a developer, have SQLite."""
    return connection.vendor == "postgresql"


def is_installed(cursor: Any) -> bool:
    """The extension, or the SQL edition, which is a schema and no extension. The schema's owner
    chooses the code that the caller runs. So it must be a superuser, the owner of the database, or
    a role whose rights the caller has."""
    cursor.execute("""
        SELECT FROM pg_namespace JOIN pg_roles ON pg_roles.oid = nspowner
        JOIN pg_database ON datname = current_database() WHERE nspname = 'session_guard'
        AND (rolsuper OR nspowner = datdba OR pg_has_role(nspowner, 'USAGE'))
    """)
    return cursor.fetchone() is not None
