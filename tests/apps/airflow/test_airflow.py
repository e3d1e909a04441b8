"""A disabled account's sessions and tokens end in Airflow with the package's auth manager, and stay dead; with FAB's
alone, on the same database, they come back."""

import jwt
import psycopg
import requests
from conftest import DATABASE, OWNER
from python_helpers import PASSWORD
from python_helpers.fab_login import bearer, log_in_by_form
from python_helpers.waiting import Background, wait_until_somebody_waits_for_a_lock

DISABLE = "UPDATE ab_user SET active = false WHERE username = 'alice'"
ENABLE = "UPDATE ab_user SET active = true WHERE username = 'alice'"

SERVED = {"page": 200, "new UI token": True, "UI token": 200, "API token": 200}
# Airflow's own answer to a token that does not count is 403.
REFUSED = {"page": "/auth/login/", "new UI token": False, "UI token": 403, "API token": 403}


def get(address, path, **more):
    return requests.get(address + path, allow_redirects=False, timeout=20, **more)


def api_login(address):
    body = {"username": "alice", "password": PASSWORD}
    return requests.post(f"{address}/auth/token", json=body, timeout=20)


class Login:
    """The same person's, in a browser and by the API. The cookies are sent by hand, as a thief
    would: a browser's own store would drop them when the server says so."""

    def __init__(self, address):
        self.address = address
        self.answer, self.session = log_in_by_form(address, "alice", 20, "/auth/login/")
        self.ui_token = self.answer.cookies.get("_token", "none")
        self.api_token = api_login(address).json().get("access_token", "none")

    def statuses(self):
        cookies = {"session": self.session}
        page = get(self.address, "/auth/users/list/", cookies=cookies)
        # FAB's index makes a token for the UI of a session.
        index = get(self.address, "/auth/", cookies=cookies)
        ui = get(self.address, "/ui/auth/me", cookies={"_token": self.ui_token})
        location = page.headers.get("Location", "").removeprefix(self.address).partition("?")[0]
        return {
            "page": location or page.status_code,
            "new UI token": "_token" in index.cookies,
            "UI token": ui.status_code,
            "API token": get(self.address, "/api/v2/dags", headers=bearer(self.api_token)).status_code,
        }


def test_sessions_and_tokens_end_with_the_account_and_stay_dead(servers, database):
    logins = {name: Login(address) for name, address in servers.items()}
    # Also now: what Airflow remembers of a user for half a minute revives nobody.
    assert [login.statuses() for login in logins.values()] == [SERVED, SERVED]
    database.execute(DISABLE)
    disabled = {name: login.statuses() for name, login in logins.items()}
    assert api_login(servers["guarded"]).status_code == 401
    database.execute(ENABLE)
    enabled = {name: login.statuses() for name, login in logins.items()}

    for name in logins:
        print(f"\n{name}: while disabled {disabled[name]}\n  enabled again {enabled[name]}", end="")
    assert (disabled["guarded"], enabled["guarded"]) == (REFUSED, REFUSED)
    # The control: it is the package that the line above sees at work.
    assert enabled["stock"] == SERVED

    assert Login(servers["guarded"]).statuses() == SERVED
    assert logins["guarded"].statuses() == REFUSED


def test_sessions_from_before_the_guard_go_on_until_the_first_stamp(servers, database):
    database.execute("DELETE FROM session_guard.epoch")
    old = Login(servers["stock"])
    old.address = servers["guarded"]
    assert old.statuses() == SERVED
    database.execute(DISABLE)
    database.execute(ENABLE)
    assert old.statuses() == REFUSED


def login_at(token):
    return jwt.decode(token, options={"verify_signature": False}).get("guard_login_at")


def test_a_token_is_as_old_as_the_token_or_the_session_that_it_is_made_of(servers, database):
    address = servers["guarded"]
    token = api_login(address).json()["access_token"]
    made = requests.post(
        f"{address}/ui/auth/token", json={"token_type": "api"}, headers=bearer(token), timeout=20
    ).json()["access_token"]
    assert login_at(made) == login_at(token)
    # One from before the guard is older than whatever ends it.
    database.execute("DELETE FROM session_guard.epoch")
    old = Login(servers["stock"])
    index = get(address, "/auth/", cookies={"session": old.session})
    assert login_at(index.cookies["_token"]) < "1000"


def test_a_login_that_waited_for_a_new_password_gives_no_token_by_the_old_one(servers, database):
    database.execute("SELECT session_guard.attach('ab_user', revoke_on => '{password}')")
    update = "UPDATE ab_user SET password = %s WHERE username = 'alice'"
    with psycopg.connect(dbname=DATABASE) as changing:
        old = changing.execute("SELECT password FROM ab_user WHERE username = 'alice'").fetchone()
        try:
            changing.execute(update, ["none"])
            login = Background(api_login, servers["guarded"])
            wait_until_somebody_waits_for_a_lock(DATABASE)
            changing.commit()
            assert login.result().status_code == 401
        finally:
            changing.execute(update, old)
            changing.execute("SELECT session_guard.attach('ab_user', revoke_on => '{}')")


def test_an_error_refuses_sessions_tokens_and_logins(servers, database):
    address = servers["guarded"]
    login = Login(address)
    functions = "FUNCTION session_valid(regclass, text, timestamptz), session_start(regclass, text)"
    database.execute(f"REVOKE EXECUTE ON {functions} FROM {OWNER}, pg_database_owner")
    try:
        errors = {"page": 503, "new UI token": False, "UI token": 503, "API token": 503}
        assert login.statuses() == errors
        assert api_login(address).status_code == 503
    finally:
        database.execute(f"GRANT EXECUTE ON {functions} TO {OWNER}, pg_database_owner")
    # Nobody was logged out: the check could not say that the session had ended.
    assert login.statuses() == SERVED
