"""The apps that the suite runs on: how each is served, and how it is spoken to."""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from python_helpers import PASSWORD, databases, serving, waiting

TARGET = Path(os.environ["TARGET"])
OWNER = "session_guard_node"
SECRET_KEY = "a secret of the tests, longer than 32 bytes"
# The longest that a request may take, on a slow machine.
LONGEST = 120
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@dataclass(frozen=True)
class Adapter:
    name: str
    command: tuple
    variables: tuple = ()
    # Of a request whose user is read anyway.
    more_statements: int = 0

    @property
    def database(self):
        return f"session_guard_node_{self.name}"

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
        return answer, {**answer.cookies}

    def logged_in(self, name="alice", password=PASSWORD):
        answer, cookies = self.log_in(name, password)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/private"), answer.text
        return cookies

    def is_served(self, cookies, name="alice"):
        """A page and a request of an API, with the same cookies."""
        page, api = self.get("/private", cookies, **HTML), self.get("/api/me", cookies)
        assert (page.status_code, api.status_code) in [(200, 200), (302, 401)], (page.text, api.text)
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
    return answer.status_code == 302 and urlsplit(answer.headers["Location"]).path == "/login"


EXPRESS, FASTIFY = ("node", "express_server.js"), ("node", "fastify_server.mjs")
ADAPTERS = [
    Adapter("express5_cookie", EXPRESS),
    Adapter("express5_store", EXPRESS, (("SESSIONS", "store"), ("MODE", "own")), more_statements=1),
    Adapter("express4_store", EXPRESS, (("EXPRESS", "express4"), ("SESSIONS", "store"), ("MODE", "function"))),
    Adapter("express4_cookie", EXPRESS, (("EXPRESS", "express4"), ("PREPARE", "1"))),
    Adapter("fastify_cookie", FASTIFY),
    Adapter("fastify_store", FASTIFY, (("SESSIONS", "store"), ("MODE", "own")), more_statements=1),
]
