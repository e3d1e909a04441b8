"""What the database is asked, with parameters as `%(name)s`.

An id is sent as text: it may be an integer, a UUID or a text, and the cast chooses the function.
"""

from __future__ import annotations

import re
from typing import Any


def start_statement(users: str | None = None) -> str:
    """At a login; of `user_id` and `lock_timeout`.

    The timeout is set for this transaction alone, in the same round trip, and before the lock is
    asked for: the WHERE is evaluated first.
    """
    return (
        "WITH waits AS MATERIALIZED"
        " (SELECT set_config('lock_timeout', %(lock_timeout)s, true) AS at_most)"
        f" {start_in_transaction_statement(users)} FROM waits"
        " WHERE at_most IS NOT NULL"
    )


def start_in_transaction_statement(users: str | None = None) -> str:
    """In a transaction of the app's own that has changed the user's row, after the change; of
    `user_id`. The row is locked already, and the transaction's timeouts are the app's."""
    guard = "%(users)s::regclass, " if users else ""
    return f"SELECT session_start({guard}%(user_id)s::text)"


def valid_statement(users: str | None = None) -> str:
    """At a request whose user is not read anyway; of `user_id` and `login_at`."""
    guard = "%(users)s::regclass, " if users else ""
    return f"SELECT session_valid({guard}%(user_id)s::text, %(login_at)s::timestamptz)"


def named_parameters(statement: str) -> str:
    """As SQLAlchemy's text() takes them, `:name`. It would take any other colon for one, so those
    are escaped."""
    return re.sub(r"%\((\w+)\)s", r":\1", statement.replace(":", r"\:"))


def numbered_parameters(statement: str, values: dict[str, Any]) -> tuple[str, list[Any]]:
    """As PostgreSQL itself takes them, `$1`. A regclass is sent as text."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        names.append(match[1])
        return f"${len(names)}" + ("::text" if match[1] in ("users", "lock_timeout") else "")

    return re.sub(r"%\((\w+)\)s", number, statement), [values[name] for name in names]
