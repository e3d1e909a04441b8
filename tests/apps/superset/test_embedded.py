"""revoke_tokens ends the guest tokens of one embedded dashboard of Superset, or of all."""

import time

import pytest
import requests
from client import TIMEOUT
from conftest import OWNER


class Dashboard:
    def __init__(self, admin, title):
        self.admin = admin
        self.id = admin.post("/api/v1/dashboard/", {"dashboard_title": title, "published": True})["id"]
        embedded = admin.post(f"/api/v1/dashboard/{self.id}/embedded", {"allowed_domains": []})
        self.uuid = embedded["result"]["uuid"]

    def guest_token(self, *others):
        resources = [{"type": "dashboard", "id": each.uuid} for each in (self, *others)]
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


def test_an_error_refuses_guests(database, guarded, sales):
    token = sales.guest_token()
    check = "EXECUTE ON FUNCTION token_valid(text, text, timestamptz)"
    database.execute(f"REVOKE {check} FROM {OWNER}, pg_database_owner")
    try:
        assert sales.status(guarded, token) == 503
    finally:
        database.execute(f"GRANT {check} TO {OWNER}, pg_database_owner")
    assert sales.status(guarded, token) == 200
