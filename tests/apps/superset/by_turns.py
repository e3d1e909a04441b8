"""Superset with the guard and without it, by turns: the program of test_added_time.

There is only one Superset in a process: its extensions, views and security manager are global. So what SessionGuard has put
into the app is taken out for a request without it, and put back.
"""

import re

from flask import request_started
from flask_login import user_logged_in, user_logged_out, user_unauthorized
from pg_session_guard.superset import SessionGuard
from python_helpers import PASSWORD
from python_helpers.turns import Wsgi, answer_turns
from superset import config
from superset.app import create_app

SIGNALS = (request_started, user_logged_in, user_logged_out, user_unauthorized)


class Hooks:
    def install(self, app):
        self.app, self.manager = app, app.appbuilder.sm.lm
        manager, functions = dict(vars(self.manager)), list(app.after_request_funcs.get(None, []))
        receivers = [list(signal.receivers_for(app)) for signal in SIGNALS]
        SessionGuard(app)
        self.new = {name: value for name, value in vars(self.manager).items() if manager.get(name) != value}
        self.old = {name: manager[name] for name in self.new if name in manager}
        self.functions = [each for each in app.after_request_funcs[None] if each not in functions]
        self.receivers = [
            (signal, receiver)
            for signal, before in zip(SIGNALS, receivers, strict=True)
            for receiver in signal.receivers_for(app)
            if receiver not in before
        ]
        # Whoever adds to these looks whether `put` takes it out.
        assert (len(self.new), len(self.functions), len(self.receivers)) == (3, 1, 5)

    def put(self, guarded):
        if not hasattr(self, "all_functions"):
            self.all_functions = list(self.app.after_request_funcs[None])
        for name in self.new:
            vars(self.manager).pop(name, None)
        vars(self.manager).update(self.new if guarded else self.old)
        self.app.after_request_funcs[None] = [each for each in self.all_functions if guarded or each not in self.functions]
        for signal, receiver in self.receivers:
            signal.disconnect(receiver, self.app)
            if guarded:
                signal.connect(receiver, self.app)


def cookies_of(app):
    client = app.test_client()
    token = re.search(r'csrf_token[^>]*?value="([^"]+)"', client.get("/login/").text)
    form = {"username": "newcomer", "password": PASSWORD, "csrf_token": token[1] if token else ""}
    assert client.post("/login/", data=form).status_code == 302
    return {"session": client.get_cookie("session").value}


hooks = Hooks()
config.FLASK_APP_MUTATOR = hooks.install
app = create_app()
requests = {}
for kind in ("guarded", "unguarded"):
    hooks.put(kind == "guarded")
    requests[kind] = Wsgi(app, "/api/v1/me/", cookies_of(app))


def prepared(kind):
    def prepare():
        hooks.put(kind == "guarded")
        return requests[kind]()

    return prepare


answer_turns({kind: prepared(kind) for kind in requests})
