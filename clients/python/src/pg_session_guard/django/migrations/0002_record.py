"""Names the record to Django, for its permissions. It runs no statement: the table is the
extension's."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pg_session_guard", "0001_guard")]  # noqa: RUF012
    operations = [  # noqa: RUF012
        migrations.CreateModel(
            name="Event",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(verbose_name="time")),
                ("guard", models.TextField(null=True, verbose_name="users table")),
                ("user_id", models.TextField(null=True, verbose_name="user")),
                ("scope", models.TextField(null=True)),
                ("subject", models.TextField(null=True)),
                ("epoch", models.DateTimeField(verbose_name="ended what began before")),
                ("reason", models.TextField()),
                ("login_role", models.TextField(verbose_name="database role")),
                ("acting_role", models.TextField()),
                ("application_name", models.TextField(null=True)),
                (
                    "client_addr",
                    models.GenericIPAddressField(null=True, verbose_name="address of the client"),
                ),
            ],
            options={
                "verbose_name": "ended session",
                "verbose_name_plural": "ended sessions",
                "db_table": '"session_guard"."event"',
                "permissions": (("end_sessions", "Can end all sessions of users"),),
                "managed": False,
                "default_permissions": ("view",),
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="Finding",
            fields=[],
            options={
                "verbose_name": "finding",
                "verbose_name_plural": "findings",
                "proxy": True,
                "default_permissions": ("view",),
                "indexes": [],
                "constraints": [],
            },
            bases=("pg_session_guard.event",),
        ),
    ]
