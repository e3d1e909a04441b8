"""How Starlette apps are put together: tables, pools, what they give by mistake. Without a server."""

import asyncio
import os
from contextlib import asynccontextmanager
from datetime import datetime
from types import SimpleNamespace

import asyncpg
import psycopg
import psycopg_pool
import pytest
from adapters import ADAPTERS, MEMBERS, OWNER
from pg_session_guard.core.settings import Settings
from pg_session_guard.starlette import SessionGuard
from pg_session_guard.starlette_middleware import SessionGuardMiddleware
from psycopg.rows import dict_row, namedtuple_row, scalar_row
from sqlalchemy import BigInteger, Boolean, Column, Text, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, declarative_base
from starlette.exceptions import HTTPException
from starlette.requests import Request
from test_sessions import without

pytestmark = pytest.mark.parametrize("adapter", ADAPTERS[:1], ids=["flask"], indirect=True)
Base = declarative_base()


class User(Base):
    __tablename__ = "users"
    id = Column(BigInteger, primary_key=True)
    username = Column(Text)
    password = Column(Text)


class Member(Base):
    __tablename__ = 'Our "Members"'
    __table_args__ = {"schema": "Club"}  # noqa: RUF012
    id = Column(BigInteger, primary_key=True)
    username = Column(Text)


@pytest.fixture
def engine(adapter):
    engine = create_engine(adapter.environment["DATABASE_URL"])
    yield engine
    engine.dispose()


def request(session=None, path="/", **headers):
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": raw, "session": {} if session is None else session}
    return Request(scope)


def run(awaitable):
    return asyncio.run(awaitable)


async def served(*_):
    """An app."""


JSON = {"Accept": "application/json"}


def refusal(awaitable):
    with pytest.raises(HTTPException) as refused:
        run(awaitable)
    return refused.value


def test_the_guard_of_the_class_s_own_table_is_asked(adapter, engine, members):
    guard = SessionGuard(engine)
    load = guard.load(Member, lambda: None)
    adapter.set_active(False)  # Somebody else of the same id.
    session = {}
    assert run(guard.log_in(request(session), 1))
    with Session(engine) as db:
        assert run(load(request(session), db)).username == "alice"
    adapter.sql(f"UPDATE {MEMBERS} SET active = false WHERE id = 1")
    with Session(engine) as db:
        assert refusal(load(request(dict(session), **JSON), db)).status_code == 401
    assert refusal(guard.required(request(dict(session), **JSON))).status_code == 401
    assert not run(guard.log_in(request(), 1))


def test_one_guard_is_asked_of_one_table(adapter, engine):
    guard = SessionGuard(engine)
    guard.load(User, lambda: None)
    guard.load(User, lambda: None)
    with pytest.raises(TypeError, match="user_key"):
        guard.load(Member, lambda: None)
    named = SessionGuard(engine, settings=Settings(users="users"))
    named.load(Member, lambda: None)
    assert named.settings.users == "users"


@pytest.mark.parametrize(
    ("open_path", "opened", "closed"),
    [
        ("/health", ["/health", "/health/", "/health/live"], ["/health-records", "/healthy", "/", "/a/health"]),
        ("/static/", ["/static/", "/static/a.css"], ["/static", "/statics", "/"]),
        ("/", ["/"], ["/private", "//private", ""]),
        ("", [""], ["/", "/private"]),
        ("/health", ["/health/..."], ["/health/../private", "/health/..", "/health/./private", "/health/%2e%2E/private"]),
        ("/health", ["/health/%20"], ["/health/..\\private", "/health/%5c", "/health/%2Fprivate", "/health/%00", "/health/\0"]),
    ],
)
def test_an_open_path_is_a_whole_one(adapter, engine, open_path, opened, closed):
    middleware = SessionGuardMiddleware(served, SessionGuard(engine), open_paths=(open_path,))
    adapter.set_active(False)

    def is_asked(path):
        session = {"user_id": "1"}
        run(middleware(request(session, path).scope, None, None))
        return "user_id" not in session

    assert [is_asked(path) for path in opened] == [False] * len(opened)
    assert [is_asked(path) for path in closed] == [True] * len(closed)


@pytest.mark.parametrize("raw_path", [b"/health/%2e%2e/private", b"/health/%2fprivate"])
def test_a_path_that_was_decoded_on_the_way_is_looked_at_as_it_came(adapter, engine, raw_path):
    middleware = SessionGuardMiddleware(served, SessionGuard(engine), open_paths=("/health",))
    adapter.set_active(False)
    session = {"user_id": "1"}
    run(middleware({**request(session, "/health/private").scope, "raw_path": raw_path}, None, None))
    assert session.get("user_id") is None


@pytest.mark.parametrize(
    ("method", "path", "query", "location"),
    [
        ("GET", "/private", "a=1&b", "/login?next=/private%3Fa%3D1%26b"),
        ("HEAD", "/", "", "/login?next=/"),
        ("POST", "/private", "", "/login"),
        ("GET", "//example.org", "", "/login"),
        ("GET", "/\\example.org", "", "/login"),
        ("GET", "/\t/example.org", "", "/login"),
        ("GET", "", "", "/login"),
    ],
)
def test_a_login_goes_on_to_a_page_of_this_site_alone(adapter, engine, method, path, query, location):
    asked = request({}, path, Accept="text/html", Host="app.example")
    asked.scope.update(method=method, query_string=query.encode(), scheme="https")
    assert refusal(SessionGuard(engine).required(asked)).headers["Location"] == location
    other = SessionGuard(engine, login_path="/login?lang=en")
    expected = location.replace("/login", "/login?lang=en").replace("?next", "&next")
    assert refusal(other.required(asked)).headers["Location"] == expected


def test_open_paths_are_not_one_text(adapter, engine):
    with pytest.raises(TypeError, match="open_paths"):
        SessionGuardMiddleware(None, SessionGuard(engine), open_paths="/health")


@pytest.mark.parametrize("wrong", [User(id=1), {"id": 1}, (1,), True])
def test_a_login_of_what_is_no_id_is_an_error(adapter, engine, wrong):
    guard = SessionGuard(engine)
    for log_in in (guard.log_in(request(), wrong), guard.begin_login(wrong), guard.log_in_at(request(), wrong, "2020-01-01T00:00:00+00:00")):
        with pytest.raises(TypeError, match=r"user\.id"):
            run(log_in)


def test_a_login_of_nobody_is_none(adapter, engine):
    assert run(SessionGuard(engine).log_in(request(), None)) is False


def test_nobody_has_an_id_with_a_nul_also_where_the_app_fails_open(adapter, engine, caplog):
    guard = SessionGuard(engine, settings=Settings(fail_open=True))
    assert run(guard.log_in(request(), "1\0")) is False
    asked = request(Authorization="Bearer x", **JSON)
    assert refusal(guard.bearer(lambda _token: {"sub": "1\0"})(asked)).status_code == 401
    assert refusal(guard.required(request({"user_id": "1\0"}, **JSON))).status_code == 401
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


NEW = "UPDATE users SET password = password || '.' WHERE id = 1"


@asynccontextmanager
async def psycopg_async(adapter, _engine):
    async with await psycopg.AsyncConnection.connect(dbname=adapter.database, user=OWNER) as connection:
        yield connection, connection.execute, connection.commit


@asynccontextmanager
async def psycopg_sync(adapter, _engine):
    with psycopg.connect(dbname=adapter.database, user=OWNER) as connection:
        yield connection, connection.execute, connection.commit


@asynccontextmanager
async def asyncpg_pool(adapter, _engine):
    options = {"host": os.environ["PGHOST"], "port": int(os.environ["PGPORT"]), "user": OWNER, "min_size": 0}
    async with asyncpg.create_pool(**options, database=adapter.database) as pool, pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        yield connection, connection.execute, transaction.commit


@asynccontextmanager
async def sqlalchemy_connection(_adapter, engine):
    with engine.connect() as connection:
        yield connection, connection.exec_driver_sql, connection.commit


@asynccontextmanager
async def sqlalchemy_session(_adapter, engine):
    """The change is that of an object, which is not flushed yet."""
    with Session(engine) as session:
        user = session.get(User, 1)
        yield session, lambda _statement: setattr(user, "password", f"{user.password}."), session.commit


@asynccontextmanager
async def sqlalchemy_async_session(adapter, _engine):
    async_engine = create_async_engine(adapter.environment["DATABASE_URL"])
    async with AsyncSession(async_engine) as session:
        user = await session.get(User, 1)
        yield session, lambda _statement: setattr(user, "password", f"{user.password}."), session.commit
    await async_engine.dispose()


@asynccontextmanager
async def sqlalchemy_async_connection(adapter, _engine):
    async_engine = create_async_engine(adapter.environment["DATABASE_URL"])
    async with async_engine.connect() as connection:
        yield connection, connection.exec_driver_sql, connection.commit
    await async_engine.dispose()


KINDS = [
    psycopg_async,
    psycopg_sync,
    asyncpg_pool,
    sqlalchemy_connection,
    sqlalchemy_session,
    sqlalchemy_async_connection,
    sqlalchemy_async_session,
]


async def done(result):
    return await result if hasattr(result, "__await__") else result


@pytest.mark.parametrize("opened", KINDS, ids=lambda kind: kind.__name__)
def test_a_session_is_kept_by_a_time_of_the_transaction_that_changed_the_password(adapter, engine, password, opened):
    guard = SessionGuard(engine, settings=Settings(lock_timeout=0.5))

    async def change(connection, execute, commit):
        await done(execute(NEW))
        begun = await guard.begin_login(1, connection)
        await done(commit())
        return begun

    async def both(session):
        async with opened(adapter, engine) as of_app:
            assert await guard.log_in(request(session), 1)
            old = session["guard_login_at"]
            begun = await change(*of_app)
            assert not await guard.ask(1, datetime.fromisoformat(old))
            assert await guard.keep_session_at(request(session), begun)
            assert session == {"user_id": "1", "guard_login_at": begun} and begun != old
            assert await guard.required(request(session)) == "1"
        async with opened(adapter, engine) as of_app:
            begun = await change(*of_app)
            adapter.sql(NEW)  # By somebody else.
            assert not await guard.keep_session_at(request(session), begun)
            assert session == {}

    run(both({}))


@pytest.mark.parametrize("name", ["a pool", "no answer"])
def test_a_time_of_the_app_s_own_transaction_is_not_asked_of_a_pool_nor_made_up(adapter, engine, name):
    guard = SessionGuard(engine, settings=Settings(fail_open=True))
    if name == "a pool":
        with pytest.raises(TypeError, match="no connection or session"):
            run(guard.begin_login(1, engine))
    else:
        with without(adapter, "session_start"), engine.connect() as connection:
            assert refusal(guard.begin_login(1, connection)).status_code == 503


def test_without_a_time_no_session_is_kept(adapter, engine):
    guard, session = SessionGuard(engine), {}
    assert run(guard.log_in(request(session), 1))
    assert run(guard.keep_session(request(session))) and session
    assert not run(guard.keep_session_at(request(session), None))
    assert session == {}


def test_nobody_s_session_is_not_kept(adapter, engine):
    """As where another request has ended it."""
    guard, session = SessionGuard(engine), {"color": "red"}
    assert run(guard.keep_session(request(session))) is False
    assert run(guard.keep_session_at(request(session), run(guard.begin_login(1)))) is False


def remedy(caplog):
    [record] = caplog.records
    caplog.clear()
    return record.getMessage()


def test_a_503_logs_what_is_missing(adapter, engine, caplog):
    guard, asked = SessionGuard(engine), request({"user_id": "1"}, **JSON)
    load = guard.load(User, lambda: None)
    with without(adapter, "session_valid"):
        assert refusal(guard.required(asked)).status_code == 503
        assert "session_guard.grant_access(" in remedy(caplog)
        with Session(engine) as db:
            assert refusal(load(asked, db)).status_code == 503
        assert "session_guard.grant_access(" in remedy(caplog)
    nowhere = create_engine(adapter.environment["DATABASE_URL"].replace(adapter.database, "template1"))
    assert refusal(SessionGuard(nowhere).required(asked)).status_code == 503
    assert "CREATE EXTENSION pg_session_guard" in remedy(caplog)
    nowhere.dispose()


def test_a_login_that_meets_a_lock_is_none_also_where_the_app_fails_open(adapter, engine):
    guard = SessionGuard(engine, settings=Settings(fail_open=True, lock_timeout=0.3))
    with psycopg.connect(dbname=adapter.database) as changing:
        changing.execute("UPDATE users SET active = false WHERE username = 'alice'")
        assert refusal(guard.log_in(request(), 1)).status_code == 503
        changing.rollback()
    with without(adapter, "session_start"):
        assert run(guard.begin_login(1))


def test_an_app_that_fails_open_serves_no_account_that_is_gone_or_disabled(adapter, engine):
    class Person(User):
        is_active = Column("active", Boolean)

    guard = SessionGuard(engine, settings=Settings(fail_open=True))
    load = guard.load(Person, lambda: None)
    with without(adapter, "session_valid"), Session(engine) as db:
        assert run(load(request({"user_id": "1"}, **JSON), db)).username == "alice"
        adapter.set_active(False)
        db.rollback()
        for user_id in ("1", "999"):
            assert refusal(load(request({"user_id": user_id}, **JSON), db)).status_code == 401


def test_who_never_logged_in_is_not_told_of_a_session_that_ended(adapter, engine):
    guard = SessionGuard(engine)
    refused = refusal(guard.required(request(**JSON)))
    assert (refused.status_code, refused.detail) == (401, "Not logged in")
    assert refused.headers["WWW-Authenticate"] == 'Cookie realm="login"'
    refused = refusal(guard.bearer(dict)(request(**JSON)))
    assert (refused.detail, refused.headers["WWW-Authenticate"]) == ("Not logged in", "Bearer")
    adapter.set_active(False)
    refused = refusal(guard.required(request({"user_id": "1"}, **JSON)))
    assert refused.detail == "The session has ended"
    assert "The session has ended" in refused.headers["WWW-Authenticate"]


def test_a_refused_session_without_a_login_time_is_told_once(adapter, engine, caplog):
    guard = SessionGuard(engine)
    adapter.set_active(False)
    adapter.set_active(True)
    for _ in range(2):
        assert refusal(guard.required(request({"user_id": "1"}, **JSON))).status_code == 401
    assert "guard.log_in(request, user.id)" in remedy(caplog)
    session = {}
    guard = SessionGuard(engine)
    assert run(guard.log_in(request(session), 1))
    adapter.set_active(False)
    assert refusal(guard.required(request(session, **JSON))).status_code == 401
    assert not caplog.records
    middleware = SessionGuardMiddleware(served, guard)
    run(middleware(request({"user_id": "1"}, **JSON).scope, None, None))
    assert "guard.log_in(request, user.id)" in remedy(caplog)


def test_a_pool_may_come_later_and_be_another(adapter, caplog):
    """As in the README: a pool of asyncpg, made in lifespan, in the loop that runs."""
    app = SimpleNamespace(state=SimpleNamespace())
    guard = SessionGuard(lambda: app.state.pool)
    assert refusal(guard.required(request({"user_id": "1"}, **JSON))).status_code == 503
    options = {"host": os.environ["PGHOST"], "port": int(os.environ["PGPORT"]), "user": OWNER}

    async def live():
        async with asyncpg.create_pool(**options, database=adapter.database, min_size=0) as app.state.pool:
            session = {}
            assert await guard.log_in(request(session), 1)
            return await guard.required(request(session))

    assert [run(live()) for _ in range(2)] == ["1", "1"]


@pytest.mark.parametrize("row_factory", [dict_row, namedtuple_row, scalar_row])
def test_rows_of_a_pool_or_a_connection_are_as_the_app_has_chosen(adapter, password, row_factory):
    connect = {"dbname": adapter.database, "user": OWNER, "row_factory": row_factory}

    async def both(guard, connection, execute, commit):
        session = {}
        assert await guard.log_in(request(session), 1)
        assert await guard.required(request(session)) == "1"
        await done(execute(NEW))
        begun = await guard.begin_login(1, connection)
        await done(commit())
        assert await guard.keep_session_at(request(session), begun)

    async def asynchronously():
        async with psycopg_pool.AsyncConnectionPool(kwargs=connect, open=False) as pool, pool.connection() as connection:
            await both(SessionGuard(pool), connection, connection.execute, connection.commit)

    run(asynchronously())
    with psycopg_pool.ConnectionPool(kwargs=connect, open=True) as pool, pool.connection() as connection:
        run(both(SessionGuard(pool), connection, connection.execute, connection.commit))


@pytest.mark.parametrize("wrong", [None, "postgresql://", object(), SessionGuard])
def test_what_is_no_pool_is_refused(adapter, wrong):
    with pytest.raises(TypeError, match="no pool or engine"):
        SessionGuard(wrong)


def test_settings_that_are_a_dict_and_users_that_are_no_class_are_refused(adapter, engine):
    with pytest.raises(TypeError, match=r"Settings\(…\)"):
        SessionGuard(engine, settings={"fail_open": True})
    for wrong in (User(), dict, "users", None):
        with pytest.raises(TypeError, match="no class of users"):
            SessionGuard(engine).load(wrong, lambda: None)


def test_the_id_and_the_login_page_are_where_the_app_says(adapter, engine):
    guard = SessionGuard(engine, login_path="/sign-in", user_key="member_id")
    session = {}
    assert run(guard.log_in(request(session), 1))
    assert session["member_id"] == "1"
    adapter.set_active(False)
    refused = refusal(guard.required(request(session, "/private", Accept="text/html")))
    assert refused.headers["Location"] == "/sign-in?next=/private"
    # Without an Accept, as of a test client, it is a page too.
    assert refusal(guard.required(request({}, "/private"))).status_code == 302
