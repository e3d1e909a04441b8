"""How Flask apps are put together, each made in the test itself: loaders, tables, ids, rights."""

import re
from datetime import datetime, timedelta, timezone

import psycopg
import pytest
from adapters import ADAPTERS, ATTACH, MEMBERS, OWNER
from cachelib import FileSystemCache
from flask import Flask, session
from flask_jwt_extended import JWTManager, create_access_token, get_jwt_identity, jwt_required
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user, logout_user
from flask_session import Session
from flask_sqlalchemy import SQLAlchemy
from pg_session_guard.flask import SessionGuard
from pg_session_guard.jwt.flask_jwt_extended import protect_tokens
from pg_session_guard.sqlalchemy import valid_column
from python_helpers import PYTHON_PACKAGE, databases
from sqlalchemy import BigInteger, Boolean, Column, Text, create_engine, select, text
from sqlalchemy.orm import aliased, declarative_base, scoped_session, sessionmaker
from test_sessions import without

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS[:1], ids=["flask"], indirect=True)
Base = declarative_base()


class User(UserMixin, Base):
    __tablename__ = "users"
    id = Column(BigInteger, primary_key=True)
    username = Column(Text)
    password = Column(Text)
    active = Column(Boolean)


@pytest.fixture
def db(adapter):
    engine = create_engine(adapter.environment["DATABASE_URL"])
    yield scoped_session(sessionmaker(engine))
    engine.dispose()


def new_app(db, **config):
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a secret of the tests, longer than 32 bytes", **config)
    app.teardown_appcontext(lambda _error: db.remove())
    LoginManager(app)
    return app


def add_routes(app, db, user_class=User):
    @app.post("/login/<name>")
    def login(name):
        login_user(db.scalar(select(user_class).where(user_class.username == name)), remember=True)
        return {}

    @app.get("/me")
    @login_required
    def me():
        return {"name": current_user.username}

    return app


def logged_in(app, name="alice"):
    client = app.test_client()
    assert client.post(f"/login/{name}").status_code == 200
    return client


def me(client):
    return client.get("/me", headers={"Accept": "application/json"}).status_code


REMEMBERED = ("remember_token", "remember_token_guard")


def copy_of(app, client, *names):
    """Another browser, with these cookies of that one."""
    copy = app.test_client()
    for name in names:
        copy.set_cookie(name, client.get_cookie(name).decoded_value)
    return copy


def end_sessions(adapter):
    adapter.set_active(False)
    adapter.set_active(True)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_loader_of_the_app_is_called_by_the_guard_and_not_in_its_place(adapter, db, moment):
    app = new_app(db)
    called = []

    def load(user_id):
        called.append(user_id)
        return db.get(User, int(user_id)) if len(called) < 3 else None

    if moment == "before":
        app.login_manager.user_loader(load)
    SessionGuard(app, db, User)
    if moment == "after":
        assert app.login_manager.user_loader(load) is load
    add_routes(app, db)
    client = logged_in(app)
    assert me(client) == 200
    assert called
    end_sessions(adapter)
    assert me(client) == 401
    client = logged_in(app)
    called.extend("xxx")
    assert me(client) == 401  # The app's own loader may refuse, too.


def test_two_apps_that_share_a_login_manager_are_both_guarded(adapter, db):
    manager = LoginManager()
    manager.user_loader(lambda user_id: db.get(User, int(user_id)))
    apps = []
    for _ in range(2):
        app = new_app(db)
        manager.init_app(app)
        guard = SessionGuard(app, db, User)
        apps.append(add_routes(app, db))
    assert guard._loader("1").username == "alice"  # The app's own, and not another guard.
    clients = [logged_in(app) for app in apps]
    assert [me(client) for client in clients] == [200, 200]
    end_sessions(adapter)
    assert [me(client) for client in clients] == [401, 401]


def test_a_login_goes_on_to_a_page_and_not_to_where_a_form_was_sent(adapter, db):
    app = new_app(db)
    app.login_manager.login_view = "sign_in"
    app.get("/sign-in", endpoint="sign_in")(dict)
    SessionGuard(app, db, User)
    add_routes(app, db).post("/form", endpoint="form")(login_required(dict))
    locations = []
    for method, path in (("GET", "/me"), ("POST", "/form")):
        client = logged_in(app)
        end_sessions(adapter)
        locations.append(client.open(path, method=method).headers["Location"])
    assert locations == ["/sign-in?next=%2Fme", "/sign-in"]


def set_behind(app, db):
    app.login_manager._user_callback = lambda user_id: db.get(User, int(user_id))


def another_manager(app, db):
    LoginManager(app).user_loader(lambda user_id: db.get(User, int(user_id)))


@pytest.mark.parametrize("replace", [set_behind, another_manager])
def test_an_app_whose_loader_is_not_the_guard_s_serves_nothing(adapter, db, replace):
    app = new_app(db, TESTING=True)
    SessionGuard(app, db, User)
    add_routes(app, db)
    replace(app, db)
    with pytest.raises(RuntimeError, match=r"@guard\.user_loader"):
        app.test_client().get("/me")


def token_app(db):
    app = new_app(db, JWT_SECRET_KEY="a secret of the tests, longer than 32 bytes", TESTING=True)
    guard = SessionGuard(app, db, User)

    @app.post("/token")
    def token():
        return {"token": create_access_token("1")}

    @app.get("/by-token")
    @jwt_required()
    def by_token():
        return {}

    return app, guard, JWTManager(app)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_token_loaders_of_the_app_are_called_beside_the_guard_s(adapter, db, moment):
    app, guard, manager = token_app(db)
    blocked = []
    if moment == "after":
        protect_tokens(manager, guard)
    manager.additional_claims_loader(lambda _identity: {"role": "reader"})
    manager.token_in_blocklist_loader(lambda _header, token: token["role"] in blocked)
    if moment == "before":
        protect_tokens(manager, guard)
    client = app.test_client()

    def status():
        return client.get("/by-token", headers={"Authorization": f"Bearer {token}"}).status_code

    token = client.post("/token").json["token"]
    assert status() == 200
    blocked.append("reader")
    assert status() == 401
    blocked.clear()
    end_sessions(adapter)
    assert status() == 401


@pytest.fixture
def made_of(adapter, db):
    """An app that makes tokens of what a request has. Their sessions end while it does."""
    app, guard, manager = token_app(db)
    app.config["JWT_IDENTITY_CLAIM"] = "user"
    # As flask-jwt-extended's documentation does.
    manager.user_identity_loader(lambda user: getattr(user, "id", user))
    protect_tokens(manager, guard)
    add_routes(app, db)

    def token_of(user_id):
        for name in ("alice", "bob"):
            adapter.set_active(False, name)
            adapter.set_active(True, name)
        return {"token": create_access_token(user_id)}

    app.post("/of-token")(jwt_required()(lambda: token_of(get_jwt_identity())))
    app.post("/of-session", endpoint="session")(login_required(lambda: token_of(current_user)))
    app.post("/of-another/<name>", endpoint="another")(login_required(lambda name: token_of(2)))

    @app.post("/of-password", endpoint="password")
    @login_required
    def of_password():
        end_sessions(adapter)
        guard.begin_login(current_user.id)
        return {"token": create_access_token(current_user)}

    return app


def by_token(client, token):
    return client.get("/by-token", headers=bearer(token)).status_code


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_a_token_that_is_made_of_a_token_ends_with_it(adapter, made_of):
    client = made_of.test_client()
    token = client.post("/token").json["token"]
    assert by_token(client, token) == 200
    renewed = client.post("/of-token", headers=bearer(token)).json["token"]
    assert by_token(client, renewed) == 401
    assert by_token(client, client.post("/token").json["token"]) == 200


def test_a_token_that_is_made_of_a_session_ends_with_it(adapter, made_of):
    client = logged_in(made_of)
    assert by_token(client, client.post("/of-session").json["token"]) == 401
    # One of somebody else is a login of theirs.
    client = logged_in(made_of)
    assert by_token(client, client.post("/of-another/bob").json["token"]) == 200
    # As is one that the app says is.
    client = logged_in(made_of)
    assert by_token(client, client.post("/of-password").json["token"]) == 200
    # And a session of which nobody has asked is none.
    client = logged_in(made_of)
    end_sessions(adapter)
    assert by_token(client, client.post("/token").json["token"]) == 200


def test_a_token_of_a_session_from_before_the_guard_is_no_newer(adapter, made_of):
    adapter.sql("DELETE FROM session_guard.epoch WHERE user_id = '2'")
    client = made_of.test_client()
    with client.session_transaction() as session:
        session["_user_id"] = "2"
    assert me(client) == 200
    assert by_token(client, client.post("/of-session").json["token"]) == 401


def test_an_app_whose_token_loader_is_not_the_guard_s_serves_nothing(adapter, db):
    app, guard, manager = token_app(db)
    protect_tokens(manager, guard)
    manager._token_in_blocklist_callback = lambda _header, _token: False
    with pytest.raises(RuntimeError, match="protect_tokens"):
        app.test_client().get("/by-token")


class Member(UserMixin, Base):
    __tablename__ = 'Our "Members"'
    __table_args__ = {"schema": "Club"}  # noqa: RUF012
    id = Column(BigInteger, primary_key=True)
    username = Column(Text)


def set_member_active(adapter, active):
    adapter.sql(f"UPDATE {MEMBERS} SET active = %s WHERE username = 'alice'", active)


def test_the_guard_of_the_class_s_own_table_is_asked(adapter, db, members):
    app = new_app(db)
    guard = SessionGuard(app, db, Member)
    add_routes(app, db, Member)
    adapter.set_active(False)  # Somebody else of the same id.
    client = logged_in(app)
    assert me(client) == 200
    set_member_active(adapter, False)
    assert me(client) == 401
    with app.test_request_context():
        assert guard.start(1) is None
    set_member_active(adapter, True)
    assert me(client) == 401


def test_a_setting_names_another_table_than_the_class_s(adapter, db, members):
    app = new_app(db, SESSION_GUARD_USERS="users")
    SessionGuard(app, db, Member)
    add_routes(app, db, Member)
    client = logged_in(app)
    set_member_active(adapter, False)
    assert me(client) == 200
    adapter.set_active(False)
    assert me(client) == 401


def test_valid_column_asks_of_the_column_s_table(adapter, db, members):
    def is_valid(of, **named):
        login_at = datetime.now(timezone.utc) + timedelta(seconds=5)
        valid = db.scalar(select(valid_column(of.id, login_at, **named)).where(of.username == "alice"))
        db.remove()
        return valid

    set_member_active(adapter, False)
    assert [is_valid(users) for users in (Member, aliased(Member), User)] == [False, False, True]
    assert is_valid(Member, users="users")


@pytest.mark.parametrize("name", ["it's", "50 %s", "a\\'b", "x:y", "Größe"])
def test_valid_column_takes_a_table_of_any_name(adapter, db, name):
    class Odd(declarative_base()):
        __tablename__ = name
        id = Column(BigInteger, primary_key=True)

    adapter.sql(f'CREATE TABLE "{name}" AS SELECT id, active FROM users')
    try:
        adapter.sql(f'ALTER TABLE "{name}" ADD PRIMARY KEY (id)')
        adapter.sql("SELECT session_guard.attach(quote_ident(%s)::regclass, 'id', 'active')", name)
        adapter.sql(f'UPDATE "{name}" SET active = false')
        adapter.sql(f'GRANT SELECT ON "{name}" TO PUBLIC')
        login_at = datetime.now(timezone.utc) + timedelta(seconds=5)
        assert set(db.scalars(select(valid_column(Odd.id, login_at, session_id="s")))) == {False}
        assert True in set(db.scalars(select(valid_column(Odd.id, login_at, users="users"))))
    finally:
        db.remove()
        adapter.sql("SELECT session_guard.detach(quote_ident(%s)::regclass)", name)
        adapter.sql(f'DROP TABLE "{name}"')


class Renamed(Base):
    """Of whom Flask-Login keeps something else than the primary key."""

    __table__ = User.__table__
    prefix = "u"
    is_active = is_authenticated = True
    is_anonymous = False

    def get_id(self):
        return f"{self.prefix}{self.id}"


@pytest.fixture
def renamed_app(db):
    app = new_app(db)
    SessionGuard(app, db, Renamed)
    yield add_routes(app, db, Renamed)
    Renamed.prefix = "u"


def load_renamed(db):
    return lambda user_id: db.get(Renamed, int(user_id.removeprefix("u")))


@pytest.mark.parametrize("own_loader", [False, True])
def test_an_id_of_the_app_s_own_is_kept_beside_the_primary_key(adapter, db, renamed_app, own_loader):
    if own_loader:
        renamed_app.login_manager.user_loader(load_renamed(db))
    client, bob = logged_in(renamed_app), logged_in(renamed_app, "bob")
    assert me(client) == 200
    client.delete_cookie("session")
    assert me(client) == 200  # As it is remembered.
    assert me(client) == 200  # By the session that it has made.
    end_sessions(adapter)
    client.delete_cookie("session")
    assert [me(client), me(bob)] == [401, 200]


def test_an_id_that_the_app_has_changed_ends_its_sessions(adapter, db, renamed_app):
    client = logged_in(renamed_app)
    Renamed.prefix = "v"
    assert me(client) == 401
    assert me(logged_in(renamed_app)) == 200


def test_an_id_is_not_taken_for_the_primary_key_of_somebody_else(adapter, db, renamed_app):
    """As of a session from before the guard."""
    Renamed.prefix = "1"
    client = renamed_app.test_client()
    bob = adapter.sql("SELECT id FROM users WHERE username = 'bob'")
    with client.session_transaction() as session:
        session["_user_id"] = str(bob)
    assert me(client) == 401
    client = logged_in(renamed_app)
    with client.session_transaction() as session:
        session["_user_id"] = str(bob)
    assert me(client) == 401


def test_a_login_without_a_primary_key_is_no_login(adapter, db):
    app = new_app(db, PROPAGATE_EXCEPTIONS=False)
    SessionGuard(app, db, User)

    @app.post("/login/<name>")
    def login(name):
        login_user(type("Other", (UserMixin,), {"get_id": lambda _self: "1"})())

    @app.get("/me")
    @login_required
    def page():
        return {}

    client = app.test_client()
    assert client.post("/login/alice").status_code == 500
    assert me(client) == 401


@pytest.fixture
def role(adapter):
    """Of an app that does not own the table."""
    role = f"{OWNER}_app"
    databases.create_role(role)
    adapter.sql(f"GRANT SELECT, UPDATE ON users TO {role}")
    adapter.sql(f"SELECT session_guard.grant_access('{role}')")
    yield role
    adapter.sql(f"DROP OWNED BY {role}")


def test_the_grants_of_the_readme_are_what_ending_sessions_takes(adapter, role):
    engine = create_engine(adapter.environment["DATABASE_URL"].replace(OWNER + "@", role + "@"))
    db = scoped_session(sessionmaker(engine))
    app = new_app(db, SESSION_GUARD_END_SINGLE_SESSIONS=True)
    guard = SessionGuard(app, db, User)
    add_routes(app, db)
    app.post("/logout", endpoint="one")(lambda: guard.log_out() or {})
    app.post("/logout-everywhere", endpoint="all")(lambda: guard.log_out_everywhere() or {})

    def statuses():
        """Of both, and of a copy of the cookie after each."""
        found = []
        for path in ("/logout", "/logout-everywhere"):
            client = logged_in(app)
            cookie = client.get_cookie("session").value
            found.append(client.post(path).status_code)
            copy = app.test_client()
            copy.set_cookie("session", cookie)
            found.append(me(copy))
        return found

    assert statuses() == [503, 200, 503, 200]
    readme = (PYTHON_PACKAGE.parent / "README.md").read_text()
    grants = re.search(r"```sql\n(GRANT USAGE ON SCHEMA session_guard TO app;\nGRANT EXECUTE .*?;)\n```", readme, re.S)
    adapter.sql(grants[1].replace("TO app;", f"TO {role};"))
    assert statuses() == [200, 401, 200, 401]
    engine.dispose()


@pytest.mark.parametrize("kept", ["session", "remember_token"])
def test_a_logout_ends_copies_of_its_cookies_also_where_nobody_has_asked_who_it_is(adapter, db, kept):
    app = new_app(db, SESSION_GUARD_END_SINGLE_SESSIONS=True)
    guard = SessionGuard(app, db, User)
    add_routes(app, db).post("/logout", endpoint="logout")(lambda: guard.log_out() or {})
    client, other = logged_in(app), logged_in(app)
    names = ["session"] if kept == "session" else REMEMBERED
    copy = copy_of(app, client, *names)
    for name in {"session", *REMEMBERED}.difference(names):
        client.delete_cookie(name)
    assert client.post("/logout").status_code == 200
    assert (me(client), me(copy), me(other)) == (401, 401, 200)


@pytest.mark.parametrize("kept", ["session", "remember_token"])
def test_a_stock_logout_ends_copies_of_its_cookies_as_well(adapter, db, kept):
    """Of a page that knows of no guard, such as Flask-AppBuilder's."""
    app = new_app(db, SESSION_GUARD_END_SINGLE_SESSIONS=True)
    SessionGuard(app, db, User)
    add_routes(app, db).post("/logout", endpoint="logout")(lambda: {"done": logout_user()})
    client, other = logged_in(app), logged_in(app)
    copy = copy_of(app, client, "session") if kept == "session" else copy_of(app, client, *REMEMBERED)
    assert me(copy) == 200
    assert client.post("/logout").status_code == 200
    assert (me(client), me(copy), me(other)) == (401, 401, 200)


@pytest.fixture
def two_steps(db, password):
    app = new_app(db)
    guard = SessionGuard(app, db, User)
    add_routes(app, db)

    @app.post("/password/<name>")
    def password(name):
        number = db.scalar(select(User.id).where(User.username == name))
        session["pending"] = [number, guard.start(number)]
        return {}  # After a look at the hash.

    @app.post("/code")
    def code():
        number, begun = session.pop("pending")
        guard.continue_login(number, begun)
        login_user(db.get(User, number))
        return {}

    return app


@pytest.mark.parametrize(
    ("meanwhile", "status"),
    [
        (lambda adapter: None, 200),
        (end_sessions, 401),
        (lambda adapter: adapter.set_active(False), 401),
        (lambda adapter: adapter.sql("UPDATE users SET password = 'another' WHERE username = 'alice'"), 401),
    ],
    ids=["nothing", "disabled and enabled", "disabled", "another password"],
)
def test_a_login_in_steps_is_as_old_as_its_first(adapter, two_steps, meanwhile, status):
    adapter.sql("SELECT session_guard.revoke_sessions(id) FROM users WHERE username = 'alice'")
    client = two_steps.test_client()
    client.post("/password/alice")
    meanwhile(adapter)
    assert client.post("/code").status_code == 200
    assert me(client) == status


def test_a_login_of_a_user_in_place_of_the_id_is_an_error(adapter, db):
    app = new_app(db)
    guard = SessionGuard(app, db, User)
    with app.test_request_context():
        with pytest.raises(TypeError, match=r"user\.id"):
            guard.begin_login(User(id=1))
        assert guard.begin_login(None) is False


@pytest.fixture
def own_page(db, password):
    """An app whose user changes the own password, while somebody else does `meanwhile`."""
    app = new_app(db, SESSION_GUARD_END_SINGLE_SESSIONS=True, SESSION_GUARD_FAIL_OPEN=True)
    guard = SessionGuard(app, db, User)
    add_routes(app, db)

    @app.post("/password")
    @login_required
    def change():
        current_user.password += "."
        begun = guard.start(current_user.id, db)
        timeout = db.scalar(text("SHOW lock_timeout"))
        db.commit()
        app.meanwhile()
        return {"kept": guard.keep_session_at(begun), "timeout": timeout}

    @app.post("/without")
    @login_required
    def without_a_time():
        return {"kept": guard.keep_session_at(None)}

    app.meanwhile = lambda: None
    return app


def test_a_session_is_kept_by_the_time_of_its_own_change_and_not_over_another_s(adapter, db, own_page):
    client, other = logged_in(own_page), logged_in(own_page)
    assert client.post("/password").json == {"kept": True, "timeout": "0"}
    assert (me(client), me(other)) == (200, 401)
    own_page.meanwhile = lambda: end_sessions(adapter)
    assert client.post("/password").json["kept"] is False
    assert me(client) == 401
    client = logged_in(own_page)
    assert client.post("/without").json["kept"] is False
    assert me(client) == 401


def test_what_is_remembered_of_a_session_that_is_kept_goes_on_and_copies_of_it_do_not(adapter, own_page):
    client = logged_in(own_page)
    copies = [copy_of(own_page, client, *names) for names in (("session",), REMEMBERED)]
    token = client.get_cookie("remember_token").value
    assert client.post("/password").json["kept"]
    # As after the browser was closed.
    assert me(copy_of(own_page, client, *REMEMBERED)) == 200
    assert [me(copy) for copy in copies] == [401, 401]
    # Flask-Login's own cookie has its time as it was.
    assert client.get_cookie("remember_token").value == token
    end_sessions(adapter)
    assert me(copy_of(own_page, client, *REMEMBERED)) == 401


def test_nobody_s_session_is_not_kept_and_none_of_nobody_s_ended(adapter, db):
    """As of a route that is open to all, after the session has ended."""
    app = new_app(db)
    guard = SessionGuard(app, db, User)
    add_routes(app, db)
    app.post("/keep", endpoint="keep")(lambda: {"kept": guard.keep_session()})
    app.post("/keep-at", endpoint="at")(lambda: {"kept": guard.keep_session_at(guard.start(1))})
    app.post("/log-out-everywhere", endpoint="all")(lambda: guard.log_out_everywhere() or {"kept": False})
    for path in ("/keep", "/keep-at", "/log-out-everywhere"):
        client = logged_in(app)
        end_sessions(adapter)
        answer = client.post(path)
        assert (answer.status_code, answer.json) == (200, {"kept": False}), path


def test_a_session_in_a_store_is_kept_under_a_new_id(adapter, own_page, tmp_path):
    own_page.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(str(tmp_path)))
    Session(own_page)
    client = logged_in(own_page)
    copy = copy_of(own_page, client, "session")
    assert me(copy) == 200
    assert client.post("/password").json["kept"]
    assert (me(copy), me(client)) == (401, 200)


def test_a_session_that_is_kept_and_was_not_remembered_is_not_from_then_on(adapter, own_page):
    client = logged_in(own_page)
    for name in REMEMBERED:
        client.delete_cookie(name)
    assert client.post("/password").json["kept"]
    assert [client.get_cookie(name) for name in REMEMBERED] == [None, None]


def test_what_flask_login_remembers_anew_at_each_request_has_its_time(adapter, db):
    app = add_routes(new_app(db, REMEMBER_COOKIE_REFRESH_EACH_REQUEST=True), db)
    SessionGuard(app, db, User)
    end_sessions(adapter)
    client = logged_in(app)
    for name in REMEMBERED:
        client.delete_cookie(name)
    assert me(client) == 200
    assert me(copy_of(app, client, *REMEMBERED)) == 200


def test_a_session_from_before_the_guard_is_kept_as_well(adapter, db, own_page):
    adapter.sql("SELECT session_guard.detach('users', forget => true)")
    adapter.sql(f"SELECT session_guard.{ATTACH}")
    client = own_page.test_client()
    with client.session_transaction() as session:
        session.update(_user_id=str(adapter.sql("SELECT id FROM users WHERE username = 'alice'")), _fresh=True)
    assert me(client) == 200
    assert client.post("/password").json["kept"] is True
    assert me(client) == 200
    end_sessions(adapter)
    assert me(client) == 401


def test_a_new_password_without_an_answer_is_undone_and_told(adapter, db, own_page):
    client = logged_in(own_page)
    read = "SELECT password FROM users WHERE username = 'alice'"
    old = adapter.sql(read)
    with without(adapter, "session_start"):
        assert client.post("/password").status_code == 503
    assert adapter.sql(read) == old
    assert me(client) == 200


@pytest.mark.parametrize("timeout", ["lock_timeout", "statement_timeout"])
def test_a_login_that_meets_a_lock_is_none_also_where_the_app_fails_open(adapter, password, timeout):
    """Otherwise one by an old password would outlive the new one, which began to end sessions before it."""
    url = f"{adapter.environment['DATABASE_URL']}?options=-c%20statement_timeout%3D300"
    engine = create_engine(url if timeout == "statement_timeout" else adapter.environment["DATABASE_URL"])
    db = scoped_session(sessionmaker(engine))
    app = new_app(db, SESSION_GUARD_FAIL_OPEN=True, SESSION_GUARD_LOCK_TIMEOUT=600 if "?" in str(engine.url) else 0.3)
    SessionGuard(app, db, User)
    client = add_routes(app, db).test_client()
    with psycopg.connect(dbname=adapter.database) as changing:
        changing.execute("UPDATE users SET password = 'new' WHERE username = 'alice'")
        assert client.post("/login/alice").status_code == 503
    assert me(client) == 401
    with without(adapter, "session_start"):
        assert client.post("/login/alice").status_code == 200
    engine.dispose()


class ActiveUser(User):
    @property
    def is_active(self):
        return self.active


def test_an_app_that_fails_open_serves_no_account_that_is_disabled_or_gone(adapter, db):
    app = new_app(db, SESSION_GUARD_FAIL_OPEN=True, JWT_SECRET_KEY="a secret of the tests, longer than 32 bytes")
    protect_tokens(JWTManager(app), SessionGuard(app, db, ActiveUser))
    add_routes(app, db, ActiveUser).get("/by-token", endpoint="by_token")(jwt_required()(dict))
    adapter.sql("INSERT INTO users (username, active) VALUES ('carol', true)")
    clients = [logged_in(app, name) for name in ("alice", "bob", "carol")]
    with app.test_request_context():
        names = db.execute(select(User.id).order_by(User.id))
        tokens = [create_access_token(str(number)) for (number,) in names.fetchall()]
    with without(adapter, "session_valid"):
        adapter.set_active(False)
        adapter.sql("DELETE FROM users WHERE username = 'carol'")
        assert [me(client) for client in clients] == [401, 200, 401]
        assert [by_token(app.test_client(), token) for token in tokens] == [401, 200, 401]
    adapter.set_active(True)
    assert [me(client) for client in clients] == [401, 200, 401]


def test_a_503_logs_what_is_missing(adapter, db, caplog):
    app = new_app(db)
    SessionGuard(app, db, User)
    client = logged_in(add_routes(app, db))
    with without(adapter, "session_valid"):
        assert me(client) == 503
    assert "session_guard.grant_access(" in caplog.records[0].getMessage()
    assert me(client) == 200
    adapter.sql("SELECT session_guard.detach('users')")
    try:
        caplog.clear()
        assert me(client) == 503
        assert "SESSION_GUARD_USERS" in caplog.records[0].getMessage()
    finally:
        adapter.sql(f"SELECT session_guard.{ATTACH}")


def test_what_is_no_session_and_no_class_of_users_is_refused(adapter, db):
    app = new_app(db)
    with pytest.raises(TypeError, match=r"such as db\.session, and not a SQLAlchemy"):
        SessionGuard(app, SQLAlchemy(), User)
    for wrong in (User(), dict):
        with pytest.raises(TypeError, match="no class of users"):
            SessionGuard(app, db, wrong)
