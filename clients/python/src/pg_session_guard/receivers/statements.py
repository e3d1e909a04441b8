"""What the database is asked, with parameters as `%(name)s`."""

from __future__ import annotations

import re

from pg_session_guard.receivers.subjects import Subject

# A token that was acted on is itself revoked, under this scope: so it is never acted on again, also
# after a restart, in another process, or when two copies arrive at once.
RECEIVED_SCOPE = "received_token"
REPEATED = -1


def end_statement(users: str | None = None) -> str:
    """All at once or nothing: remembers the token, and ends the sessions of `user_ids`. How many
    were ended, REPEATED of a token that was received before, and NULL where the guard refuses
    everybody, so that it cannot say.

    Each part reads the row of the one before it, so it comes after it: nothing else says when a
    function is called. The last line reads `remembered` by itself, as there may be no user. The
    lock is that of this token, so that a second copy waits, and then sees the first.
    """
    guard = ", %(users)s::regclass" if users else ""
    return (
        "WITH waits AS MATERIALIZED (SELECT"
        " pg_catalog.set_config('lock_timeout', %(lock_timeout)s, true) AS at_most),"
        " alone AS MATERIALIZED (SELECT pg_catalog.pg_advisory_xact_lock("
        "pg_catalog.hashtextextended(%(token)s::text, 0))::text AS lock"
        " FROM waits WHERE at_most IS NOT NULL),"
        " asked AS MATERIALIZED (SELECT"
        f" token_valid('{RECEIVED_SCOPE}', %(token)s::text, NULL::timestamptz) AS is_new,"
        f" token_valid('{RECEIVED_SCOPE}', '', NULL::timestamptz) AS can_say"
        " FROM alone WHERE lock IS NOT NULL),"
        " remembered AS MATERIALIZED (SELECT session_guard.revoke_tokens("
        f"'{RECEIVED_SCOPE}', %(token)s::text, %(reason)s::text) AS epoch"
        " FROM asked WHERE is_new),"
        " ended AS MATERIALIZED (SELECT session_guard.revoke_sessions("
        f"id, %(reason)s::text{guard}) AS epoch"
        " FROM remembered, pg_catalog.unnest(%(user_ids)s::text[]) AS id"
        " WHERE remembered.epoch IS NOT NULL)"
        " SELECT CASE WHEN (SELECT epoch FROM remembered) IS NOT NULL"
        " THEN (SELECT pg_catalog.count(epoch) FROM ended)"
        f" WHEN can_say THEN {REPEATED} END FROM asked"
    )


def users_statement(query: str) -> tuple[str, tuple[str, ...]]:
    """The app's own query, to give all ids as one value; and which of a subject's members it asks
    for. Each is a text, also where there is none."""
    query = query.strip().rstrip(";")
    names = tuple(dict.fromkeys(re.findall(r"%\((\w+)\)s", query)))
    unknown = [name for name in names if name not in Subject.NAMES]
    if unknown or not names or "%" in re.sub(r"%\(\w+\)s", "", query):
        raise ValueError(
            "the query of user_ids has parameters such as %(sub)s, and no other %. There are: "
            + ", ".join(Subject.NAMES)
        )
    typed = re.sub(r"(%\(\w+\)s)", r"\1::text", query)
    return f"SELECT array_agg(named.id::text) FROM ({typed}) AS named (id)", names
