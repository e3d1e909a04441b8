"""Creates the extension where it is not installed, and puts the users under guard: of any user
model, and nothing where there is no PostgreSQL."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import ProgrammingError, migrations

from pg_session_guard.core.errors import INSUFFICIENT_PRIVILEGE, sqlstate_of
from pg_session_guard.django.conf import (
    CREATE_EXTENSION,
    UsersTable,
    guard_settings,
    is_guarded,
    is_installed,
)

ATTACH = (
    "SELECT session_guard.attach(%s::regclass, id_column => %s, active_column => %s,"
    " revoke_on => %s::name[])"
)


def table_of(apps: Any) -> UsersTable:
    return UsersTable.of_model(apps.get_model(settings.AUTH_USER_MODEL))


def attach(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    table = table_of(apps)
    if not is_guarded(connection) or table.active_column is None:
        return
    name = guard_settings().users or connection.ops.quote_name(table.name)
    values = [name, table.id_column, table.active_column, list(table.revoke_on)]
    try:
        with connection.cursor() as cursor:
            if not is_installed(cursor):
                cursor.execute(CREATE_EXTENSION)
            cursor.execute(ATTACH, values)
    except ProgrammingError as error:
        if sqlstate_of(error) != INSUFFICIENT_PRIVILEGE:
            raise
        raise ProgrammingError(_hint(connection, error)) from error


def _hint(connection: Any, error: ProgrammingError) -> str:
    """The role need not be superuser: owning the database is enough. Where it does not, this is
    what is missing."""
    role = connection.ops.quote_name(connection.connection.info.user)
    return (
        f"{str(error).splitlines()[0]}\n"
        "HINT:  Before you migrate again, have a superuser or the owner of the database run: "
        f"{CREATE_EXTENSION}; "
        f"GRANT USAGE ON SCHEMA session_guard TO {role}; "
        f"GRANT EXECUTE ON FUNCTION session_guard.attach, session_guard.detach TO {role}"
    )


def detach(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    table = table_of(apps)
    if not is_guarded(connection) or table.active_column is None:
        return
    with connection.cursor() as cursor:
        name = guard_settings().users or connection.ops.quote_name(table.name)
        cursor.execute("SELECT session_guard.detach(%s::regclass)", [name])


class Migration(migrations.Migration):
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]  # noqa: RUF012
    operations = [migrations.RunPython(attach, detach)]  # noqa: RUF012
