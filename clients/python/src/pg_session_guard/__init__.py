"""Ends the sessions and tokens of disabled accounts, by the PostgreSQL extension pg_session_guard.

Each framework has a module of its own: `pg_session_guard.flask`, `.fab`, `.superset`, `.django`,
`.starlette`; bearer tokens are in `.jwt`.
"""

from pg_session_guard.core.login_time import LOGIN_TIME_KEY

__version__ = "1.0.0"
__all__ = ["LOGIN_TIME_KEY", "__version__"]
