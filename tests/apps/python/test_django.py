"""What only Django has: the admin, tests in transactions, SQLite, system checks, views that are asynchronous."""

import os
import re
import sys
import time
from datetime import datetime, timezone

import django
import jwt
import psycopg
import pytest
import requests
from adapters import ADAPTERS, HTML, IMPATIENT, LONGEST, MANAGE, OWNER
from provider import Provider, keycloak_logout
from python_helpers import PASSWORD, ROOT, commands, databases
from test_sessions import without
from test_tokens import ask, log_in, post, statuses

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS[2:3], ids=["django"], indirect=True)
GUARD = "SELECT concat_ws(' ', id_column, active_column, revoke_on) FROM session_guard.guard"


def test_the_migration_guards_the_table_of_the_user_model(adapter):
    assert adapter.sql(GUARD) == "number is_active {password}"


def test_the_migration_finds_the_sql_edition(adapter, tmp_path):
    database = f"{adapter.database}_sql_edition"
    databases.create_database(database, OWNER)
    commands.output_of((ROOT / "scripts" / "sql-edition", tmp_path), os.environ)
    install = ("psql", "-XqU", OWNER, "-v", "ON_ERROR_STOP=1", "-d", database, "-f", tmp_path / "install.sql")
    commands.output_of(install, os.environ)
    output = adapter.run(*MANAGE, "check", "--database", "default", PGDATABASE=database).stdout
    assert "pg_session_guard." not in output, "before the first migration there is nothing to say"
    done = adapter.run(*MANAGE, "migrate", PGDATABASE=database)
    assert done.returncode == 0, done.stdout
    with databases.connect(database) as db:
        assert db.execute(GUARD).fetchone()[0] == "number is_active {password}"
        db.execute("SELECT session_guard.detach('\"Staff Members\"')")
        output = adapter.run(*MANAGE, "check", "--database", "default", PGDATABASE=database).stdout
        assert "W007" in output and "CREATE EXTENSION" not in output, output
    databases.drop_database(database)


def test_a_schema_of_somebody_else_is_not_taken_for_the_sql_edition(adapter):
    database = f"{adapter.database}_squatted"
    databases.create_role("session_guard_squatter")
    databases.create_database(database, OWNER)
    with databases.connect(database) as db:
        db.execute("CREATE SCHEMA session_guard AUTHORIZATION session_guard_squatter")
        done = adapter.run(*MANAGE, "migrate", PGDATABASE=database)
        assert done.returncode != 0 and "session_guard" in done.stdout, done.stdout
    databases.drop_database(database)


@pytest.fixture
def old_hash(adapter):
    read = "SELECT password FROM \"Staff Members\" WHERE username = 'alice'"
    old = adapter.sql(read)
    yield
    adapter.sql("UPDATE \"Staff Members\" SET password = %s WHERE username = 'alice'", old)


@pytest.mark.parametrize("page", ["/admin/password_change/", "/admin/people/person/{}/password/"])
def test_the_admin_s_own_password_pages_keep_their_session_and_end_the_others(adapter, server, old_hash, page):
    number = adapter.sql("SELECT number FROM \"Staff Members\" WHERE username = 'alice'")
    this, other = server.logged_in(), server.logged_in()
    new = "a new and better one"
    fields = {"old_password": PASSWORD, "new_password1": new, "new_password2": new, "password1": new, "password2": new}
    fields |= {"usable_password": "true", "set-password": "1"}
    answer, changed = server.send(page.format(number), this, **fields)
    assert answer.status_code == 302, re.sub("<[^>]+>", "", answer.text)
    assert server.get("/admin/", changed, **HTML).status_code == 200
    assert server.is_served(changed)
    assert not server.is_served(other)


MEANWHILE_MIDDLEWARE = '''
import os

import psycopg
from settings import *

MIDDLEWARE = [*MIDDLEWARE, "changed.meanwhile"]
DATABASES["default"]["ATOMIC_REQUESTS"] = "AUTOCOMMIT" not in os.environ


def meanwhile(get_response):
    """Somebody else's change, after the view and its COMMIT, and before SessionGuardMiddleware keeps the session."""

    def middleware(request):
        response = get_response(request)
        if response.status_code == 302 and "meanwhile" in request.POST:
            with psycopg.connect(dbname=os.environ["PGDATABASE"]) as connection:
                connection.execute(request.POST["meanwhile"])
        return response

    return middleware
'''
PASSWORD_PAGES = ["/password", "/admin/password_change/", "/admin/people/person/{}/password/"]
BY_SOMEBODY_ELSE = {
    "nothing": None,
    "reset": "UPDATE \"Staff Members\" SET password = 'reset' WHERE username = 'alice'",
    "revoked": "SELECT session_guard.revoke_sessions(number) FROM \"Staff Members\" WHERE username = 'alice'",
}


@pytest.fixture(scope="module", params=["atomic", "autocommit"])
def meanwhile(adapter, tmp_path_factory, request):
    """A server on which somebody else may change the account before the session is kept."""
    folder = tmp_path_factory.mktemp("meanwhile")
    (folder / "changed.py").write_text(MEANWHILE_MIDDLEWARE)
    changed = {"DJANGO_SETTINGS_MODULE": "changed", "PYTHONPATH": f"{adapter.environment['PYTHONPATH']}:{folder}"}
    if request.param == "autocommit":
        changed["AUTOCOMMIT"] = "1"
    with adapter.serve(folder / "log", **changed) as server:
        yield server


@pytest.mark.parametrize("by_somebody_else", BY_SOMEBODY_ELSE)
@pytest.mark.parametrize("page", PASSWORD_PAGES)
def test_a_session_that_somebody_else_ends_meanwhile_is_not_kept(adapter, meanwhile, old_hash, page, by_somebody_else):
    number = adapter.sql("SELECT number FROM \"Staff Members\" WHERE username = 'alice'")
    new, statement = "a new and better one", BY_SOMEBODY_ELSE[by_somebody_else]
    fields = {"old_password": PASSWORD, "new_password1": new, "new_password2": new, "password1": new, "password2": new}
    fields |= {"usable_password": "true", "set-password": "1"}
    this = meanwhile.logged_in()
    answer, changed = meanwhile.send(page.format(number), this, **fields, **({"meanwhile": statement} if statement else {}))
    assert answer.status_code == 302, re.sub("<[^>]+>", "", answer.text)
    assert meanwhile.is_served(changed) is (statement is None)
    if statement is None:  # Only what comes later ends it, and that at once.
        adapter.sql(BY_SOMEBODY_ELSE["revoked"])
        assert not meanwhile.is_served(changed)


def test_a_new_password_stays_though_its_session_cannot_be_kept(adapter, server, old_hash):
    read = "SELECT password FROM \"Staff Members\" WHERE username = 'alice'"
    this, old, new = server.logged_in(), adapter.sql(read), "a new and better one"
    with without(adapter, "session_start"):
        answer, _ = server.send("/password", this, old_password=PASSWORD, new_password1=new, new_password2=new)
    assert answer.status_code == 503 and adapter.sql(read) != old
    assert not server.is_served(this)


def test_the_time_of_a_change_is_kept_once_that_is_committed(adapter, old_hash):
    done = adapter.run(sys.executable, "-c", COMMITTED, DJANGO_SETTINGS_MODULE="settings")
    assert done.stdout.splitlines()[-1:] == ["kept"], done.stdout


COMMITTED = """
import django

django.setup()
from types import SimpleNamespace
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.db import connection, transaction
from pg_session_guard.core.login_time import LOGIN_TIME_KEY
from pg_session_guard.django.asking import is_valid, start
from pg_session_guard.django.own_password import in_request_of
from pg_session_guard.django.request_guard import RequestGuard

alice, carol = get_user_model().objects.get(username="alice"), get_user_model()(username="carol")
carol.save()
began = start(alice.pk)
session = {SESSION_KEY: str(alice.pk), HASH_SESSION_KEY: alice.get_session_auth_hash(), LOGIN_TIME_KEY: began}
guard = RequestGuard(SimpleNamespace(session=session, user=alice))
guard.user_is_read, guard.login_at, guard.password_hash = True, began, alice.get_session_auth_hash()


def change(user, password):
    user.set_password(password)
    user.save()


with in_request_of(guard):
    with transaction.atomic():
        change(alice, "undone")
        transaction.set_rollback(True)
    assert guard.begun is None
    change(carol, "hers")
    carol.delete()
    assert guard.begun is None
    alice.set_password("hers")
    with transaction.atomic():
        alice.save()
        assert guard.begun is None
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("0",)
    first = guard.begun
    assert first[0] == alice.get_session_auth_hash() and is_valid(alice.pk, first[1])
    change(alice, "hers again")
    assert not is_valid(alice.pk, first[1]) and is_valid(alice.pk, guard.begun[1])
    guard.password_hash = alice.get_session_auth_hash()
    begun = guard.begun
    alice.save()
    assert guard.begun is begun
change(alice, "outside of any request")
assert guard.begun is begun and not is_valid(alice.pk, begun[1])
print("kept")
"""


@pytest.mark.skipif(django.VERSION < (5, 1), reason="Django 5.1 brought LoginRequiredMiddleware")
def test_a_provider_need_not_log_in_where_all_others_must(adapter, tmp_path):
    with Provider().serving() as provider:
        with adapter.serve(tmp_path / "log", JWKS=provider.address, LOGIN_REQUIRED="1") as server:
            assert server.leads_to_login(server.get("/by-orm/1", **HTML))
            path, form = "/backchannel-logout", {"logout_token": keycloak_logout()}
            answer = requests.post(server.address + path, form, allow_redirects=False, timeout=LONGEST)
            assert answer.status_code == 200


def test_an_asynchronous_view_is_guarded(adapter, server):
    alice = server.logged_in()
    assert server.get("/private-async", alice, **HTML).text == "Logged in as alice\n"
    adapter.set_active(False)
    adapter.set_active(True)
    assert server.leads_to_login(server.get("/private-async", alice, **HTML))


def test_an_old_hash_is_renewed_at_a_login_that_counts(adapter, server, old_hash):
    import base64
    import hashlib

    salt, iterations = "0123456789abcdefghijkl", 1000
    digest = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt.encode(), iterations)
    weak = f"pbkdf2_sha256${iterations}${salt}${base64.b64encode(digest).decode()}"
    adapter.sql("UPDATE \"Staff Members\" SET password = %s WHERE username = 'alice'", weak)
    assert server.is_served(server.logged_in())
    assert adapter.sql("SELECT password FROM \"Staff Members\" WHERE username = 'alice'") != weak


def test_a_wrong_password_takes_the_same_by_whatever_name(adapter, tmp_path):
    """Nothing is asked of the guard, whose answer waits for the user's row. The time would tell which names there are."""
    with adapter.serve(tmp_path / "log", **IMPATIENT) as server, psycopg.connect(dbname=adapter.database) as changing:
        changing.execute(f"UPDATE {adapter.table} SET is_active = false WHERE username = 'alice'")
        for name in ("alice", "nobody"):
            answer, cookies = server.log_in(name, "wrong")
            assert answer.status_code == 200 and server.is_nobody(cookies)
        assert server.log_in()[0].status_code == 503
        changing.rollback()


def test_a_project_s_own_tests_log_in(adapter, tmp_path):
    """They run in transactions, in which no other connection sees their users."""
    (tmp_path / "test_project.py").write_text("""
from django.contrib.auth import get_user_model
from django.test import TestCase

class Private(TestCase):
    def test_login(self):
        carol = get_user_model().objects.create_user("carol", password="hers")
        for log_in in (lambda: self.client.force_login(carol), lambda: self.client.login(username="carol", password="hers")):
            log_in()
            self.assertEqual(self.client.get("/private").status_code, 200)
        new = {"old_password": "hers", "new_password1": "a better one", "new_password2": "a better one"}
        self.assertEqual(self.client.post("/password", new).status_code, 302)
        self.assertEqual(self.client.get("/private").status_code, 200)
        get_user_model().objects.filter(pk=carol.pk).update(is_active=False)
        self.assertEqual(self.client.get("/private").status_code, 302)
""")
    adapter.sql("ALTER ROLE session_guard_python CREATEDB")
    done = adapter.run(*MANAGE, "test", str(tmp_path))
    assert done.returncode == 0 and "Ran 1 test" in done.stdout, done.stdout


def test_with_sqlite_nothing_is_guarded_and_all_works(adapter, tmp_path):
    sqlite = {"SQLITE": str(tmp_path / "db.sqlite3")}
    done = adapter.run(*MANAGE, "migrate", **sqlite)
    assert done.returncode == 0 and "W004" in done.stdout, done.stdout
    name = ("--username", "alice", "--email", "alice@example.com")
    assert adapter.run(*MANAGE, "createsuperuser", "--noinput", *name, **sqlite).returncode == 0
    assert adapter.run(*MANAGE, "dumpdata", "--all", **sqlite).returncode == 0
    with adapter.serve(tmp_path / "log", **sqlite) as server:
        alice = server.logged_in()
        assert server.is_served(alice)
        users = server.get("/admin/people/person/", alice).text
        assert "end_all_sessions" not in users
        address = re.search('"(/admin/people/person/[^"]+)/change/', users)[1]
        user = server.get(f"{address}/change/", alice)
        assert user.status_code == 200 and "State:" not in user.text
        assert server.get(f"{address}/end_sessions/", alice).status_code == 403
        for path in ("event/", "event/1/change/", "finding/"):
            assert "guarded in PostgreSQL alone" in server.get(f"/admin/pg_session_guard/{path}", alice).text


def check(adapter, tmp_path, change):
    (tmp_path / "changed.py").write_text(f"from settings import *\n{change}\n")
    path = f"{adapter.environment['PYTHONPATH']}:{tmp_path}"
    settings = {"DJANGO_SETTINGS_MODULE": "changed", "PYTHONPATH": path}
    return adapter.run(*MANAGE, "check", "--database", "default", **settings)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("", None),
        ("MIDDLEWARE = MIDDLEWARE[:4]", "E002"),
        ("MIDDLEWARE = [*MIDDLEWARE[:3], MIDDLEWARE[4], MIDDLEWARE[3]]", "E002"),
        ("SESSION_GUARD_FAIL_OPN = True", "E001"),
        ("AUTHENTICATION_BACKENDS = [STOCK]", "W003"),
        ("SESSION_GUARD_USERS = '\"Staff Members\"'", None),
        ("SESSION_GUARD_USERS = 'Staff'", "E008"),
        ("SESSION_GUARD_USERS = 'Staff Members'", "E008"),
        ("DATABASES['default']['DISABLE_SERVER_SIDE_CURSORS'] = True", None),
        (
            "DATABASES['default'].update(DISABLE_SERVER_SIDE_CURSORS=True)\n"
            "DATABASES['default']['OPTIONS']['prepare_threshold'] = 5",
            "W005",
        ),
        (
            "DATABASES['default'].update(DISABLE_SERVER_SIDE_CURSORS=True)\n"
            "DATABASES['default']['OPTIONS']['options'] = '-c lock_timeout=2s'",
            "W006",
        ),
    ],
)
def test_the_system_checks_say_what_is_wrong(adapter, tmp_path, change, found):
    output = check(adapter, tmp_path, change).stdout
    assert re.findall(r"pg_session_guard\.([EW]\d+)", output) == ([found] if found else []), output


def test_session_pages_that_come_after_the_urls_are_told(adapter, tmp_path):
    (tmp_path / "late_urls.py").write_text("""from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.urls import path
from pg_session_guard.django.pages import add_session_pages
admin.site.register(get_user_model(), UserAdmin)
urlpatterns = [path("admin/", admin.site.urls)]
add_session_pages(admin.site)
""")
    # The first middleware lies in the project's own urls.py.
    output = check(adapter, tmp_path, "ROOT_URLCONF = 'late_urls'\nMIDDLEWARE = MIDDLEWARE[1:]").stdout
    assert re.findall(r"pg_session_guard\.([EW]\d+)", output) == ["E010"], output


@pytest.mark.parametrize("installed", ["", "pg_session_guard"])
@pytest.mark.parametrize("part", ["MIDDLEWARE", "AUTHENTICATION_BACKENDS"])
def test_without_its_app_the_middleware_and_the_backend_say_which_line_is_missing(adapter, tmp_path, installed, part):
    other = {"MIDDLEWARE": "AUTHENTICATION_BACKENDS = [STOCK]", "AUTHENTICATION_BACKENDS": "del MIDDLEWARE[4]"}[part]
    (tmp_path / "changed.py").write_text(f"""from settings import *
{other}
INSTALLED_APPS = [{installed!r} if app == "pg_session_guard.django" else app for app in INSTALLED_APPS]
INSTALLED_APPS = [app for app in INSTALLED_APPS if app]
""")
    path = f"{adapter.environment['PYTHONPATH']}:{tmp_path}"
    log_in = "from django.test import Client; Client().login(username='alice', password='hers')"
    settings = {"DJANGO_SETTINGS_MODULE": "changed", "PYTHONPATH": path}
    done = adapter.run(*MANAGE, "shell", "-c", f"{log_in}; Client().get('/private')", **settings)
    assert done.returncode != 0
    assert "ImproperlyConfigured: nobody can log in: add 'pg_session_guard.django' to INSTALLED_APPS" in done.stdout


def test_a_guard_that_is_not_there_is_told_with_what_mends_it(adapter, tmp_path):
    adapter.sql("SELECT session_guard.detach('\"Staff Members\"')")
    output = check(adapter, tmp_path, "").stdout
    assert "W007" in output, output
    told = re.search(r"SELECT session_guard\.attach\(.+\)", output)[0]
    assert "id_column => 'number'" in told
    adapter.sql("DELETE FROM session_guard.guard")
    adapter.sql(told)
    assert "W007" not in check(adapter, tmp_path, "").stdout
    assert adapter.sql(GUARD) == "number is_active {password}"


def test_a_role_without_access_is_told_with_what_gives_it(adapter, tmp_path):
    adapter.sql('CREATE ROLE "session guard\'s app" LOGIN')
    try:
        other = """DATABASES["default"]["USER"] = "session guard's app\""""
        output = check(adapter, tmp_path, other).stdout
        assert "W007" in output, output
        adapter.sql(re.search(r"SELECT session_guard\.grant_access\(.+\)", output)[0])
        assert "W007" not in check(adapter, tmp_path, other).stdout
    finally:
        adapter.sql('DROP OWNED BY "session guard\'s app"')
        adapter.sql('DROP ROLE "session guard\'s app"')


def test_a_table_of_the_setting_is_not_looked_for_before_the_first_migration(adapter, tmp_path):
    before = "DATABASES['default']['NAME'] = 'template1'\nSESSION_GUARD_USERS = 'Staff'"
    assert "E008" not in check(adapter, tmp_path, before).stdout


def test_a_database_that_gives_no_answer_is_told_as_that(adapter, tmp_path):
    nowhere = "DATABASES['default']['NAME'] = 'session_guard_nowhere'\nSESSION_GUARD_USERS = 'Staff'"
    output = check(adapter, tmp_path, nowhere).stdout
    assert re.findall(r"pg_session_guard\.([EW]\d+)", output) == ["W009"], output


def test_a_backend_that_does_not_ask_is_guarded_by_one_query_more(adapter, tmp_path):
    (tmp_path / "changed.py").write_text("from settings import *\nAUTHENTICATION_BACKENDS = [STOCK]\n")
    path = f"{adapter.environment['PYTHONPATH']}:{tmp_path}"
    with adapter.serve(tmp_path / "log", DJANGO_SETTINGS_MODULE="changed", PYTHONPATH=path) as server:
        alice = server.logged_in()
        assert server.statements("/private", alice) == 3  # The session, the user, and the guard.
        adapter.set_active(False)
        adapter.set_active(True)
        assert not server.is_served(alice)


@pytest.fixture(scope="module")
def by_name(adapter, tmp_path_factory):
    """simplejwt as some have it: its claim is no primary key, it checks the password, it gives each refresh token once."""
    folder = tmp_path_factory.mktemp("by_name")
    options = "USER_ID_FIELD='username', CHECK_REVOKE_TOKEN=True, ROTATE_REFRESH_TOKENS=True"
    (folder / "changed.py").write_text(f"from settings import *\nSIMPLE_JWT.update({options})\n")
    path = f"{adapter.environment['PYTHONPATH']}:{folder}"
    with adapter.serve(folder / "log", DJANGO_SETTINGS_MODULE="changed", PYTHONPATH=path) as server:
        yield server


def test_a_token_that_names_its_user_by_another_field_than_the_key_is_guarded(adapter, by_name):
    old = log_in(by_name).json()
    assert statuses(by_name, old) == (200, 200)
    assert by_name.statements("/by-token", {}, Authorization=f"Bearer {old['access']}") == 1
    adapter.set_active(False)
    adapter.set_active(True)
    assert statuses(by_name, old) == (401, 401)
    assert statuses(by_name, log_in(by_name).json()) == (200, 200)


def test_simplejwt_s_own_check_of_the_password_is_made_as_well(adapter, by_name, old_hash):
    attach = "SELECT session_guard.attach('\"Staff Members\"', revoke_on => %s::name[])"
    adapter.sql(attach, "{}")
    try:
        tokens = log_in(by_name).json()
        assert ask(by_name, tokens["access"]).status_code == 200
        adapter.sql("UPDATE \"Staff Members\" SET password = 'none' WHERE username = 'alice'")
        assert ask(by_name, tokens["access"]).status_code == 401
    finally:
        adapter.sql(attach, "{password}")


def test_a_refresh_token_without_a_time_of_its_own_gets_no_younger(adapter, by_name):
    """As of RefreshToken.for_user, or from before the package."""
    key, issued = adapter.environment["SECRET_KEY"], int(time.time()) - 100
    claims = {"token_type": "refresh", "iat": issued, "exp": issued + 1000, "jti": "1", "user_id": "bob"}
    made = post(by_name, "/token/refresh", refresh=jwt.encode(claims, key, "HS256")).json()
    for name in ("access", "refresh"):
        made_at = jwt.decode(made[name], key, algorithms=["HS256"])["guard_login_at"]
        assert datetime.fromisoformat(made_at) == datetime.fromtimestamp(issued, timezone.utc)
    for claim in ("nobody", None):
        unknown = jwt.encode({**claims, "user_id": claim}, key, "HS256")
        assert post(by_name, "/token/refresh", refresh=unknown).status_code == 401


def test_a_token_by_a_password_that_is_the_user_s_no_more_is_none(adapter):
    """As of a backend that does not begin the login before it reads the hash."""
    done = adapter.run(sys.executable, "-c", OLD_PASSWORD, DJANGO_SETTINGS_MODULE="settings")
    assert "No active account" in done.stdout.splitlines()[-1], done.stdout


OLD_PASSWORD = """
import django

django.setup()
from django.contrib.auth import get_user_model
from pg_session_guard.jwt.simplejwt import GuardedTokenObtainPairSerializer

user = get_user_model()(username="carol")
user.save()
try:
    GuardedTokenObtainPairSerializer.get_token(user)
    get_user_model().objects.filter(pk=user.pk).update(password="changed meanwhile")
    GuardedTokenObtainPairSerializer.get_token(user)
finally:
    user.delete()
"""


def test_a_token_that_is_made_of_a_token_is_as_old_as_that(adapter, old_hash):
    done = adapter.run(sys.executable, "-c", MADE_OF, DJANGO_SETTINGS_MODULE="settings")
    assert done.stdout.splitlines()[-1:] == ["True False"], done.stdout


MADE_OF = """
import django

django.setup()
from django.contrib.auth import get_user_model
from django.db import connection
from pg_session_guard.jwt.simplejwt import GuardedAuthentication, GuardedTokenObtainPairSerializer

token = GuardedTokenObtainPairSerializer.get_token(get_user_model().objects.get(username="alice")).access_token
user = GuardedAuthentication().get_user(token)
made = GuardedTokenObtainPairSerializer.get_token(user)
with connection.cursor() as cursor:
    cursor.execute("SELECT session_guard.revoke_sessions(%s)", [str(user.pk)])
user.set_password("a new and better one")
user.save()
after = GuardedTokenObtainPairSerializer.get_token(user)
print(made["guard_login_at"] == token["guard_login_at"], after["guard_login_at"] == token["guard_login_at"])
"""


def test_a_sliding_token_gets_no_younger_by_a_refresh(adapter):
    """Whoever refreshes it: simplejwt's own serializer gives it another `iat`, and asks nobody."""
    done = adapter.run(sys.executable, "-c", SLIDING, DJANGO_SETTINGS_MODULE="settings")
    assert done.stdout.splitlines()[-1:] == ["as old as the login"], done.stdout


SLIDING = """
import django

django.setup()
from datetime import timedelta
from django.contrib.auth import get_user_model
from django.db import connection
from pg_session_guard.jwt import simplejwt as guarded
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_simplejwt import serializers as stock
from rest_framework_simplejwt.tokens import SlidingToken

alice = get_user_model().objects.get(username="alice")


def refreshed(token, by):
    made = SlidingToken(by().validate({"token": str(token)})["token"])
    made.set_iat(at_time=made.current_time + timedelta(seconds=5))  # As of a refresh that comes later.
    return made


def is_served(token):
    try:
        return guarded.GuardedAuthentication().get_user(token) == alice
    except AuthenticationFailed:
        return False


def log_in():
    return guarded.GuardedTokenObtainSlidingSerializer.get_token(alice)


def revoke():
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_guard.revoke_sessions(%s)", [str(alice.pk)])


revoke()
kept = refreshed(log_in(), guarded.GuardedTokenRefreshSlidingSerializer)
assert is_served(kept) and not is_served(SlidingToken.for_user(alice))
other, plain = log_in(), SlidingToken.for_user(alice)
revoke()
assert not any(map(is_served, [kept, *(refreshed(token, stock.TokenRefreshSlidingSerializer) for token in (other, plain))]))
for token in (other, plain):
    try:
        refreshed(token, guarded.GuardedTokenRefreshSlidingSerializer)
        raise AssertionError("refreshed")
    except AuthenticationFailed:
        pass
assert is_served(log_in())
print("as old as the login")
"""


def test_a_token_that_has_ended_is_not_verified(adapter):
    """By simplejwt's view for others than the app, such as a proxy."""
    done = adapter.run(sys.executable, "-c", VERIFIED, DJANGO_SETTINGS_MODULE="settings")
    assert done.stdout.splitlines()[-1:] == ["[True, True] [False, False] [True, False]"], done.stdout


VERIFIED = """
import django

django.setup()
from django.contrib.auth import get_user_model
from django.db import connection
from pg_session_guard.jwt import simplejwt as guarded
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.tokens import SlidingToken

alice = get_user_model().objects.get(username="alice")


def is_verified(token):
    try:
        return guarded.GuardedTokenVerifySerializer().validate({"token": str(token)}) == {}
    except InvalidToken:
        return False


def log_in():
    return guarded.GuardedTokenObtainPairSerializer.get_token(alice)


pair = log_in()
old = [pair, pair.access_token]
before = [is_verified(token) for token in old]
with connection.cursor() as cursor:
    cursor.execute("SELECT session_guard.revoke_sessions(%s)", [str(alice.pk)])
print(before, [is_verified(token) for token in old], [is_verified(token) for token in (log_in(), SlidingToken.for_user(alice))])
"""


def test_one_authenticator_serves_several_requests_at_once(adapter):
    done = adapter.run(sys.executable, "-c", AT_ONCE, DJANGO_SETTINGS_MODULE="settings")
    assert done.stdout.splitlines()[-1:] == ["alice: ended, bob"], done.stdout


AT_ONCE = """
import django

django.setup()
from django.contrib.auth import get_user_model
from django.db import connection
from pg_session_guard.jwt.simplejwt import GuardedAuthentication, GuardedTokenObtainPairSerializer
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_simplejwt.tokens import AccessToken

authentication = GuardedAuthentication()


def access(name):
    return GuardedTokenObtainPairSerializer.get_token(get_user_model().objects.get(username=name)).access_token


class InBetween(AccessToken):
    '''While its user is read, another thread has begun to read that of its own token.'''

    def __getitem__(self, claim):
        if claim == "user_id":
            seen.append(authentication.get_user(access("bob")).username)
        return super().__getitem__(claim)


old, seen = InBetween(str(access("alice"))), []
with connection.cursor() as cursor:
    cursor.execute("SELECT session_guard.revoke_sessions(%s)", [super(InBetween, old).__getitem__("user_id")])
try:
    authentication.get_user(old)
except AuthenticationFailed as error:
    print("alice: ended,", *seen)
"""


READ_BEFORE = """
from settings import *

DATABASES["default"]["AUTOCOMMIT"] = False
MIDDLEWARE = ["changed.read", *MIDDLEWARE]


def read(get_response):
    def middleware(request):
        request.body, request.read()
        return get_response(request)

    return middleware
"""


def test_an_event_whose_body_was_read_before_is_committed_by_itself(adapter, tmp_path):
    """Of a database with AUTOCOMMIT off, and by a middleware of the app's own."""
    (tmp_path / "changed.py").write_text(READ_BEFORE)
    path = f"{adapter.environment['PYTHONPATH']}:{tmp_path}"
    options = {"DJANGO_SETTINGS_MODULE": "changed", "PYTHONPATH": path}
    number = adapter.sql("SELECT number::text FROM \"Staff Members\" WHERE username = 'alice'")
    began = adapter.sql("SELECT session_start(%s)", number)
    with Provider().serving() as provider:
        with adapter.serve(tmp_path / "log", JWKS=provider.address, **options) as server:
            form = {"logout_token": keycloak_logout()}
            answer = requests.post(server.address + "/backchannel-logout", form, timeout=LONGEST)
            assert (answer.status_code, answer.text) == (200, "")
    assert not adapter.sql("SELECT session_valid(%s, %s)", number, began)


NO_TRANSACTION = """
from settings import *

DATABASES["people"] = DATABASES["default"]
"""
VIEWS = """
import django

django.setup()
from django.core.handlers.base import BaseHandler
from pg_session_guard.receivers.django import receive_events, receive_logouts

views = [receive(type("Receiver", (), {"receive_logout": None, "receive_event": None})) for receive in (receive_events, receive_logouts)]
print([BaseHandler().make_view_atomic(view) is view for view in views])
"""


def test_a_receiver_is_in_no_transaction_of_any_database(adapter, tmp_path):
    (tmp_path / "changed.py").write_text(NO_TRANSACTION)
    path = f"{adapter.environment['PYTHONPATH']}:{tmp_path}"
    done = adapter.run(sys.executable, "-c", VIEWS, DJANGO_SETTINGS_MODULE="changed", PYTHONPATH=path)
    assert done.stdout.splitlines()[-1:] == ["[True, True]"], done.stdout


def test_a_503_logs_what_is_missing(adapter, tmp_path):
    with adapter.serve(tmp_path / "log") as server:
        alice = server.logged_in()
        with without(adapter, "session_valid"):
            assert server.get("/private", alice, **HTML).status_code == 503
    assert "cannot ask pg_session_guard: let the owner of the extension run" in (tmp_path / "log").read_text()


def test_a_login_in_the_transaction_that_has_written_its_user_counts_with_that(adapter, old_hash):
    """As where each request is a transaction, and in it somebody signs up, or sets a password that was forgotten."""
    done = adapter.run(sys.executable, "-c", WRITTEN, DJANGO_SETTINGS_MODULE="settings", LOCK_TIMEOUT="1")
    assert done.stdout.splitlines()[-1:] == ["logged in"], done.stdout


WRITTEN = """
import django

django.setup()
from types import SimpleNamespace
from django.contrib.auth import get_user_model, login
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import PermissionDenied
from django.db import transaction
from pg_session_guard.django.asking import is_valid

Person = get_user_model()


def log_in(user):
    session = SessionStore()
    login(SimpleNamespace(session=session, META={}), user, "pg_session_guard.django.backends.SessionGuardBackend")
    return session["guard_login_at"]


with transaction.atomic():
    with transaction.atomic():
        carol = Person.objects.create_user("carol", password="hers")
    began = log_in(carol)
assert is_valid(carol.pk, began)
with transaction.atomic():
    carol.is_active = False
    carol.save()
    try:
        log_in(carol)
        raise AssertionError("logged in")
    except PermissionDenied:
        pass
assert not is_valid(carol.pk, began)
carol.delete()

alice = Person.objects.get(username="alice")
with transaction.atomic():
    alice.set_password("a new and better one")
    alice.save()
    began = log_in(alice)
assert is_valid(alice.pk, began)
Person.objects.filter(pk=alice.pk).update(password="another one")
assert not is_valid(alice.pk, began)
print("logged in")
"""


SWALLOWED = """
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.template import engines
from django.urls import path

from urls import *

PAGE = "{% if not user.is_authenticated %}Log in{% else %}For those who have{% endif %}"


def by_template(request):
    return HttpResponse(engines["django"].from_string(PAGE).render({}, request))


def by_exception(request):
    try:
        return HttpResponse("Log in" if request.user.is_anonymous else "For those who have")
    except Exception:
        return HttpResponse("For those who have")


urlpatterns += [path("by-template", by_template), path("by-exception", by_exception)]
"""


@pytest.mark.parametrize("path", ["/by-template", "/by-exception"])
def test_an_error_that_a_page_swallows_is_a_503_all_the_same(adapter, tmp_path, path):
    """Django's template tag `if` takes any error for false."""
    (tmp_path / "swallowing.py").write_text(SWALLOWED)
    (tmp_path / "changed.py").write_text("from settings import *\nROOT_URLCONF = 'swallowing'\n")
    changed = {"DJANGO_SETTINGS_MODULE": "changed", "PYTHONPATH": f"{adapter.environment['PYTHONPATH']}:{tmp_path}"}
    with adapter.serve(tmp_path / "log", **changed) as server:
        alice = server.logged_in()
        assert server.get(path, alice).text == "For those who have"
        assert server.get(path).text == "Log in"
        with without(adapter, "session_valid"):
            refused = server.get(path, alice)
            assert refused.status_code == 503 and "For those" not in refused.text
            assert server.get(path).text == "Log in"
        assert server.is_served(alice)


READ = """
import django

django.setup()
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import UserManager
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pg_session_guard.django import user_query
from pg_session_guard.django.asking import start
from pg_session_guard.django.backends import SessionGuardBackend
from pg_session_guard.django.question import Question, asked

Person = get_user_model()
alice, bob = (Person.objects.get(username=name).pk for name in ("alice", "bob"))


def read(pk, backend=SessionGuardBackend):
    question = Question(start(pk))
    with CaptureQueriesContext(connection) as queries, asked(question):
        user = backend().get_user(pk)
    assert len(queries) == 1, queries.captured_queries
    return user


def values(user):
    return {field.attname: user.__dict__[field.attname] for field in Person._meta.concrete_fields}


for pk in (alice, bob, alice):
    user = read(pk)
    assert values(user) == values(read(pk, ModelBackend)) and user.pk == pk
    assert not user.get_deferred_fields() and user._state.db == "default" and not user._state.adding
    user.first_name = "A."
    user.save(update_fields=["first_name"])
assert read("00000000-0000-0000-0000-000000000000") is None


class Tenant(UserManager):
    hidden = None

    def get_queryset(self):
        return super().get_queryset().exclude(pk=self.hidden)


manager = Tenant()
Person.add_to_class("objects", manager)
Person._meta._expire_cache()
user_query._statements.clear()
for hidden in (None, alice, None, bob):
    Tenant.hidden = hidden
    assert [pk for pk in (alice, bob) if read(pk)] == [pk for pk in (alice, bob) if pk != hidden]
print("all read")
"""


def test_the_user_is_read_as_by_django_itself_and_by_the_app_s_own_manager(adapter):
    done = adapter.run(sys.executable, "-c", READ, DJANGO_SETTINGS_MODULE="settings")
    assert done.stdout.splitlines()[-1:] == ["all read"], done.stdout


def test_a_login_in_steps_is_as_old_as_its_first(adapter, old_hash):
    """As where a one-time code is asked for after the password, by another request."""
    done = adapter.run(sys.executable, "-c", IN_STEPS, DJANGO_SETTINGS_MODULE="settings")
    assert done.stdout.splitlines()[-1:] == ["True False False False False"], done.stdout


IN_STEPS = """
import django

django.setup()
from types import SimpleNamespace
from django.contrib.auth import authenticate, get_user_model, login
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import PermissionDenied
from django.db import connection
from pg_session_guard.django.asking import is_valid
from pg_session_guard.django.logins import begun_of, continue_login
from pg_session_guard.jwt.simplejwt import GuardedTokenObtainPairSerializer
from rest_framework.exceptions import AuthenticationFailed

Person = get_user_model()
alice = Person.objects.filter(username="alice")
password = alice.values_list("password", flat=True)[0]


def revoke():
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_guard.revoke_sessions(%s)", [str(alice.get().pk)])


def disable_and_enable():
    alice.update(is_active=False)
    alice.update(is_active=True)


def is_logged_in(meanwhile):
    begun = begun_of(authenticate(username="alice", password=PASSWORD))
    assert isinstance(begun, str)
    meanwhile()
    user = alice.get()
    continue_login(user, begun if meanwhile is not forget else None)
    session = SessionStore()
    try:
        login(SimpleNamespace(session=session, META={}), user, "pg_session_guard.django.backends.SessionGuardBackend")
        found = is_valid(user.pk, session["guard_login_at"])
    except PermissionDenied:
        found = False
    continue_login(user, begun if meanwhile is not forget else None)
    try:
        assert is_valid(user.pk, GuardedTokenObtainPairSerializer.get_token(user)["guard_login_at"]) is found
    except AuthenticationFailed:
        assert not found
    alice.update(password=password)
    return found


def forget():
    pass


def nothing():
    pass


revoke()
new_password = lambda: alice.update(password="another")
print(*map(is_logged_in, (nothing, revoke, disable_and_enable, new_password, forget)))
""".replace("PASSWORD", repr(PASSWORD), 1)
