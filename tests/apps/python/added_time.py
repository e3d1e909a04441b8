"""Prints what the guard adds to a request of each framework, by turns with the same app without it: see
python_helpers/added_time.py. Asserts nothing.

    make added-time
"""

import asyncio
import os
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from urllib.parse import urlencode

from python_helpers import PASSWORD

HERE = Path(__file__).resolve()
SERVERS = HERE.parent / "servers"
FORM = {"username": "alice", "password": PASSWORD}


def twice(name):
    """The server's module, with the guard and without it."""
    modules = {}
    for kind in ("guarded", "unguarded"):
        if kind == "unguarded":
            os.environ["UNGUARDED"] = "1"
        spec = spec_from_file_location(f"{kind}_{name}", SERVERS / f"{name}.py")
        modules[kind] = module_from_spec(spec)
        spec.loader.exec_module(modules[kind])
    return modules


def cookies_of_flask(app, login):
    """By the form, whose token against forgery Flask-AppBuilder wants."""
    client = app.test_client()
    token = re.findall(r'name="(csrf\w+)"[^>]*value="([^"]+)"', client.get(login).text)
    answer = client.post(login, data={**FORM, **dict(token)})
    assert answer.status_code == 302, answer.text
    return {"session": client.get_cookie("session").value}


def flask(adapter):
    from python_helpers.turns import Wsgi

    module = {"flask": "flask_server", "fab": "fab_server"}[adapter]
    login, path = {"flask": ("/login", "/api/me"), "fab": ("/login/", "/private/page/")}[adapter]
    apps = {kind: module.app for kind, module in twice(module).items()}
    with apps["guarded"].app_context():
        engines = dict(apps["guarded"].extensions["sqlalchemy"].engines)
    with apps["unguarded"].app_context():
        apps["unguarded"].extensions["sqlalchemy"].engines.update(engines)
    return {kind: Wsgi(app, path, cookies_of_flask(app, login)) for kind, app in apps.items()}


def django(_adapter):
    """There is one project in a process: its middleware is made twice, and its backends are looked up at each request."""
    import settings

    settings.DATABASES["default"]["CONN_MAX_AGE"] = None
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    import django
    from django.conf import settings as current
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import Client
    from django.test.utils import override_settings
    from pg_session_guard.core.login_time import LOGIN_TIME_KEY
    from python_helpers.turns import Wsgi

    django.setup()
    guard = "pg_session_guard.django.middleware.SessionGuardMiddleware"
    kinds = {
        "guarded": (settings.MIDDLEWARE, [settings.GUARD]),
        "unguarded": ([name for name in settings.MIDDLEWARE if name != guard], [settings.STOCK]),
    }
    apps = {}
    for kind, (middleware, backends) in kinds.items():
        with override_settings(MIDDLEWARE=middleware, AUTHENTICATION_BACKENDS=backends):
            client = Client()
            assert client.post("/login", FORM).status_code == 302
            if kind == "unguarded":
                session = client.session
                del session[LOGIN_TIME_KEY]
                session.save()
            apps[kind] = Wsgi(WSGIHandler(), "/api/me", {"sessionid": client.cookies["sessionid"].value})

    def prepared(kind):
        def prepare():
            current.AUTHENTICATION_BACKENDS = kinds[kind][1]
            return apps[kind]()

        return prepare

    return {kind: prepared(kind) for kind in apps}


def fastapi(_adapter):
    modules = twice("fastapi_server")
    for name in ("sessions", "asyncpg_pool", "statements"):
        setattr(modules["unguarded"], name, getattr(modules["guarded"], name))
    loop = asyncio.new_event_loop()
    apps = {}
    for kind, module in modules.items():
        status, headers = loop.run_until_complete(asked(module.app, "POST", "/login", FORM))
        assert status == 302
        cookie = headers[b"set-cookie"].partition(b";")[0]
        apps[kind] = prepared_of(loop, module.app, cookie)
    return apps


def prepared_of(loop, app, cookie):
    def prepare():
        request = asked(app, "GET", "/api/me", cookie=cookie)

        def answer():
            status, headers = loop.run_until_complete(request)
            assert status == 200
            return int(headers[b"x-statements"])

        return answer

    return prepare


async def asked(app, method, path, form=None, cookie=b""):
    body = urlencode(form or {}).encode()
    headers = [(b"host", b"127.0.0.1"), (b"cookie", cookie), (b"content-length", str(len(body)).encode())]
    headers += [(b"content-type", b"application/x-www-form-urlencoded")] * bool(form)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    sent, is_over = [], asyncio.Event()
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        if parts:
            return parts.pop()
        await is_over.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            is_over.set()

    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"])


# Those whose check rides on the query that reads the user.
MAKERS = {"flask": flask, "fab": flask, "django": django, "fastapi_asyncpg": fastapi, "fastapi_sqlalchemy": fastapi}

if os.environ.get("BY_TURNS"):
    from python_helpers.turns import answer_turns

    (chosen,) = sys.argv[1:]
    answer_turns(MAKERS[chosen](chosen))
else:
    from adapters import ADAPTERS
    from python_helpers.added_time import print_added

    for adapter in ADAPTERS:
        if adapter.name in (sys.argv[1:] or MAKERS):
            own = adapter.with_own_database("added_")
            own.create()
            folders = os.pathsep.join([str(HERE.parents[2]), own.environment["PYTHONPATH"]])
            environment = {**own.environment, "BY_TURNS": "1", "PYTHONPATH": folders}
            if own.name == "fab":  # A page of it takes four times as long.
                environment.setdefault("PAIRS", "300")
            print_added(own.name, own.database, [sys.executable, HERE, own.name], environment, SERVERS)
            own.drop()
