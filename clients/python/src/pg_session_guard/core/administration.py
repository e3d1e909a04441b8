"""What the pages for administrators ask and do, whichever framework shows them.

Parameters are written as `%(name)s`. Nothing here is done before `RIGHTS` has said that the role
may do it: an error would end the transaction of the request.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pg_session_guard.core.errors import LOCK_NOT_AVAILABLE, sqlstate_of

# Gives the rows of a statement.
Run = Callable[[str, dict[str, Any]], Sequence[Sequence[Any]]]

INSTALL = "CREATE EXTENSION pg_session_guard;"
LONGEST_NOTE = 200
HISTORY_LENGTH = 10

# Looks at the catalogs alone, and by no name that a missing right would make an error.
RIGHTS = """
WITH extension AS (
    SELECT extnamespace AS hot, (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'session_guard') AS own
    FROM pg_catalog.pg_extension WHERE extname = 'pg_session_guard'
), functions AS (
    SELECT p.proname AS name,
           pg_catalog.has_function_privilege(p.oid, 'EXECUTE') AS granted
    FROM extension JOIN pg_catalog.pg_proc AS p ON p.pronamespace IN (own, hot)
    WHERE (p.proname, pg_catalog.oidvectortypes(p.proargtypes)) IN (
        ('session_verdict', 'regclass, text, timestamp with time zone'),
        ('event_key', 'text, regclass'), ('revoke_sessions', 'text, text, regclass'), ('health', ''))
), tables AS (
    SELECT c.relname AS name, pg_catalog.has_table_privilege(c.oid, 'SELECT') AS granted
    FROM extension JOIN pg_catalog.pg_class AS c ON c.relnamespace = own
    WHERE c.relname IN ('event', 'guard', 'epoch', 'guard_epoch') AND c.relkind = 'r'
)
SELECT pg_catalog.quote_ident(CURRENT_USER),
       pg_catalog.has_schema_privilege(own, 'USAGE'),
       pg_catalog.has_schema_privilege(hot, 'USAGE'),
       ARRAY(SELECT name::text FROM functions WHERE granted),
       ARRAY(SELECT name::text FROM tables WHERE granted),
       pg_catalog.has_table_privilege(%(users)s::regclass, 'UPDATE'),
       %(users)s::regclass::text
FROM extension
"""  # noqa: E501

GUARDS = """
SELECT g.name, coalesce(c.oid = %(users)s::regclass AND g.detached_at IS NULL, false)
FROM session_guard.guard AS g
LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = g.schema_name
LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = g.table_name
ORDER BY g.name
"""

# A login that has yet to come is ahead of all that could end it. So what is said of it is said of
# the account.
ACCOUNTS = """
SELECT u.id, session_verdict(%(users)s::regclass, u.id, 'infinity'::timestamptz), e.stamped_at, e.reason
FROM unnest(%(ids)s::text[]) AS u (id)
CROSS JOIN LATERAL (SELECT session_guard.event_key(u.id, %(users)s::regclass) AS key OFFSET 0) AS k
LEFT JOIN LATERAL (
    SELECT stamped_at, reason FROM (
        SELECT stamped_at, reason FROM session_guard.epoch
        WHERE user_id = k.key[2] AND guard = k.key[1]
        UNION ALL
        SELECT stamped_at, reason FROM session_guard.guard_epoch WHERE guard = k.key[1]
    ) AS epochs ORDER BY stamped_at DESC LIMIT 1
) AS e ON true
"""  # noqa: E501

COLUMNS = (
    "id, at, guard, user_id, scope, subject, reason, login_role, acting_role, application_name,"
    " client_addr::text"
)

# Two indexes: of the user's events, and of the guard's, which are few.
HISTORY = f"""
WITH asked AS MATERIALIZED (
    SELECT session_guard.event_key(%(user_id)s::text, %(users)s::regclass) AS key
)
SELECT {COLUMNS} FROM (
    (SELECT e.* FROM session_guard.event AS e, asked
     WHERE e.user_id = key[2] AND e.guard = key[1] ORDER BY e.at DESC, e.id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT e.* FROM session_guard.event AS e, asked
     WHERE e.user_id IS NULL AND e.guard = key[1] ORDER BY e.at DESC, e.id DESC LIMIT %(limit)s)
) AS e ORDER BY at DESC, id DESC LIMIT %(limit)s
"""  # noqa: S608

HEALTH = (
    "SELECT guard, check_name, detail, remedy, ok FROM session_guard.health()"
    " ORDER BY ok, guard NULLS FIRST, check_name, detail"
)

# The timeout is for this transaction alone, and is set before a lock is asked for. The accounts
# come in one order, so that two administrators do not wait for each other.
END_SESSIONS = """
WITH waits AS MATERIALIZED (SELECT set_config('lock_timeout', %(lock_timeout)s, true) AS at_most)
SELECT count(session_guard.revoke_sessions(u.id, %(reason)s::text, %(users)s::regclass))
FROM waits, unnest(%(ids)s::text[]) AS u (id) WHERE at_most IS NOT NULL
"""


@dataclass(frozen=True)
class Account:
    user_id: str
    state: str
    is_active: bool
    stamped_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Event:
    id: int
    at: datetime
    guard: str | None
    user_id: str | None
    scope: str | None
    subject: str | None
    reason: str
    login_role: str
    acting_role: str
    application_name: str | None
    client_addr: str | None

    @property
    def place(self) -> str:
        """To go on after it."""
        return f"{self.at.isoformat()}_{self.id}"

    @property
    def whom(self) -> str:
        """Where it is not one user, whose name the pages know."""
        return whom(self.user_id, self.scope, self.subject)

    @property
    def role(self) -> str:
        return role(self.login_role, self.acting_role)


def whom(user_id: str | None, scope: str | None, subject: str | None) -> str:
    if user_id is not None:
        return user_id
    if scope is None:
        return "all users"
    return f"token {scope}: {subject}" if subject is not None else f"all tokens {scope}"


def role(login_role: str, acting_role: str) -> str:
    return login_role if login_role == acting_role else f"{login_role} as {acting_role}"


@dataclass(frozen=True)
class Finding:
    guard: str | None
    check: str
    detail: str
    remedy: str | None
    ok: bool


@dataclass(frozen=True)
class Problem:
    """Why something cannot be shown or done, and the statements that mend it."""

    message: str
    statements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rights:
    """What the role may do; a Problem where it may not."""

    installed: bool
    see: Problem | None
    end: Problem | None
    health: Problem | None


class Busy(Exception):
    """Somebody is changing an account, and has not committed yet."""


ABSENT = Problem("The database does not have the extension pg_session_guard.", (INSTALL,))
NO_SERVER = Problem("Sessions are guarded in PostgreSQL alone, and this database is none.")
STATES = {
    "login_in_future": "active",
    "valid": "active",
    "disabled": "disabled",
    "unknown_user": "unknown",
    "revoked": "active from now on",
    "disarmed": "refused: triggers are missing, see the findings",
    "stale_replica": "refused: the standby is too far behind",
    "unacknowledged_timeline": "refused: the server's timeline has changed, see the findings",
}
ACTIVE = frozenset({"login_in_future", "valid", "revoked"})


def read_rights(run: Run, users: str) -> Rights:
    rows = run(RIGHTS, {"users": users})
    if not rows:
        return Rights(False, ABSENT, ABSENT, ABSENT)
    app, own, hot, functions, tables, may_update, table = rows[0]
    schema = () if own else (f"GRANT USAGE ON SCHEMA session_guard TO {app};",)

    def missing(verb: str, wanted: Mapping[str, str], granted: Sequence[str]) -> tuple[str, ...]:
        names = [full for name, full in wanted.items() if name not in granted]
        return (f"GRANT {verb} {', '.join(names)} TO {app};",) if names else ()

    def problem(what: str, *statements: tuple[str, ...]) -> Problem | None:
        needed = (*schema, *(one for group in statements for one in group))
        return Problem(f"The database role {app} may not {what}.", needed) if needed else None

    access = (
        ()
        if hot and "session_verdict" in functions
        else (f"SELECT session_guard.grant_access({quote_literal(app)});",)
    )
    readable = {
        name: f"session_guard.{name}" for name in ("event", "guard", "epoch", "guard_epoch")
    }
    key = {"event_key": "session_guard.event_key(text, regclass)"}
    revoke = {"revoke_sessions": "session_guard.revoke_sessions(text, text, regclass)"}
    update = () if may_update else (f"GRANT UPDATE ON {table} TO {app};",)
    return Rights(
        True,
        problem(
            "see sessions and their record",
            access,
            missing("SELECT ON", readable, tables),
            missing("EXECUTE ON FUNCTION", key, functions),
        ),
        problem("end sessions", missing("EXECUTE ON FUNCTION", revoke, functions), update),
        problem(
            "ask for findings",
            missing("EXECUTE ON FUNCTION", {"health": "session_guard.health()"}, functions),
        ),
    )


def quote_literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def read_accounts(run: Run, users: str, ids: Sequence[str]) -> dict[str, Account]:
    if not ids:
        return {}
    rows = run(ACCOUNTS, {"users": users, "ids": list(ids)})
    return {
        user_id: Account(user_id, STATES.get(verdict, str(verdict)), verdict in ACTIVE, at, reason)
        for user_id, verdict, at, reason in rows
    }


def read_guards(run: Run, users: str) -> tuple[list[str], str | None]:
    """The names of all, and of that of the table."""
    rows = run(GUARDS, {"users": users})
    return [name for name, _ in rows], next((name for name, ours in rows if ours), None)


def read_history(
    run: Run, users: str, user_id: str, limit: int = HISTORY_LENGTH
) -> tuple[list[Event], bool]:
    """The newest events, and whether there are more."""
    values = {"users": users, "user_id": user_id, "limit": limit + 1}
    events = [Event(*row) for row in run(HISTORY, values)]
    return events[:limit], len(events) > limit


def read_findings(run: Run) -> list[Finding]:
    return [Finding(*row) for row in run(HEALTH, {})]


# --- The record ---

KINDS = {
    "disabled": "account disabled",
    "enabled": "account enabled",
    "changed": "status changed",
    "deleted": "account deleted",
    "recreated": "id used again",
    "id_changed": "id changed",
    "truncated": "table emptied",
    "backfill": "disabled before it was noticed",
    "ban_ended": "ban has ended",
    "column": "a column changed",
    "related": "a related table changed",
    "admin": "ended on request",
}
PERIODS = {
    "hour": ("past hour", timedelta(hours=1)),
    "day": ("past 24 hours", timedelta(days=1)),
    "week": ("past 7 days", timedelta(days=7)),
    "month": ("past 30 days", timedelta(days=30)),
}


@dataclass(frozen=True)
class Filter:
    guard: str | None = None
    kind: str | None = None
    period: str | None = None
    user_id: str | None = None
    after: str | None = None


def read_record(run: Run, chosen: Filter, limit: int) -> tuple[list[Event], bool]:
    """The newest events after `chosen.after`, and whether there are more. By the index of their
    times, or of their users."""
    conditions, values = ["true"], {"limit": limit + 1}
    given: dict[str, Any] = {}
    if chosen.guard:
        conditions.append("guard = %(guard)s::text")
        given["guard"] = chosen.guard
    if chosen.kind in KINDS:
        conditions.append("split_part(reason, ':', 1) = %(kind)s::text")
        given["kind"] = chosen.kind
    if chosen.period in PERIODS:
        conditions.append("at >= now() - %(period)s::interval")
        given["period"] = PERIODS[chosen.period][1]
    if chosen.user_id is not None:
        conditions.append("user_id = %(user_id)s::text")
        given["user_id"] = chosen.user_id
    place = place_of(chosen.after)
    if place:
        # The first bound alone is one of an index; the second is of events of one instant.
        conditions.append("at <= %(at)s::timestamptz")
        conditions.append("(at, id) < (%(at)s::timestamptz, %(id)s::bigint)")
        given["at"], given["id"] = place
    statement = (
        f"SELECT {COLUMNS} FROM session_guard.event WHERE {' AND '.join(conditions)}"  # noqa: S608
        " ORDER BY at DESC, id DESC LIMIT %(limit)s"
    )
    events = [Event(*row) for row in run(statement, {**values, **given})]
    return events[:limit], len(events) > limit


def place_of(text: str | None) -> tuple[datetime, int] | None:
    found = re.fullmatch(r"([0-9T:.+\- ]{19,32})_(-?[0-9]{1,18})", text or "", re.ASCII)
    if not found:
        return None
    try:
        at = datetime.fromisoformat(found[1].replace(" ", "+"))
    except ValueError:
        return None
    return (at, int(found[2])) if at.tzinfo else None


# --- Ending sessions ---


def reason_of(administrator: str, note: str = "") -> str:
    """As the record has it, after `admin: `."""
    name, note = _one_line(administrator), _one_line(note)[:LONGEST_NOTE]
    return f"by {name}: {note}" if note else f"by {name}"


def _one_line(text: str) -> str:
    """What is no character to read could be taken for something else in a record, and PostgreSQL
    refuses a NUL."""
    readable = (" " if unicodedata.category(one)[0] == "C" else one for one in text)
    return " ".join("".join(readable).split())


def end_sessions(run: Run, users: str, ids: Sequence[str], reason: str, lock_timeout: str) -> int:
    """Of all or, if it fails, of nobody. Gives of how many: an account may be gone by now."""
    # PostgreSQL has no text with a NUL, so nobody has such an id.
    known = sorted(user_id for user_id in ids if "\0" not in user_id)
    values = {"users": users, "ids": known, "reason": reason, "lock_timeout": lock_timeout}
    try:
        return int(run(END_SESSIONS, values)[0][0])
    except Exception as error:
        if sqlstate_of(error) == LOCK_NOT_AVAILABLE:
            raise Busy from error
        raise
