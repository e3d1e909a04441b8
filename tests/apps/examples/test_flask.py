"""The Flask example ends one session, all others or all of a user, and lets no disabled account in. Over HTTP; a cookie
is passed by hand, as a thief would pass a copy."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import requests
from python_helpers import EXAMPLES, PASSWORD, PYTHON_PACKAGE, QUICK_HASH, databases
from python_helpers.databases import connect, create_database, create_role, drop_database
from python_helpers.serving import serve
from python_helpers.waiting import Background, wait_until, wait_until_somebody_waits_for_a_lock
from werkzeug.security import generate_password_hash

EXAMPLE = EXAMPLES / "flask"
MODULES = os.pathsep.join(map(str, (EXAMPLE, PYTHON_PACKAGE)))
DATABASE, OWNER, APP = "guard_examples_flask", "flask_owner", "flask_app"
# Longer than a request may wait: for a lock, and for a connection.
PATIENCE = 120


def psql(statement):
    databases.psql(DATABASE, statement)


@pytest.fixture(scope="module")
def schema():
    """The example's database, made by an owner who is no superuser."""
    for role in (OWNER, APP):
        create_role(role)
    create_database(DATABASE, OWNER)
    with psycopg.connect(dbname=DATABASE, user=OWNER) as owner:
        owner.execute((EXAMPLE / "schema.sql").read_text())
    yield
    drop_database(DATABASE)


@pytest.fixture(scope="module")
def server(schema, tmp_path_factory):
    command = [sys.executable, "-m", "flask", "--app", "app", "run", "--port", "PORT"]
    environment = {
        **os.environ,
        "PYTHONPATH": MODULES,
        # libpq adds the host and the port from the environment.
        "DATABASE_URL": f"postgresql+psycopg://{APP}@/{DATABASE}",
        "SECRET_KEY": "a secret of the tests, longer than 32 bytes",
    }
    log_path = tmp_path_factory.mktemp("flask") / "log"
    # Without a session there is no page.
    with serve(command, environment, log_path, "/me", status=401) as address:
        yield address


@pytest.fixture
def owner(schema):
    with connect(DATABASE, OWNER) as connection:
        yield connection


@pytest.fixture
def admin(schema):
    with connect(DATABASE) as connection:
        yield connection


@pytest.fixture
def changing(schema):
    """A connection whose changes are not committed yet."""
    with psycopg.connect(dbname=DATABASE) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def alice(admin):
    """A user of each test's own, whose id comes back."""
    admin.execute("DELETE FROM users WHERE name = 'alice'")
    create = "INSERT INTO users (name, password) VALUES ('alice', %s) RETURNING id"
    return admin.execute(create, (generate_password_hash(PASSWORD, QUICK_HASH),)).fetchone()[0]


def get(address, cookie):
    return requests.get(f"{address}/me", cookies={"session": cookie}, timeout=PATIENCE)


def post(address, path, cookie="", **body):
    return requests.post(f"{address}/{path}", json=body, cookies={"session": cookie}, timeout=PATIENCE)


def log_in(address, name="alice", password=PASSWORD):
    return post(address, "login", name=name, password=password)


def logged_in(address, password=PASSWORD):
    answer = log_in(address, password=password)
    assert answer.status_code == 200, answer.text
    return answer.cookies["session"]


def changed_password(address, cookie, current, new):
    answer = post(address, "password", cookie, current=current, new=new)
    assert answer.status_code == 200, answer.text
    return answer.cookies["session"]


def is_served(address, cookie):
    answer = get(address, cookie)
    assert (answer.status_code, "user_id" in answer.text) in [(200, True), (401, False)], answer.text
    return answer.status_code == 200


def gives_no_session(answer, status):
    return answer.status_code == status and "Set-Cookie" not in answer.headers


# One session.


def test_a_logout_ends_the_copy_of_its_cookie_too_and_no_other_session(server, alice):
    this, other = logged_in(server), logged_in(server)
    assert is_served(server, this) and is_served(server, other)
    answer = post(server, "logout", this)
    assert answer.status_code == 200 and "session=;" in answer.headers["Set-Cookie"]
    assert not is_served(server, this)
    assert is_served(server, other) and is_served(server, logged_in(server))
    time.sleep(1.1)  # Past the epoch of the logout, which is rounded up.
    assert not is_served(server, this)


@pytest.fixture
def epoch_ahead_of_the_clock(admin, alice):
    """As just after a stamp, but for longer than a test takes."""
    for statement in (
        "SELECT session_guard.configure(stamp_margin => '50 s')",
        f"SELECT session_guard.revoke_sessions({alice})",
        "SELECT session_guard.configure(stamp_margin => '0')",
    ):
        admin.execute(statement)


def test_so_it_does_where_the_login_time_is_ahead_of_the_clock(server, admin, alice, epoch_ahead_of_the_clock):
    this, other = logged_in(server), logged_in(server)
    assert post(server, "logout", this).status_code == 200
    assert admin.execute(
        "SELECT max(t.epoch) < session_guard.epoch_of(%s::bigint) FROM session_guard.token_epoch AS t", (alice,)
    ).fetchone()[0]
    assert not is_served(server, this) and is_served(server, other)


def test_a_logout_is_recorded_as_the_users_own_doing(server, admin, alice):
    post(server, "logout", logged_in(server))
    event = "SELECT session_guard.security_event(id) FROM session_guard.event ORDER BY id DESC LIMIT 1"
    assert '"initiating_entity": "user"' in str(admin.execute(event).fetchone()[0]).replace("'", '"')


# All but the one that asks.


def test_a_password_change_spares_the_session_that_asks_and_ends_the_others(server, alice):
    this, others = logged_in(server), [logged_in(server) for _ in range(3)]
    spared = changed_password(server, this, PASSWORD, "new")
    assert is_served(server, spared)
    assert not any(is_served(server, cookie) for cookie in [this, *others])
    assert gives_no_session(log_in(server), 401)
    assert is_served(server, logged_in(server, "new")) and is_served(server, spared)


def test_so_it_does_several_times_in_the_same_second(server, admin, alice, epoch_ahead_of_the_clock):
    ended, password = [], PASSWORD
    this = logged_in(server, password)
    for new in ("first", "second", "third"):
        ended += [this, logged_in(server, password)]
        this = changed_password(server, this, password, new)
        password = new
        assert is_served(server, this)
        assert not any(is_served(server, cookie) for cookie in ended)
    assert admin.execute("SELECT session_guard.epoch_of(%s::bigint) > clock_timestamp()", (alice,)).fetchone()[0]


def test_the_spared_session_can_be_ended_like_any_other(server, alice):
    spared = changed_password(server, logged_in(server), PASSWORD, "new")
    other = logged_in(server, "new")
    assert post(server, "logout", spared).status_code == 200
    assert not is_served(server, spared) and is_served(server, other)


def test_a_password_is_not_changed_by_who_does_not_know_it(server, alice):
    this, other = logged_in(server), logged_in(server)
    assert gives_no_session(post(server, "password", this, current="wrong", new="new"), 403)
    assert is_served(server, this) and is_served(server, other) and logged_in(server)


def change_password(address, cookie, new):
    return post(address, "password", cookie, current=PASSWORD, new=new)


def test_a_change_by_the_old_password_that_met_another_change_is_refused(server, alice, changing):
    cookie = logged_in(server)
    changing.execute("UPDATE users SET password = %s WHERE id = %s", (generate_password_hash("theirs"), alice))
    change = Background(change_password, server, cookie, "mine")
    wait_until_somebody_waits_for_a_lock(DATABASE)
    changing.commit()
    assert gives_no_session(change.result(), 409)
    assert not is_served(server, cookie)
    assert gives_no_session(log_in(server, password="mine"), 401) and logged_in(server, "theirs")


def test_who_changes_it_once_more_right_after_that_ends_the_session_that_asked_first(server, alice, changing):
    cookie = logged_in(server)
    changing.execute("SELECT FROM users WHERE id = %s FOR UPDATE", (alice,))
    change = Background(change_password, server, cookie, "first")
    wait_until_somebody_waits_for_a_lock(DATABASE)
    with psycopg.connect(dbname=DATABASE) as later:
        again = "UPDATE users SET password = %s WHERE id = %s"
        second = Background(later.execute, again, (generate_password_hash("second"), alice))
        wait_until_somebody_waits_for_a_lock(DATABASE, how_many=2)
        changing.rollback()
        assert second.result().rowcount == 1
        later.commit()
    assert not is_served(server, change.result().cookies.get("session", cookie))


def test_a_logout_during_the_change_counts(server, alice, changing):
    cookie = logged_in(server)
    changing.execute("SELECT FROM users WHERE id = %s FOR UPDATE", (alice,))
    change = Background(change_password, server, cookie, "new")
    wait_until_somebody_waits_for_a_lock(DATABASE)
    assert post(server, "logout", cookie).status_code == 200
    changing.rollback()
    answer = change.result()
    assert answer.status_code == 401 and not answer.cookies.get("session") and not is_served(server, cookie)


def test_of_two_changes_at_once_one_counts_and_the_other_session_ends(server, alice):
    cookies = [logged_in(server), logged_in(server)]
    with ThreadPoolExecutor(2) as both:
        answers = list(both.map(change_password, [server] * 2, cookies, ["first", "second"]))
    after = [answer.cookies.get("session", cookie) for answer, cookie in zip(answers, cookies)]
    works = [log_in(server, password=new).status_code == 200 for new in ("first", "second")]
    assert sorted(works) == [False, True]
    assert [is_served(server, cookie) for cookie in after] == works


# All.


def test_sign_out_everywhere_ends_all_sessions_of_the_user_and_nobody_elses(server, admin, alice):
    admin.execute(
        "INSERT INTO users (name, password) SELECT 'bob', password FROM users WHERE name = 'alice' ON CONFLICT DO NOTHING"
    )
    bob = log_in(server, "bob").cookies["session"]
    cookies = [logged_in(server) for _ in range(3)]
    assert post(server, "sign-out-everywhere", cookies[0]).status_code == 200
    assert not any(is_served(server, cookie) for cookie in cookies)
    assert is_served(server, bob) and is_served(server, logged_in(server))


def test_a_disabled_account_is_out_and_its_old_sessions_stay_so(server, alice):
    cookie = logged_in(server)
    psql("UPDATE users SET active = false WHERE name = 'alice'")
    answer = get(server, cookie)
    assert answer.status_code == 401
    # What is left of it is the message for the next page.
    assert not is_served(server, answer.cookies["session"])
    assert gives_no_session(log_in(server), 401)
    psql("UPDATE users SET active = true WHERE name = 'alice'")
    assert not is_served(server, cookie)
    assert is_served(server, logged_in(server)) and not is_served(server, cookie)


# Who is let in.


@pytest.mark.parametrize(
    "name, password", [("alice", "wrong"), ("nobody", PASSWORD), ("ALICE", PASSWORD), ("' OR true --", PASSWORD)]
)
def test_a_wrong_password_or_name_does_not_log_in(server, alice, name, password):
    assert gives_no_session(log_in(server, name, password), 401)


@pytest.mark.parametrize(
    "body",
    [
        "not JSON",
        "[]",
        "null",
        "{}",
        '{"name": "alice"}',
        '{"name": "alice", "password": ["x"]}',
        '{"name": "alice", "password": ""}',
        r'{"name": "a\u0000", "password": "x"}',
        r'{"name": "alice", "password": "\ud800"}',
    ],
)
def test_what_is_no_login_is_said_to_be_none(server, body):
    json = {"Content-Type": "application/json"}
    assert gives_no_session(requests.post(f"{server}/login", data=body, headers=json, timeout=PATIENCE), 400)


def test_without_a_session_there_is_no_page(server, alice):
    cookie = logged_in(server)
    payload, time_, signature = cookie.rsplit(".", 2)
    for wrong in ("", "junk", f"{payload}.{time_}.{signature[::-1]}"):
        assert not is_served(server, wrong)
    answer = requests.get(f"{server}/me", timeout=PATIENCE)
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["login", "logout", "password", "sign-out-everywhere"])
def test_a_form_of_another_page_does_nothing(server, alice, path):
    cookie = logged_in(server)
    form = {"name": "alice", "password": PASSWORD, "current": PASSWORD, "new": "new"}
    answer = requests.post(f"{server}/{path}", data=form, cookies={"session": cookie}, timeout=PATIENCE)
    assert gives_no_session(answer, 415)
    assert is_served(server, cookie)


def test_the_cookie_is_kept_from_scripts_and_from_other_sites(server, alice):
    attributes = log_in(server).headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Secure"} <= set(attributes)


# Logins that meet a change of their account.


DISABLE = "UPDATE users SET active = false WHERE name = 'alice'"


def test_a_login_that_waited_for_a_disable_is_refused(server, alice, changing):
    changing.execute(DISABLE)
    login = Background(log_in, server)
    wait_until_somebody_waits_for_a_lock(DATABASE)
    changing.commit()
    assert gives_no_session(login.result(), 401)


def test_a_login_that_waited_for_a_disable_that_is_rolled_back_counts(server, alice, changing):
    changing.execute(DISABLE)
    login = Background(log_in, server)
    wait_until_somebody_waits_for_a_lock(DATABASE)
    changing.rollback()
    assert is_served(server, login.result().cookies["session"])


def test_a_login_does_not_wait_for_ever(server, alice, changing):
    changing.execute(DISABLE)
    assert gives_no_session(log_in(server), 503)


def test_an_old_password_does_not_log_in_that_met_a_change_of_it(server, alice, changing):
    changing.execute("UPDATE users SET password = %s WHERE name = 'alice'", (generate_password_hash("new"),))
    login = Background(log_in, server)
    wait_until_somebody_waits_for_a_lock(DATABASE)
    changing.commit()
    assert gives_no_session(login.result(), 401)


# What the app's role may do: each right is needed, and without it the app fails closed.


@pytest.mark.parametrize(
    "right, path",
    [
        ("EXECUTE ON FUNCTION session_valid(regclass, text, timestamptz)", "me"),
        ("EXECUTE ON FUNCTION token_valid(text, text, timestamptz)", "me"),
        ("EXECUTE ON FUNCTION session_start(regclass, text)", "login"),
        ("SELECT (id) ON users", "login"),
        ("SELECT (name) ON users", "login"),
        ("SELECT (password) ON users", "login"),
        ("UPDATE ON users", "password"),
        ("UPDATE ON users", "sign-out-everywhere"),
        ("EXECUTE ON FUNCTION session_guard.revoke_sessions(text, text, regclass)", "sign-out-everywhere"),
        ("EXECUTE ON FUNCTION session_guard.revoke_tokens(text, text, text)", "logout"),
        ("USAGE ON SCHEMA session_guard", "logout"),
    ],
)
def test_an_error_of_the_database_is_answered_by_503_and_keeps_the_cookie(server, owner, admin, alice, right, path):
    cookie = logged_in(server)
    # Only who has granted can revoke. grant_access grants in the name of the functions' owner.
    grantor = owner if "session_guard" in right else admin
    grantor.execute(f"REVOKE {right} FROM {APP}")
    try:
        if path == "me":
            answer = get(server, cookie)
        else:
            body = {"name": "alice", "password": PASSWORD, "current": PASSWORD, "new": "new"}
            answer = post(server, path, cookie, **body)
    finally:
        grantor.execute(f"GRANT {right} TO {APP}")
    assert gives_no_session(answer, 503) and "user_id" not in answer.text
    assert is_served(server, cookie)


def test_a_database_that_is_out_of_reach_lets_nobody_in_and_logs_nobody_out(server, alice):
    cookie = logged_in(server)
    with connect("postgres") as elsewhere:
        elsewhere.execute(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false")
        try:
            elsewhere.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (APP,))
            answers = [get(server, cookie) for _ in range(2)] + [log_in(server)]
        finally:
            elsewhere.execute(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS true")
    assert all(gives_no_session(answer, 503) and "user_id" not in answer.text for answer in answers)
    wait_until("the app is back", lambda: get(server, cookie).status_code != 503)
    assert is_served(server, cookie)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO users (name, password) VALUES ('eve', '')",
        "DELETE FROM users",
        "TRUNCATE users",
        "ALTER TABLE users DISABLE TRIGGER ALL",
        "SELECT active FROM users",
        "SELECT session_guard.detach('users')",
        "SELECT session_guard.revoke_all_sessions()",
        "SELECT session_guard.prune('1 day')",
        "SELECT session_guard.configure(audit => false)",
        "SELECT session_guard.grant_access('flask_app')",
        "UPDATE session_guard.policy SET audit = false",
        "DELETE FROM session_guard.epoch",
        "SELECT FROM session_guard.token_epoch",
    ],
)
def test_the_apps_role_can_do_no_more_than_it_needs(schema, statement):
    with psycopg.connect(dbname=DATABASE, user=APP) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement)


def test_many_requests_at_once_are_served(server, alice):
    cookie = logged_in(server)
    with ThreadPoolExecutor(20) as crowd:
        assert all(crowd.map(lambda _: is_served(server, cookie), range(100)))


# From the command line.


def test_a_password_that_is_hashed_for_the_table_logs_in(server, admin, alice):
    typed = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", "hash-password"],
        input="typed\ntyped\n",
        env={**os.environ, "PYTHONPATH": MODULES, "DATABASE_URL": f"postgresql+psycopg://{APP}@/{DATABASE}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    admin.execute("UPDATE users SET password = %s WHERE name = 'alice'", (typed.stdout.strip(),))
    assert is_served(server, logged_in(server, "typed"))
