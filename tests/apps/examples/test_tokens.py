"""Tokens as apps make them end with their dashboard, their user or their own session's id."""

import statistics
import time

import jwt

SECRET = "of the test alone, and long enough for HS256"


def guest_token(dashboard):
    """With the claims that Superset gives to a guest of an embedded dashboard."""
    now = time.time()
    claims = {
        "user": {"username": "guest"},
        "resources": [{"type": "dashboard", "id": dashboard}],
        "rls_rules": [],
        "iat": now,
        "exp": now + 300,
        "aud": "superset",
        "type": "guest",
    }
    return jwt.encode(claims, SECRET, algorithm="HS256")


def is_alive(db, token):
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="superset")
    asked = [
        ("embedded_dashboard", resource["id"], claims["iat"])
        for resource in claims["resources"]
        if resource["type"] == "dashboard"
    ]
    check = "SELECT token_valid(%s, %s, to_timestamp(%s))"
    return all(db.execute(check, each).fetchone()[0] for each in asked)


def test_one_dashboards_guests_are_put_out_then_all(db):
    sales, staff = guest_token("sales"), guest_token("staff")
    assert is_alive(db, sales) and is_alive(db, staff)
    db.execute("SELECT session_guard.revoke_tokens('embedded_dashboard', 'sales', 'shared by mistake')")
    assert not is_alive(db, sales) and is_alive(db, staff)
    db.execute("SELECT session_guard.revoke_tokens('embedded_dashboard')")
    assert not is_alive(db, staff)
    time.sleep(1.1)  # An epoch is rounded up to a second, and the second one is a millisecond past it.
    assert is_alive(db, guest_token("sales"))


def test_a_users_token_ends_with_the_users_sessions(db):
    # A token's time is cut to whole seconds, and an epoch may be some milliseconds past one.
    db.execute("SELECT pg_sleep(ceil(extract(epoch FROM session_guard.epoch_of(11))) - extract(epoch FROM clock_timestamp()))")
    token = jwt.encode({"sub": "11", "iat": int(time.time())}, SECRET, algorithm="HS256")
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    check = "SELECT session_valid(%s::text, to_timestamp(%s))"
    assert db.execute(check, (claims["sub"], claims["iat"])).fetchone()[0]
    db.execute("UPDATE users SET active = false WHERE id = 11")
    db.execute("UPDATE users SET active = true WHERE id = 11")
    assert not db.execute(check, (claims["sub"], claims["iat"])).fetchone()[0]


# A session's id is never used again, so that no time is needed: once it is revoked, it stays so. (A login time may be a
# little ahead of the clock, and so past the epoch of a revocation.)
BOTH = "SELECT session_valid(%s::bigint, %s::timestamptz) AND token_valid('session', %s, NULL::timestamptz)"


def test_a_cookie_that_was_logged_out_is_dead_though_the_client_keeps_it(db, log_in):
    login = log_in(12)
    assert db.execute(BOTH, (12, login, "this")).fetchone()[0]
    db.execute("SELECT session_guard.revoke_tokens('session', 'this', 'logout')")
    assert not db.execute(BOTH, (12, login, "this")).fetchone()[0]
    assert db.execute(BOTH, (12, login, "another")).fetchone()[0]


def test_what_both_checks_cost_in_one_call(db, log_in):
    login = log_in(13)
    alone = "SELECT session_valid(%s::bigint, %s::timestamptz)"
    taken = {"session_valid": [], "both": []}
    for _ in range(500):
        for name, statement, arguments in (
            ("session_valid", alone, (13, login)),
            ("both", BOTH, (13, login, "that")),
        ):
            began = time.perf_counter()
            assert db.execute(statement, arguments, prepare=True).fetchone()[0]
            taken[name].append((time.perf_counter() - began) * 1e6)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    print(f"\na request, median in microseconds: {medians}")
