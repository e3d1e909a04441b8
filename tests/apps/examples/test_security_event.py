"""security_event gives each kind of event in the form that RFC 8417, RFC 9493 and OpenID CAEP 1.0 ask for."""

import json
import time
from pathlib import Path

import jsonschema

SCHEMA = json.loads((Path(__file__).parent / "security_event.schema.json").read_text())


def subject(claims):
    identifier = claims["sub_id"]
    if identifier["format"] == "opaque":
        return identifier["id"]
    return {of: part["id"] for of, part in identifier.items() if of != "format"}


def entity(claims):
    (event,) = claims["events"].values()
    return event["initiating_entity"]


def test_every_event_has_the_form_that_the_specifications_ask_for(db):
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
        "CREATE TABLE member (id text PRIMARY KEY, active boolean)",
        "INSERT INTO member VALUES ('ann', false)",
        "CREATE TABLE member_role (member_id text, role text)",
        "SELECT session_guard.attach('member')",
        "SELECT session_guard.watch('member_role', 'member_id', users => 'member')",
        "INSERT INTO member_role VALUES ('ann', 'admin')",
        "TRUNCATE member",
    ):
        db.execute(statement)
    events = db.execute(
        "SELECT reason, at, session_guard.security_event(id) FROM session_guard.event WHERE id > %s ORDER BY id", (first,)
    ).fetchall()
    given = [(reason, subject(claims), entity(claims)) for reason, _, claims in events]
    users, report, member = "public.users", "report", "public.member"
    assert given == [
        ("disabled", {"user": "20", "application": users}, "admin"),
        ("enabled", {"user": "20", "application": users}, "admin"),
        ("column:password", {"user": "21", "application": users}, "admin"),
        ("id_changed", {"user": "22", "application": users}, "admin"),
        ("id_changed", {"user": "1022", "application": users}, "admin"),
        ("deleted", {"user": "23", "application": users}, "admin"),
        ("recreated", {"user": "23", "application": users}, "system"),
        ("admin: lost phone", {"user": "24", "application": users}, "admin"),
        ("admin", {"application": users}, "admin"),
        ("admin", "report:sales", "admin"),
        ("admin", {"application": report}, "admin"),
        ("backfill", {"user": "ann", "application": member}, "system"),
        ("related:member_role", {"user": "ann", "application": member}, "admin"),
        ("truncated", {"application": member}, "system"),
    ]
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
