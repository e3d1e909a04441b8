"""The Django app guards what only Django has: sessions in the database, changes of one's own password, single sign-on, a migration."""

import base64
import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import requests
from apps import DJANGO, MANAGE, RUNSERVER
from browser import LONGEST, PAGE, assert_refused, assert_served, logged_in, send
from python_helpers import PASSWORD

pytestmark = pytest.mark.parametrize("app", [DJANGO], ids=["django"], indirect=True)


def test_a_refused_session_is_deleted(app, server):
    cookies = logged_in(server)
    stored = "SELECT count(*) FROM django_session WHERE session_key = %s"
    assert app.sql(stored, cookies["sessionid"]) == 1
    app.set_active(False)
    assert_refused(server, cookies)
    assert app.sql(stored, cookies["sessionid"]) == 0


def change_password(address, cookies, old, new):
    return send(address, "/password", cookies, old_password=old, new_password1=new, new_password2=new)


def test_the_session_that_changes_its_password_goes_on_and_the_others_end(app, server):
    this, other = logged_in(server), logged_in(server)
    answer, changed = change_password(server, this, PASSWORD, "a new one")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/private")
    assert_served(server, changed)
    assert_refused(server, other)
    assert_refused(server, this)  # Django has given the session a new key.
    assert_served(server, logged_in(server, password="a new one"))
    _, changed = change_password(server, changed, "a new one", PASSWORD)
    assert_served(server, changed)


def test_a_new_password_that_meets_a_disable_does_not_enable_the_account(app, server):
    cookies = logged_in(server)
    with app.changing(app.active, False) as disabling, ThreadPoolExecutor() as background:
        changing = background.submit(change_password, server, cookies, PASSWORD, PASSWORD)
        app.wait_until_somebody_waits_for_a_lock()
        disabling.commit()
        _, changed = changing.result(LONGEST)
    assert not app.sql("SELECT is_active FROM auth_user WHERE username = 'alice'")
    assert_refused(server, changed)
    app.set_active(True)
    assert_refused(server, changed)


def test_a_login_whose_hash_django_renews_gives_a_session(app, server):
    """As after most updates of Django: they make hashes stronger, and a new hash is a new password to the guard."""
    salt, iterations = "0123456789abcdefghijkl", 1000
    digest = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt.encode(), iterations)
    weak = f"pbkdf2_sha256${iterations}${salt}${base64.b64encode(digest).decode()}"
    app.set_password_hash(weak)
    assert_served(server, logged_in(server))
    assert app.password_hash() != weak


def test_single_sign_on_starts_its_sessions_too(app, tmp_path):
    with app.serve(tmp_path / "log", (*RUNSERVER, "--settings", "single_sign_on")) as address:

        def sign_on():
            return requests.get(f"{address}/private", headers={**PAGE, "X-User": "alice"}, timeout=LONGEST)

        answer = sign_on()
        assert (answer.status_code, answer.text) == (200, "Logged in as alice\n")
        cookies = answer.cookies.get_dict()
        assert_served(address, cookies)
        app.set_active(False)
        refused = sign_on()
        assert (refused.status_code, "alice" in refused.text) == (403, False)
        app.set_active(True)
        assert_refused(address, cookies)


def test_where_its_role_may_not_the_migration_says_how(app):
    strangers = replace(app, database="session_guard_django_strangers")
    strangers.create_database(owner=os.environ["PGUSER"])
    try:
        strangers.sql("GRANT CREATE ON SCHEMA public TO PUBLIC")
        refused = strangers.run(*MANAGE, "migrate")
        assert refused.returncode != 0
        strangers.sql(re.search(r"HINT: +Before .+ run: (.+)", refused.stdout)[1])
        done = strangers.run(*MANAGE, "migrate")
        assert done.returncode == 0, done.stdout
        attached = "SELECT string_agg(name, ' ') FROM session_guard.guard WHERE detached_at IS NULL"
        assert strangers.sql(attached) == "public.auth_user"
        undone = strangers.run(*MANAGE, "migrate", "pg_session_guard", "zero")
        assert undone.returncode == 0, undone.stdout
        assert strangers.sql(attached) is None
    finally:
        strangers.drop_database()
