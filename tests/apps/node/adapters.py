"""The apps that the suite runs on: how each is served, and how it is spoken to."""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from python_helpers import PASSWORD, databases, serving, waiting

TARGET = Path(os.environ["TARGET"])
CLIENT = os.environ.get("CLIENT", "node")
OWNER = f"session_guard_{CLIENT}"
SECRET_KEY = "a secret of the tests, longer than 32 bytes"
# The longest that a request may take, on a slow machine that is busy with more.
LONGEST = waiting.PATIENCE
# Of a server whose logins wait for a lock no longer than this; others wait as long as any test.
IMPATIENT = {"LOCK_TIMEOUT_MILLIS": "500"}
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@dataclass(frozen=True)
class Adapter:
    name: str
    command: tuple
    variables: tuple = ()
    # Of a request whose user is read anyway.
    more_statements: int = 0
    # To the login page.
    redirect: int = 302
    static: str = "/static/database.js"
    # The variables through PgBouncer before 1.21, where they are others.
    pooled: tuple | None = None

    @property
    def database(self):
        return f"{OWNER}_{self.name}"

    @property
    def environment(self):
        return {
            **os.environ,
            **dict(self.variables),
            "PGUSER": OWNER,
            "PGDATABASE": self.database,
            "SECRET_KEY": SECRET_KEY,
        }

    def create(self):
        databases.create_role(OWNER)
        databases.create_database(self.database, OWNER)
        with databases.connect(self.database, OWNER) as owner:
            owner.execute("CREATE EXTENSION pg_session_guard")
            owner.execute("CREATE TABLE users (id bigserial PRIMARY KEY, username text, password text, active bool)")
            owner.execute("SELECT session_guard.attach('users', revoke_on => '{password}')")
            insert = "INSERT INTO users (username, password, active) VALUES ('alice', %s, true), ('bob', %s, true)"
            owner.execute(insert, (PASSWORD, PASSWORD))

    def drop(self):
        databases.drop_database(self.database)

    @contextmanager
    def serve(self, log_path, **changed):
        environment = {**self.environment, **changed}
        with serving.serve(self.command, environment, log_path, "/open", folder=TARGET) as address:
            yield Server(self, address, log_path)

    def sql(self, statement, *values, user=None):
        with databases.connect(self.database, user) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchone()[0] if cursor.description else None

    def set_active(self, active, name="alice"):
        self.sql("UPDATE users SET active = %s WHERE username = %s", active, name)

    def id_of(self, name="alice"):
        return self.sql("SELECT id FROM users WHERE username = %s", name)

    def wait_until_somebody_waits_for_a_lock(self):
        waiting.wait_until_somebody_waits_for_a_lock(self.database)


class Server:
    """Cookies are passed by hand, as a thief would pass a copy."""

    def __init__(self, adapter, address, log_path):
        self.adapter, self.address, self.log_path = adapter, address, log_path

    def ask(self, method, path, cookies=None, data=None, json=None, **headers):
        return requests.request(
            method,
            self.address + path,
            cookies=cookies or {},
            data=data,
            json=json,
            headers=headers,
            allow_redirects=False,
            timeout=LONGEST,
        )

    def get(self, path, cookies=None, **headers):
        return self.ask("GET", path, cookies, **headers)

    def log_in(self, name="alice", password=PASSWORD, cookies=None):
        answer = self.ask("POST", "/login", cookies, {"username": name, "password": password}, **HTML)
        return answer, after({}, answer)

    def logged_in(self, name="alice", password=PASSWORD):
        answer, cookies = self.log_in(name, password)
        assert (answer.status_code, answer.headers["Location"]) == (self.adapter.redirect, "/private"), answer.text
        return cookies

    def is_served(self, cookies, name="alice"):
        """A page and a request of an API, with the same cookies."""
        page, api = self.get("/private", cookies, **HTML), self.get("/api/me", cookies)
        assert (page.status_code, api.status_code) in [(200, 200), (self.adapter.redirect, 401)], (page.text, api.text)
        if page.status_code == 200:
            assert (page.text, api.json()) == (f"Logged in as {name}", {"name": name})
        else:
            assert leads_to_login(page)
            assert name not in page.text + api.text
        return page.status_code == 200

    def count(self):
        return int(self.get("/statements").text)

    def statements(self, path, cookies):
        before = self.count()
        assert self.get(path, cookies).status_code == 200
        return self.count() - before

    def log(self):
        return self.log_path.read_text()


def leads_to_login(answer):
    return answer.status_code in (302, 303) and urlsplit(answer.headers["Location"]).path == "/login"


def after(cookies, answer):
    """The cookies that a browser has then."""
    sent = {morsel.split("=", 1)[0]: morsel for morsel in answer.raw.headers.getlist("Set-Cookie")}
    left = {name for name in cookies if "Max-Age=0" not in sent.get(name, "")}
    return {name: cookies[name] for name in left} | {**answer.cookies}


EXPRESS, FASTIFY = ("node", "express_server.js"), ("node", "fastify_server.mjs")
FASTIFY_STATIC = "/static/server.js"
STORE, PREPARE = ("SESSIONS", "store"), ("PREPARE", "1")
FUNCTION, OWN = ("MODE", "function"), ("MODE", "own")
NODE = [
    Adapter("express_cookie", EXPRESS, (PREPARE,), pooled=()),
    Adapter("express_store", EXPRESS, (STORE, OWN), more_statements=1),
    Adapter("express_function", EXPRESS, (STORE, FUNCTION)),
    Adapter("fastify_cookie", FASTIFY, static=FASTIFY_STATIC),
    Adapter("fastify_store", FASTIFY, (STORE, OWN), more_statements=1, static=FASTIFY_STATIC),
]


SQLX = ("DRIVER", "sqlx")


def rust(name, driver, *variables, **more):
    return Adapter(name, (str(TARGET / "rust-server"),), (("DRIVER", driver), *variables), redirect=303, **more)


# sqlx prepares the app's own queries, and runs them in another transaction.
RUST = [
    rust("tokio_postgres", "tokio-postgres"),
    rust("sqlx", "sqlx", pooled=(SQLX, OWN)),
    rust("tokio_postgres_store", "tokio-postgres", STORE, FUNCTION),
    rust("sqlx_store", "sqlx", STORE, FUNCTION, pooled=(SQLX, STORE, OWN)),
    rust("tokio_postgres_prepared", "tokio-postgres", PREPARE, pooled=(("DRIVER", "tokio-postgres"),)),
    rust("sqlx_own", "sqlx", OWN, more_statements=1),
]
ADAPTERS = {"node": NODE, "rust": RUST}[CLIENT]
if "QUICK" in os.environ:
    ADAPTERS = ADAPTERS[:2]
