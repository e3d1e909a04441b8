"""What every stock app must show: an account is disabled and enabled again in psql, and its old session is dead. The app's
own code knows nothing of pg_session_guard."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from python_helpers import PASSWORD, QUICK_HASH, ROOT, commands, databases, serving
from python_helpers.waiting import Background, wait_until_somebody_waits_for_a_lock

HERE = Path(__file__).parent
PAGE = (ROOT / "docs" / "apps.md").read_text()
TARGET = Path(os.environ["TARGET"])
OWNER, OPERATOR = "stock_app", "stock_operator"
SECRET = "a secret of the tests, longer than 32 bytes"
# The longest that an answer may take, on a slow machine.
LONGEST = 120
NODE = "node", "--no-deprecation"
PYTHON = sys.executable


class App:
    """One app: its database, its server, and what an operator runs in psql."""

    database = "stock"
    # What its operators read.
    documentation = PAGE
    # The users table, and the column that has the names.
    users, name = "users", "name"
    disable, enable = "active = false", "active = true"
    attach = "SELECT session_guard.attach('users')"
    store = "session"
    add_store = "SELECT session_guard.add_store('session', 'user_id')"
    # Whether the app itself refuses sessions while their account is disabled.
    asks_for_status = False
    # Commands that make the app's tables, as its owner, and then the statements of its operator.
    setup, statements = (), ()
    server, ready, private = (), "/ready", "/private"

    def environment(self, **settings):
        host, port = os.environ["PGHOST"], os.environ.get("PGPORT", "5432")
        return {
            **os.environ,
            "PGUSER": OWNER,
            "PGDATABASE": self.database,
            "DATABASE_URL": f"postgresql://{OWNER}@/{self.database}?host={host}&port={port}",
            "SECRET_KEY": SECRET,
            "PASSWORD": PASSWORD,
            "QUICK_HASH": QUICK_HASH,
            "PYTHONPATH": str(HERE),
            **settings,
        }

    @contextmanager
    def installed(self):
        """The app's database with its tables, two accounts, and a guard that has no store yet."""
        databases.create_role(OWNER)
        databases.create_role(OPERATOR)
        databases.create_database(self.database, OWNER)
        for command in self.setup:
            commands.output_of(command, self.environment(), timeout=120)
        for statement in self.statements:
            self.sql(statement, user=OWNER)
        self.sql("CREATE EXTENSION pg_session_guard", user=OWNER)
        self.sql(self.attach, user=OWNER)
        # All that the operator may do here.
        self.sql(f"GRANT SELECT, UPDATE, DELETE ON {self.users} TO {OPERATOR}", user=OWNER)
        yield self
        databases.drop_database(self.database)

    @contextmanager
    def served(self, log_path, **settings):
        environment = self.environment(**settings)
        with serving.serve(self.server, environment, log_path, self.ready) as address:
            self.create_accounts(address)
            yield address

    def create_accounts(self, address):
        """Makes alice and bob by the app's own means, if its setup has not."""

    def sql(self, statement, user=None):
        """Gives the first field of the first row."""
        with databases.connect(self.database, user) as connection:
            cursor = connection.execute(statement)
            row = cursor.fetchone() if cursor.description else None
        return row and row[0]

    def psql(self, *statements, user=OPERATOR):
        databases.psql(self.database, *statements, user=user)

    def update(self, change, who="alice"):
        return f"UPDATE {self.users} SET {change} WHERE {self.name} LIKE '{who}%'"

    def set_enabled(self, enabled):
        self.psql(self.update(self.enable if enabled else self.disable))

    def remove_store(self):
        self.sql(f"SELECT session_guard.remove_store('{self.store}')", user=OWNER)

    def log_in(self, address, who):
        """Gives the cookies of the new session, or those of none if the app refuses the login."""
        raise NotImplementedError

    def page(self, address, cookies):
        # The cookies are passed by hand, as a thief would.
        return requests.get(
            address + self.private, cookies=cookies, allow_redirects=False, timeout=LONGEST
        )

    @contextmanager
    def request_under_way(self, address, cookies):
        """A request that has read its session, and saves it when it ends, after the block."""
        with databases.connect(self.database) as other:
            other.execute("SELECT pg_advisory_lock(1)")
            request = Background(
                lambda: requests.get(f"{address}/slow", cookies=cookies, timeout=LONGEST)
            )
            wait_until_somebody_waits_for_a_lock(self.database)
            yield
        assert request.result().status_code < 500

    def is_served(self, address, cookies, who="alice"):
        answer = self.page(address, cookies)
        assert answer.status_code in (200, 302, 401), answer.text
        is_served = answer.status_code == 200
        assert (who in answer.text) == is_served, answer.text
        return is_served


@pytest.mark.usefixtures("store")
class StockApp:
    """The tests that each app passes. A class for an app names it as `app_class`."""

    app_class = App

    def test_a_disabled_account_s_session_is_dead_and_stays_dead(self, app, address, alice, bob):
        app.set_enabled(False)
        assert not app.is_served(address, alice)
        assert not app.is_served(address, app.log_in(address, "alice"))
        assert app.is_served(address, bob, "bob")
        app.set_enabled(True)
        assert not app.is_served(address, alice)
        again = app.log_in(address, "alice")
        assert app.is_served(address, again)
        assert not app.is_served(address, alice)
        assert app.is_served(address, again)
        assert app.is_served(address, bob, "bob")

    def test_all_sessions_that_did_not_ask_meanwhile_are_dead_too(self, app, address, alice):
        another = app.log_in(address, "alice")
        app.set_enabled(False)
        app.set_enabled(True)
        assert not app.is_served(address, alice)
        assert not app.is_served(address, another)

    def test_without_a_store_the_session_goes_on(self, app, address, alice):
        """The control: it is the store that the other tests see at work."""
        app.remove_store()
        app.set_enabled(False)
        assert app.is_served(address, alice) != app.asks_for_status
        app.set_enabled(True)
        assert app.is_served(address, alice)

    def test_a_store_that_is_added_ends_sessions_of_disabled_accounts(self, app, address, alice, bob):
        app.remove_store()
        app.set_enabled(False)
        app.sql(app.add_store, user=OWNER)
        assert not app.is_served(address, alice)
        app.set_enabled(True)
        assert not app.is_served(address, alice)
        assert app.is_served(address, bob, "bob")

    def test_who_disables_needs_no_right_on_the_sessions(self, app, address, alice):
        for right in ("SELECT", "INSERT", "UPDATE", "REFERENCES"):
            assert not app.sql(f"SELECT has_any_column_privilege('{OPERATOR}', '{app.store}', '{right}')")
        assert not app.sql(f"SELECT has_table_privilege('{OPERATOR}', '{app.store}', 'DELETE')")
        app.set_enabled(False)
        app.set_enabled(True)
        assert not app.is_served(address, alice)

    def test_where_triggers_are_off_as_in_a_replica(self, app, address, alice):
        off = "SET session_replication_role = replica"
        app.psql(off, app.update(app.disable), app.update(app.enable), user=None)
        assert not app.is_served(address, alice)

    def test_disabled_and_enabled_in_one_transaction(self, app, address, alice):
        app.psql("BEGIN", app.update(app.disable), app.update(app.enable), "COMMIT")
        assert not app.is_served(address, alice)

    def test_what_is_rolled_back_ends_nothing(self, app, address, alice):
        app.psql("BEGIN", app.update(app.disable), "ROLLBACK")
        assert app.is_served(address, alice)

    def test_signing_out_everywhere(self, app, address, alice, bob):
        alice_id = f"(SELECT id FROM {app.users} WHERE {app.name} LIKE 'alice%')"
        assert app.sql(f"SELECT session_guard.revoke_sessions({alice_id})") is not None
        assert not app.is_served(address, alice)
        assert app.is_served(address, app.log_in(address, "alice"))
        assert app.is_served(address, bob, "bob")
        assert app.sql("SELECT session_guard.revoke_all_sessions()") is not None
        assert not app.is_served(address, bob, "bob")
        assert app.is_served(address, app.log_in(address, "bob"), "bob")

    def test_many_requests_and_logins_beside_each_other(self, app, address, alice, bob):
        """The store is locked for a moment by each disable, and no request fails for that."""
        with ThreadPoolExecutor(4) as crowd:
            asked = [crowd.submit(app.is_served, address, bob, "bob") for _ in range(40)]
            for _ in range(10):
                app.set_enabled(False)
                app.set_enabled(True)
            assert all(answer.result() for answer in asked)
        assert not app.is_served(address, alice)

    def test_the_page_shows_these_statements(self, app, address):
        for statement in (app.attach, app.add_store):
            called = statement.removeprefix("SELECT session_guard.")
            assert called == statement or called in app.documentation

    def test_health_has_nothing_to_say(self, app, address):
        found = "SELECT string_agg(detail, ' ') FROM session_guard.health() WHERE NOT ok AND check_name = 'store'"
        assert app.sql(found) is None
