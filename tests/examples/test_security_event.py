"""Each kind of event is told in the form that RFC 8417, RFC 9493 and OpenID CAEP 1.0 ask for."""

import json
import time
from pathlib import Path

import jsonschema

SCHEMA = json.loads((Path(__file__).parent / "security_event.schema.json").read_text())


def test_every_event_is_told_as_the_specifications_ask_for(db):
    first = db.execute("SELECT coalesce(max(id), 0) FROM session_guard.event").fetchone()[0]
    for statement in (
        "UPDATE users SET active = false WHERE id = 20",
        "UPDATE users SET active = true WHERE id = 20",
        "UPDATE users SET password = 'other' WHERE id = 21",
        "UPDATE users SET id = 1022 WHERE id = 22",
        "DELETE FROM users WHERE id = 23",
        "INSERT INTO users VALUES (23, true)",
        "SELECT session_guard.revoke_sessions(24, 'lost phone')",
        "SELECT session_guard.revoke_all_sessions()",
        "SELECT session_guard.revoke_tokens('report', 'sales')",
        "SELECT session_guard.revoke_tokens('report')",
    ):
        db.execute(statement)
    events = db.execute(
        "SELECT reason, at, session_guard.security_event(id) FROM session_guard.event WHERE id > %s ORDER BY id", (first,)
    ).fetchall()
    reasons = [reason for reason, _, _ in events]
    assert reasons == [
        "disabled", "enabled", "column:password", "id_changed", "id_changed", "deleted", "recreated",
        "admin: lost phone", "admin", "admin", "admin",
    ]  # fmt: skip
    for reason, at, claims in events:
        jsonschema.validate(claims, SCHEMA)
        (event,) = claims["events"].values()
        assert event["reason_admin"]["en"] == reason
        assert event["event_timestamp"] == int(at.timestamp())
        assert abs(claims["iat"] - time.time()) < 5
    assert len({claims["jti"] for _, _, claims in events}) == len(events)


def test_the_schema_refuses_what_is_not_one(db):
    for wrong in ({}, {"jti": "1", "iat": 1, "sub_id": {"format": "complex"}, "events": {}}):
        try:
            jsonschema.validate(wrong, SCHEMA)
        except jsonschema.ValidationError:
            continue
        raise AssertionError(wrong)
