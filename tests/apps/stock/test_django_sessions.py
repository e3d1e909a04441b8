"""Django with django-user-sessions, and with django-qsessions: sessions in a table that has the user's id."""

import requests
from python_helpers import PASSWORD
from stock import LONGEST, PYTHON, App, StockApp

MANAGE = (PYTHON, "-m", "django")


class UserSessions(App):
    database = "stock_user_sessions"
    sessions = "user_sessions"
    users, name = "auth_user", "username"
    disable, enable = "is_active = false", "is_active = true"
    attach = "SELECT session_guard.attach('auth_user', active_column => 'is_active')"
    store = "user_sessions_session"
    add_store = "SELECT session_guard.add_store('user_sessions_session', 'user_id')"
    asks_for_status = True
    setup = (
        (*MANAGE, "migrate"),
        (*MANAGE, "createsuperuser", "--noinput", "--username", "alice", "--email", "a@example.com"),
        (*MANAGE, "createsuperuser", "--noinput", "--username", "bob", "--email", "b@example.com"),
    )
    server = (*MANAGE, "runserver", "--noreload", "127.0.0.1:PORT")

    def environment(self, **settings):
        return super().environment(
            SESSIONS=self.sessions,
            DJANGO_SETTINGS_MODULE="django_app.settings",
            DJANGO_SUPERUSER_PASSWORD=PASSWORD,
            **settings,
        )

    def log_in(self, address, who):
        answer = requests.post(
            f"{address}/login", data={"username": who, "password": PASSWORD}, timeout=LONGEST
        )
        assert answer.status_code in (200, 401), answer.text
        return dict(answer.cookies)


class QSessions(UserSessions):
    database = "stock_qsessions"
    sessions = "qsessions"
    store = "qsessions_session"
    add_store = "SELECT session_guard.add_store('qsessions_session', 'user_id')"


class TestUserSessions(StockApp):
    app_class = UserSessions

    def test_a_request_under_way_that_saves_its_session_brings_it_back(self, app, address, alice):
        """A limit: the app inserts the row once more. The next stamp ends it."""
        with app.request_under_way(address, alice):
            app.set_enabled(False)
        app.set_enabled(True)
        assert not app.is_served(address, alice)

        alice = app.log_in(address, "alice")
        with app.request_under_way(address, alice):
            app.set_enabled(False)
            app.set_enabled(True)
        assert app.is_served(address, alice)


class TestQSessions(StockApp):
    app_class = QSessions

    def test_a_request_under_way_brings_nothing_back(self, app, address, alice):
        with app.request_under_way(address, alice):
            app.set_enabled(False)
            app.set_enabled(True)
        assert not app.is_served(address, alice)
