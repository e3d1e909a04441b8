"""Logout tokens and security events: which are acted upon, on a real database, with the keys of a provider over HTTP."""

import hashlib
import hmac
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlencode

import jwt
import psycopg
import pytest
from adapters import ADAPTERS, LONGEST, OWNER
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pg_session_guard.core.settings import Settings
from pg_session_guard.receivers import Receiver
from pg_session_guard.receivers.keys import KeySet
from pg_session_guard.receivers.receiver import MAX_BODY, Request
from pg_session_guard.receivers.statements import users_statement
from provider import (
    AUDIENCE,
    CAEP,
    KEYCLOAK,
    LOGOUT_EVENT,
    OKTA,
    RISC,
    Provider,
    base64url,
    by_hand,
    ec_key,
    keycloak_claims,
    keycloak_logout,
    okta_claims,
    okta_event,
    public,
    rsa_key,
    signed,
)
from python_helpers import databases
from python_helpers.waiting import wait_until

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS[:1], ids=["flask"], indirect=True)
OKTA_KID = "ep2pVWLkXm3X8Mv1oaNt6hGwWzKnGoI0"
QUERY = "SELECT id FROM users WHERE username || '-sub' = %(sub)s"
KID = "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE"


@pytest.fixture
def provider():
    with Provider().serving() as provider:
        yield provider


class Posted:
    """A receiver, and what posts to it."""

    def __init__(self, adapter, provider, issuer=KEYCLOAK, user_ids=QUERY, role=OWNER, **options):
        self.adapter, self.role = adapter, role
        self.settings = Settings(lock_timeout=0.5)
        self.receiver = Receiver(issuer, audience=AUDIENCE, jwks_uri=provider.address, user_ids=user_ids, **options)

    def first_value(self, statement, values):
        with databases.connect(self.adapter.database, self.role) as connection:
            return connection.execute(statement, values).fetchone()[0]

    def logout(self, token, content_type="application/x-www-form-urlencoded", body=None):
        form = urlencode({"logout_token": token}) if body is None else body
        return self.receiver.receive_logout(Request(content_type, form.encode()), self.first_value, self.settings)

    def event(self, token, content_type="application/secevent+jwt", authorization=""):
        request = Request(content_type, token.encode(), authorization)
        return self.receiver.receive_event(request, self.first_value, self.settings)


class Sessions:
    """One of alice's and one of bob's."""

    def __init__(self, adapter):
        self.adapter = adapter
        start = "SELECT session_start(id::text) FROM users WHERE username = %s"
        self.began = {name: adapter.sql(start, name) for name in ("alice", "bob")}

    def count(self):
        """Whose are still valid."""
        ask = "SELECT session_valid(id::text, %s) FROM users WHERE username = %s"
        return {name for name, at in self.began.items() if self.adapter.sql(ask, at, name)}


@pytest.fixture
def sessions(adapter):
    sessions = Sessions(adapter)
    assert sessions.count() == {"alice", "bob"}
    return sessions


def said(answer):
    return json.loads(answer.body)


BOTH, BOB = {"alice", "bob"}, {"bob"}


def test_a_logout_token_ends_the_sessions_of_its_user_and_no_others(adapter, provider, sessions):
    answer = Posted(adapter, provider).logout(keycloak_logout())
    assert (answer.status, answer.body, answer.headers["Cache-Control"]) == (200, b"", "no-store")
    assert sessions.count() == BOB
    reason = adapter.sql("SELECT reason FROM session_guard.event WHERE user_id IS NOT NULL ORDER BY id DESC LIMIT 1")
    assert reason == f"admin: back-channel logout by {KEYCLOAK}"
    assert Sessions(adapter).count() == BOTH  # A new login counts.


# Tokens that are taken.


@pytest.mark.parametrize(
    "token",
    [
        lambda: keycloak_logout(exp=None),  # An older Keycloak's.
        lambda: keycloak_logout(sid=None),
        lambda: keycloak_logout(aud=["another", AUDIENCE]),
        lambda: keycloak_logout(iat=int(time.time()) - 500, exp=None),
        lambda: keycloak_logout(iat=int(time.time()) + 30),  # A clock that is a little ahead.
        lambda: signed(keycloak_claims(), rsa_key("keycloak"), kid=KID, typ="logout+jwt"),
        lambda: signed(keycloak_claims(), rsa_key("keycloak"), kid=KID, typ="application/logout+JWT"),
        lambda: signed(keycloak_claims(), ec_key("ec"), "ES256", kid="ec"),
        lambda: signed(keycloak_claims(), ec_key("ec"), "ES256"),  # No kid, and one key for this algorithm.
    ],
)
def test_tokens_of_each_shape_are_taken(adapter, provider, sessions, token):
    assert Posted(adapter, provider).logout(token()).status == 200
    assert sessions.count() == BOB


# Tokens that are refused.


def forged():
    return signed(keycloak_claims(), rsa_key("a stranger's"), kid=KID)


def with_another_payload():
    header, _, signature = keycloak_logout("bob-sub").split(".")
    return f"{header}.{base64url(json.dumps(keycloak_claims()).encode())}.{signature}"


def by_the_public_key():
    """HS256, with what everybody can read as its secret: in each form in which a library may hold it."""
    key = rsa_key("keycloak").public_key()
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    unsigned = by_hand({"alg": "HS256", "kid": KID}, keycloak_claims()).rstrip(".")
    return f"{unsigned}.{base64url(hmac.digest(pem, unsigned.encode(), hashlib.sha256))}"


def with_its_own_key():
    header = {"kid": KID, "jwk": public(rsa_key("a stranger's"), KID), "jku": "https://stranger.example"}
    return signed(keycloak_claims(), rsa_key("a stranger's"), **header)


def of_the_encryption_key():
    return signed(keycloak_claims(), rsa_key("encryption"), kid="enc")


def keycloak(**changed):
    return lambda: keycloak_logout(**changed)


def header(**changed):
    return lambda: signed(keycloak_claims(), rsa_key("keycloak"), **{"kid": KID, **changed})


def ago(seconds):
    return int(time.time()) - seconds


REFUSED = {
    "a stranger's signature": (forged, "the signature is wrong"),
    "a signature of something else": (with_another_payload, "the signature is wrong"),
    "alg none": (lambda: by_hand({"alg": "none"}, keycloak_claims()), "the token's algorithm is not accepted"),
    "alg none, with a kid": (lambda: by_hand({"alg": "none", "kid": KID}, keycloak_claims()), "the token's algorithm"),
    "HS256 by the public key": (by_the_public_key, "the token's algorithm is not accepted"),
    "an algorithm that the app has not chosen": (
        lambda: signed(keycloak_claims(), rsa_key("keycloak"), "RS512", kid=KID),
        "the token's algorithm is not accepted",
    ),
    "a key that the token brings": (with_its_own_key, "the signature is wrong"),
    "a key that is for encryption": (of_the_encryption_key, "the issuer has no such key"),
    "a key of another type": (
        lambda: signed(keycloak_claims(), rsa_key("keycloak"), kid="ec"),
        "the issuer has no such key",
    ),
    "an unknown kid": (header(kid="unknown"), "the issuer has no such key"),
    "no kid, with several keys": (header(kid=None), "the issuer has no such key"),
    "a kid that is no text": (
        lambda: by_hand({"alg": "RS256", "kid": 5}, keycloak_claims(), b"x"),
        "the token is not a signed JWT",
    ),
    "critical": (header(crit=["b64"], b64=False), "the token"),
    "critical, of an unknown name": (header(crit=["x"], x=1), "the token"),
    "not encoded": (lambda: by_hand({"alg": "RS256", "kid": KID, "b64": False}, keycloak_claims(), b"x"), "the token"),
    "a security event": (header(typ="secevent+jwt"), "the token's typ is not logout+jwt"),
    "an access token": (header(typ="at+jwt"), "the token's typ is not logout+jwt"),
    "another issuer": (keycloak(iss="https://sso.example.com/realms/other"), "the issuer is another one"),
    "a longer issuer": (keycloak(iss=KEYCLOAK + "/"), "the issuer is another one"),
    "no issuer": (keycloak(iss=None), "the token has no iss"),
    "another audience": (keycloak(aud="another-app"), "the audience is another one"),
    "no audience": (keycloak(aud=None), "the token has no aud"),
    "expired": (lambda: keycloak_logout(exp=ago(120)), "the token has expired"),
    "old, and without exp": (lambda: keycloak_logout(iat=ago(700), exp=None), "the token is too old"),
    "old, and for ever": (lambda: keycloak_logout(iat=ago(700), exp=ago(-(10**9))), "the token is too old"),
    "from the future": (lambda: keycloak_logout(iat=ago(-120)), "the token is from the future"),
    "not yet": (lambda: keycloak_logout(nbf=ago(-120)), "the token is from the future"),
    "no time": (keycloak(iat=None), "the token has no iat"),
    "a time that is no number": (keycloak(iat="now"), "the token's claims cannot be read"),
    "a time that is true": (keycloak(iat=True), "iat is not a number"),
    "a time that is none": (keycloak(iat=float("nan")), "the token's claims cannot be read"),
    "no jti": (keycloak(jti=None), "the token has no jti"),
    "an empty jti": (keycloak(jti=""), "jti is not a text, or empty"),
    "no events": (keycloak(events=None), "the token has no events"),
    "events that are empty": (keycloak(events={}), "events is not an object with an event"),
    "events that are a list": (keycloak(events=[LOGOUT_EVENT]), "events is not an object with an event"),
    "another event": (keycloak(events={CAEP + "session-revoked": {}}), "events has no back-channel logout"),
    "an event that is no object": (keycloak(events={LOGOUT_EVENT: None}), "events has no back-channel logout"),
    "a nonce: an ID token": (keycloak(nonce="n"), "a logout token has no nonce"),
    "nobody": (keycloak(sub=None, sid=None), "the token has neither sub nor sid"),
    "a session alone": (keycloak(sub=None), "the subject is a session, and nobody's that is known"),
    "a sub that is a number": (keycloak(sub=5), "the token's claims cannot be read"),
    "a sub that no database keeps": (keycloak(sub="alice\0"), "sub is not a text"),
    "a sub that is half a character": (keycloak(sub="\ud800"), "sub is not a text"),
    "a sub without an end": (keycloak(sub="a" * 5000), "sub is not a text, or empty, or too long"),
    "claims without a bottom": (
        lambda: jwt.api_jws.encode(b"[" * 20000, rsa_key("keycloak"), "RS256", {"kid": KID}),
        "the token's claims cannot be read",
    ),
    "a header without a bottom": (
        lambda: ".".join((base64url(b'{"alg":' + b"[" * 20000), base64url(b"{}"), "x")),
        "the token is not a signed JWT",
    ),
    "no token": (lambda: "", "the token is not a signed JWT"),
    "nonsense": (lambda: "a.b.c", "the token is not a signed JWT"),
    "an encrypted one": (lambda: "a.b.c.d.e", "the token is not a signed JWT"),
}


@pytest.mark.parametrize(("token", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_token_that_does_not_hold_ends_nothing(adapter, provider, sessions, token, reason):
    answer = Posted(adapter, provider).logout(token())
    assert answer.status == 400
    assert said(answer)["error"] == "invalid_request"
    assert said(answer)["error_description"].startswith(reason), said(answer)
    assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == ("application/json", "no-store")
    assert sessions.count() == BOTH


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("application/json", '{"logout_token": "x"}', "the content type is not application/x-www-form-urlencoded"),
        ("", "logout_token=x", "the content type"),
        ("application/x-www-form-urlencoded", "", "the form has no logout_token"),
        ("application/x-www-form-urlencoded", "token=x", "the form has no logout_token"),
        (
            "application/x-www-form-urlencoded",
            "logout_token=x&logout_token=y",
            "the form has no logout_token, or several",
        ),
        ("application/x-www-form-urlencoded", "&".join(["a=b"] * 50), "the body is not a form"),
        ("application/x-www-form-urlencoded", "logout_token=ä", "the body is not ASCII"),
        ("application/x-www-form-urlencoded", "logout_token=" + "x" * MAX_BODY, "the body is too long"),
    ],
)
def test_a_body_that_is_no_form_is_refused(adapter, provider, content_type, body, reason):
    answer = Posted(adapter, provider).logout("", content_type, body)
    assert answer.status == 400
    assert said(answer)["error_description"].startswith(reason)
    assert provider.asked == 0  # Nothing is fetched for it.


# The same token again.


def test_a_token_counts_once(adapter, provider, sessions, caplog):
    token = keycloak_logout()
    assert Posted(adapter, provider).logout(token).status == 200
    after = Sessions(adapter)
    caplog.set_level(logging.INFO)
    # By another process, which knows nothing of the first.
    assert Posted(adapter, provider).logout(token).status == 200
    assert after.count() == BOTH
    assert "a token was received before" in caplog.text


def test_a_token_about_nobody_counts_once_as_well(adapter, provider, caplog):
    caplog.set_level(logging.INFO)
    posted, token = Posted(adapter, provider), keycloak_logout("nobody-sub")
    assert posted.logout(token).status == 200
    assert "is about nobody known: format iss_sub, jti '" in caplog.text
    assert "nobody-sub" not in caplog.text
    assert "ended the sessions of 0" in caplog.text and "received before" not in caplog.text
    assert posted.logout(token).status == 200
    assert "received before" in caplog.text


def test_two_tokens_count_twice(adapter, provider):
    posted = Posted(adapter, provider)
    for _ in range(2):
        sessions = Sessions(adapter)
        assert posted.logout(keycloak_logout()).status == 200
        assert sessions.count() == BOB


def test_one_issuer_s_jti_is_not_another_s(adapter, provider):
    keycloak, other = Posted(adapter, provider), Posted(adapter, provider, issuer="https://other.example")
    assert keycloak.logout(keycloak_logout(jti="the same")).status == 200
    sessions = Sessions(adapter)
    assert other.logout(keycloak_logout(jti="the same", iss="https://other.example")).status == 200
    assert sessions.count() == BOB


def test_copies_that_arrive_at_once_count_once(adapter, provider):
    posted, token = Posted(adapter, provider), keycloak_logout()
    posted.settings = Settings(lock_timeout=LONGEST)
    events = "SELECT count(*) FROM session_guard.event WHERE user_id IS NOT NULL"
    before = adapter.sql(events)
    # While the user's row is locked, they all arrive.
    with psycopg.connect(dbname=adapter.database) as locking, ThreadPoolExecutor(4) as crowd:
        locking.execute("SELECT FROM users WHERE username = 'alice' FOR UPDATE")
        answers = [crowd.submit(posted.logout, token) for _ in range(4)]
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        wait_until("all four wait", lambda: adapter.sql(waiting) == 4)
        locking.rollback()
        assert [answer.result(LONGEST).status for answer in answers] == [200] * 4
    assert adapter.sql(events) == before + 1


def test_two_tokens_about_the_same_users_do_not_wait_for_each_other_for_ever(adapter, provider):
    turns = iter(["{1,2}", "{2,1}"] * 20)
    posted = Posted(adapter, provider, user_ids=lambda _subject: next(turns).strip("{}").split(","))
    posted.settings = Settings(lock_timeout=LONGEST)
    with ThreadPoolExecutor(8) as crowd:
        answers = list(crowd.map(lambda _: posted.logout(keycloak_logout()).status, range(24)))
    assert answers == [200] * 24


# What is away.


def test_while_a_row_is_locked_the_sender_is_told_to_come_again_and_can(adapter, provider, sessions):
    posted, token = Posted(adapter, provider), keycloak_logout()
    with psycopg.connect(dbname=adapter.database) as locking:
        locking.execute("SELECT FROM users WHERE username = 'alice' FOR UPDATE")
        answer = posted.logout(token)
        # The lock is still there.
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
        locking.rollback()
    # It was not remembered: all or nothing.
    assert posted.logout(token).status == 200
    assert sessions.count() == BOB


def test_without_the_database_the_sender_is_told_to_come_again(adapter, provider, sessions):
    posted, token = Posted(adapter, provider, user_ids=lambda _subject: 1), keycloak_logout()
    with connections_refused(adapter):
        assert posted.logout(token).status == 503
        assert Posted(adapter, provider).logout(token).status == 503  # It cannot look up the user, either.
    assert posted.logout(token).status == 200
    assert sessions.count() != BOTH


@contextmanager
def connections_refused(adapter):
    with databases.connect("postgres") as admin:
        admin.execute(f"ALTER DATABASE {adapter.database} ALLOW_CONNECTIONS false")
        try:
            yield
        finally:
            admin.execute(f"ALTER DATABASE {adapter.database} ALLOW_CONNECTIONS true")


def test_without_the_right_to_end_sessions_the_log_says_what_to_do(adapter, provider, sessions, caplog):
    adapter.sql(
        f"REVOKE ALL ON FUNCTION session_guard.revoke_sessions(text, text, regclass) FROM {OWNER}, pg_database_owner"
    )
    try:
        assert Posted(adapter, provider).logout(keycloak_logout()).status == 503
    finally:
        adapter.sql(
            f"GRANT ALL ON FUNCTION session_guard.revoke_sessions(text, text, regclass) TO {OWNER}, pg_database_owner"
        )
    assert (
        "GRANT EXECUTE ON FUNCTION session_guard.revoke_tokens(text, text, text), session_guard.revoke_sessions"
        in caplog.text
    )
    assert sessions.count() == BOTH


def test_a_guard_that_refuses_everybody_does_not_say_that_a_token_is_an_old_one(adapter, provider):
    adapter.sql("SELECT session_guard.revoke_tokens('received_token')")
    try:
        assert Posted(adapter, provider).logout(keycloak_logout()).status == 503
    finally:
        adapter.sql("DELETE FROM session_guard.token_epoch WHERE scope = 'received_token'")


# The keys.


def test_keys_are_fetched_once(adapter, provider):
    posted = Posted(adapter, provider)
    for _ in range(5):
        assert posted.logout(keycloak_logout()).status == 200
    assert provider.asked == 1


def test_a_new_key_is_fetched_when_a_token_names_it(adapter, provider, sessions):
    posted = Posted(adapter, provider)
    assert posted.logout(keycloak_logout("nobody-sub")).status == 200
    provider.keys = [public(rsa_key("new"), "new", use="sig", alg="RS256")]
    assert posted.logout(signed(keycloak_claims(), rsa_key("new"), kid="new")).status == 200
    assert sessions.count() == BOB
    assert provider.asked == 2
    # And the old one is no more.
    assert said(posted.logout(keycloak_logout()))["error_description"] == "the issuer has no such key"


def test_made_up_key_ids_cause_few_fetches_and_stop_no_good_token(adapter, provider, sessions):
    posted = Posted(adapter, provider)
    answers = [posted.logout(signed(keycloak_claims(), rsa_key("a stranger's"), kid=f"{n}")) for n in range(20)]
    assert provider.asked == KeySet.most_fetches
    assert [answer.status for answer in answers] == [400] * 5 + [503] * 15
    assert 0 < int(answers[-1].headers["Retry-After"]) <= KeySet.window
    assert posted.logout(keycloak_logout()).status == 200
    assert sessions.count() == BOB


def test_without_the_provider_a_token_waits_until_its_keys_are_there(adapter, provider, sessions):
    provider.status = 503
    posted, token = Posted(adapter, provider), keycloak_logout()
    answer = posted.logout(token)
    assert (answer.status, "Retry-After" in answer.headers) == (503, True)
    assert sessions.count() == BOTH
    provider.status = 200
    assert posted.logout(token).status == 200
    assert sessions.count() == BOB


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"5",
        b'{"keys": {}}',
        b"{" * 50,
        b"[" * 100_000,
        b"\xff",
        b" " * (300 * 1024),
        b'{"keys": [5, null, {}]}',
    ],
    ids=range(10),
)
def test_what_is_no_set_of_keys_is_told_and_raises_nothing(adapter, provider, body):
    provider.body = body
    assert Posted(adapter, provider).logout(keycloak_logout()).status in (400, 503)
    assert provider.asked == 1


def test_a_redirect_is_not_followed(adapter, provider):
    with Provider().serving() as elsewhere:
        provider.status, provider.location, provider.body = 302, elsewhere.address, b""
        assert Posted(adapter, provider).logout(keycloak_logout()).status == 503
        assert elsewhere.asked == 0


def test_keys_are_fetched_anew_when_old_and_serve_a_while_without_the_provider(adapter, provider):
    now = [0.0]
    keys = KeySet(provider.address, clock=lambda: now[0])
    assert keys.key_for(KID, "RS256")
    now[0] = KeySet.lifetime + 1
    assert keys.key_for(KID, "RS256")
    assert provider.asked == 2
    provider.status = 503
    now[0] += KeySet.lifetime + 1
    assert keys.key_for(KID, "RS256")
    assert provider.asked == 3
    now[0] += KeySet.serve_stale
    with pytest.raises(Exception, match="the issuer's keys cannot be fetched now"):
        keys.key_for(KID, "RS256")


def test_a_key_that_is_short_or_to_encrypt_or_of_another_curve_is_none(adapter, provider, sessions):
    provider.keys = [public(rsa_key("short", 1024), "short"), public(ec_key("p384", ec.SECP384R1), "p384")]
    provider.keys.append(public(rsa_key("encryption"), "enc", use="enc"))
    posted = Posted(adapter, provider)
    assert posted.logout(signed(keycloak_claims(), rsa_key("short", 1024), kid="short")).status == 400
    assert posted.logout(of_the_encryption_key()).status == 400
    unsigned = by_hand({"alg": "ES256", "kid": "p384"}, keycloak_claims()).rstrip(".")
    signature = ec_key("p384", ec.SECP384R1).sign(unsigned.encode(), ec.ECDSA(hashes.SHA256()))
    assert posted.logout(f"{unsigned}.{base64url(signature)}").status == 400
    assert sessions.count() == BOTH


@pytest.mark.parametrize(
    "uri", ["http://sso.example.com/certs", "file:///etc/passwd", "ftp://localhost/x", "sso.example.com", "https://"]
)
def test_keys_come_by_https_or_from_this_machine(adapter, uri):
    with pytest.raises(ValueError, match="https"):
        Receiver(KEYCLOAK, audience=AUDIENCE, jwks_uri=uri, user_ids=QUERY)


# Who it is.


@pytest.mark.parametrize(
    "user_ids",
    [
        "SELECT id FROM users WHERE username || '-sub' = %(sub)s;",
        "SELECT id FROM users WHERE username || '-sub' = %(sub)s AND %(iss)s LIKE 'https://sso.' || '_______.com/realms/demo'",
        lambda subject: [1] if (subject.sub, subject.iss) == ("alice-sub", KEYCLOAK) else None,
        lambda _subject: "1",
        lambda _subject: {1, None},
    ],
)
def test_a_query_or_a_function_says_who_it_is(adapter, provider, sessions, user_ids):
    assert adapter.sql("SELECT id FROM users WHERE username = 'alice'") == 1
    assert Posted(adapter, provider, user_ids=user_ids).logout(keycloak_logout()).status == 200
    assert sessions.count() == BOB


def test_a_session_that_the_app_knows_ends_those_of_its_user(adapter, provider, sessions):
    adapter.sql(
        "CREATE TABLE provider_sessions AS SELECT id AS user_id, 'their session' AS sid FROM users WHERE username = 'alice'"
    )
    adapter.sql(f"ALTER TABLE provider_sessions OWNER TO {OWNER}")
    try:
        posted = Posted(adapter, provider, user_ids="SELECT user_id FROM provider_sessions WHERE sid = %(sid)s")
        assert posted.logout(keycloak_logout(sub=None, sid="another")).status == 400
        assert sessions.count() == BOTH
        assert posted.logout(keycloak_logout(sub=None, sid="their session")).status == 200
        assert sessions.count() == BOB
    finally:
        adapter.sql("DROP TABLE provider_sessions")


def test_what_is_no_id_of_the_table_is_nobody(adapter, provider, sessions):
    by_number = "SELECT id FROM users WHERE id = %(sub)s::bigint"
    assert Posted(adapter, provider, user_ids=by_number).logout(keycloak_logout("no number")).status == 200
    assert Posted(adapter, provider, user_ids=lambda _subject: "no number").logout(keycloak_logout()).status == 200
    assert sessions.count() == BOTH
    assert Posted(adapter, provider, user_ids=by_number).logout(keycloak_logout("1")).status == 200
    assert sessions.count() == BOB


@pytest.mark.parametrize("user_ids", [lambda _subject: object(), lambda _subject: True, lambda _subject: 1 / 0])
def test_a_function_that_gives_no_id_ends_nothing_and_the_sender_may_come_again(adapter, provider, sessions, user_ids):
    assert Posted(adapter, provider, user_ids=user_ids).logout(keycloak_logout()).status == 503
    assert sessions.count() == BOTH


@pytest.mark.parametrize(
    "query", ["SELECT 1", "SELECT %(name)s", "SELECT id WHERE %(sub)s LIKE 'a%'", "SELECT %s", "%(sub)s %%"]
)
def test_a_query_that_names_no_member_of_a_subject_is_refused(adapter, query):
    with pytest.raises(ValueError, match=r"%\(sub\)s"):
        users_statement(query)


async def async_user_ids(_subject):
    return 1


@pytest.mark.parametrize(
    "options",
    [
        {"algorithms": ["HS256"]},
        {"algorithms": ["RS256", "none"]},
        {"algorithms": []},
        {"algorithms": "RS256"},
        {"audience": ""},
        {"issuer": ""},
        {"user_ids": async_user_ids},
        {"subject_issuers": OKTA},
        {"ending_events": CAEP + "session-revoked"},
    ],
)
def test_a_receiver_that_would_take_too_much_is_not_made(adapter, provider, options):
    given = {"issuer": KEYCLOAK, "audience": AUDIENCE, "jwks_uri": provider.address, "user_ids": QUERY, **options}
    with pytest.raises((ValueError, TypeError)):
        Receiver(given.pop("issuer"), **given)


def test_another_guard_s_table_can_be_named(adapter, provider, members):
    def start():
        return adapter.sql('SELECT session_start($g$"Club"."Our ""Members"""$g$::regclass, \'1\'::text)')

    def valid(at):
        return adapter.sql('SELECT session_valid($g$"Club"."Our ""Members"""$g$::regclass, \'1\'::text, %s)', at)

    posted, at, sessions = Posted(adapter, provider), start(), Sessions(adapter)
    posted.settings = Settings(users='"Club"."Our ""Members"""')
    assert posted.logout(keycloak_logout()).status == 200
    assert not valid(at) and sessions.count() == BOTH


# Security events.


def subject_of(claims_subject, event=CAEP + "session-revoked", **changed):
    """In `sub_id`, where it is since RFC 9493."""
    return okta_event(events={event: {"event_timestamp": 5}}, sub_id=claims_subject, **changed)


ALICE = {"format": "iss_sub", "iss": OKTA, "sub": "alice-sub"}


@pytest.fixture
def okta(adapter, provider):
    query = "SELECT id FROM users WHERE username || '-sub' = %(sub)s OR username || '@example.com' = %(email)s"
    return Posted(adapter, provider, issuer=OKTA, user_ids=query)


@pytest.mark.parametrize(
    "token",
    [
        okta_event,
        lambda: okta_event(event=RISC + "account-disabled"),
        lambda: okta_event(event=RISC + "account-purged"),
        lambda: okta_event(iat=int(time.time()) - 6 * 86400),  # It was tried for days.
        lambda: okta_event(sub_id=ALICE, events={CAEP + "session-revoked": {}}),
        lambda: signed(
            {**okta_claims(events={CAEP + "session-revoked": {}}), "sub": "alice-sub"}, rsa_key("okta"), kid=OKTA_KID
        ),
        lambda: subject_of({"format": "complex", "user": ALICE, "tenant": {"format": "opaque", "id": "x"}}),
        lambda: subject_of({"format": "email", "email": "alice@example.com"}),
        lambda: subject_of({"format": "aliases", "identifiers": [{"format": "opaque", "id": "x"}, ALICE]}),
        lambda: subject_of({"subject_type": "iss-sub", "iss": OKTA, "sub": "alice-sub"}),
        lambda: subject_of({"subject_type": "id-token-claims", "iss": OKTA, "email": "alice@example.com"}),
    ],
)
def test_a_security_event_ends_the_sessions_of_its_subject(okta, sessions, token):
    answer = okta.event(token() + "\r\n")
    assert (answer.status, answer.body) == (202, b"")
    assert sessions.count() == BOB
    assert okta.event(token()).status == 202


@pytest.mark.parametrize(
    "token",
    [
        lambda: okta_event(event=CAEP + "credential-change"),
        lambda: okta_event(events={"https://schemas.openid.net/secevent/ssf/event-type/verification": {"state": "x"}}),
        lambda: subject_of({"format": "iss_sub", "iss": "https://another.example", "sub": "alice-sub"}),
        lambda: subject_of({"format": "opaque", "id": "alice-sub"}),
        lambda: subject_of({"format": "something-new", "id": "alice-sub"}),
        lambda: subject_of({"format": "complex", "tenant": {"format": "opaque", "id": "x"}}),
        lambda: subject_of({"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": [ALICE]}]}),
    ],
)
def test_an_event_about_something_else_is_received_and_ends_nothing(okta, sessions, token):
    assert okta.event(token()).status == 202
    assert sessions.count() == BOTH


EVENTS_REFUSED = {
    "a stranger's signature": (
        lambda: signed(okta_claims(), rsa_key("a stranger's"), kid=KID),
        "authentication_failed",
    ),
    "another issuer": (lambda: okta_event(iss="https://another.example"), "invalid_issuer"),
    "no issuer": (lambda: okta_event(iss=None), "invalid_issuer"),
    "another audience": (lambda: okta_event(aud="another"), "invalid_audience"),
    "an unknown kid": (lambda: signed(okta_claims(), rsa_key("okta"), kid="unknown"), "invalid_key"),
    "alg none": (lambda: by_hand({"alg": "none", "typ": "secevent+jwt"}, okta_claims()), "invalid_key"),
    "a logout token": (lambda: signed(okta_claims(), rsa_key("okta"), kid=KID, typ="logout+jwt"), "invalid_request"),
    "weeks old": (lambda: okta_event(iat=int(time.time()) - 8 * 86400), "invalid_request"),
    "expired": (lambda: okta_event(exp=int(time.time()) - 120), "invalid_request"),
    "no jti": (lambda: okta_event(jti=None), "invalid_request"),
    "no events": (lambda: okta_event(events=None), "invalid_request"),
    "no subject": (lambda: okta_event(events={CAEP + "session-revoked": {}}), "invalid_request"),
    "a payload that is no object": (lambda: okta_event(events={CAEP + "session-revoked": []}), "invalid_request"),
    "a subject that is no object": (lambda: subject_of("alice"), "invalid_request"),
    "a subject without its members": (lambda: subject_of({"format": "iss_sub", "iss": OKTA}), "invalid_request"),
    "a session alone": (
        lambda: subject_of({"format": "complex", "session": {"format": "opaque", "id": "x"}}),
        "invalid_request",
    ),
    "no token": (lambda: "", "invalid_request"),
}


@pytest.mark.parametrize(("token", "code"), EVENTS_REFUSED.values(), ids=EVENTS_REFUSED)
def test_an_event_that_does_not_hold_is_refused_with_the_rfc_s_code(okta, sessions, token, code):
    answer = okta.event(token())
    assert (answer.status, said(answer)["err"]) == (400, code)
    assert said(answer)["description"] and answer.headers["Content-Language"] == "en"
    assert sessions.count() == BOTH


def test_an_event_is_taken_by_its_content_type_alone(okta):
    assert okta.event(okta_event(), content_type="application/json").status == 400
    assert okta.event(okta_event(), content_type="Application/SecEvent+JWT; charset=utf-8").status == 202


def test_the_sender_may_have_to_say_a_secret(adapter, provider, sessions):
    okta = Posted(adapter, provider, issuer=OKTA, authorization="Bearer ßecret")
    for wrong in ("", "Bearer ", "Bearer secret"):
        answer = okta.event(okta_event(), authorization=wrong)
        assert (answer.status, said(answer)["err"]) == (400, "authentication_failed")
    assert sessions.count() == BOTH and provider.asked == 0
    assert okta.event(okta_event(), authorization="Bearer ßecret").status == 202
    assert sessions.count() == BOB


def test_an_issuer_speaks_of_others_accounts_only_where_the_app_says_so(adapter, provider, sessions):
    token = {"format": "iss_sub", "iss": "https://tenant.example", "sub": "alice-sub"}
    assert Posted(adapter, provider, issuer=OKTA).event(subject_of(token)).status == 202
    assert sessions.count() == BOTH
    trusting = Posted(adapter, provider, issuer=OKTA, subject_issuers=["https://tenant.example"])
    assert trusting.event(subject_of(token)).status == 202
    assert sessions.count() == BOB


def test_several_events_of_one_token_are_one(okta, adapter):
    both = {
        CAEP + "session-revoked": {"subject": ALICE},
        RISC + "account-disabled": {"subject": {**ALICE, "sub": "bob-sub"}},
    }
    sessions = Sessions(adapter)
    assert okta.event(okta_event(events=both)).status == 202
    assert sessions.count() == set()
