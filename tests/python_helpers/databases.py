"""Databases and roles on the server that PGHOST, PGPORT and PGUSER (a superuser) name."""

import subprocess
from contextlib import contextmanager

import psycopg


def connect(database, user=None):
    """Each statement is a transaction of its own."""
    return psycopg.connect(dbname=database, user=user, autocommit=True)


def create_role(name):
    """Makes a role that may log in. It stays after the tests: it might have been there before them."""
    with connect("postgres") as admin:
        if not admin.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).rowcount:
            admin.execute(f"CREATE ROLE {name} LOGIN")


def create_database(name, owner=None, settings=None):
    """Makes the database anew, with settings for all who connect."""
    drop_database(name)
    with connect("postgres") as admin:
        admin.execute(f"CREATE DATABASE {name}" + (f" OWNER {owner}" if owner else ""))
        for setting, value in (settings or {}).items():
            admin.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")


def drop_database(name):
    with connect("postgres") as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def psql(database, *statements, user=None):
    """Runs the statements as an operator would, each in a transaction of its own."""
    command = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database]
    command += ["-U", user] if user else []
    for statement in statements:
        command += ["-c", statement]
    subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL)


@contextmanager
def without_execute(database, function, role):
    """The role and the database's owner may call no function of that name meanwhile."""
    with connect(database) as db:
        names = "SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc WHERE proname = %s"
        functions = db.execute(names, [function]).fetchone()[0]
        db.execute(f"REVOKE EXECUTE ON FUNCTION {functions} FROM {role}, pg_database_owner")
        try:
            yield
        finally:
            db.execute(f"GRANT EXECUTE ON FUNCTION {functions} TO {role}, pg_database_owner")
