"""The receivers in each framework, over HTTP: a token is posted, and the next request is refused."""

import pytest
import requests
from adapters import ADAPTERS, HTML, LONGEST, WITH_MIDDLEWARE
from provider import AUDIENCE, CAEP, KEYCLOAK, Provider, keycloak_claims, keycloak_logout, okta_claims, rsa_key, signed
from test_sessions import without

LOGOUT, EVENTS = "/backchannel-logout", "/security-events"
KID = "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE"
# They read no user, so the redirect is all that a session that has ended is told.
pytestmark = pytest.mark.parametrize(
    "adapter", [*ADAPTERS, *WITH_MIDDLEWARE], ids=lambda each: each.name, indirect=True, scope="session"
)


@pytest.fixture(scope="session")
def provider():
    with Provider().serving() as provider:
        yield provider


@pytest.fixture(scope="session")
def receiving(adapter, provider, tmp_path_factory):
    with adapter.serve(tmp_path_factory.mktemp(f"receiving_{adapter.name}") / "log", JWKS=provider.address) as server:
        yield server


def post(server, path, body, content_type=None, cookies=None):
    headers = {"Content-Type": content_type} if content_type else {}
    return requests.post(
        server.address + path, data=body, headers=headers, cookies=cookies, allow_redirects=False, timeout=LONGEST
    )


def post_logout(server, token, **more):
    return post(server, LOGOUT, {"logout_token": token}, **more)


def post_event(server, token):
    return post(server, EVENTS, token, "application/secevent+jwt")


def event():
    subject = {"format": "iss_sub", "iss": KEYCLOAK, "sub": "alice-sub"}
    claims = okta_claims(iss=KEYCLOAK, events={CAEP + "session-revoked": {}}, sub_id=subject)
    return signed(claims, rsa_key("keycloak"), kid=KID, typ="secevent+jwt")


def is_served(server, cookies, name="alice"):
    answer = server.get(server.adapter.page, cookies, **HTML)
    assert answer.status_code == 200 or server.leads_to_login(answer), answer.status_code
    return answer.status_code == 200 and f"Logged in as {name}" in answer.text


def test_a_logout_at_the_provider_ends_the_sessions(receiving):
    alice, asleep, bob = receiving.logged_in(), receiving.logged_in(), receiving.logged_in("bob")
    assert is_served(receiving, alice) and is_served(receiving, bob, "bob")
    token = keycloak_logout()
    answer = post_logout(receiving, token)
    assert (answer.status_code, answer.text, answer.headers["Cache-Control"]) == (200, "", "no-store")
    assert not is_served(receiving, alice) and not is_served(receiving, asleep)
    assert is_served(receiving, bob, "bob")
    again = receiving.logged_in()
    assert post_logout(receiving, token).status_code == 200
    assert is_served(receiving, again)


def test_a_security_event_ends_the_sessions(receiving):
    alice, bob = receiving.logged_in(), receiving.logged_in("bob")
    answer = post_event(receiving, event())
    assert (answer.status_code, answer.text) == (202, "")
    assert not is_served(receiving, alice) and is_served(receiving, bob, "bob")


def test_a_forged_token_is_told_by_what_it_lacks_and_ends_nothing(receiving):
    alice = receiving.logged_in()
    logout, forged = keycloak_claims(), rsa_key("a stranger's")
    answer = post_logout(receiving, signed(logout, forged, kid=KID))
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/json")
    assert answer.json() == {"error": "invalid_request", "error_description": "the signature is wrong"}
    answer = post_event(receiving, signed({**okta_claims(), "iss": KEYCLOAK}, forged, kid=KID))
    assert answer.status_code == 400 and answer.json()["err"] == "authentication_failed"
    assert answer.json()["description"] == "the signature is wrong"
    assert is_served(receiving, alice)


def test_only_a_post_is_taken(receiving):
    for path in (LOGOUT, EVENTS):
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
            url = f"{receiving.address}{path}?logout_token={keycloak_logout()}"
            assert requests.request(method, url, timeout=LONGEST).status_code == 405, method


def test_a_token_in_the_address_is_none(receiving):
    alice = receiving.logged_in()
    assert post(receiving, f"{LOGOUT}?logout_token={keycloak_logout()}", "").status_code == 400
    assert is_served(receiving, alice)


def test_neither_a_session_nor_its_lack_matters(receiving):
    """No CSRF token is asked for, and a browser's session that comes along is left as it is."""
    alice, bob = receiving.logged_in(), receiving.logged_in("bob")
    answer = post_logout(receiving, keycloak_logout(), cookies=bob)
    left = {**bob, **answer.cookies}
    assert answer.status_code == 200
    # An old Starlette sends each session again, with another time and signature.
    assert [value.rsplit(".", 2)[0] for value in left.values()] == [value.rsplit(".", 2)[0] for value in bob.values()]
    assert not is_served(receiving, alice) and is_served(receiving, left, "bob")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_without_an_end_is_not_read_to_it(receiving, chunked):
    def without_end():
        for _ in range(64):
            yield b"logout_token=" + b"x" * 65536 + b"&"

    body = without_end() if chunked else b"logout_token=" + b"x" * 4_000_000
    try:
        answer = post(receiving, LOGOUT, body, "application/x-www-form-urlencoded")
    except requests.ConnectionError:
        pass  # It hung up, while this was still sending.
    else:
        assert answer.status_code in (400, 413)
    assert post_logout(receiving, keycloak_logout()).status_code == 200


def test_without_the_right_to_end_sessions_the_provider_may_come_again(adapter, receiving):
    alice, token = receiving.logged_in(), keycloak_logout()
    with without(adapter, "revoke_tokens"):
        answer = post_logout(receiving, token)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
        assert answer.json()["error"] == "temporarily_unavailable"
        assert is_served(receiving, alice)
    assert post_logout(receiving, token).status_code == 200
    assert not is_served(receiving, alice)


def test_an_audience_of_another_app_is_none(receiving):
    assert post_logout(receiving, keycloak_logout(aud=f"{AUDIENCE}-too")).status_code == 400
