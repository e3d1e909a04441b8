"""Connects Superset to pg_session_guard: what to add to your superset_config.py.

The metadata database must be PostgreSQL. As its owner, with the address of SQLALCHEMY_DATABASE_URI, but without
`+psycopg2`:

    pip install pg-session-guard
    superset db upgrade && superset init
    psql "postgresql://OWNER@HOST/DATABASE" -c 'CREATE EXTENSION pg_session_guard'

If Superset connects as another role than the owner of its tables: SELECT session_guard.grant_access('that role').
Until the extension is there, nobody can log in.
"""

from pg_session_guard.superset import FLASK_APP_MUTATOR  # noqa: F401

# Read pg-session-guard's README for the settings, such as
# SESSION_GUARD_FAIL_OPEN = True
