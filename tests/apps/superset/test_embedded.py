"""revoke_tokens ends the guest tokens of one embedded dashboard of Superset, or of all."""

import time

import jwt
import pytest
import requests
from client import TIMEOUT
from conftest import GUEST_TOKEN_SECRET, OWNER, serve


class Dashboard:
    def __init__(self, admin, title):
        self.admin, self.slug = admin, title.lower()
        values = {"dashboard_title": title, "slug": self.slug, "published": True}
        self.id = admin.post("/api/v1/dashboard/", values)["id"]
        embedded = admin.post(f"/api/v1/dashboard/{self.id}/embedded", {"allowed_domains": []})
        self.uuid = embedded["result"]["uuid"]

    def guest_token(self, *others):
        return self.token_naming(*(each.uuid for each in (self, *others)))

    def token_naming(self, *names):
        resources = [{"type": "dashboard", "id": name} for name in names]
        wanted = {"user": {"username": "guest"}, "resources": resources, "rls": []}
        return self.admin.post("/api/v1/security/guest_token/", wanted)["token"]

    def status(self, address, token):
        return requests.get(
            f"{address}/api/v1/dashboard/{self.id}",
            headers={"X-GuestToken": token},
            timeout=TIMEOUT,
        ).status_code


@pytest.fixture(scope="module")
def sales(admin):
    return Dashboard(admin, "Sales")


@pytest.fixture(scope="module")
def staff(admin):
    return Dashboard(admin, "Staff")


@pytest.fixture(autouse=True)
def no_dashboard_is_revoked(database):
    database.execute("DELETE FROM session_guard.token_epoch")


@pytest.fixture
def tokens_out_of_order(database):
    check = "EXECUTE ON FUNCTION token_valid(text, text, timestamptz)"
    database.execute(f"REVOKE {check} FROM {OWNER}, pg_database_owner")
    yield
    database.execute(f"GRANT {check} TO {OWNER}, pg_database_owner")


def changed(token, **claims):
    """The same token with other claims, as Superset signs it; None leaves one out."""
    claims = {**jwt.decode(token, options={"verify_signature": False}), **claims}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, GUEST_TOKEN_SECRET)


def is_logged_in(address, token):
    """As a guest. One who sees no dashboard may still ask for what the guests' role gives."""
    headers = {"X-GuestToken": token}
    answer = requests.get(f"{address}/api/v1/chart/", headers=headers, timeout=TIMEOUT)
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


def revoke(database, *subject):
    database.execute(
        f"SELECT session_guard.revoke_tokens('embedded_dashboard'{', %s' * len(subject)})", subject
    )


def test_one_dashboard_s_guests_are_put_out_then_all(database, servers, sales, staff):
    guarded, stock = servers.values()
    tokens = {sales: sales.guest_token(), staff: staff.guest_token()}

    def seen(address):
        return [dashboard.status(address, token) for dashboard, token in tokens.items()]

    assert (seen(guarded), seen(stock)) == ([200, 200], [200, 200])
    revoke(database, sales.uuid)
    assert (seen(guarded), seen(stock)) == ([401, 200], [200, 200])
    revoke(database)
    assert (seen(guarded), seen(stock)) == ([401, 401], [200, 200])
    time.sleep(2.1)  # An epoch is rounded up, and the second one is past the first.
    assert sales.status(guarded, sales.guest_token()) == 200
    assert seen(guarded) == [401, 401]


def test_a_token_for_two_dashboards_ends_with_either(database, guarded, sales, staff):
    token = staff.guest_token(sales)
    assert [each.status(guarded, token) for each in (sales, staff)] == [200, 200]
    revoke(database, sales.uuid)
    assert [each.status(guarded, token) for each in (sales, staff)] == [401, 401]


def test_a_guest_does_not_see_another_dashboard(guarded, sales, staff):
    assert staff.status(guarded, sales.guest_token()) in (403, 404)


def test_the_page_of_an_embedded_dashboard_opens_without_a_login(guarded, sales):
    answer = requests.get(f"{guarded}/embedded/{sales.uuid}", timeout=TIMEOUT)
    assert (answer.status_code, "csrf_token" in answer.text) == (200, True)


@pytest.mark.parametrize("way", ["number", "slug", "uuid", "capitals"])
def test_a_token_that_names_the_dashboard_otherwise_falls_with_its_embedding(database, servers, sales, staff, way):
    """As it could before dashboards had embeddings. Superset still lets in who names it by its number."""
    guarded, stock = servers.values()
    number = "SELECT uuid::text FROM dashboards WHERE id = %s"
    names = {
        "number": lambda dashboard: str(dashboard.id),
        "slug": lambda dashboard: dashboard.slug,
        "uuid": lambda dashboard: database.execute(number, (dashboard.id,)).fetchone()[0],
        "capitals": lambda dashboard: dashboard.uuid.upper(),
    }
    token, other = (dashboard.token_naming(names[way](dashboard)) for dashboard in (sales, staff))
    if way == "number":
        assert [sales.status(address, token) for address in (guarded, stock)] == [200, 200]
    assert [is_logged_in(guarded, token), is_logged_in(guarded, other)] == [True, True]
    revoke(database, sales.uuid)
    assert [is_logged_in(guarded, token), is_logged_in(guarded, other)] == [False, True]
    assert is_logged_in(stock, token)


def test_a_token_without_a_time_falls_with_the_first_revocation(database, guarded, sales, staff):
    token, other = (changed(dashboard.guest_token(), iat=None) for dashboard in (sales, staff))
    assert [sales.status(guarded, token), staff.status(guarded, other)] == [200, 200]
    revoke(database, sales.uuid)
    # Also long after it.
    database.execute("UPDATE session_guard.token_epoch SET epoch = '2020-01-01'")
    assert [sales.status(guarded, token), staff.status(guarded, other)] == [401, 200]
    assert sales.status(guarded, sales.guest_token()) == 200
    revoke(database)
    database.execute("UPDATE session_guard.token_epoch SET epoch = '2020-01-01'")
    assert [sales.status(guarded, token), staff.status(guarded, other)] == [401, 401]


def test_a_time_that_is_out_of_range_is_long_ago(database, guarded, sales):
    token = changed(sales.guest_token(), iat=-1e300)
    assert sales.status(guarded, token) == 200
    revoke(database, sales.uuid)
    assert sales.status(guarded, token) == 401


def test_an_error_refuses_guests(guarded, sales, request):
    token = sales.guest_token()
    request.getfixturevalue("tokens_out_of_order")
    assert sales.status(guarded, token) == 503


def test_fail_open_lets_guests_in(tmp_path, sales, request):
    token = sales.guest_token()
    with serve("guarded", tmp_path, FAIL_OPEN="1") as address:
        request.getfixturevalue("tokens_out_of_order")
        assert sales.status(address, token) == 200
