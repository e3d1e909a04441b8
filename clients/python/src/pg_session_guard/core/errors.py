"""What PostgreSQL says of an error, whichever driver hands it on."""

from __future__ import annotations

INSUFFICIENT_PRIVILEGE = "42501"
LOCK_NOT_AVAILABLE = "55P03"
QUERY_CANCELED = "57014"
REMEDIES = {
    INSUFFICIENT_PRIVILEGE: "let the owner of the extension run"
    " SELECT session_guard.grant_access('the role that the app connects as')",
    "42883": "run CREATE EXTENSION pg_session_guard in the app's database, in a schema of the"
    " search_path of the app's role",
    "42704": "let the owner of the table run SELECT session_guard.attach('the table'),"
    " or name the table that is guarded by SESSION_GUARD_USERS",
    "42P01": "SESSION_GUARD_USERS, or the class of the users, names a table that is not there",
}


def sqlstate_of(error: BaseException | None) -> str | None:
    """SQLAlchemy and Django have the driver's error inside of their own."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        if state:
            return str(state)
        error = getattr(error, "orig", None) or error.__cause__
    return None


def cannot_ask(error: BaseException | None, *, privilege: str | None = None) -> str:
    """What is logged beside the error: where the database is not set up, what to do. `privilege`:
    what lets the app's role do more than ask."""
    state = sqlstate_of(error) or ""
    remedy = privilege if privilege and state == INSUFFICIENT_PRIVILEGE else REMEDIES.get(state)
    return "cannot ask pg_session_guard" + (f": {remedy}" if remedy else "")


def is_of_a_lock(error: BaseException | None) -> bool:
    """Of a login: somebody is changing the account, and has not committed yet. What that ends began
    before it, and not before now. A cancelled one has waited as long as statement_timeout says."""
    return sqlstate_of(error) in (LOCK_NOT_AVAILABLE, QUERY_CANCELED)
