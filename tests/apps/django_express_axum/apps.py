"""The three apps: how each is set up and started, and what its users table looks like."""

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from python_helpers import EXAMPLES, PASSWORD, PYTHON_PACKAGE, commands, databases, serving, waiting

HERE = Path(__file__).parent
OWNER = "session_guard_app"


@dataclass(frozen=True)
class App:
    name: str
    database: str
    table: str
    active: str
    password: str
    setup: tuple
    server: tuple
    unprotected: tuple = ()

    @property
    def environment(self):
        host, port = os.environ["PGHOST"], os.environ.get("PGPORT", "5432")
        return {
            **os.environ,
            "PGUSER": OWNER,
            "PGDATABASE": self.database,
            "DATABASE_URL": f"host={host} port={port} user={OWNER} dbname={self.database}",
            "SECRET_KEY": "a secret of the tests, longer than 32 bytes",
            "NODE_PATH": str(Path(os.environ["EXPRESS"], "node_modules")),
            "PYTHONPATH": os.pathsep.join(map(str, (HERE, PYTHON_PACKAGE))),
            "PASSWORD": PASSWORD,
            "DJANGO_SETTINGS_MODULE": "quick_hashes",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        }

    def run(self, *command, **changed):
        """One of the app's own commands, as its operator would call it."""
        environment = {**self.environment, **changed}
        return commands.run(command, environment, EXAMPLES / self.name)

    def sql(self, statement, *values):
        """As a superuser who knows nothing of the app; gives the first field of the first row."""
        with databases.connect(self.database) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchone()[0] if cursor.description else None

    def set_active(self, active):
        self.sql(f"UPDATE {self.table} SET {self.active} = %s WHERE username = 'alice'", active)

    def set_password_hash(self, password_hash):
        self.sql(f"UPDATE {self.table} SET {self.password} = %s WHERE username = 'alice'", password_hash)

    def password_hash(self):
        return self.sql(f"SELECT {self.password} FROM {self.table} WHERE username = 'alice'")

    @contextmanager
    def changing(self, column, value):
        """A connection that has changed alice's row and has not committed yet."""
        with psycopg.connect(dbname=self.database) as connection:
            change = f"UPDATE {self.table} SET {column} = %s WHERE username = 'alice'"
            connection.execute(change, (value,))
            yield connection

    def wait_until_somebody_waits_for_a_lock(self):
        waiting.wait_until_somebody_waits_for_a_lock(self.database)

    def create_database(self, owner=OWNER):
        databases.create_role(OWNER)
        databases.create_database(self.database, owner)

    def drop_database(self):
        databases.drop_database(self.database)

    def serve(self, log_path, command=None, **changed):
        """The app in a process of its own; gives its address."""
        environment = {**self.environment, **changed}
        folder = EXAMPLES / self.name
        return serving.serve(command or self.server, environment, log_path, "/login", folder=folder)


MANAGE = (sys.executable, "manage.py")
RUNSERVER = (*MANAGE, "runserver", "--noreload", "127.0.0.1:PORT")
AXUM = os.environ["AXUM"]
SCHEMA = ("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", "schema.sql")

DJANGO = App(
    "django",
    "session_guard_django",
    "auth_user",
    "is_active",
    "password",
    (
        (*MANAGE, "migrate"),
        (*MANAGE, "createsuperuser", "--noinput", "--username", "alice", "--email", "a@example.com"),
    ),
    RUNSERVER,
    (*RUNSERVER, "--settings", "unprotected"),
)
EXPRESS = App(
    "express",
    "session_guard_express",
    "users",
    "active",
    "password_hash",
    (SCHEMA, ("node", "add-user.js", "alice")),
    ("node", "app.js"),
    ("node", str(HERE / "unprotected.js")),
)
AXUM_APP = App(
    "axum",
    "session_guard_axum",
    "users",
    "active",
    "password_hash",
    (SCHEMA, (AXUM, "add-user", "alice")),
    (AXUM,),
)
APPS = [DJANGO, EXPRESS, AXUM_APP]
