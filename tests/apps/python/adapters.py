"""The apps that the suite runs on: how each is set up and served, and how it is spoken to."""

import os
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import requests
from python_helpers import EXAMPLES, PASSWORD, QUICK_HASH, commands, databases, serving, waiting

SERVERS = Path(__file__).parent / "servers"
OWNER = "session_guard_python"
# Of SQLAlchemy, whose 1.4 does not know psycopg 3.
DRIVER = os.environ.get("DATABASE_DRIVER", "psycopg")
# A second users table, of a name that must be quoted.
MEMBERS = '"Club"."Our ""Members"""'
# The longest that a request may take, on a slow machine that is busy with more.
LONGEST = waiting.PATIENCE
# Of a server whose logins wait for a lock no longer than this; others wait as long as any test.
IMPATIENT = {"LOCK_TIMEOUT": "0.5"}
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@dataclass(frozen=True)
class Adapter:
    name: str
    command: tuple
    setup: tuple
    table: str
    active: str
    login: str = "/login"
    page: str = "/private"
    api: str = "/api/me"
    static: str = "/static/form.html"
    # The statement of a user's own page that changes the password; None: a new one ends nothing here.
    password: str | None = "/password"
    variables: tuple = ()
    # What else than the adapters' own tests its database is for.
    purpose: str = ""

    @property
    def database(self):
        return f"session_guard_python_{self.purpose}{self.name}"

    def with_own_database(self, purpose):
        return replace(self, purpose=f"{purpose}_")

    @property
    def folders(self):
        """Beside those that are in the environment already, such as of the package's sources."""
        return SERVERS, EXAMPLES / "flask_appbuilder", *os.environ.get("PYTHONPATH", "").split(os.pathsep)

    @property
    def environment(self):
        return {
            **os.environ,
            **dict(self.variables),
            "PGUSER": OWNER,
            "PGDATABASE": self.database,
            "DATABASE_URL": f"postgresql+{DRIVER}://{OWNER}@/{self.database}",
            "SECRET_KEY": "a secret of the tests, longer than 32 bytes",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "QUICK_HASH": QUICK_HASH,
            "PYTHONPATH": os.pathsep.join(map(str, self.folders)),
        }

    def run(self, *command, **changed):
        return commands.run(command, {**self.environment, **changed}, SERVERS)

    def create(self):
        databases.create_role(OWNER)
        databases.create_database(self.database, OWNER)
        for command in self.setup:
            if callable(command):
                command(self)
            else:
                done = self.run(*command)
                assert done.returncode == 0, done.stdout

    def drop(self):
        databases.drop_database(self.database)

    @contextmanager
    def serve(self, log_path, **changed):
        with serving.serve(self.command, {**self.environment, **changed}, log_path, "/open", folder=SERVERS) as address:
            yield Server(self, address)

    def sql(self, statement, *values, user=None):
        with databases.connect(self.database, user) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchone()[0] if cursor.description else None

    def set_active(self, active, name="alice"):
        self.sql(f"UPDATE {self.table} SET {self.active} = %s WHERE username = %s", active, name)

    def wait_until_somebody_waits_for_a_lock(self):
        waiting.wait_until_somebody_waits_for_a_lock(self.database)


class Server:
    def __init__(self, adapter, address):
        self.adapter, self.address = adapter, address

    def get(self, path, cookies=None, **headers):
        return requests.get(
            self.address + path, cookies=cookies or {}, headers=headers, allow_redirects=False, timeout=LONGEST
        )

    def send(self, path, cookies, **fields):
        """Sends the form at that path; gives the answer and the cookies after it."""
        form = self.get(path, cookies, **HTML)
        cookies = {**cookies, **form.cookies}
        for name, value in re.findall(r'name="(csrf\w+)"[^>]*value="([^"]+)"', form.text):
            fields[name] = value
        answer = requests.post(
            self.address + path,
            data=fields,
            cookies=cookies,
            headers={**HTML, "Referer": self.address + path},
            allow_redirects=False,
            timeout=LONGEST,
        )
        return answer, {**cookies, **answer.cookies}

    def log_in(self, name="alice", password=PASSWORD, **fields):
        return self.send(self.adapter.login, {}, username=name, password=password, **fields)

    def logged_in(self, name="alice", password=PASSWORD, **fields):
        answer, cookies = self.log_in(name, password, **fields)
        assert answer.status_code == 302, answer.text
        return cookies

    def is_served(self, cookies, name="alice"):
        page, api = self.get(self.adapter.page, cookies, **HTML), self.get(self.adapter.api, cookies)
        # Django has deleted the session by the time of the second request, which is nobody's then.
        refused = (302, 302) if self.adapter.name == "django" and page.status_code == 302 else (302, 401)
        assert (page.status_code, api.status_code) in [(200, 200), refused], (page.status_code, api.text)
        if page.status_code == 200:
            assert f"Logged in as {name}" in page.text
        return page.status_code == 200

    def is_nobody(self, cookies):
        """There is no session at all, which is the framework's own affair."""
        page, api = self.get(self.adapter.page, cookies, **HTML), self.get(self.adapter.api, cookies)
        return self.leads_to_login(page) and api.status_code in (302, 401)

    def leads_to_login(self, answer):
        return answer.status_code == 302 and urlsplit(answer.headers["Location"]).path == self.adapter.login

    def statements(self, path, cookies, **headers):
        return int(self.get(path, cookies, **headers).headers["X-Statements"])


ATTACH = "attach('users', revoke_on => '{password}', is_default => true)"


def make_flask_users(adapter):
    from werkzeug.security import generate_password_hash

    hashed = generate_password_hash(PASSWORD, QUICK_HASH)
    with databases.connect(adapter.database, OWNER) as owner:
        owner.execute("CREATE EXTENSION pg_session_guard")
        owner.execute("CREATE TABLE users (id bigserial PRIMARY KEY, username text, password text, active bool)")
        owner.execute(f"SELECT session_guard.{ATTACH}")
        for name in ("alice", "bob"):
            insert = "INSERT INTO users (username, password, active) VALUES (%s, %s, true)"
            owner.execute(insert, (name, hashed))


def copy_alice(table, key, *more):
    """Makes bob like her, without another start of the framework. `key`: of his row, as SQL; `more`: statements after that."""

    def copy(adapter):
        names = "".join(f"'{column}', 'bob', " for column in ("username", "first_name", "last_name"))
        changed = f"jsonb_build_object({key}, {names}'email', 'bob@example.com')"
        bob = f"SELECT jsonb_populate_record(NULL::{table}, to_jsonb(alice) || {changed}) AS bob FROM {table} AS alice"
        with databases.connect(adapter.database, OWNER) as owner:
            for statement in (f"INSERT INTO {table} SELECT (bob).* FROM ({bob}) AS made", *more):
                owner.execute(statement)

    return copy


FAB_ROLE = "INSERT INTO ab_user_role (id, user_id, role_id) SELECT 1000, 1000, role_id FROM ab_user_role"


def make_fab_guard(adapter):
    with databases.connect(adapter.database, OWNER) as owner:
        owner.execute("CREATE EXTENSION pg_session_guard")


FLASK = (sys.executable, "-m", "flask", "--app")
RUN = ("run", "--port", "PORT", "--with-threads")
MANAGE = (sys.executable, "manage.py")


def create_admin(name):
    given = ("--firstname", name, "--lastname", name, "--email", f"{name}@example.com", "--password", PASSWORD)
    return (*FLASK, "fab_server", "fab", "create-admin", "--username", name, *given)


def create_superuser(name):
    return (*MANAGE, "createsuperuser", "--noinput", "--username", name, "--email", f"{name}@example.com")


UVICORN = (sys.executable, "-m", "uvicorn", "fastapi_server:app", "--port", "PORT", "--log-level", "warning")


def fastapi(driver):
    return Adapter(
        f"fastapi_{driver}", UVICORN, (make_flask_users,), "users", "active", variables=(("DRIVER", driver),)
    )


# By the middleware, which asks by a query of its own: what all do alike is not tested again.
WITH_MIDDLEWARE = [fastapi("psycopg"), fastapi("sync")]
ADAPTERS = [
    Adapter("flask", (*FLASK, "flask_server", *RUN), (make_flask_users,), "users", "active"),
    Adapter(
        "fab",
        (*FLASK, "fab_server", *RUN),
        (create_admin("alice"), copy_alice("ab_user", "'id', 1000", FAB_ROLE), make_fab_guard),
        "ab_user",
        "active",
        login="/login/",
        page="/private/page/",
        api="/api/v1/security/users/",
        static="/static/appbuilder/css/ab.css",
        password=None,
    ),
    Adapter(
        "django",
        (*MANAGE, "runserver", "--noreload", "127.0.0.1:PORT"),
        ((*MANAGE, "migrate"), create_superuser("alice"), copy_alice('"Staff Members"', "'number', gen_random_uuid()")),
        '"Staff Members"',
        "is_active",
    ),
    fastapi("asyncpg"),
    fastapi("sqlalchemy"),
]
