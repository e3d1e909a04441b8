"""better-auth with its admin plugin: the column `banned`, and sessions in the table `session`."""

import re
import time

import requests
from python_helpers import PASSWORD
from python_helpers.databases import connect
from python_helpers.waiting import Background, wait_until, wait_until_somebody_waits_for_a_lock
from stock import LONGEST, NODE, OWNER, PAGE, TARGET, App, StockApp


class BetterAuth(App):
    database = "stock_better_auth"
    users, name = '"user"', "email"
    disable, enable = "banned = true", "banned = false"
    attach = """SELECT session_guard.attach('"user"', active_column => 'banned', active_when => 'false')"""
    store = "session"
    add_store = """SELECT session_guard.add_store('session', 'userId', users => '"user"')"""
    setup = ((*NODE, str(TARGET / "better_auth.mjs"), "migrate"),)
    server = (*NODE, str(TARGET / "better_auth.mjs"))

    def post(self, address, path, **fields):
        return requests.post(
            f"{address}/api/auth/{path}", json=fields, headers={"Origin": address}, timeout=LONGEST
        )

    def create_accounts(self, address):
        for who in ("alice", "bob"):
            fields = {"name": who, "email": f"{who}@example.com", "password": PASSWORD}
            answer = self.post(address, "sign-up/email", **fields)
            assert answer.status_code == 200 or "already exists" in answer.text, answer.text

    def log_in(self, address, who):
        answer = self.post(address, "sign-in/email", email=f"{who}@example.com", password=PASSWORD)
        assert answer.status_code in (200, 403), answer.text
        return dict(answer.cookies)


class TestBetterAuth(StockApp):
    app_class = BetterAuth

    def test_a_ban_that_has_run_out_by_itself(self, app, address, alice):
        """The app lifts it at the next login, by an UPDATE that enables."""
        app.psql(app.update("banned = true, \"banExpires\" = now() + interval '1 h'"))
        assert not app.is_served(address, alice)
        assert not app.is_served(address, app.log_in(address, "alice"))
        app.psql(app.update("\"banExpires\" = clock_timestamp() + interval '0.5 s'"))
        is_over = "SELECT clock_timestamp() > \"banExpires\" FROM \"user\" WHERE name = 'alice'"
        wait_until("the ban has run out", lambda: app.sql(is_over))
        again = app.log_in(address, "alice")
        assert app.is_served(address, again)
        assert not app.sql("SELECT banned FROM \"user\" WHERE name = 'alice'")
        assert not app.is_served(address, alice)

    def test_the_app_s_cookie_cache_is_not_reached_until_it_is_too_old(self, app, tmp_path):
        """It is off unless the app switches it on."""
        with app.served(tmp_path / "log", COOKIE_CACHE_SECONDS="3") as address:
            is_young = False
            while not is_young:  # On a machine that is busy with more, the cookie may be too old by the time that it is asked.
                began = time.monotonic()
                cookies = app.log_in(address, "alice")
                app.set_enabled(False)
                app.set_enabled(True)
                is_served = app.is_served(address, cookies)
                is_young = time.monotonic() - began < 3
            assert is_served
            wait_until("the cookie is too old", lambda: not app.is_served(address, cookies))

    def test_a_login_that_met_a_disable_gives_no_session_by_the_page_s_trigger(self, app, address, bob):
        app.sql(re.search(r"```sql\n(CREATE FUNCTION.*?)```", PAGE, re.S)[1], user=OWNER)
        try:
            with connect(app.database) as disabling:
                disabling.execute("BEGIN")
                disabling.execute(app.update(app.disable))
                login = Background(self.try_to_log_in, app, address)
                wait_until_somebody_waits_for_a_lock(app.database)
                disabling.execute("COMMIT")
                assert not app.is_served(address, login.result())
            of_alice = "SELECT count(*) FROM session JOIN \"user\" AS u ON u.id = \"userId\" WHERE u.name = 'alice'"
            assert app.sql(of_alice) == 0
            assert app.is_served(address, bob, "bob")
            app.set_enabled(True)
            assert app.is_served(address, app.log_in(address, "alice"))
        finally:
            app.sql("DROP FUNCTION refuse_session CASCADE")

    def try_to_log_in(self, app, address):
        fields = {"email": "alice@example.com", "password": PASSWORD}
        return dict(app.post(address, "sign-in/email", **fields).cookies)
